"""The exact head, held to scikit-learn's and to its own certificate."""

import sys

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from sklearn.linear_model import LogisticRegression

from pixelwise.errors import ConfigError, LabelError, ShapeError, UnsolvedError
from pixelwise.segmenting.linear_head import Pixels, Weights, features_at, grid
from pixelwise.segmenting.solve import Moments, choose_ridge, solve_at_ridge


def blobs(num_pixels=3000, num_features=12, num_classes=3, seed=0):
    """Overlapping clouds, on features of very different scales."""
    rng = torch.Generator().manual_seed(seed)
    labels = torch.randint(0, num_classes, (num_pixels,), generator=rng)
    centres = torch.randn(num_classes, num_features, generator=torch.Generator().manual_seed(99))
    mixing = torch.randn(num_features, num_features, generator=torch.Generator().manual_seed(98))
    features = (centres[labels] + torch.randn(num_pixels, num_features, generator=rng) * 1.5) @ mixing
    return features * torch.logspace(-2, 2, num_features) + 5, labels


def photo_maps(seed=0):
    rng = torch.Generator().manual_seed(seed)
    maps = [torch.randn(c, h, w, generator=rng) for c, h, w in ((3, 16, 12), (5, 8, 6), (4, 8, 6), (2, 2, 2))]
    labels = torch.randint(0, 3, (37, 29), generator=rng, dtype=torch.uint8)
    return maps, labels


@pytest.mark.parametrize("num_classes", [2, 4])
def test_the_head_is_the_one_that_scikit_learn_finds(num_classes):
    features, labels = blobs(num_classes=num_classes)
    ridge = 0.02
    ours = solve_at_ridge(Pixels(features, labels, num_classes), ridge)
    moments = Moments.of(features)
    scaled = ((features - moments.mean) / moments.scale).double().numpy()
    # softmax over 2 classes with a ridge on both is a sigmoid with half the ridge
    strength = 1 / (ridge * len(labels) * (0.5 if num_classes == 2 else 1.0))
    theirs = LogisticRegression(C=strength, tol=1e-10, max_iter=10_000).fit(scaled, labels.numpy())
    probs = (features @ ours.weights.weight.T + ours.weights.bias).softmax(1).numpy()
    assert np.abs(probs - theirs.predict_proba(scaled)).max() < 1e-3


def test_it_ends_on_its_certificate_and_says_so():
    features, labels = blobs()
    solved = solve_at_ridge(Pixels(features, labels, 3), 0.01)
    assert solved.gradient_norm < 1e-4
    assert solved.num_steps < 40
    nudged = solved.weights.weight * (1 + 1e-2)
    value, *_ = Pixels(features, labels, 3).value_and_gradient(nudged, solved.weights.bias)
    scale = Moments.of(features).scale
    worse = value + 0.005 * float((nudged * scale).square().sum())
    assert worse > solved.loss + 0.005 * float((solved.weights.weight * scale).square().sum())


def test_a_head_that_is_not_proven_best_is_not_given(monkeypatch):
    monkeypatch.setattr(sys.modules["pixelwise.segmenting.solve"], "_MOST_STEPS", 2)
    features, labels = blobs()
    with pytest.raises(UnsolvedError, match="after 4 steps"):
        solve_at_ridge(Pixels(features, labels, 3), 0.01)


def test_features_far_from_zero_are_solved_in_double_precision():
    features, labels = blobs()
    far = Pixels(features + 3000 * features.std(0), labels, 3)
    solved, moments = solve_at_ridge(far, 0.01), Moments.of(far.features)
    assert solved.gradient_norm <= 1e-4
    mean, scale, weight = moments.mean.double(), moments.scale.double(), solved.weights.weight.double()
    _, by_weight, by_bias = far.value_and_gradient(weight, solved.weights.bias.double())
    gradient = (by_weight - by_bias[:, None] * mean) / scale + 0.01 * weight * scale
    assert float(gradient.abs().max()) <= 1e-4  # of the head that is given, rounded as it is


def test_gradients_are_those_of_autograd():
    features, labels = blobs(200)
    factors = torch.tensor([1.0, 2.0, 0.5])
    weight, bias = torch.randn(3, 12) * 0.01, torch.randn(3)
    weight.requires_grad_(), bias.requires_grad_()
    expected = F.cross_entropy(features @ weight.T + bias, labels, factors)
    expected.backward()
    value, by_weight, by_bias = Pixels(features, labels, 3, factors).value_and_gradient(
        weight.detach(), bias.detach()
    )
    assert value == pytest.approx(expected.item(), rel=1e-5)
    assert torch.allclose(by_weight, weight.grad, rtol=1e-3, atol=1e-5)
    assert torch.allclose(by_bias, bias.grad, rtol=1e-3, atol=1e-6)


def test_a_class_without_pixels_takes_no_more_steps():
    features, labels = blobs(1000, num_classes=3)
    three = solve_at_ridge(Pixels(features, labels, 3), 0.02)
    with_a_fourth = solve_at_ridge(Pixels(features, labels, 4), 0.02)
    assert with_a_fourth.num_steps < 2 * three.num_steps  # 22 and 14; 42 if the bias had no ridge
    probs = (features @ with_a_fourth.weights.weight.T + with_a_fourth.weights.bias).softmax(1)
    assert float(probs[:, 3].mean()) < 0.01


def test_features_of_single_pixels_give_the_logits_of_whole_maps():
    maps, mask = photo_maps()
    weights = Weights(torch.randn(3, 14), torch.randn(3))
    rows = features_at(maps, grid(*mask.shape, 1), mask.shape)
    found = (rows @ weights.weight.T + weights.bias).T.reshape(3, *mask.shape)
    torch.testing.assert_close(found, weights.logits(maps, mask.shape), rtol=1e-4, atol=1e-4)


def test_the_chosen_ridge_is_the_one_that_does_best_on_photos_left_out():
    features, labels = blobs(30, seed=1)
    held_out = Pixels(*blobs(4000, seed=2), 3)
    chosen = choose_ridge(
        [(Pixels(features, labels, 3), held_out)], Moments.of(held_out.features), (10.0, 0.1, 0.00001)
    )
    assert chosen.ridge == 0.1
    assert max(chosen.scores, key=chosen.scores.get) == 0.1


def test_wrong_labels_and_ridges_are_refused():
    features, labels = blobs(20)
    with pytest.raises(LabelError, match="got 2"):
        Pixels(features, torch.full_like(labels, 2), 2)
    with pytest.raises(LabelError, match="got none"):
        Pixels(features[:0], labels[:0], 3)
    with pytest.raises(ConfigError, match="got 0"):
        solve_at_ridge(Pixels(features, labels, 3), 0.0)
    with pytest.raises(ShapeError, match=r"\(20, 2\)"):
        Pixels(features, torch.ones(20, 2), 3)


def test_the_ridge_of_least_loss_on_what_was_left_out_is_chosen():
    torch.manual_seed(0)
    features = torch.randn(400, 30)
    probs = torch.stack([features[:, 0], -features[:, 0]], 1).softmax(1)  # noisy: never certain
    folds = [(Pixels(features[:60], probs[:60], 2), Pixels(features[60:], probs[60:], 2))]
    chosen = choose_ridge(folds, Moments.of(features), by_loss=True)
    assert chosen.scores[chosen.ridge] == min(chosen.scores.values())
    assert chosen.ridge < 1
    assert chosen.start.weight.shape == (2, 30)
