"""The exact head: multinomial logistic regression on features that do not change."""

from pixelwise.head.enlarge import Enlarged
from pixelwise.head.objective import (
    Maps,
    Objective,
    Pixels,
    Weights,
    WholePhotos,
    features_at,
    grid,
    labels_by,
)
from pixelwise.head.solve import (
    RIDGES,
    ROWS_A_FEATURE,
    Chosen,
    Moments,
    Solved,
    choose_ridge,
    choose_ridge_by_loss,
    solve,
)

__all__ = [
    "RIDGES",
    "ROWS_A_FEATURE",
    "Chosen",
    "Enlarged",
    "Maps",
    "Moments",
    "Objective",
    "Pixels",
    "Solved",
    "Weights",
    "WholePhotos",
    "choose_ridge",
    "choose_ridge_by_loss",
    "features_at",
    "grid",
    "labels_by",
    "solve",
]
