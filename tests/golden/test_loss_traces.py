"""The first steps of every recipe on fixed pictures: a refactor leaves these losses where they are.

Tolerances: fp32 sums differ in their last bits between processors and numbers of threads, and ten steps
amplify that to at most 2e-3 with Adam; torch's Muon computes in bf16, where five steps come to 2e-2.
To renew them after a change that is meant to change them: python tests/golden/test_loss_traces.py
"""

from pathlib import Path

import pytest
import torch

from pixelwise.data import Pictures
from pixelwise.recipes import recipe
from pixelwise.train import train

TRACES = {
    ("cnn", "handout"): [3.2839, 10.4018, 7.1206, 4.3334, 3.0721, 2.9501, 2.9342, 2.8917, 2.8795, 2.8545],
    ("cnn", "fast"): [3.2846, 3.0976, 2.9217, 2.5293, 2.3802, 2.4795, 2.1911, 2.0792, 2.045, 1.8857],
    ("cnn", "best"): [3.2846, 3.1585, 3.0335, 2.7567, 2.5907, 2.609, 2.3088, 2.3315, 2.2184, 2.0766],
    ("unet", "handout"): [3.1951, 3.0494, 2.9245, 2.8159, 2.7181, 2.6296, 2.5476, 2.4714, 2.4006, 2.3351],
    ("unet", "fast"): [3.1856, 2.8779, 2.687, 2.1942, 2.0437, 2.2215, 1.7981, 1.8255, 1.7063, 1.5902],
    ("unet", "best"): [3.1856, 3.0243, 2.841, 2.4395, 2.28, 2.371, 2.0443, 2.2002, 1.9856, 1.847],
}


def pictures() -> Pictures:
    """Smooth coloured waves, the same on every machine."""
    n, rows, columns = torch.meshgrid(
        torch.arange(80.0), torch.arange(16.0), torch.arange(16.0), indexing="ij"
    )
    waves = [((n + 1) * 0.37 + rows * (0.2 + 0.1 * c) + columns * (0.3 - 0.1 * c)).sin() for c in range(3)]
    images = ((torch.stack(waves, 1) + 1) * 127.5).to(torch.uint8)
    return Pictures("waves", images[:70], images[70:], digest="waves")


def trace(net: str, name: str, folder: Path) -> list[float]:
    """Training losses of the first ten epochs of one batch each."""
    from pixelwise.runs import read_metrics

    config = recipe(name, net, "waves", epochs=10, batch_size=70, precision="fp32", num_filters=8)
    train(config, pictures(), folder, device="cpu")
    return [row["train_loss"] for row in read_metrics(folder)]


@pytest.mark.parametrize(("net", "name"), list(TRACES))
def test_losses_are_where_they_were(net, name, tmp_path):
    num, tolerance = (10, 2e-3) if name == "handout" else (5, 2e-2)
    assert trace(net, name, tmp_path)[:num] == pytest.approx(TRACES[net, name][:num], abs=tolerance)


if __name__ == "__main__":
    import tempfile

    for net in ("cnn", "unet"):
        for name in ("handout", "fast", "best"):
            with tempfile.TemporaryDirectory() as folder:
                print(
                    f"    ({net!r}, {name!r}): {[round(loss, 4) for loss in trace(net, name, Path(folder))]},"
                )
