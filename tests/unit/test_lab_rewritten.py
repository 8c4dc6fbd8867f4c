"""Each claim about ax + b, in double precision on small networks: the exact ones, and those that are not."""

import pytest
import torch

from pixelwise.config import CNNConfig, TrainConfig, UNetConfig
from pixelwise.lab.rewritten import (
    NO_EPSILON,
    absorbing,
    equivalent,
    first_block,
    logits_of,
    on_batch_statistics,
    padded_with,
    reading,
    skip_reads_x,
    with_epsilon,
    with_min_pooling,
    with_norm_mirrored,
    with_weights_times,
)
from pixelwise.losses import cross_entropy
from pixelwise.models import build
from pixelwise.optimise import Optimiser

AFFINES = [(2.0, 0.0), (0.3, 0.7), (5.0, -1.0), (-1.0, 0.0), (-0.7, 0.4), (-3.0, -2.0)]
POSITIVE = [one for one in AFFINES if one[0] > 0]
REACH = 14  # pixels from the border to which the padding of the first convolution reaches


def network(kind=CNNConfig, **changes):
    """A small network in evaluation mode, whose statistics and norms are those of no special case."""
    torch.manual_seed(3)
    net = build(kind(num_filters=4, num_colours=5, **changes)).double()
    with torch.no_grad():
        for layer in net.modules():
            if isinstance(layer, torch.nn.BatchNorm2d):
                layer.weight.uniform_(-1, 1)
                layer.bias.uniform_(-0.5, 0.5)
                layer.momentum = None  # the mean of all batches, without the start's 0 and 1
    net.train()
    for _ in range(3):
        net(pictures())
    return net.eval().requires_grad_(False)


def pictures(side=16, num=3):
    generator = torch.Generator().manual_seed(1)
    return torch.rand(num, 1, side, side, dtype=torch.float64, generator=generator)


def difference(one, other, x=None):
    x = pictures() if x is None else x
    return (logits_of(one, x) - logits_of(other, x)).abs().max().item()


EXACT, NOT_EXACT = 1e-9, 1e-3


def test_reading_is_the_network_on_ax_plus_b():
    net, x = network(UNetConfig), pictures()
    assert torch.equal(logits_of(reading(net, 0.5, 0.25), x), net(0.5 * x + 0.25))
    assert torch.equal(logits_of(reading(net, 1, 0), x), net(x))
    built = build(UNetConfig(num_filters=4, num_colours=5, scale=0.5, shift=0.25)).double().eval()
    built.load_state_dict(net.state_dict())
    assert torch.equal(built(x), net(0.5 * x + 0.25))


@pytest.mark.parametrize(("a", "b"), AFFINES)
def test_every_affine_is_a_sign_a_padding_and_an_epsilon(a, b):
    net = on_batch_statistics(network())
    assert difference(reading(net, a, b), equivalent(net, a, b)) < EXACT


def test_none_of_the_three_can_be_left_out():
    net, a, b = on_batch_statistics(network()), -0.03, 0.02
    on_y = reading(net, a, b)
    without_sign = with_weights_times(equivalent(net, a, b), -1)
    without_epsilon = with_epsilon(equivalent(net, a, b), 1e-5)
    without_padding = with_epsilon(with_weights_times(net, -1), 1e-5 / a**2)
    for wrong in (without_sign, without_epsilon, without_padding):
        assert difference(on_y, wrong) > NOT_EXACT
    assert difference(on_y, equivalent(net, a, b)) < EXACT


@pytest.mark.parametrize("a", [0.01, 2.0, 100.0])
def test_batch_norm_cancels_a_positive_factor_but_for_epsilon(a):
    net = with_epsilon(on_batch_statistics(network()), NO_EPSILON)
    assert difference(reading(net, a, 0), net) < EXACT
    with_its_epsilon = on_batch_statistics(network())
    assert difference(reading(with_its_epsilon, a, 0), with_its_epsilon) > 1e-7
    assert difference(reading(with_its_epsilon, 0.01, 0), with_its_epsilon) > NOT_EXACT


