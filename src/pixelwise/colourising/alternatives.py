"""Alternatives: other plausible colours of a photo, each coherent, from one forward pass.

Pixels with similar probabilities, such as those of a sky or a coat, form a group and change as one. In each
alternative the mean colour of a group moves in some direction of a and b, in the next in another, and groups
move in different directions, so that no alternative is a mere tint.
"""

from __future__ import annotations

import math

import numpy as np
from numpy import ndarray

from pixelwise.colour.arrays import Float
from pixelwise.colour.palette import Palette, softmax
from pixelwise.photos.resize import pool

_NUM_GROUPS = 4
_SHORT_SIDE = 48  # of the map that is clustered
_DIVERGENCE = 0.4  # nats of Kullback-Leibler divergence between a group's mean probabilities and the usual
_MAX_TILT = 2.0  # in standard deviations: of a group with so little doubt that it never diverges as much
_NUM_STEPS = 20  # of halving
_SOFTNESS = 0.1  # of squared distances between probabilities' roots: less gives groups harder borders


def alternatives(
    logits: Float[ndarray, "K h w"], palette: Palette, num: int
) -> list[Float[ndarray, "K h w"]]:
    """Return `num` logits of a photo: first the usual ones, then others that differ from each other.

    Probabilities are tilted, multiplied by an exponential that is linear in a and b: of all with as different
    a mean colour these are the nearest. Source: Csiszar 1975, I-divergence geometry.
    """
    if num <= 1:
        return [logits]
    colours = palette.class_chroma.T
    members, probs = _groups(logits)
    frames = np.stack([_frame(group_probs, colours) for group_probs in probs.T])
    others = []
    for step in range(num - 1):
        turns = 2 * math.pi * ((step + np.arange(len(frames))) % (num - 1)) / (num - 1)
        directions = np.stack([np.cos(turns), np.sin(turns)], axis=1)
        along = np.einsum("gde,ge,dk->gk", frames, directions, colours)
        tilts = (_tilt_size(probs.T, along)[:, None] * along).astype(np.float32)
        others.append(logits + np.einsum("gk,ghw->khw", tilts, members))
    return [logits, *others]


def _tilt_size(probs: Float[ndarray, "G K"], along: Float[ndarray, "G K"]) -> Float[ndarray, " G"]:
    low, high = np.zeros(len(probs)), np.full(len(probs), _MAX_TILT)
    logs = np.log(probs.clip(1e-12))
    for _ in range(_NUM_STEPS):
        middle = (low + high) / 2
        tilted = softmax(logs + middle[:, None] * along, axis=1)
        too_small = (tilted * (np.log(tilted.clip(1e-30)) - logs)).sum(1) < _DIVERGENCE
        low, high = np.where(too_small, middle, low), np.where(too_small, high, middle)
    return low


def _groups(logits: Float[ndarray, "K h w"]) -> tuple[Float[ndarray, "G h w"], Float[ndarray, "K G"]]:
    """Return how much each pixel belongs to each group, and the mean probabilities of each group."""
    from scipy.cluster.vq import kmeans2  # which plain colouring can spare

    probs = softmax(logits)
    height, width = logits.shape[1:]
    scale = min(1.0, _SHORT_SIDE / min(height, width))
    size = max(1, round(height * scale)), max(1, round(width * scale))
    roots = np.sqrt(pool(probs, size)).reshape(len(probs), -1).T.astype(np.float64)
    num = min(_NUM_GROUPS, len(np.unique(roots.round(4), axis=0)))  # a blank picture is all one group
    centroids, assigned = kmeans2(roots, num, minit="++", rng=np.random.default_rng(0))
    centres: list[np.ndarray] = []  # the largest first, without those that are hardly apart from a larger one
    for centre in centroids[np.argsort(-np.bincount(assigned, minlength=num), kind="stable")]:
        if all(np.square(centre - other).sum() > 2 * _SOFTNESS for other in centres):
            centres.append(centre)
    flat = probs.reshape(len(probs), -1)
    away = np.stack([np.square(np.sqrt(flat) - centre[:, None]).sum(0) for centre in centres])
    members = softmax(-away / _SOFTNESS).astype(np.float32)
    means = flat @ members.T / members.sum(1).clip(1e-9)
    return members.reshape(-1, height, width), means


def _frame(probs: Float[ndarray, " K"], colours: Float[ndarray, "2 K"]) -> Float[ndarray, "2 2"]:
    # Two directions of a and b, as columns: the first is the main axis of doubt, towards the side where it
    # reaches farther. Each is divided by the standard deviation along it, so that both cost the same.
    left = colours - (colours @ probs)[:, None]
    covariance = (left * probs) @ left.T + 1e-3 * np.eye(2)
    variances, axes = np.linalg.eigh(covariance)
    skews = (axes.T @ left) ** 3 @ probs
    axes = axes * np.where(skews < 0, -1.0, 1.0)
    return (axes / np.sqrt(variances))[:, ::-1]
