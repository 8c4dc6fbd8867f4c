"""The head of least loss, found by L-BFGS and certified by the norm of its gradient.

Multinomial logistic regression with a ridge is convex: it has one answer, which does not depend on a seed, a
learning rate or a number of epochs.
"""

from __future__ import annotations

import functools
import operator
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy import ndarray
from numpy.typing import DTypeLike

from pixelwise.colour.arrays import Float, Float32, Float64
from pixelwise.errors import ConfigError, UnsolvedError
from pixelwise.labels.confusion import Confusion
from pixelwise.segmenting.linear_head import Pixels, Weights

_MOST_STEPS = 500  # a whitened problem takes about 30
_MIN_CURVATURE = 1e-4  # in all directions: far more than rounding takes from the least
_ROWS_AT_ONCE = 2**10
_SMALL = 96  # numbers in a row of a matrix whose root is not sought by halves
_ROWS_A_FEATURE = 4  # pixels that features are scaled by; the root takes two: more save no step
_CURVATURE = 0.05  # p (1 - p) of a pixel in some doubt: only the number of steps depends on it
_SMALLEST_SCALE = 1e-3  # features that never vary would be divided by 0
RIDGES = (1.0, 0.3, 0.1, 0.03)  # tried where none is given; the head depends little on them
MIDDLE = 0.3  # a ridge whose whitening serves all of these: as few steps as with one for each
_GRADIENT_NORM = 1e-5  # where steps end, of the whitened gradient; float32 sums to about a tenth of it
CERTIFIED = 1e-4  # the largest gradient by weights of scaled features with which a head counts as the best
_BIAS_RIDGE = 1e-4  # too little to be seen, and a class without pixels has a best bias: not minus infinity
_ENOUGH_TO_CHOOSE = 3e-4  # gradient norm at which classes of pixels left out have settled
_MEMORY = 20  # steps that curvature is known from
_ENOUGH_FALL, _FLATTER = 1e-4, 0.9  # of what the slope promises; of the slope itself
_ROUNDING = 1e-7  # of the value
_SHORTEST = 1e-6  # of a step that is tried
Array = Float[ndarray, "..."]
Vector = Float64[ndarray, " n"]


@dataclass(frozen=True, kw_only=True)
class SolvedHead:
    """A head, and the proof that there is none better."""

    weights: Weights
    loss: float  # mean loss in nats a pixel, without the ridge's share
    ridge: float  # factor on half the squared length of the weights, of features scaled to deviation 1
    gradient_norm: float
    """Largest entry of the gradient, loss and ridge together, of features scaled to deviation 1.

    The loss plus ridge is above the least there is by at most the sum of its squared entries, each over twice
    its ridge. Source: S. Boyd, L. Vandenberghe, Convex Optimization, 9.1.2.
    """
    num_steps: int
    ridge_scores: dict[float, float] = field(default_factory=dict)  # of `RidgeChoice`; none of a given ridge
    missing_classes: tuple[int, ...] = ()  # that no pixel learned from has: the head cannot find them


@dataclass(frozen=True, eq=False)
class Whitening:
    """Coordinates in which a problem's curvature is about the same in all directions, for ridges near one."""

    mean: Float32[ndarray, " D"]
    scale: Float32[ndarray, " D"]  # standard deviation, or a small number where that is less
    root: Float32[ndarray, "D D"]  # lower triangle; times itself transposed the curvature by scaled weights
    inverse: Float32[ndarray, "D D"]  # of the root

    @staticmethod
    def of(features: Float32[ndarray, "P D"], ridge: float) -> Whitening:
        """Measure a sample of some pixels' features, spread evenly."""
        num = features.shape[1]
        rows = _some(features, _ROWS_A_FEATURE * num)
        mean, variance = rows.mean(0), np.zeros(num, np.float32)
        for start in range(0, len(rows), _ROWS_AT_ONCE):  # which needs no memory for all rows again
            variance += np.square(rows[start : start + _ROWS_AT_ONCE] - mean).sum(0)
        scale = np.sqrt(variance / len(rows)).clip(_SMALLEST_SCALE)
        few = (_some(rows, 2 * num) - mean) / scale
        curvature = np.float32(_CURVATURE / len(few)) * (few.T @ few)
        # The root only steers the search: single precision does, as long as the matrix has one.
        np.fill_diagonal(curvature, curvature.diagonal() + max(ridge, _MIN_CURVATURE))
        return Whitening(mean, scale, *_root_and_inverse(curvature))


