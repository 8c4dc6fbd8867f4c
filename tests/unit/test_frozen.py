"""Frozen means parameters and buffers that stay bit for bit, whatever is done to the network around them."""

import copy
import re

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from pixelwise.errors import ConfigError, FrozenError
from pixelwise.frozen import certified, fingerprint, freeze, learn_only, unfreeze


def network():
    torch.manual_seed(0)
    return nn.ModuleDict(
        {
            "backbone": nn.Sequential(
                nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Dropout(0.5), nn.Conv2d(4, 4, 3)
            ),
            "classifier": nn.Sequential(nn.BatchNorm2d(4), nn.Conv2d(4, 2, 1)),
        }
    )


def run(net, x):
    for part in net.values():
        x = part(x)
    return x


def learn(net, rate=1.0):
    """One step as any training loop does it."""
    net.train()
    learned = [one for one in net.parameters() if one.requires_grad]
    loss = run(net, torch.rand(4, 3, 8, 8)).square().mean()
    if learned:
        loss.backward()
        torch.optim.SGD(learned, lr=rate).step()


def test_a_frozen_network_stays_in_evaluation_mode_whatever_its_parent_is_told():
    net = nn.Sequential(freeze(network()), nn.BatchNorm2d(2))
    net.train()
    assert net.training
    assert net[1].training
    assert not any(part.training for part in net[0].modules())
    assert not net[0].train().training
    net[0]["backbone"][1].training = True  # behind everyone's back
    assert not any(part.training for part in net[0].eval().modules())


def test_nothing_in_a_frozen_network_learns_or_drifts():
    net = freeze(network())
    assert not any(one.requires_grad for one in net.parameters())
    x = torch.rand(4, 3, 8, 8)
    with certified(net) as watch:
        first = run(net.train(), x)
        learn(net)
        torch.testing.assert_close(run(net, x), first, rtol=0, atol=0)  # no dropout
    assert watch.certificate.before == watch.certificate.after == fingerprint(net)
    assert watch.certificate.num_tensors == len(net.state_dict())
    assert watch.certificate.to_dict() == {
        "before": fingerprint(net),
        "after": fingerprint(net),
        "num_tensors": len(net.state_dict()),
    }


def test_one_thawed_batch_norm_breaks_the_certificate():
    """As in the handout's solution: no gradient reaches the layer, and its statistics drift all the same."""
    net = freeze(network())
    unfreeze(net["backbone"][1]).requires_grad_(False).train()
    message = (
        r"needed a network that stays as it is, but backbone\.1\.running_mean, backbone\.1\.running_var, "
        r"backbone\.1\.num_batches_tracked changed; freeze it before it learns"
    )
    with pytest.raises(FrozenError, match=message), certified(net):
        run(net, torch.rand(4, 3, 8, 8))
    with certified(net):
        learn(net)  # .train() of the frozen network around it puts it back into evaluation mode


def test_clearing_requires_grad_is_not_freezing():
    net = network().requires_grad_(False)
    with pytest.raises(FrozenError, match=r"num_batches_tracked and 3 more changed"), certified(net):
        learn(net)


def test_a_certificate_leaves_out_what_is_to_learn():
    net = network()
    learned = learn_only(net, "classifier.1")
    assert learned == ("classifier.1.weight", "classifier.1.bias")
    before = copy.deepcopy(net.state_dict())
    with certified(net, leave_out=learned) as watch:
        learn(net)
    assert watch.certificate.num_tensors == len(before) - 2
    changed = [name for name, one in net.state_dict().items() if not torch.equal(one, before[name])]
    assert changed == list(learned)
    with (
        pytest.raises(FrozenError, match=r"but classifier\.1\.weight, classifier\.1\.bias changed"),
        certified(net),
    ):
        learn(net)


def test_only_below_the_prefix_are_there_gradients():
    net = network()
    learn_only(net, "classifier")
    assert [name for name, one in net.named_parameters() if one.requires_grad] == [
        "classifier.0.weight",
        "classifier.0.bias",
        "classifier.1.weight",
        "classifier.1.bias",
    ]
    mean = net["classifier"][0].running_mean.clone()
    learn(net)
    assert torch.equal(net["classifier"][0].running_mean, mean)


