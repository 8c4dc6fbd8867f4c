"""Which device is chosen."""

import pytest
import torch

from pixelwise.errors import ConfigError
from pixelwise.training.device import choose_device

CPU = torch.device("cpu")


@pytest.mark.skipif(torch.cuda.is_available(), reason="says what happens without a GPU")
def test_a_gpu_that_is_not_there_is_said_to_be_missing():
    assert choose_device("auto") == CPU
    with pytest.raises(ConfigError, match="cuda"):
        choose_device("cuda")
