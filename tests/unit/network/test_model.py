"""Colourisers without torch: the same logits, verified files, and no torch on the way."""

import pickle
import shutil
import subprocess
import sys

import numpy as np
import pytest

from pixelwise.errors import CheckpointError
from pixelwise.network import cards
from pixelwise.network import model as models
from pixelwise.network.model import OnnxModel, OnnxNetwork, open_model
from pixelwise.photos.photo import open_photo
from pixelwise.training.export import sample_photos
from pixelwise.training.runs import open_torch_model


@pytest.fixture(scope="module")
def model():
    return open_model("photo")


def grey_photos(model, size=(192, 256)):
    codes = np.stack([open_photo(path).thumbnail(*size) for path in sample_photos()])
    return model.palette.read_grey(codes)


def test_the_default_model_gives_the_logits_of_torch(model):
    assert isinstance(model, OnnxModel)
    beside, grey = open_torch_model("photo"), grey_photos(model)
    assert np.abs(model.logits(grey) - beside.logits(grey)).max() < 0.001
    assert (model.size, model.stride, model.saturation) == (beside.size, beside.stride, beside.saturation)
    assert np.array_equal(model.palette.colours, beside.palette.colours)


@pytest.mark.parametrize("size", [(192, 256), (100, 37), (1, 1)])
def test_a_photo_of_any_size_has_the_same_logits_alone_and_among_others(model, size):
    grey = grey_photos(model, size)
    together = model.logits(grey)
    assert together.shape == (2, model.palette.num_classes, -(-size[0] // 4), -(-size[1] // 4))
    assert np.array_equal(model.logits(grey[:1]), together[:1])


def test_a_changed_file_is_refused(tmp_path, monkeypatch):
    shutil.copytree(cards.SHIPPED, tmp_path / "weights")
    for module in (cards, models):
        monkeypatch.setattr(module, "SHIPPED", tmp_path / "weights")
    models._open_verified.cache_clear()
    path = tmp_path / "weights" / "efficientnet_lite0.onnx"
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    with pytest.raises(CheckpointError, match=r"efficientnet_lite0.*SHA-256"):
        open_model("photo")
    models._open_verified.cache_clear()


def test_a_users_files_beside_a_run_are_not_taken_for_shipped_ones(tmp_path):
    (tmp_path / "mine.onnx").write_bytes(b"exported")
    for name in (str(tmp_path / "mine"), "efficientnet_lite0"):
        with pytest.raises(CheckpointError, match="neither a run folder"):
            open_model(name)


def test_a_lack_of_memory_is_named_as_one(model, monkeypatch):
    class Short:
        def run(self, *_):
            raise RuntimeError("Status Message: std::bad_alloc")

    network = OnnxNetwork(model.backbone.path)
    monkeypatch.setattr(network, "_session", Short())
    with pytest.raises(MemoryError):
        network.run({}, ())


def test_a_model_goes_to_another_process(model):
    grey = grey_photos(model, (32, 32))
    assert np.array_equal(pickle.loads(pickle.dumps(model)).logits(grey), model.logits(grey))


def test_a_file_that_is_no_network_is_refused(tmp_path):
    (tmp_path / "noise.onnx").write_bytes(b"noise" * 100)
    with pytest.raises(CheckpointError, match=r"noise\.onnx"):
        OnnxNetwork(tmp_path / "noise.onnx")


def test_colouring_imports_no_torch(tmp_path):
    code = f"""
import sys
from pixelwise.cli.app import run
code = run(["colourise", {str(sample_photos()[0])!r}, "-o", {str(tmp_path / "out")!r}, "--quiet"])
heavy = {{"torch", "scipy", "sklearn", "matplotlib", "cv2", "pandas"}} & set(sys.modules)
print(sorted(heavy), code)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.splitlines()[-1] == "[] 0", done.stderr