@pytest.mark.parametrize("b", [-1.0, 0.5])
def test_batch_norm_cancels_a_shift_only_where_the_padding_is_shifted_too(b):
    net = with_epsilon(on_batch_statistics(network()), NO_EPSILON)
    assert difference(padded_with(reading(net, 2, b), b), net) < EXACT
    assert difference(reading(net, 2, b), net) > NOT_EXACT


def test_stored_statistics_cancel_nothing():
    net = network()
    for a, b in ((2.0, 0.0), (1.0, 0.5)):
        assert difference(reading(net, a, b), net) > NOT_EXACT
        assert difference(
            padded_with(reading(with_epsilon(net, NO_EPSILON), a, b), b), with_epsilon(net, NO_EPSILON)
        ) > (NOT_EXACT)


def test_a_negative_factor_breaks_pooling_and_the_sign_of_the_norm_and_repairing_one_is_not_enough():
    net = with_epsilon(on_batch_statistics(network()), NO_EPSILON)
    on_y = reading(net, -1, 0)
    both = with_norm_mirrored(with_min_pooling(on_y))
    assert difference(both, net) < EXACT
    assert difference(with_weights_times(on_y, -1), net) < EXACT
    for broken in (on_y, with_norm_mirrored(on_y), with_min_pooling(on_y)):
        assert difference(broken, net) > NOT_EXACT


def test_without_pooling_a_negative_factor_mirrors_the_norm_around_beta_and_relu_does_not():
    net, x = on_batch_statistics(network()), pictures()
    net = with_epsilon(net, NO_EPSILON)
    for changed in (net, mirrored := reading(net, -1, 0)):
        changed.down1[1] = torch.nn.Identity()
    (*_, normed, out), (*_, other_normed, other_out) = first_block(net, x), first_block(mirrored, x)
    beta = net.down1[2].bias[:, None, None]
    torch.testing.assert_close(other_normed, 2 * beta - normed, rtol=0, atol=1e-10)
    assert not torch.allclose(other_out, torch.relu(2 * beta - out))
    assert ((out > 0) != (other_out > 0)).double().mean() > 0.5


def test_with_pooling_even_the_norm_is_not_mirrored():
    net, x = with_epsilon(on_batch_statistics(network()), NO_EPSILON), pictures()
    normed, other = first_block(net, x)[3], first_block(reading(net, -1, 0), x)[3]
    beta = net.down1[2].bias[:, None, None]
    assert (other - (2 * beta - normed)).abs().max() > 0.1
    least = first_block(with_min_pooling(net), x)[3]
    torch.testing.assert_close(other, 2 * beta - least, rtol=0, atol=1e-10)


def distances(side):
    axis = torch.arange(side)
    near = torch.minimum(axis, side - 1 - axis)
    return torch.minimum(near[:, None], near[None])


@pytest.mark.parametrize(("a", "b"), AFFINES)
@pytest.mark.parametrize("kind", [CNNConfig, UNetConfig])
def test_weights_can_absorb_any_affine_with_stored_statistics_farther_in_than_padding_reaches(kind, a, b):
    net, x = network(kind), pictures(40)
    found = logits_of(reading(absorbing(net, a, b), a, b), x) - logits_of(net, x)
    by_distance = [found[..., distances(40) == d].abs().max().item() for d in range(20)]
    assert max(by_distance[REACH + 1 :]) < EXACT
    if b:
        assert by_distance[REACH] > 1e-8
        assert by_distance[0] > NOT_EXACT
    else:
        assert max(by_distance) < EXACT


@pytest.mark.parametrize(("a", "b"), AFFINES)
def test_weights_absorb_it_everywhere_in_the_cnn_where_padding_is_b(a, b):
    net = network()
    assert difference(padded_with(reading(absorbing(net, a, b), a, b), b), net) < EXACT


