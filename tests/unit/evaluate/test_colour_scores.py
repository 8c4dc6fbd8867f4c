"""Scores of colours: CIEDE2000 by its published pairs, errors by hand, probabilities held to torchmetrics."""

import math

import numpy as np
import pytest
import torch
from skimage.color import deltaE_ciede2000
from torchmetrics.classification import MulticlassAccuracy

from pixelwise.colour.spaces import srgb_to_lab
from pixelwise.errors import DataError, ShapeError
from pixelwise.evaluate.calibration import class_scores
from pixelwise.evaluate.colour_scores import PhotoColours, ciede2000, colour_scores, colourfulness

SHARMA = """
50.0000 2.6772 -79.7751 50.0000 0.0000 -82.7485 2.0425
50.0000 3.1571 -77.2803 50.0000 0.0000 -82.7485 2.8615
50.0000 2.8361 -74.0200 50.0000 0.0000 -82.7485 3.4412
50.0000 -1.3802 -84.2814 50.0000 0.0000 -82.7485 1.0000
50.0000 -1.1848 -84.8006 50.0000 0.0000 -82.7485 1.0000
50.0000 -0.9009 -85.5211 50.0000 0.0000 -82.7485 1.0000
50.0000 0.0000 0.0000 50.0000 -1.0000 2.0000 2.3669
50.0000 -1.0000 2.0000 50.0000 0.0000 0.0000 2.3669
50.0000 2.4900 -0.0010 50.0000 -2.4900 0.0009 7.1792
50.0000 2.4900 -0.0010 50.0000 -2.4900 0.0010 7.1792
50.0000 2.4900 -0.0010 50.0000 -2.4900 0.0011 7.2195
50.0000 2.4900 -0.0010 50.0000 -2.4900 0.0012 7.2195
50.0000 -0.0010 2.4900 50.0000 0.0009 -2.4900 4.8045
50.0000 -0.0010 2.4900 50.0000 0.0010 -2.4900 4.8045
50.0000 -0.0010 2.4900 50.0000 0.0011 -2.4900 4.7461
50.0000 2.5000 0.0000 50.0000 0.0000 -2.5000 4.3065
50.0000 2.5000 0.0000 73.0000 25.0000 -18.0000 27.1492
50.0000 2.5000 0.0000 61.0000 -5.0000 29.0000 22.8977
50.0000 2.5000 0.0000 56.0000 -27.0000 -3.0000 31.9030
50.0000 2.5000 0.0000 58.0000 24.0000 15.0000 19.4535
50.0000 2.5000 0.0000 50.0000 3.1736 0.5854 1.0000
50.0000 2.5000 0.0000 50.0000 3.2972 0.0000 1.0000
50.0000 2.5000 0.0000 50.0000 1.8634 0.5757 1.0000
50.0000 2.5000 0.0000 50.0000 3.2592 0.3350 1.0000
60.2574 -34.0099 36.2677 60.4626 -34.1751 39.4387 1.2644
63.0109 -31.0961 -5.8663 62.8187 -29.7946 -4.0864 1.2630
61.2901 3.7196 -5.3901 61.4292 2.2480 -4.9620 1.8731
35.0831 -44.1164 3.7933 35.0232 -40.0716 1.5901 1.8645
22.7233 20.0904 -46.6940 23.0331 14.9730 -42.5619 2.0373
36.4612 47.8580 18.3852 36.2715 50.5065 21.2231 1.4146
90.8027 -2.0831 1.4410 91.1528 -1.6435 0.0447 1.4441
90.9257 -0.5406 -0.9208 88.6381 -0.8985 -0.7239 1.5381
6.7747 -0.2908 -2.4247 5.8714 -0.0985 -2.2286 0.6377
2.0776 0.0795 -1.1350 0.9033 -0.0636 -0.5514 0.9082
"""
"""Pairs of Lab colours and their CIEDE2000. Source: Sharma et al. 2005, doi:10.1002/col.20070, table 1."""

GREY, RED = (np.zeros((3, 4, 6), np.uint8) for _ in range(2))
RED[0] = 255


