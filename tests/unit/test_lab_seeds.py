"""Differences seed by seed: Student's interval, what chance does to two runs, Holm's correction."""

import numpy as np
import pytest
from scipy import stats

from pixelwise.lab.seeds import apart_by_chance, over_seeds, sure_of_all


@pytest.mark.parametrize("gains", [[1.0, 2.0, 4.0], [-3.0, 2.5], [0.5, 0.25, 0.5, 0.75]])
def test_over_seeds_is_students_t(gains):
    found, test = over_seeds(gains), stats.ttest_1samp(gains, 0)
    low, high = test.confidence_interval(0.95)
    wanted = {"value": np.mean(gains), "low": low, "high": high, "p": test.pvalue}
    assert found == pytest.approx(wanted)


def test_one_seed_has_no_interval_and_equal_ones_a_point():
    assert over_seeds([2.0]) == {"value": 2.0, "low": None, "high": None, "p": None}
    assert over_seeds([2.0, 2.0]) == {"value": 2.0, "low": 2.0, "high": 2.0, "p": 0.0}
    assert over_seeds([0.0, 0.0])["p"] == 1


def test_two_runs_come_apart_by_chance_as_students_t_has_it():
    randomness = np.random.default_rng(0)
    apart = [
        abs(pair[0] - pair[1]) < apart_by_chance(seeds.tolist())
        for seeds, pair in zip(
            randomness.normal(size=(4000, 3)), randomness.normal(size=(4000, 2)), strict=True
        )
    ]
    assert np.mean(apart) == pytest.approx(0.95, abs=0.01)
    assert apart_by_chance([1.0]) is None


def test_of_many_differences_holm_keeps_those_that_stand_all_the_same():
    def sure(*p_values):
        return sure_of_all([{"p": one} for one in p_values])

    assert sure(0.01, 0.02, 0.03) == [True, True, True]  # below 0.05 / 3, / 2 and / 1
    assert sure(0.03, 0.02, 0.04) == [False, False, False]  # the least is not below 0.05 / 3
    assert sure(0.04, 0.001, None) == [False, True, False]
    assert sure() == []
