"""What should make one doubt a coloured photo before looking at it: grey, guessed, or no photograph.

Each limit leaves at least 98 of 100 ordinary photos in peace; docs/log.md says how that was counted.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from pixelwise.labelspace import Palette

_GREY = 2.0  # mean chroma in Lab units: colours that nobody sees
_AVERAGED_AWAY = 2.0  # times the chroma of the result that its classes have, each by its chance
_GUESSED = 0.06  # mean confidence; 2 of 1,255 photos are under it
_UNIFORM = 3.0  # standard deviation of L
_BLACK, _WHITE = 10, 85  # L of ink, and of paper as scanners have it
_NO_GREY_FRAC = 0.8  # of pixels that are black or white
_TINY = 32  # pixels of the short side


def alarms(
    logits: Float[Tensor, "K h w"],
    chroma: Float[Tensor, "2 h w"],
    palette: Palette,
    tones: Float[Tensor, " L"],
    short_side: int,
    guessed: Float[Tensor, "h w"] | None = None,
) -> list[str]:
    """What to tell of a result, in halves of sentences that go on from the photo's name; mostly nothing.

    `chroma` is what was guessed, at full saturation; `guessed` says how much of it is left by what was told,
    0 to 1, if anything was; `tones` counts the photo's pixels by L in whole units.
    """
    told = []
    if short_side < _TINY:
        told.append(f"is only {short_side} pixels on its short side, too few to tell what it shows")
    tone_frac = tones / tones.sum().clamp_min(1)
    if _deviation(tone_frac) < _UNIFORM:
        told.append("is nearly the same grey all over: there is nothing to tell colours by")
    elif float(tone_frac[:_BLACK].sum() + tone_frac[_WHITE:].sum()) > _NO_GREY_FRAC:
        told.append("is nearly all black and white, as pages and drawings are: models learn from photographs")
    chances, left = logits.float().softmax(0), torch.ones_like(logits[0]) if guessed is None else guessed
    if float(left.sum()) == 0:
        return told
    if _mean(_confidence(chances), left) < _GUESSED:
        told.append("is guessed at nearly everywhere: the model has seen little like it")
    result = _mean(chroma.norm(dim=0), left)
    if result < _GREY and _mean(_expected_chroma(chances, palette), left) > _AVERAGED_AWAY * result:
        told.append("came out nearly grey, since the likely colours cancel out: try a lower --temperature")
    return told


def _mean(values: Tensor, weights: Tensor) -> float:
    return float((values * weights).sum() / weights.sum())


def _deviation(tone_frac: Tensor) -> float:
    """Standard deviation of L, of the shares of its whole units."""
    units = torch.arange(len(tone_frac)).to(tone_frac)
    mean = (tone_frac * units).sum()
    return float((tone_frac * (units - mean) ** 2).sum().sqrt())


def _confidence(chances: Tensor) -> Tensor:
    """One minus the share of the greatest entropy that there is."""
    most = torch.tensor(float(max(2, len(chances)))).log()
    return 1 - torch.special.entr(chances).sum(0) / most


def _expected_chroma(chances: Tensor, palette: Palette) -> Tensor:
    """The chroma that the classes have by their chances, whatever their hues."""
    return torch.einsum("khw,k->hw", chances, palette.class_chroma.norm(dim=1).to(chances))
