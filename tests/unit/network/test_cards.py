"""Cards of shipped models: read from one place, and the weights held to them."""

import pytest

from pixelwise.errors import CheckpointError
from pixelwise.files import checksum
from pixelwise.network import cards
from pixelwise.network.cards import Card, check_weights, read_card, shipped_models

pytestmark = pytest.mark.core

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


def test_every_shipped_model_is_what_its_card_says():
    for name in shipped_models():
        check_weights(name)
