"""What a few seeds tell: runs compared with those of the same seed, and intervals that know how few."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.special import stdtr, stdtrit


def over_seeds(gains: Sequence[float]) -> dict[str, float | None]:
    """The mean of each seed's own difference, and the 95 % interval that new seeds would give it.

    Student's t: wide, since seeds are few. `p` is how often differences as large would come of chance alone.
    One seed has a value, and nothing else.
    """
    num, mean = len(gains), float(np.mean(gains))
    if num < 2:
        return {"value": mean, "low": None, "high": None, "p": None}
    error = float(np.std(gains, ddof=1)) / num**0.5
    reach = float(stdtrit(num - 1, 0.975)) * error
    p = 2 * float(stdtr(num - 1, -abs(mean) / error)) if error else float(not mean)
    return {"value": mean, "low": mean - reach, "high": mean + reach, "p": p}


def apart_by_chance(values: Sequence[float]) -> float | None:
    """How far two single runs come apart by their seeds alone: 19 of 20 pairs less. None of one run."""
    num = len(values)
    return float(stdtrit(num - 1, 0.975) * np.std(values, ddof=1) * 2**0.5) if num > 1 else None


def sure_of_all(comparisons: Sequence[dict[str, Any]]) -> list[bool]:
    """Which differences are more than chance, where the chance that a single one is wrongly called so is 5 %.

    Source: S. Holm, "A simple sequentially rejective multiple test procedure", 1979.
    """
    sure, going_on = [False] * len(comparisons), True
    p_values = [1.0 if one["p"] is None else one["p"] for one in comparisons]
    for rank, place in enumerate(np.argsort(p_values, kind="stable").tolist()):
        going_on = going_on and p_values[place] <= 0.05 / (len(comparisons) - rank)
        sure[place] = going_on
    return sure
