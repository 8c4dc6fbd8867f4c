"""Frozen means parameters and buffers that stay bit for bit, whatever is done to the network around them."""

import copy
import re
from dataclasses import asdict

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from pixelwise.errors import ConfigError, FrozenError
from pixelwise.training.frozen import certified, fingerprint, freeze, learn_only


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


def learn(net):
    """Take one step, as any training loop does it."""
    net.train()
    learned = [one for one in net.parameters() if one.requires_grad]
    loss = run(net, torch.rand(4, 3, 8, 8)).square().mean()
    if learned:
        loss.backward()
        torch.optim.SGD(learned, lr=1.0).step()


@pytest.mark.parametrize("copied", [lambda net: net, copy.deepcopy])
def test_a_frozen_network_stays_in_evaluation_mode_whatever_mode_its_parent_is_in(copied):
    net = nn.Sequential(copied(freeze(network())), nn.BatchNorm2d(2)).train()
    assert net[1].training
    assert not any(part.training for part in net[0].modules())


def test_nothing_in_a_frozen_network_learns_or_drifts():
    net = freeze(network())
    assert not any(one.requires_grad for one in net.parameters())
    x = torch.rand(4, 3, 8, 8)
    with certified(net) as certificate:
        first = run(net.train(), x)
        learn(net)
        torch.testing.assert_close(run(net, x), first, rtol=0, atol=0)  # no dropout
    num_tensors = len(net.state_dict())
    assert asdict(certificate) == dict.fromkeys(("before", "after"), fingerprint(net)) | {
        "num_tensors": num_tensors
    }


def test_clearing_requires_grad_is_not_freezing():
    """As in the handout's solution: no gradient reaches batch norm, and its statistics drift all the same."""
    net = network().requires_grad_(False)
    with pytest.raises(FrozenError, match=r"backbone\.1\.running_mean.* and 3 more"), certified(net):
        learn(net)


def test_a_certificate_leaves_out_what_is_to_learn():
    net = network()
    learned = learn_only(net, "classifier.1")
    assert learned == ("classifier.1.weight", "classifier.1.bias")
    before = copy.deepcopy(net.state_dict())
    with certified(net, leave_out=learned) as certificate:
        learn(net)
    assert certificate.num_tensors == len(before) - 2
    changed = [name for name, one in net.state_dict().items() if not torch.equal(one, before[name])]
    assert changed == list(learned)
    with pytest.raises(FrozenError, match=r"classifier\.1\.weight, classifier\.1\.bias"), certified(net):
        learn(net)


@pytest.mark.parametrize("prefix", ["", "classifier.", "class", "backbone.2", "classifier.10"])
def test_a_prefix_that_is_no_layer_is_refused_with_the_last_ones(prefix):
    net = network()
    with pytest.raises(ConfigError, match=rf"{prefix!r}.*backbone\.3, classifier\.0, classifier\.1"):
        learn_only(net, "classifier.1", prefix)
    assert all(one.requires_grad for one in net.parameters())


def test_a_fingerprint_sees_names_types_and_shapes_and_no_layout():
    def of(name, tensor):
        net = nn.Module()
        net.register_buffer(name, tensor)
        return fingerprint(net)

    zeros = torch.zeros(2, 3)
    others = [zeros.T, zeros.int(), zeros.view(6), zeros[:1], zeros.bfloat16(), zeros.half(), torch.zeros(())]
    assert len({of("a", zeros), of("b", zeros), *(of("a", one) for one in others)}) == 9
    net = network()
    before = fingerprint(net)
    assert fingerprint(net.to(memory_format=torch.channels_last)) == before == fingerprint(network())


@given(data=st.data())
def test_the_smallest_change_of_any_number_is_found(data):
    net = freeze(network())
    name = data.draw(st.sampled_from(list(net.state_dict())))
    codes = net.state_dict()[name].view(-1).view(torch.uint8)
    place = data.draw(st.integers(0, len(codes) - 1))
    before = fingerprint(net)
    with pytest.raises(FrozenError, match=re.escape(name)), certified(net):
        codes[place] ^= 1
    codes[place] ^= 1
    assert fingerprint(net) == before
