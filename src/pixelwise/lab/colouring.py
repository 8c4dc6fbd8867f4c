"""Questions A2, B1, B2 and B3: the CNN and the U-Net trained alike, looked at, and compared."""

from __future__ import annotations

from pixelwise.config import NET_CONFIGS, RunConfig, TrainConfig
from pixelwise.lab.answer import Setting

SOURCE = "cifar10:horse"
"""The pictures that the handout's questions are asked of: 5000 to learn from, 1000 to validate."""
EPOCHS, QUICK_EPOCHS = 25, 2


def comparison_config(setting: Setting, net: str, seed: int) -> RunConfig:
    """How the questions about colouring train `cnn` or `unet`, a fair comparison: both in the same way.

    The handout's batch of 100, its 25 epochs and Adam, for both at the rate that it gives the U-Net alone. A
    run of it is called `NET-seedSEED`: whoever asks `setting.trained` for that name shares it.

    Raises:
        ConfigError: the seed is out of range.
    """
    train = TrainConfig(
        epochs=QUICK_EPOCHS if setting.quick else EPOCHS,
        batch_size=100,
        learning_rate=0.001,
        seed=setting.seed + seed,
    )
    return RunConfig(net=NET_CONFIGS[net](), source=SOURCE, train=train)
