"""Features of photos: how they are read, and computed whole or in tiles."""

import numpy as np
import pytest
import torch
from PIL import Image

from fixtures.photos.make import exif, scene
from fixtures.tiny_backbone import num_seen, tiny_backbone
from pixelwise.errors import FrozenError, ShapeError
from pixelwise.photos.crop_view import View
from pixelwise.segmenting.extraction import Extractor, read_photo


@pytest.fixture
def image():
    return torch.from_numpy(scene(136, 200).transpose(2, 0, 1).copy())


def assert_close(maps, others):
    for one, other in zip(maps, others, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-5)


def test_photos_are_read_upright(tmp_path):
    stored, upright = tmp_path / "stored.png", tmp_path / "upright.png"
    pixels = scene(40, 64)
    Image.fromarray(pixels).save(stored, exif=exif(6))
    Image.fromarray(np.rot90(pixels, -1)).save(upright)
    turned = read_photo(stored, 16, 8)
    assert turned.shape == (3, 24, 16)
    assert (turned.int() - read_photo(upright, 16, 8).int()).abs().max() <= 2


def test_a_view_is_that_part_of_the_photo(tmp_path):
    Image.fromarray(scene(40, 56)).save(tmp_path / "a.png")
    view = View(top=0.25, left=0.5, height=0.5, width=0.5, mirrored=True)
    image = read_photo(tmp_path / "a.png", 16, 8, view)
    part = read_photo(tmp_path / "a.png", 32, 8)[:, 8:24, 24:48].flip(-1)
    assert image.shape == part.shape
    assert (image.int() - part.int()).abs().max() <= 1


def test_maps_are_those_of_the_network_itself(image):
    backbone = tiny_backbone()
    plain = [one[0] for one in backbone(image[None].float() / 255)]
    assert_close(Extractor(backbone, torch.float32)(image), plain)
    assert {one.dtype for one in Extractor(backbone)(image)} == {torch.bfloat16}


def test_tiles_give_the_maps_of_the_whole(image):
    tiled, whole = tiny_backbone(), tiny_backbone(margin=None)
    found = Extractor(tiled, torch.float32, max_pixels=2000)(image)
    assert_close(found, Extractor(whole, torch.float32, max_pixels=2000)(image))
    assert num_seen(tiled) > 4
    assert max(shape[2] * shape[3] for shape in tiled.net.seen) <= 2000
    assert num_seen(whole) == 1  # it said that no margin makes tiles exact


class Scarce(torch.nn.Module):
    """A network whose memory suffices for small pictures alone."""

    def __init__(self, net, error, max_pixels):
        super().__init__()
        self.net, self.raised, self.max_pixels = net, error, max_pixels

    def forward(self, x):
        if x.shape[2] * x.shape[3] > self.max_pixels:
            raise self.raised
        return self.net(x)


@pytest.mark.parametrize(
    "error", [RuntimeError("can't allocate memory"), RuntimeError("CUDA out of memory"), MemoryError()]
)
def test_where_memory_lacks_tiles_are_smaller(image, caplog, error):
    backbone = tiny_backbone()
    extractor = Extractor(backbone, torch.float32, max_pixels=8000)
    expected = extractor(image)
    extractor.backbone.net = Scarce(extractor.backbone.net, error, 3000)
    assert_close(extractor(image), expected)
    assert len(caplog.messages) == 2
    extractor.backbone.net.max_pixels = 0
    with pytest.raises(type(error)):
        extractor(image)


def test_what_a_backbone_cannot_read_is_refused():
    with pytest.raises(ShapeError, match="12 x 16"):
        Extractor(tiny_backbone())(torch.zeros(3, 12, 16, dtype=torch.uint8))
    backbone = tiny_backbone()
    backbone.net.layers[1].training = True
    with pytest.raises(FrozenError, match=r"net\.layers\.1 of tiny"):
        Extractor(backbone)
