"""The verb sweep: rows as JSON, a table for people, one clear line for wrong use."""

import json

import pytest

from fixtures.cifar10.make import write_cifar10


def test_a_study_of_two_batch_sizes(pixelwise, tmp_path):
    write_cifar10(tmp_path)
    command = ("sweep", "unet", "cifar10:horse", "--batch-size", "2,5", "--epochs", 1, "--data-dir", tmp_path)
    done = pixelwise(*command, "--out", tmp_path / "study", "--precision", "fp32", "--json")
    assert done.returncode == 0, done.stderr
    values = json.loads(done.stdout)
    assert [(row["fixed"], row["batch_size"], row["steps"]) for row in values["rows"]] == [
        ("epochs", 2, 5),
        ("epochs", 5, 2),
        ("steps", 2, 2),
        ("steps", 5, 2),
    ]
    assert "run 1 of 4: batch-2-epochs-1" in done.stderr
    assert "--batch-size 2,5 --steps 2 --seed 0" in (tmp_path / "study" / "sweep.html").read_text()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--batch-size", "2,x"], "batch-size needs whole numbers such as 10,100,1000, got 2,x"),
        (["--batch-size", "2,2"], "a sweep needs different batch sizes of at least 1, got 2, 2"),
        (["--steps", "0"], "steps needs to be at least 1, got 0"),
        (["--epochs", "0"], "epochs needs to be at least 1, got 0"),
    ],
)
def test_wrong_use_is_told_in_one_line(pixelwise, tmp_path, options, message):
    done = pixelwise("sweep", "unet", "cifar10:horse", "--out", tmp_path / "study", *options)
    assert (done.returncode, done.stderr.strip()) == (2, f"pixelwise: {message}")
    assert not (tmp_path / "study").exists()
