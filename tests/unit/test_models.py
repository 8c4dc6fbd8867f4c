"""One contract for every network: shapes, sizes, parameter counts, checkpoint round trip."""

import pytest
import torch

from pixelwise.config import HANDOUT_CONFIGS, CNNConfig, UNetConfig
from pixelwise.models import build


@pytest.fixture(params=list(HANDOUT_CONFIGS.values()), ids=lambda config: config.__name__)
def kind(request):
    return request.param


@pytest.mark.parametrize(("height", "width"), [(32, 32), (4, 8), (12, 20)])
@pytest.mark.parametrize(
    ("kernel", "num_filters", "num_colours", "num_in_channels"), [(3, 4, 24, 1), (5, 3, 7, 2)]
)
def test_every_pixel_gets_logits(kind, height, width, kernel, num_filters, num_colours, num_in_channels):
    net = build(
        kind(kernel=kernel, num_filters=num_filters, num_colours=num_colours, num_in_channels=num_in_channels)
    )
    assert net(torch.rand(2, num_in_channels, height, width)).shape == (2, num_colours, height, width)


@pytest.mark.parametrize(("config", "num_parameters"), [(CNNConfig(), 86_784), (UNetConfig(), 112_344)])
def test_the_handouts_networks_have_its_parameter_counts(config, num_parameters):
    assert sum(p.numel() for p in build(config).parameters()) == num_parameters


def test_blocks_have_the_handouts_order():
    layers = [[type(layer).__name__ for layer in block] for block in list(build(CNNConfig()).children())[:5]]
    after = ["BatchNorm2d", "ReLU"]
    down, across, up = (
        ["MyConv2d", "MaxPool2d", *after],
        ["MyConv2d", *after],
        ["MyConv2d", "Upsample", *after],
    )
    assert layers == [down, down, across, up, up]


def test_the_unet_sees_the_input_in_its_last_convolution_and_the_cnn_does_not():
    # A change far away from pixel (0, 0) by the middle's window, but near in the last convolution's.
    for config, reads_input in ((UNetConfig(), True), (CNNConfig(), False)):
        net = build(config)
        weight = next(weight for name, weight in net.named_parameters() if name == "classes.weight")
        assert weight.shape[1] == 24 + reads_input


@pytest.mark.parametrize(
    ("skip", "num_weights"),
    [("skip_full", 9 * 24), ("skip_half", 9 * 32 * 24), ("skip_quarter", 9 * 64 * 32)],
)
def test_a_skip_that_is_left_out_takes_the_weights_that_read_it(skip, num_weights):
    net = build(UNetConfig(**{skip: False}))
    assert sum(p.numel() for p in net.parameters()) == 112_344 - num_weights
    assert net(torch.rand(1, 1, 8, 12)).shape == (1, 24, 8, 12)


def test_a_unet_without_skips_is_the_cnn():
    cnn, unet = build(CNNConfig()), build(UNetConfig(skip_full=False, skip_half=False, skip_quarter=False))
    unet.load_state_dict(cnn.state_dict())
    x = torch.rand(2, 1, 16, 16)
    assert torch.equal(unet(x), cnn(x))


def test_both_convolutions_make_the_same_network(kind):
    torch.manual_seed(0)
    written, torchs = build(kind(num_filters=4, convolution="unfold")), build(kind(num_filters=4))
    torchs.load_state_dict(written.state_dict())
    x = torch.rand(3, 1, 16, 16)
    torch.testing.assert_close(written(x), torchs(x), rtol=1e-4, atol=1e-5)


def test_the_same_seed_builds_the_same_network(kind):
    nets = []
    for _ in range(2):
        torch.manual_seed(5)
        nets.append(build(kind()).state_dict())
    assert all(torch.equal(nets[0][name], nets[1][name]) for name in nets[0])