def test_several_prefixes_learn_together_in_the_networks_order():
    net = network()
    names = learn_only(net, "classifier.1", "backbone.1")
    assert names == ("backbone.1.weight", "backbone.1.bias", "classifier.1.weight", "classifier.1.bias")
    assert names == tuple(name for name, one in net.named_parameters() if one.requires_grad)
    with pytest.raises(ConfigError, match=r"needed the name of a layer to learn, got 'head'"):
        learn_only(net, "classifier.1", "head")


def test_what_learned_before_does_not_when_another_layer_is_named():
    net = network()
    learn_only(net, "backbone.0")
    assert learn_only(net, "classifier.1.bias") == ("classifier.1.bias",)
    assert [name for name, one in net.named_parameters() if one.requires_grad] == ["classifier.1.bias"]


@pytest.mark.parametrize("prefix", ["", "classifier.", "class", "backbone.2", "classifier.10"])
def test_a_prefix_that_is_no_layer_is_refused_with_the_last_ones(prefix):
    needed = f"needed the name of a layer to learn, got {prefix!r}; the last layers of this network are "
    net = network()
    with pytest.raises(ConfigError, match=re.escape(needed + "backbone.3, classifier.0, classifier.1")):
        learn_only(net, prefix)
    assert all(one.requires_grad for one in net.parameters())


def test_unfreezing_gives_back_learning_and_training_mode():
    net = unfreeze(freeze(network()))
    assert all(one.requires_grad for one in net.parameters())
    assert all(part.training for part in net.train().modules())


def test_a_copy_of_a_frozen_network_is_frozen_by_itself():
    net = freeze(network())
    other = copy.deepcopy(net)
    assert not other.train()["backbone"][1].training
    unfreeze(net).train()
    assert net["backbone"][1].training
    assert not other.train()["backbone"][1].training


def test_an_error_inside_is_not_covered_by_a_certificate():
    net = network()
    with pytest.raises(KeyError, match="mine"), certified(net) as watch:
        learn(net)
        raise KeyError("mine")
    assert watch.certificate is None


def test_tensors_that_come_or_go_break_the_certificate():
    net = freeze(network())
    with pytest.raises(FrozenError, match="but extra changed"), certified(net):
        net.register_buffer("extra", torch.zeros(1))
    with pytest.raises(FrozenError, match="but extra changed"), certified(net):
        del net.extra


def test_a_fingerprint_sees_names_types_and_shapes():
    def of(name, tensor):
        net = nn.Module()
        net.register_buffer(name, tensor)
        return fingerprint(net)

    zeros = torch.zeros(2, 3)
    others = [
        of("b", zeros),
        of("a", zeros.T),
        of("a", zeros.int()),
        of("a", zeros.view(6)),
        of("a", zeros[:1]),
    ]
    assert len({of("a", zeros), *others}) == 6
    assert of("a", torch.zeros(())) != of("a", torch.zeros(1))
    assert of("a", zeros.bfloat16()) != of("a", zeros.half())


def test_a_fingerprint_does_not_see_how_memory_is_laid_out():
    net = network()
    before = fingerprint(net)
    assert fingerprint(net.to(memory_format=torch.channels_last)) == before
    assert fingerprint(network()) == before


@given(data=st.data())
def test_the_smallest_change_of_any_number_is_found(data):
    net = freeze(network())
    name = data.draw(st.sampled_from(list(net.state_dict())))
    codes = net.state_dict()[name].view(-1).view(torch.uint8)
    place = data.draw(st.integers(0, len(codes) - 1))
    before = fingerprint(net)
    with pytest.raises(FrozenError, match=f"but {re.escape(name)} changed"), certified(net):
        codes[place] ^= 1
    assert fingerprint(net) != before
    codes[place] ^= 1
    assert fingerprint(net) == before