def test_ciede2000_is_as_published_either_way_round():
    pairs = np.array(SHARMA.split(), float).reshape(-1, 7).T
    assert pairs.shape == (7, 34)
    for lab, other in ((pairs[:3], pairs[3:6]), (pairs[3:6], pairs[:3])):
        np.testing.assert_allclose(ciede2000(lab, other), pairs[6], atol=5e-5)


def test_ciede2000_of_any_colours_is_scikit_images():
    lowest, highest = np.array([[0], [-100], [-100]]), np.array([[100], [100], [100]])
    rng = np.random.default_rng(0)
    lab, other = rng.uniform(lowest, highest, (2, 3, 20_000)).astype(np.float32)
    theirs = deltaE_ciede2000(lab.T.astype(float), other.T.astype(float))
    np.testing.assert_allclose(ciede2000(lab, other), theirs, rtol=1e-3, atol=1e-3)
    assert not ciede2000(lab, lab).any()


def test_colourfulness_keeps_the_signs_of_its_axes():
    assert colourfulness(GREY) == 0
    assert colourfulness(RED) == pytest.approx(0.3 * math.hypot(255, 127.5))
    half = RED.copy()
    half[:, 2:] = np.array([0, 255, 0])[:, None, None]  # red beside green
    # red less green is 255 and -255 there: by absolute values they would not spread at all
    assert colourfulness(half) == pytest.approx(255 + 0.3 * 127.5)


def test_errors_of_ab_are_those_of_the_formulas():
    _, a, b = srgb_to_lab(RED / 255)[:, 0, 0]
    assert PhotoColours.of(GREY, RED).ab_rmse == pytest.approx(math.hypot(a, b))
    same = PhotoColours.of(RED, RED)
    assert (same.ciede2000, same.ab_rmse) == (0, 0)
    assert same.colourfulness == same.original_colourfulness == colourfulness(RED)


def photo(rmse, colour, **classes):
    return PhotoColours(
        ciede2000=rmse / 2, ab_rmse=rmse, colourfulness=colour, original_colourfulness=40.0, **classes
    )


def test_a_set_has_the_root_of_the_mean_square_and_the_ratio_of_means():
    classes = class_scores(np.array([[3.0, 0.0], [3.0, 0.0]]), np.array([0, 1]))
    scores = colour_scores([photo(6.0, 10.0, **classes), photo(8.0, 30.0, **classes)])
    values = {name: one.value for name, one in scores.items()}
    assert values == pytest.approx(
        {
            "ciede2000": 3.5,
            "ab_rmse": math.sqrt(50),
            "colourfulness": 20,
            "colourfulness_ratio": 0.5,
            "top1_accuracy": 50,
            "top5_accuracy": 100,
            "cross_entropy": classes["cross_entropy"],
        }
    )
    assert (scores["ab_rmse"].low, scores["ab_rmse"].high) == pytest.approx((6, 8))
    assert math.isnan(colour_scores([photo(6.0, 10.0)])["cross_entropy"].value)
    with pytest.raises(DataError, match="none"):
        colour_scores([])


def test_accuracies_and_cross_entropy_are_those_of_torchmetrics_and_torch():
    generator = torch.Generator().manual_seed(0)
    logits = 2 * torch.randn(4000, 12, generator=generator)
    labels = torch.multinomial(logits.softmax(1), 1, generator=generator)[:, 0]
    scores = class_scores(logits.numpy(), labels.numpy())
    for name, top in (("top1", 1), ("top5", 5)):
        theirs = MulticlassAccuracy(12, top_k=top, average="micro")(logits, labels)
        assert scores[name] == pytest.approx(theirs.item(), abs=1e-6)
    loss = torch.nn.functional.cross_entropy(logits, labels)
    assert scores["cross_entropy"] == pytest.approx(loss.item(), rel=1e-5)
    with pytest.raises(ShapeError, match="0 for 0"):
        class_scores(np.zeros((0, 12)), np.zeros(0, int))
