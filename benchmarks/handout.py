"""The handout's own trainings, with what they came to elsewhere.

    python benchmarks/handout.py [--data-dir DIR]

Four runs of 25 epochs at batch 100 on CIFAR-10's horses, a few minutes each; needs CIFAR-10 under --data-dir
or PIXELWISE_DATA. The reference figures were measured with the handout's own loop on the same pictures.
"""

from __future__ import annotations

import argparse

from time_to_quality import train

RUNS = (
    ("unet, rate 0.001, fixed order", "unet", ["--fixed-order"], "1.384  48.2"),
    ("unet, rate 0.001, reshuffled", "unet", [], "no worse"),
    ("cnn, rate 0.3", "cnn", [], "2.070  29.6"),
    ("cnn, rate 0.001", "cnn", ["--learning-rate", "0.001"], "1.617  40.3"),
)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data-dir")
    options = parser.parse_args()
    print(f"{'':32}loss   acc %   seconds   reference")
    for name, net, changes, reference in RUNS:
        result = train(net, "handout", 0, options.data_dir, *changes)
        scores = f"{result['val_loss']:.3f}  {result['val_accuracy']:.1f}"
        print(f"{name:32}{scores}  {result['train_seconds']:8.1f}   {reference}", flush=True)


if __name__ == "__main__":
    main()
