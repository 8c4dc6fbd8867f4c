"""Alternatives: other plausible colours of a photo, each coherent, from one forward pass.

Pixels with similar probabilities, such as those of a sky or a coat, form a group and change as one. In each
alternative the mean colour of a group moves in some direction of a and b, in the next in another, and groups
move in different directions, so that no alternative is a mere tint.
"""

from __future__ import annotations

import math

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from scipy.cluster.vq import kmeans2
from torch import Tensor

from pixelwise.colour.palette import Palette

_NUM_GROUPS = 4
_SHORT_SIDE = 48  # of the map that is clustered
_DIVERGENCE = 0.4  # nats of Kullback-Leibler divergence between a group's mean probabilities and the usual
_MAX_TILT = 2.0  # in standard deviations: of a group with so little doubt that it never diverges as much
_NUM_STEPS = 20  # of halving
_SOFTNESS = 0.1  # of squared distances between probabilities' roots: less gives groups harder borders


def alternatives(logits: Float[Tensor, "K h w"], palette: Palette, num: int) -> list[Float[Tensor, "K h w"]]:
    """Return `num` logits of a photo: first the usual ones, then others that differ from each other.

    Probabilities are tilted, multiplied by an exponential that is linear in a and b: of all with as different
    a mean colour these are the nearest. Source: Csiszar 1975, I-divergence geometry.
    """
    if num <= 1:
        return [logits]
    colours = palette.class_chroma.T
    members, probs = _groups(logits)
    frames = torch.stack([_frame(group_probs, colours) for group_probs in probs.T])
    others = []
    for step in range(num - 1):
        turns = (step + torch.arange(len(frames))) % (num - 1) / (num - 1)
        directions = torch.stack([(2 * math.pi * turns).cos(), (2 * math.pi * turns).sin()], dim=1)
        along = torch.einsum("gde,ge,dk->gk", frames, directions, colours)
        tilts = _tilt_size(probs.T, along)[:, None] * along
        others.append(logits + torch.einsum("gk,ghw->khw", tilts, members))
    return [logits, *others]


def _tilt_size(probs: Float[Tensor, "G K"], along: Float[Tensor, "G K"]) -> Float[Tensor, " G"]:
    low, high = torch.zeros(len(probs)), torch.full((len(probs),), _MAX_TILT)
    logs = probs.clamp_min(1e-12).log()
    for _ in range(_NUM_STEPS):
        middle = (low + high) / 2
        tilted = (logs + middle[:, None] * along).log_softmax(1)
        too_small = (tilted.exp() * (tilted - logs)).sum(1) < _DIVERGENCE
        low, high = torch.where(too_small, middle, low), torch.where(too_small, high, middle)
    return low


def _groups(logits: Float[Tensor, "K h w"]) -> tuple[Float[Tensor, "G h w"], Float[Tensor, "K G"]]:
    """Return how much each pixel belongs to each group, and the mean probabilities of each group."""
    probs = logits.softmax(0)
    height, width = logits.shape[1:]
    scale = min(1.0, _SHORT_SIDE / min(height, width))
    size = max(1, round(height * scale)), max(1, round(width * scale))
    roots = F.adaptive_avg_pool2d(probs, size).sqrt().flatten(1).T.double().numpy()
    num = min(_NUM_GROUPS, len(np.unique(roots.round(4), axis=0)))  # a blank picture is all one group
    centroids, assigned = kmeans2(roots, num, minit="++", rng=np.random.default_rng(0))
    centres: list[np.ndarray] = []  # the largest first, without those that are hardly apart from a larger one
    for centre in centroids[np.argsort(-np.bincount(assigned, minlength=num), kind="stable")]:
        if all(np.square(centre - other).sum() > 2 * _SOFTNESS for other in centres):
            centres.append(centre)
    away = torch.cdist(probs.sqrt().flatten(1).T, torch.from_numpy(np.stack(centres)).float()) ** 2
    members = (-away / _SOFTNESS).softmax(1)
    means = probs.flatten(1) @ members / members.sum(0).clamp_min(1e-9)
    return members.T.reshape(-1, height, width), means


def _frame(probs: Float[Tensor, " K"], colours: Float[Tensor, "2 K"]) -> Float[Tensor, "2 2"]:
    # Two directions of a and b, as columns: the first is the main axis of doubt, towards the side where it
    # reaches farther. Each is divided by the standard deviation along it, so that both cost the same.
    left = colours - (colours @ probs)[:, None]
    covariance = (left * probs) @ left.T + 1e-3 * torch.eye(2)
    variances, axes = torch.linalg.eigh(covariance)
    skews = (axes.T @ left) ** 3 @ probs
    axes = axes * torch.where(skews < 0, -1.0, 1.0)
    return (axes / variances.sqrt()).flip(1)
