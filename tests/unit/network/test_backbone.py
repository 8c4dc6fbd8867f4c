"""Backbones in ONNX files: what they say of themselves, what they read, and the proof that they stay."""

import hashlib
import pickle

import numpy as np
import pytest

from fixtures.tiny_backbone import about, tiny_backbone, tiny_content
from pixelwise.errors import CheckpointError, ConfigError, FrozenError, ShapeError
from pixelwise.files import checksum
from pixelwise.network import cards
from pixelwise.network.backbone import EMBEDDED, Backbone, certified, open_backbone
from pixelwise.network.cards import Card, check_weights, read_card, shipped_models
from pixelwise.network.session import OnnxNetwork, choose_device

pytestmark = pytest.mark.core


def of(**changes) -> Backbone:
    network = OnnxNetwork(tiny_content())
    network.about = about(tiny_backbone()) | changes
    return Backbone.of(network)


def test_a_file_says_what_it_is():
    tiny, again = tiny_backbone(), of()
    assert about(again) == about(tiny)
    assert again.levels == tiny.levels
    assert again.answer() == tiny.answer()


@pytest.mark.parametrize(
    "changes",
    [
        {"task": "colour"},
        {"levels": [{"name": "fine", "stride": 4, "channels": 7}]},
        {"levels": [{"name": "finest", "stride": 4, "channels": 6}]},
        {"levels": 3},
        {"multiple": 0},
        {"author": "unknown"},
    ],
)
@pytest.mark.usefixtures("unchecked")
def test_a_network_that_is_no_backbone_is_refused(changes):
    with pytest.raises(CheckpointError, match="a network holds no backbone of ours"):
        of(**changes)


def test_sizes_that_do_not_divide_are_refused_with_one_that_does():
    with pytest.raises(ShapeError, match=r"tiny.* got 9 x 16; .* 16 x 16"):
        tiny_backbone()(np.zeros((1, 3, 9, 16), np.float32))
    with pytest.raises(ShapeError, match="got 0 x"):
        tiny_backbone()(np.zeros((1, 3, 0, 8), np.float32))


def test_a_certificate_is_of_the_file_and_of_what_it_computes(tmp_path):
    path = tmp_path / "tiny.onnx"
    path.write_bytes(tiny_content())
    tiny = Backbone(**vars(tiny_backbone()) | {"network": OnnxNetwork(path)})
    with certified(tiny) as certificate:
        tiny(np.zeros((1, 3, 8, 8), np.float32))
    assert certificate.before == certificate.after == hashlib.sha256(tiny_content()).hexdigest()
    assert certificate.num_tensors == 6
    assert tiny.answer() != tiny_backbone(seed=1).answer()
    with pytest.raises(FrozenError, match=str(path)), certified(tiny):
        path.write_bytes(tiny_content(seed=1))


def test_the_embedded_one_is_known_by_name():
    backbone = open_backbone()
    assert backbone.name == EMBEDDED == "efficientnet_lite0"
    assert [(one.channels, one.stride) for one in backbone.levels] == [
        (24, 4), (40, 8), (80, 16), (112, 16), (192, 32), (320, 32)
    ]  # fmt: skip
    assert backbone.checksum.startswith("923abbcf3cbadd7b178c830d8d1b6da9")  # which heads know
    with pytest.raises(ConfigError, match=r"one of the backbones efficientnet_lite0, .* got 'vgg'"):
        open_backbone("vgg")


PHOTO = {"photo": np.random.default_rng(0).random((2, 3, 16, 24), np.float32)}


@pytest.fixture
def network(tmp_path) -> OnnxNetwork:
    (tmp_path / "tiny.onnx").write_bytes(tiny_content())
    return OnnxNetwork(tmp_path / "tiny.onnx", threads=1)


def test_a_network_goes_to_another_process_and_into_more_threads(network):
    found = network.run(PHOTO, ("coarse", "fine"))
    assert [(name, one.shape) for name, one in found.items()] == [
        ("coarse", (2, 9, 2, 3)),
        ("fine", (2, 6, 4, 6)),
    ]
    assert network.in_threads(1) is network
    for other in (pickle.loads(pickle.dumps(network)), network.in_threads(2), OnnxNetwork(tiny_content())):
        assert np.array_equal(other.run(PHOTO, ("fine",))["fine"], found["fine"])
        assert other.checksum() == network.checksum() == checksum(network.source)


def test_a_file_that_is_no_network_is_refused(tmp_path, network, capfd):
    path = tmp_path / "noise.onnx"
    whole = network.source.read_bytes()
    for content in (b"noise" * 100, b"", whole[:-1], whole.replace(b"coarse", b"coars\xff")):
        path.write_bytes(content)
        with pytest.raises(CheckpointError, match=r"noise\.onnx"):
            OnnxNetwork(path)
    with pytest.raises(CheckpointError, match=r"gone\.onnx"):
        OnnxNetwork(tmp_path / "gone.onnx")
    assert capfd.readouterr().out == ""


def test_a_lack_of_memory_is_named_as_one(network, monkeypatch):
    class Short:
        def run(self, *_):
            raise RuntimeError("Status Message: std::bad_alloc")

    monkeypatch.setattr(network, "_session", Short())
    with pytest.raises(MemoryError):
        network.run(PHOTO, ())


def test_a_gpu_that_is_not_there_is_said_to_be_missing(network):
    assert choose_device("cpu") == "cpu"
    if choose_device("auto") == "cpu":
        with pytest.raises(ConfigError, match="device cuda needs a GPU that ONNX Runtime can use"):
            OnnxNetwork(network.source, device="cuda")


FACTS = {
    "purpose": "colours photographs",
    "source": "CIFAR-10: 60,000 pictures",
    "licence": "MIT",
    "command": "pixelwise train unet cifar10:all",
    "error": "18 in Lab, left grey 22",
    "score": "60 % of the pixels",
    "limits": "knows horses only",
}


@pytest.fixture
def shipped(tmp_path, monkeypatch):
    monkeypatch.setattr(cards, "SHIPPED", tmp_path)
    weights = tmp_path / "tiny.onnx"
    weights.write_bytes(b"weights")
    write_card(tmp_path, FACTS | {"checksum": checksum(weights)})
    return tmp_path


def write_card(folder, facts, closing="---\n"):
    lines = "".join(f"{key}: {value}\n" for key, value in facts.items())
    (folder / "tiny.md").write_text(f"---\n{lines}{closing}# Tiny\n\nNothing: more.\n")


def test_a_card_gives_the_facts_at_its_head(shipped):
    assert shipped_models() == ["tiny"]
    card = read_card("tiny")
    assert card == Card(**FACTS, checksum=check_weights("tiny"))


def test_weights_that_changed_are_refused(shipped):
    (shipped / "tiny.onnx").write_bytes(b"weightz")
    with pytest.raises(CheckpointError, match="tiny are missing or damaged"):
        check_weights("tiny")
    (shipped / "tiny.md").unlink()
    with pytest.raises(CheckpointError, match=r"tiny\.md"):
        check_weights("tiny")


@pytest.mark.parametrize(("facts", "closing"), [(FACTS, "---\n"), (FACTS | {"checksum": "0"}, "")])
def test_a_card_that_lacks_a_fact_or_its_fence_is_refused(shipped, facts, closing):
    write_card(shipped, facts, closing)
    with pytest.raises(CheckpointError, match=r"tiny\.md"):
        read_card("tiny")
