"""The exact head, held to scikit-learn's and to its own certificate."""

import sys

import numpy as np
import pytest
import scipy
from sklearn.linear_model import LogisticRegression

from pixelwise.colour.palette import softmax
from pixelwise.errors import ConfigError, LabelError, ShapeError, UnsolvedError
from pixelwise.network.linear import logits_of_maps
from pixelwise.segmenting.linear_head import Pixels, Weights, features_at, grid
from pixelwise.segmenting.solve import MIDDLE, Whitening, choose_ridge, solve_at_ridge


def blobs(num_pixels=3000, num_features=12, num_classes=3, seed=0):
    """Overlapping clouds, on features of very different scales."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, num_classes, num_pixels)
    centres = np.random.default_rng(102).standard_normal((num_classes, num_features))
    mixing = np.random.default_rng(201).standard_normal((num_features, num_features))
    features = (centres[labels] + rng.standard_normal((num_pixels, num_features)) * 1.5) @ mixing
    return (features * np.logspace(-2, 2, num_features) + 5).astype(np.float32), labels


def photo_maps(seed=0):
    rng = np.random.default_rng(seed)
    maps = [rng.standard_normal(size, np.float32) for size in ((3, 16, 12), (5, 8, 6), (4, 8, 6), (2, 2, 2))]
    return maps, rng.integers(0, 3, (37, 29), np.uint8)


def probs_of(features, weight, bias):
    return softmax(features @ weight.T + bias, axis=1)


@pytest.mark.parametrize("num_classes", [2, 4])
def test_the_head_is_the_one_that_scikit_learn_finds(num_classes):
    features, labels = blobs(num_classes=num_classes)
    ridge = 0.02
    ours = solve_at_ridge(Pixels(features, labels, num_classes), ridge)
    whitening = Whitening.of(features, 0.1)
    scaled = ((features - whitening.mean) / whitening.scale).astype(np.float64)
    # softmax over 2 classes with a ridge on both is a sigmoid with half the ridge
    strength = 1 / (ridge * len(labels) * (0.5 if num_classes == 2 else 1.0))
    theirs = LogisticRegression(C=strength, tol=1e-10, max_iter=10_000).fit(scaled, labels)
    probs = probs_of(features, ours.weights.weight, ours.weights.bias)
    assert np.abs(probs - theirs.predict_proba(scaled)).max() < 1e-3


def test_it_ends_on_its_certificate_and_says_so():
    features, labels = blobs()
    solved = solve_at_ridge(Pixels(features, labels, 3), 0.01)
    assert solved.gradient_norm < 1e-4
    assert solved.num_steps < 40
    nudged = solved.weights.weight * (1 + 1e-2)
    value, *_ = Pixels(features, labels, 3).value_and_gradient(nudged, solved.weights.bias)
    scale = Whitening.of(features, 0.1).scale
    worse = value + 0.005 * float(np.square(nudged * scale).sum())
    assert worse > solved.loss + 0.005 * float(np.square(solved.weights.weight * scale).sum())


def test_a_head_that_is_not_proven_best_is_not_given(monkeypatch):
    monkeypatch.setattr(sys.modules["pixelwise.segmenting.solve"], "_MOST_STEPS", 2)
    features, labels = blobs()
    with pytest.raises(UnsolvedError, match="after 4 steps"):
        solve_at_ridge(Pixels(features, labels, 3), 0.01)


def test_features_far_from_zero_are_solved_in_double_precision():
    features, labels = blobs()
    far = Pixels(features + 3000 * features.std(0), labels, 3)
    solved, whitening = solve_at_ridge(far, 0.01), Whitening.of(far.features, 0.01)
    assert solved.gradient_norm <= 1e-4
    mean, scale = whitening.mean.astype(np.float64), whitening.scale.astype(np.float64)
    weight, bias = solved.weights.weight.astype(np.float64), solved.weights.bias.astype(np.float64)
    _, by_weight, by_bias = far.value_and_gradient(weight, bias)
    gradient = (by_weight - by_bias[:, None] * mean) / scale + 0.01 * weight * scale
    assert float(np.abs(gradient).max()) <= 1e-4  # of the head that is given, rounded as it is


def test_gradients_are_those_of_small_differences():
    (features, labels), rng = blobs(200), np.random.default_rng(0)
    factors = np.array([1.0, 2.0, 0.5])
    weight, bias = rng.standard_normal((3, 12)) * 0.01, rng.standard_normal(3)
    pixels = Pixels(features, labels, 3, factors)

    def loss(flat):
        probs = probs_of(features.astype(np.float64), flat[:-3].reshape(3, 12), flat[-3:])
        return np.average(-np.log(probs[np.arange(200), labels]), weights=factors[labels])

    flat = np.append(weight, bias)
    value, by_weight, by_bias = pixels.value_and_gradient(weight, bias)
    assert value == pytest.approx(loss(flat), rel=1e-6)
    expected = scipy.optimize.approx_fprime(flat, loss, 1e-7)
    np.testing.assert_allclose(np.append(by_weight, by_bias), expected, rtol=1e-3, atol=1e-4)


def test_a_class_without_pixels_takes_no_more_steps():
    features, labels = blobs(1000, num_classes=3)
    three = solve_at_ridge(Pixels(features, labels, 3), 0.02)
    with_a_fourth = solve_at_ridge(Pixels(features, labels, 4), 0.02)
    assert with_a_fourth.num_steps < 2 * three.num_steps  # 19 and 13; 34 if the bias had no ridge
    probs = probs_of(features, with_a_fourth.weights.weight, with_a_fourth.weights.bias)
    assert float(probs[:, 3].mean()) < 0.01


@pytest.mark.parametrize("ridge", [1e-2, 1e-5])
def test_a_small_ridge_takes_few_steps_too(ridge):
    rng = np.random.default_rng(0)
    features = rng.standard_normal((4000, 300), np.float32)
    labels = (features[:, 0] + rng.standard_normal(4000) > 0).astype(np.int64)
    solved = solve_at_ridge(Pixels(features, labels, 2), ridge)
    assert solved.num_steps < 40  # 24; 124 with a root of as many pixels as features


def test_features_of_single_pixels_give_the_logits_of_whole_maps():
    maps, mask = photo_maps()
    rng = np.random.default_rng(0)
    weights = Weights(rng.standard_normal((3, 14), np.float32), rng.standard_normal(3, np.float32))
    rows = features_at(maps, grid(*mask.shape, 1), mask.shape)
    found = (rows @ weights.weight.T + weights.bias).T.reshape(3, *mask.shape)
    whole = logits_of_maps(maps, weights.weight, weights.bias, mask.shape)
    np.testing.assert_allclose(found, whole, rtol=1e-4, atol=1e-4)


def test_the_chosen_ridge_is_the_one_that_does_best_on_photos_left_out():
    features, labels = blobs(30, seed=1)
    held_out = Pixels(*blobs(4000, seed=2), 3)
    whitening = Whitening.of(held_out.features, MIDDLE)
    chosen = choose_ridge([(Pixels(features, labels, 3), held_out)], whitening, (10.0, 0.1, 0.00001))
    assert chosen.ridge == 0.1
    assert max(chosen.scores, key=chosen.scores.get) == 0.1


def test_wrong_labels_and_ridges_are_refused():
    features, labels = blobs(20)
    with pytest.raises(LabelError, match="got 2"):
        Pixels(features, np.full_like(labels, 2), 2)
    with pytest.raises(LabelError, match="got none"):
        Pixels(features[:0], labels[:0], 3)
    with pytest.raises(ConfigError, match="got 0"):
        solve_at_ridge(Pixels(features, labels, 3), 0.0)
    with pytest.raises(ShapeError, match=r"\(20, 2\)"):
        Pixels(features, np.ones((20, 2), np.float32), 3)


def test_the_ridge_of_least_loss_on_what_was_left_out_is_chosen():
    features = np.random.default_rng(0).standard_normal((400, 30), np.float32)
    probs = softmax(np.stack([features[:, 0], -features[:, 0]], 1), axis=1)  # noisy: never certain
    folds = [(Pixels(features[:60], probs[:60], 2), Pixels(features[60:], probs[60:], 2))]
    chosen = choose_ridge(folds, Whitening.of(features, MIDDLE), by_loss=True)
    assert chosen.scores[chosen.ridge] == min(chosen.scores.values())
    assert chosen.ridge < 1
    assert chosen.start.weight.shape == (2, 30)
