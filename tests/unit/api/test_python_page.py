"""The page about Python: its examples run, one after the other, as they stand there."""

import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_sample_image

PAGE = Path(__file__).parents[3] / "docs" / "python.md"


@pytest.mark.slow
def test_the_examples_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    flower = Image.fromarray(load_sample_image("flower.jpg"))
    flower.save("garden.jpg")
    flower.convert("L").save("grandmother.jpg")
    small = np.asarray(flower.resize((96, 64)))
    mask = small[..., 0] > 140
    given = {"pictures": [small] * 2, "masks": [mask] * 2, "corrected_masks": [~mask] * 2}
    given |= {"others": [small], "true_masks": [mask]}
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(), flags=re.DOTALL)
    assert len(blocks) == 5
    for block in blocks:
        exec(block.replace("Segmenter(", "Segmenter(sizes=(64,), num_views=1, "), given)
    assert len(given["variants"]) == 4
    assert given["found"].labels.shape == (427, 640)
    names = "garden.jpg grandmother.jpg grandmother-coloured.jpg cut.png leaf.head.safetensors"
    assert {path.name for path in tmp_path.iterdir()} == set(names.split())
