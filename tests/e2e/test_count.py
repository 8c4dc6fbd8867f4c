"""`pixelwise count`, through the program."""

import json

import pytest
import sympy

ASKED = ["weights", "outputs", "connections", "parameters"]


def test_count_prints_formulas_and_values_once_and_doubled(pixelwise):
    done = pixelwise("count", "cnn", "--json")
    assert done.returncode == 0, done.stderr
    (line,) = done.stdout.splitlines()
    told = json.loads(line)
    assert [told[name]["value"] for name in ASKED] == [86_112, 86_016, 15_630_336, 86_784]
    assert [told["doubled"][name]["value"] for name in ASKED] == [86_112, 344_064, 62_521_344, 86_784]
    for counts in (told, told["doubled"]):
        for name in ASKED:
            assert set(counts[name]) == {"formula", "value"}
            assert sympy.sympify(counts[name]["formula"]).subs({"NF": 32, "NC": 24}) == counts[name]["value"]


def test_count_takes_any_setting(pixelwise):
    setting = {"kernel": 5, "num-filters": 8, "num-colours": 10, "num-in-channels": 3, "size": 64}
    options = [token for name, value in setting.items() for token in (f"--{name}", value)]
    done = pixelwise("count", "unet", *options, "--json")
    told = json.loads(done.stdout)
    symbols = dict(zip(["k", "NF", "NC", "NIC", "H", "W"], [5, 8, 10, 3, 64, 64], strict=True))
    assert told["setting"] == symbols
    for name in ASKED:
        assert sympy.sympify(told["general"][name]).subs(symbols) == told[name]["value"]
    assert told["weights"]["value"] == 25 * (3 * 8 + 8 * 16 + 16 * 16 + 32 * 8 + 16 * 10 + 13 * 10)


def test_count_is_a_table_for_people(pixelwise):
    done = pixelwise("count", "unet", "--size", "64")
    assert done.returncode == 0, done.stderr
    assert "unet at NF 32, NC 24, NIC 1, k 3, H 64, W 64" in done.stdout
    assert "75,202,560" in done.stdout


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--size", "30"], "needs a height and width that 4 divides, got 30 and 30; take 32 and 32"),
        (["--kernel", "4"], "kernel needs to be odd and positive, got 4"),
        (["--num-filters", "0"], "num-filters needs to be at least 1, got 0"),
    ],
)
def test_settings_that_cannot_be_are_refused(pixelwise, options, told):
    done = pixelwise("count", "cnn", *options)
    assert done.returncode == 2
    assert told in done.stderr


def test_other_networks_are_refused(pixelwise):
    done = pixelwise("count", "resnet")
    assert done.returncode == 2
    assert "resnet" in done.stderr