def _some(rows: Float32[ndarray, "P D"], num: int) -> Float32[ndarray, "p D"]:
    """Return about `num` rows, spread evenly; all where there are fewer."""
    return rows[:: max(1, len(rows) // num)]


def _root_and_inverse(
    matrix: Float32[ndarray, "n n"],
) -> tuple[Float32[ndarray, "n n"], Float32[ndarray, "n n"]]:
    """Return Cholesky's root of a matrix and its inverse, by halves: in a fifth of the time of LAPACK's.

    Nearly all of it are products of matrices. Source: G. Golub, C. Van Loan, Matrix Computations, 4.2.6.
    """
    if len(matrix) <= _SMALL:
        root = np.linalg.cholesky(matrix)
        return root, np.linalg.inv(root)
    half = len(matrix) // 2
    root, inverse = np.zeros_like(matrix), np.zeros_like(matrix)
    root[:half, :half], inverse[:half, :half] = _root_and_inverse(matrix[:half, :half])
    below = root[half:, :half] = matrix[half:, :half] @ inverse[:half, :half].T
    root[half:, half:], inverse[half:, half:] = _root_and_inverse(matrix[half:, half:] - below @ below.T)
    inverse[half:, :half] = -inverse[half:, half:] @ (below @ inverse[:half, :half])
    return root, inverse


def solve_at_ridge(
    pixels: Pixels, ridge: float, start: Weights | None = None, whitening: Whitening | None = None
) -> SolvedHead:
    """Return the head whose loss plus ridge penalty is least; the bias has hardly any ridge.

    Steps are taken in coordinates in which the curvature is about the same in all directions: tens of them,
    not hundreds.

    Raises:
        ConfigError: the ridge is not above 0; without one, separable classes have no best head.
        UnsolvedError: the gradient did not become as small as `CERTIFIED`, in double precision either.
    """
    if not ridge > 0:
        raise ConfigError(f"needed a ridge above 0, got {ridge:g}")
    whitening = whitening or Whitening.of(pixels.features, ridge)
    found = _search(pixels, _Scaling(whitening, ridge), start, _GRADIENT_NORM)
    if found.gradient_norm > CERTIFIED:  # means far from 0 take the last digits of float32
        more = _search(pixels, _Scaling(whitening, ridge, np.float64), found.weights, _GRADIENT_NORM)
        found = replace(more, num_steps=found.num_steps + more.num_steps)
    if not found.gradient_norm <= CERTIFIED:
        raise UnsolvedError(
            f"needed a gradient of at most {CERTIFIED:g} to be sure of the head, got "
            f"{found.gradient_norm:.1e} after {found.num_steps} steps; give another --ridge than {ridge:g}"
        )
    return found


def _search(pixels: Pixels, scaling: _Scaling, start: Weights | None, gradient_norm: float) -> SolvedHead:
    """Take steps until the whitened gradient is small, or nothing moves; then measure the gradient."""

    def value_and_gradient(flat: Float64[ndarray, " n"]) -> tuple[float, Float64[ndarray, " n"]]:
        scaled, bias = scaling.unflatten(flat)
        loss, by_weight, by_bias = pixels.value_and_gradient(*scaling.raw(scaled, bias))
        by_scaled, by_bias = scaling.gradient(by_weight, by_bias, scaled, bias)
        squares = [float(np.square(part, dtype=np.float64).sum()) for part in (scaled, bias)]
        penalty = scaling.ridge / 2 * squares[0] + _BIAS_RIDGE / 2 * squares[1]
        return loss + penalty, scaling.flat_gradient(by_scaled, by_bias)

    flat, num_steps = _least(value_and_gradient, scaling.flat(start, pixels.num_classes), gradient_norm)
    weights = Weights(*(part.astype(np.float32) for part in scaling.raw(*scaling.unflatten(flat))))
    rounded = weights.weight.astype(scaling.dtype), weights.bias.astype(scaling.dtype)  # what is kept
    loss, by_weight, by_bias = pixels.value_and_gradient(*rounded)
    gradients = scaling.gradient(by_weight, by_bias, *scaling.of(weights))
    return SolvedHead(
        weights=weights,
        loss=loss,
        ridge=scaling.ridge,
        gradient_norm=max(float(np.abs(part).max()) for part in gradients),
        num_steps=num_steps,
    )


def _least(
    value_and_gradient: Callable[[Vector], tuple[float, Vector]], x: Vector, gradient_norm: float
) -> tuple[Vector, int]:
    """Return where a convex function is least, and the number of steps of L-BFGS.

    Source: J. Nocedal, S. Wright, Numerical Optimization, 2006, algorithms 7.4 and 7.5. A try is taken where
    the function falls enough or, as far as rounding shows, does not rise and the slope flattens: W. Hager,
    H. Zhang 2005, the approximate Wolfe conditions.
    """
    value, gradient = value_and_gradient(x)
    changes: deque[tuple[Vector, Vector]] = deque(maxlen=_MEMORY)
    for num_steps in range(_MOST_STEPS):
        if np.abs(gradient).max() <= gradient_norm:
            return x, num_steps
        direction = _downhill(gradient, changes)
        slope = float(gradient @ direction)
        length = 1.0 if changes else min(1.0, 1 / float(np.abs(gradient).sum()))
        while True:
            new_value, new_gradient = value_and_gradient(x + length * direction)
            falls = new_value <= value + _ENOUGH_FALL * length * slope
            flattens = abs(float(new_gradient @ direction)) <= _FLATTER * -slope
            if falls or (flattens and new_value <= value + _ROUNDING * abs(value)):
                break
            length /= 2
            if length < _SHORTEST:
                return x, num_steps  # nothing moves: rounding decides
        step, change = length * direction, new_gradient - gradient
        if step @ change > 0:
            changes.append((step, change))
        x, value, gradient = x + step, new_value, new_gradient
    return x, _MOST_STEPS


def _downhill(gradient: Vector, changes: Sequence[tuple[Vector, Vector]]) -> Vector:
    """Return Newton's direction, the curvature being that of the last steps and changes of the gradient."""
    direction, shares = -gradient, []
    for step, change in reversed(changes):
        share = (step @ direction) / (step @ change)
        shares.append(share)
        direction = direction - share * change
    if changes:
        step, change = changes[-1]
        direction = direction * ((step @ change) / (change @ change))
    for (step, change), share in zip(changes, reversed(shares), strict=True):
        direction = direction + (share - (change @ direction) / (step @ change)) * step
    return direction


class _Scaling:
    """Conversions of a head: on features as they are (raw), scaled to deviation 1, and whitened.

    The search sees one row of numbers: whitened weights, then biases in units in which the loss curves alike.
    """

    def __init__(self, whitening: Whitening, ridge: float, dtype: DTypeLike = np.float32) -> None:
        self.mean, self.scale = whitening.mean.astype(dtype), whitening.scale.astype(dtype)
        self.root = whitening.root.astype(dtype, copy=False)
        self.inverse = whitening.inverse.astype(dtype, copy=False)
        self.ridge, self.dtype = ridge, dtype
        self.bias_root = (_CURVATURE + _BIAS_RIDGE) ** 0.5

    def raw(self, scaled: Array, bias: Array) -> tuple[Array, Array]:
        """Return weights and bias for features as they are, from those for scaled ones."""
        weight = scaled / self.scale
        return weight, bias - weight @ self.mean

    def of(self, head: Weights) -> tuple[Array, Array]:
        """Return weights and bias of scaled features."""
        weight, bias = head.weight.astype(self.dtype), head.bias.astype(self.dtype)
        return weight * self.scale, bias + weight @ self.mean

    def gradient(self, by_weight: Array, by_bias: Array, scaled: Array, bias: Array) -> tuple[Array, Array]:
        """Return the gradient by weights and bias of scaled features, the ridge's share with it."""
        by_scaled = (by_weight - by_bias[:, None] * self.mean) / self.scale
        return by_scaled + self.ridge * scaled, by_bias + _BIAS_RIDGE * bias

    def flat(self, start: Weights | None, num_classes: int) -> Float64[ndarray, " n"]:
        """Return where the search begins: at a head, or at zero."""
        if start is None:
            return np.zeros(num_classes * (len(self.mean) + 1))
        scaled, bias = self.of(start)
        return _flat(scaled @ self.root, bias * self.bias_root)

    def unflatten(self, flat: Float64[ndarray, " n"]) -> tuple[Array, Array]:
        """Return weights (K, D) and bias (K,) of scaled features."""
        numbers = flat.astype(self.dtype)
        num_classes = len(numbers) // (len(self.mean) + 1)
        whitened = numbers[:-num_classes].reshape(num_classes, -1)
        return whitened @ self.inverse, numbers[-num_classes:] / self.bias_root

    def flat_gradient(self, by_scaled: Array, by_bias: Array) -> Float64[ndarray, " n"]:
        """Return the gradient by the whitened weights and the bias as one vector."""
        return _flat(by_scaled @ self.inverse.T, by_bias / self.bias_root)


def _flat(weight: Array, bias: Array) -> Float64[ndarray, " n"]:
    return np.concatenate((weight.ravel(), bias)).astype(np.float64)


@dataclass(frozen=True, kw_only=True)
class RidgeChoice:
    """A ridge, and the scores by which it was chosen."""

    ridge: float
    scores: dict[float, float]
    """On pixels left out, by ridge: mean intersection over union, from 0 to 1, or loss in nats a pixel."""
    start: Weights  # the head at this ridge of a fold: near the one to be found on all pixels


def choose_ridge(
    folds: Sequence[tuple[Pixels, Pixels]],
    whitening: Whitening,
    ridges: Sequence[float] = RIDGES,
    *,
    by_loss: bool = False,
) -> RidgeChoice:
    """Return the ridge whose heads, each learned on a fold's first part, do best on its second.

    Best is the largest overlap or, with `by_loss`, the least loss, which has a smaller ridge: it suits
    colours, which are means over all classes. Folds have to leave out whole photos, since pixels of one photo
    resemble each other. Each head starts at the one with the next larger ridge, and is stopped early.
    `whitening` is that of all features.

    By overlap on several folds, the largest ridge is chosen that falls short of the best by no more than a
    standard error. Source: L. Breiman et al., Classification and Regression Trees, 1984, 3.4.3.
    """
    ridges = sorted(ridges, reverse=True)
    scalings = [_Scaling(whitening, ridge) for ridge in ridges]
    losses: dict[float, list[float]] = {ridge: [] for ridge in ridges}
    counts: dict[float, list[Confusion]] = {ridge: [] for ridge in ridges}
    starts = {}
    for learned, left_out in folds:
        start = None
        for scaling in scalings:
            start = starts[scaling.ridge] = _search(learned, scaling, start, _ENOUGH_TO_CHOOSE).weights
            losses[scaling.ridge].append(left_out.value_and_gradient(start.weight, start.bias)[0])
            if not by_loss:
                counts[scaling.ridge].append(left_out.confusion(start))
    scores = mean_losses = {ridge: sum(parts) / len(parts) for ridge, parts in losses.items()}
    chosen = min(ridges, key=mean_losses.__getitem__)
    if not by_loss:
        scores = {ridge: functools.reduce(operator.add, parts).miou for ridge, parts in counts.items()}
        chosen = max(ridges, key=lambda ridge: (scores[ridge], -mean_losses[ridge]))  # equal ones are common
        if len(folds) > 1:
            chosen = next(ridge for ridge in ridges if _as_good(counts[chosen], counts[ridge]))
    return RidgeChoice(ridge=chosen, scores=scores, start=starts[chosen])


def _as_good(best: Sequence[Confusion], other: Sequence[Confusion]) -> bool:
    """Return whether, fold by fold, the best is ahead by no more than a standard error."""
    gains = np.array([ours.miou - theirs.miou for ours, theirs in zip(best, other, strict=True)])
    return bool(gains.mean() <= gains.std(ddof=1) / len(gains) ** 0.5)
