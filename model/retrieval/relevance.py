"""How likely a passage that a search found holds what was asked: a number from 0 to 1.

A vote is comparable within one question only: of which size the best one is depends on the
checkpoint, on the question's length and on what else is in memory. A logistic regression on the
vote, and on how it stands to the other votes, makes it a probability. Its weights are fitted to
a checkpoint by `mplus eval relevance` and kept beside it as `relevance.json`. No torch here.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mplus_ray.model.errors import CheckpointError
from mplus_ray.model.object_store.failures import refusals_of

FILE = "relevance.json"
FEATURES = ("vote", "standing_out", "lead")
_LARGEST = 1e4  # of a feature: beyond it a number is noise

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Relevance:
    """A fitted relevance.

    Attributes:
        weights: of each of `FEATURES`, none below 0, so that scores rank as votes do.
        bias: of the logistic regression.
        fingerprint: of the weights that it was fitted to.
    """

    weights: tuple[float, ...]
    bias: float
    fingerprint: str = ""

    def __call__(self, votes: Floats, steps: Sequence[int]) -> list[float]:
        """The probability, from 0 to 1, that each step holds what was asked.

        Args:
            votes: [steps] of all that can be read; others -inf.
            steps: those that are wanted.
        """
        values = features_of(votes, steps) @ np.array(self.weights) + self.bias
        return [1 / (1 + math.exp(-value)) for value in np.clip(values, -700, 700)]

    def save(self, path: Path) -> None:
        """Write it as JSON."""
        with refusals_of(f"{path} cannot be written"):
            text = json.dumps({"features": FEATURES, **asdict(self)}, indent=1)
            path.write_text(text + "\n", "utf-8")

    @classmethod
    def load(cls, folder: Path) -> Relevance | None:
        """The one of a checkpoint, or None if it has none.

        Raises:
            CheckpointError: the file is not what `save` writes.
        """
        path = folder / FILE
        try:
            raw = json.loads(path.read_text("utf-8"))
            weights = tuple(float(weight) for weight in raw["weights"])
            if tuple(raw["features"]) != FEATURES or len(weights) != len(FEATURES):
                raise ValueError(f"it needs one weight for each of {', '.join(FEATURES)}")
            if min(weights) < 0:
                raise ValueError("a weight is below 0")
            if not isinstance(raw["fingerprint"], str):
                raise ValueError("fingerprint is not a text")
            return cls(weights, float(raw["bias"]), raw["fingerprint"])
        except FileNotFoundError:
            return None
        except (ValueError, KeyError, TypeError) as error:
            raise CheckpointError(f"{path} is not a fitted relevance: {error!r}") from error


def features_of(votes: Floats, steps: Sequence[int]) -> Floats:
    """`FEATURES` of some steps [n, 3].

    The vote itself; by how many standard deviations it lies above the mean of all; and how far
    before the best of the others.

    Args:
        votes: [steps], -inf where a step cannot be read.
        steps: some that can.
    """
    known = np.sort(votes[np.isfinite(votes)])
    wanted = votes[list(steps)]
    if not len(known):
        return np.zeros((len(wanted), len(FEATURES)))
    best, second = known[-1], known[-2] if len(known) > 1 else known[-1]
    spread = max(float(known.std()), 1e-6)
    lead = np.where(wanted >= best, wanted - second, wanted - best)
    rows = np.stack([wanted, (wanted - known.mean()) / spread, lead], axis=1)
    return np.clip(rows, -_LARGEST, _LARGEST)
