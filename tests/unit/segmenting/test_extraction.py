"""Features of photos: how they are read, and computed whole or in tiles."""

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from fixtures.photos.make import exif, scene
from fixtures.tiny_backbone import num_seen, tiny_backbone, tiny_content
from pixelwise.errors import ShapeError
from pixelwise.network.session import OnnxNetwork
from pixelwise.photos.crop_view import View
from pixelwise.segmenting.extraction import Extractor, in_half_precision, read_photo

pytestmark = pytest.mark.core


@pytest.fixture
def image():
    return scene(136, 200).transpose(2, 0, 1).copy()


def assert_close(maps, others):
    for one, other in zip(maps, others, strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-5)


def test_photos_are_read_upright(tmp_path):
    stored, upright = tmp_path / "stored.png", tmp_path / "upright.png"
    pixels = scene(40, 64)
    Image.fromarray(pixels).save(stored, exif=exif(6))
    Image.fromarray(np.rot90(pixels, -1)).save(upright)
    turned = read_photo(stored, 16, 8)
    assert turned.shape == (3, 24, 16)
    assert np.abs(turned - read_photo(upright, 16, 8).astype(int)).max() <= 2


def test_a_view_is_that_part_of_the_photo(tmp_path):
    Image.fromarray(scene(40, 56)).save(tmp_path / "a.png")
    view = View(top=0.25, left=0.5, height=0.5, width=0.5, mirrored=True)
    image = read_photo(tmp_path / "a.png", 16, 8, view)
    part = read_photo(tmp_path / "a.png", 32, 8)[:, 8:24, 24:48][..., ::-1]
    assert image.shape == part.shape
    assert np.abs(image - part.astype(int)).max() <= 1


def test_maps_are_those_of_the_network_itself_and_kept_in_half_precision(image):
    backbone = tiny_backbone()
    maps = Extractor(backbone)(image)
    assert_close(maps, [one[0] for one in backbone(image[None] / np.float32(255))])
    halved = in_half_precision([maps[0], maps[1] * np.float32(1e9)])
    assert {one.dtype for one in halved} == {np.dtype(np.float16)}
    assert np.isfinite(halved[1]).all()
    np.testing.assert_allclose(halved[0], maps[0], rtol=1e-3, atol=1e-6)


def test_tiles_give_the_maps_of_the_whole(image):
    tiled, whole = tiny_backbone(), tiny_backbone(margin=None)
    found = Extractor(tiled, max_pixels=2000)(image)
    assert_close(found, Extractor(whole, max_pixels=2000)(image))
    assert num_seen(tiled) > 4
    assert max(shape[2] * shape[3] for shape in tiled.network.seen) <= 2000
    assert num_seen(whole) == 1  # it said that no margin makes tiles exact


class Scarce(OnnxNetwork):
    """A network whose memory suffices for small pictures alone."""

    max_pixels = 3000

    def run(self, inputs, outputs):
        if inputs["photo"][0, 0].size > self.max_pixels:
            raise MemoryError
        return super().run(inputs, outputs)


def test_where_memory_lacks_tiles_are_smaller(image, caplog):
    backbone = tiny_backbone()
    expected = Extractor(backbone, max_pixels=8000)(image)
    scarce = Scarce(tiny_content())
    extractor = Extractor(replace(backbone, network=scarce), max_pixels=8000)
    assert_close(extractor(image), expected)
    assert len(caplog.messages) == 2
    scarce.max_pixels = 0
    with pytest.raises(MemoryError):
        extractor(image)


def test_what_a_backbone_cannot_read_is_refused():
    with pytest.raises(ShapeError, match="12 x 16"):
        Extractor(tiny_backbone())(np.zeros((3, 12, 16), np.uint8))