def test_with_statistics_of_the_batch_the_border_reaches_every_pixel():
    net, x = on_batch_statistics(network()), pictures(40)
    found = (logits_of(reading(net, 1, 1), x) - logits_of(net, x)).abs()
    assert found[..., distances(40) > REACH].mean() > NOT_EXACT


@pytest.mark.parametrize(("a", "b"), [(2.0, 0.0), (-0.7, 0.4)])
def test_the_skip_from_the_picture_is_cancelled_by_nothing(a, b):
    net, x = on_batch_statistics(network(UNetConfig)), pictures()
    assert difference(skip_reads_x(net, a, b), equivalent(net, a, b)) < EXACT
    assert difference(reading(net, a, b), equivalent(net, a, b)) > NOT_EXACT
    by_skip = logits_of(reading(net, a, b), x) - logits_of(skip_reads_x(net, a, b), x)
    weight = net.classes.weight[:, -1:]
    told = torch.nn.functional.conv2d((a - 1) * x + b, weight, padding=1)
    torch.testing.assert_close(by_skip, told, rtol=0, atol=1e-9)


def test_a_unet_without_that_skip_is_like_the_cnn():
    net = on_batch_statistics(network(UNetConfig, skip_full=False))
    assert difference(reading(net, -0.7, 0.4), equivalent(net, -0.7, 0.4)) < EXACT


def learn(net, optimiser, steps=6):
    """The losses of a few steps, in double precision."""
    config = TrainConfig(optimiser=optimiser, learning_rate=0.01, muon_rate=0.05)
    net = net.train().requires_grad_(True)
    ours = Optimiser(net, config, steps)
    labels = torch.randint(5, (3, 16, 16), generator=torch.Generator().manual_seed(2))
    losses = []
    for step in range(steps):
        loss = cross_entropy(net(pictures()), labels)
        loss.backward()
        ours.step(step)
        losses.append(loss.item())
    assert losses[-1] < losses[0] - 0.01
    return torch.tensor(losses, dtype=torch.float64)


def fresh(kind=CNNConfig, **changes):
    """A network to be trained, that cancels a factor wholly."""
    return with_epsilon(network(kind, **changes), NO_EPSILON)


@pytest.mark.parametrize("optimiser", ["adam", "muon"])
def test_retraining_on_a_positive_multiple_goes_the_same_way_in_the_cnn_and_not_in_the_unet(optimiser):
    once, scaled = learn(fresh(), optimiser), learn(reading(fresh(), 4, 0), optimiser)
    torch.testing.assert_close(once, scaled, rtol=0, atol=1e-7)
    once, scaled = learn(fresh(UNetConfig), optimiser), learn(reading(fresh(UNetConfig), 4, 0), optimiser)
    assert (once - scaled).abs().max() > NOT_EXACT


def test_retraining_on_a_shift_goes_the_same_way_only_where_padding_is_shifted():
    once = learn(fresh(), "adam")
    torch.testing.assert_close(once, learn(padded_with(reading(fresh(), 1, 1), 1), "adam"), rtol=0, atol=1e-7)
    assert (once - learn(reading(fresh(), 1, 1), "adam")).abs().max() > NOT_EXACT


@pytest.mark.parametrize("optimiser", ["adam", "muon"])
@pytest.mark.parametrize("kind", [CNNConfig, UNetConfig])
def test_retraining_on_the_negative_is_training_from_mirrored_weights(optimiser, kind):
    """Which are as likely to be drawn: another seed, so to say."""
    mirrored = with_weights_times(fresh(kind), -1)
    if kind is UNetConfig:
        with torch.no_grad():
            mirrored.classes.weight[:, -1].neg_()
    torch.testing.assert_close(
        learn(mirrored, optimiser), learn(reading(fresh(kind), -1, 0), optimiser), rtol=0, atol=1e-7
    )
    assert (learn(fresh(kind), optimiser) - learn(reading(fresh(kind), -1, 0), optimiser)).abs().max() > 1e-3
