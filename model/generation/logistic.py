"""Logistic regression, by which votes and evidence become probabilities."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def logistic(x: Floats, y: Floats, ridge: float, iterations: int) -> tuple[Floats, float]:
    """Weights [f] and bias by Newton's method.

    Args:
        x: [n, f], standardized.
        y: [n], 0 or 1.
        ridge: of the weights, for each of the n; it keeps them finite where the two kinds can be
            told apart without error.
        iterations: at most; it ends before where nothing changes any more.
    """
    design = np.hstack([x, np.ones((len(x), 1))])
    weights = np.zeros(design.shape[1])
    ridges = np.full(design.shape[1], ridge * len(x))
    ridges[-1] = 1e-9 * len(x)  # the bias is free
    for _ in range(iterations):
        p = 1 / (1 + np.exp(-np.clip(design @ weights, -30, 30)))
        gradient = design.T @ (p - y) + ridges * weights
        hessian = design.T @ (design * (p * (1 - p))[:, None]) + np.diag(ridges)
        step = np.linalg.solve(hessian, gradient)
        weights -= step
        if np.abs(step).max() < 1e-9:
            break
    return weights[:-1], float(weights[-1])
