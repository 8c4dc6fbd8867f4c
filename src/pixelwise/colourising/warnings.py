"""Warnings of a photo's colours: grey, guessed, or no photograph.

Each limit leaves at least 98 of 100 ordinary photos in peace (docs/log.md).
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray

from pixelwise.colourising.prediction import Prediction

_GREY = 2.0  # mean chroma in Lab units: colours that nobody sees
_AVERAGED_AWAY = 2.0  # times the chroma of the result that its classes have, each by its probability
_GUESSED = 0.06  # mean confidence; 2 of 1,255 photos are under it
_UNIFORM = 3.0  # standard deviation of L
_BLACK, _WHITE = 10, 85  # L of ink, and of paper as scanners have it
_NO_GREY_FRAC = 0.8  # of pixels that are black or white
_TINY = 32  # pixels of the short side


def photo_warnings(
    prediction: Prediction, temperature: float, tones: Int[ndarray, " L"], short_side: int
) -> list[str]:
    """Return reasons to doubt a result, as predicates that follow the photo's name; mostly none.

    Only what was guessed is judged, at full saturation; `tones` counts pixels by L in whole units.
    """
    warnings = []
    if short_side < _TINY:
        warnings.append(f"is only {short_side} pixels on its short side, too few to know what it shows")
    tone_frac = tones / max(1, tones.sum())
    if _deviation(tone_frac) < _UNIFORM:
        warnings.append("is nearly the same grey all over: there is nothing to know colours by")
    elif float(tone_frac[:_BLACK].sum() + tone_frac[_WHITE:].sum()) > _NO_GREY_FRAC:
        warnings.append(
            "is nearly all black and white, as pages and drawings are: models learn from photographs"
        )
    left, guess = np.ones_like(prediction.logits[0]), replace(prediction, known=None)
    if prediction.known:
        left = 1 - prediction.known.share_at(left.shape)
    if float(left.sum()) == 0:
        return warnings
    if _mean(guess.confidence(), left) < _GUESSED:
        warnings.append("is guessed at nearly everywhere: the model has seen little like it")
    result = _mean(np.linalg.norm(guess.chroma(temperature), axis=0), left)
    class_chroma = np.linalg.norm(prediction.palette.class_chroma, axis=1)
    expected = np.einsum("khw,k->hw", guess.probs(), class_chroma)
    if result < _GREY and _mean(expected, left) > _AVERAGED_AWAY * result:
        warnings.append(
            "came out nearly grey, since the likely colours cancel out: try a lower --temperature"
        )
    return warnings


def _mean(values: Float[ndarray, "h w"], weights: Float[ndarray, "h w"]) -> float:
    return float((values * weights).sum() / weights.sum())


def _deviation(tone_frac: Float[ndarray, " L"]) -> float:
    units = np.arange(len(tone_frac))
    return float(np.sqrt((tone_frac * (units - (tone_frac * units).sum()) ** 2).sum()))
