"""The verb that counts what a network has: count."""

from __future__ import annotations

from typing import Literal

from pixelwise.cli.common import Common, Outcome
from pixelwise.config import HANDOUT_CONFIGS


def count(
    net: Literal["cnn", "unet"],
    /,
    *,
    kernel: int = 3,
    num_filters: int = 32,
    num_colours: int = 24,
    num_in_channels: int = 1,
    size: int = 32,
    common: Common = Common(),  # noqa: B008 - frozen
) -> Outcome:
    """Count a network's weights, outputs, connections and parameters, as formulas and as numbers.

    The formulas come from the network itself: it is run at several settings, and the sizes of its layers
    tell how they depend on filters (NF), colours (NC), channels of the input (NIC), kernel (k), height (H)
    and width (W). Each count says which layers it takes in.

    Parameters
    ----------
    net
        The network: cnn or unet.
    kernel
        Side of the convolutions' windows; odd.
    num_filters
        Filters of the first block (NF).
    num_colours
        Classes of each pixel (NC).
    num_in_channels
        Channels of the input (NIC); 1 is grey.
    size
        Height and width of the input in pixels; a multiple of 4.
    """
    config = HANDOUT_CONFIGS[net](
        kernel=kernel, num_filters=num_filters, num_colours=num_colours, num_in_channels=num_in_channels
    )
    del common  # nothing here is random or takes time
    from pixelwise.counts import tally

    counted = tally(config, size, size)
    return Outcome(values=counted.to_dict(), message=counted.describe())
