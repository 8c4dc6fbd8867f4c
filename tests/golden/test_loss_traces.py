"""The first steps of every recipe on fixed pictures: a refactor leaves these losses where they are.

Tolerances: fp32 sums differ in their last bits between processors and numbers of threads, and ten steps
amplify that to at most 2e-3 with Adam; torch's Muon computes in bf16, where five steps come to 2e-2.
To renew them after a change that is meant to change them: python tests/golden/test_loss_traces.py
"""

from pathlib import Path

import pytest
import torch

from pixelwise.training.data.pictures import Pictures
from pixelwise.training.loop import train
from pixelwise.training.recipes import recipe
from pixelwise.training.runs import read_metrics

TRACES = {
    ("cnn", "handout"): [3.2839, 10.4018, 7.1206, 4.3334, 3.0723, 2.9501, 2.934, 2.8918, 2.8793, 2.8547],
    ("cnn", "fast"): [3.2846, 3.1012, 2.9159, 2.5121, 2.3647, 2.4033, 2.2072, 2.0977, 1.9789, 1.8304],
    ("cnn", "best"): [3.2846, 3.1602, 3.033, 2.7539, 2.5735, 2.6141, 2.3, 2.3345, 2.2059, 2.0634],
    ("unet", "handout"): [3.1951, 3.0494, 2.9245, 2.8159, 2.7181, 2.6296, 2.5476, 2.4714, 2.4006, 2.3351],
    ("unet", "fast"): [3.1856, 2.8872, 2.6828, 2.1956, 2.0467, 2.2439, 1.7995, 1.8497, 1.6904, 1.5758],
    ("unet", "best"): [3.1856, 3.0282, 2.844, 2.4438, 2.2735, 2.3769, 2.0299, 2.1831, 1.9824, 1.8442],
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
    config = recipe(name, net, "waves", epochs=10, batch_size=70, precision="fp32", num_filters=8)
    train(config, pictures(), folder, device="cpu")
    return [row["train_loss"] for row in read_metrics(folder)]


@pytest.mark.parametrize(("net", "name"), list(TRACES))
def test_losses_are_where_they_were(net, name, tmp_path):
    num, tolerance = (10, 2e-3) if name == "handout" else (5, 2e-2)
    assert trace(net, name, tmp_path)[:num] == pytest.approx(TRACES[net, name][:num], abs=tolerance)


if __name__ == "__main__":
    import tempfile

    for net, name in TRACES:
        with tempfile.TemporaryDirectory() as folder:
            losses = [round(loss, 4) for loss in trace(net, name, Path(folder))]
        print(f"    ({net!r}, {name!r}): {losses},")
