"""How sure an answer is, in one number from 0 to 1: is what was asked in memory at all?

Two witnesses: the retriever (does one block stand out from the others?) and decoding (how likely
did the model find its own words?). A logistic regression weighs them; its weights are fitted to a
checkpoint by `mplus eval abstention` and kept beside it as `confidence.json`.

    confidence = Confidence.load(folder)
    confidence(Evidence.of(votes, logprobs, entropy)) >= confidence.threshold
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mplus_ray.model.errors import CheckpointError, InvalidInputError
from mplus_ray.model.generation.logistic import logistic
from mplus_ray.model.object_store.failures import refusals_of

FILE = "confidence.json"
FEWEST_BLOCKS = 128  # among fewer, none can stand out as it does among those of a long memory
Floats = Sequence[float] | NDArray[np.float64]
Kinds = Sequence[bool] | NDArray[np.bool_]

_RIDGE = 1e-2  # keeps weights finite where the two kinds can be told apart without error
_ITERATIONS = 50
_LARGEST = 1e4  # of a feature: beyond it a number is noise


@dataclass(frozen=True)
class Evidence:
    """What an answer shows of itself, all of it bigger when memory has what was asked.

    Attributes:
        best_vote: of the best block.
        margin: of the best vote over the second.
        standing_out: of the best vote over the mean, in standard deviations of all votes.
        mean_logprob: of the answer's tokens, its end included (nats).
        least_logprob: of the token that was least likely.
        certainty: minus the entropy of the first token's distribution (nats).
        no_refusal: minus the log-odds that the answer begins as a refusal; 0 for a checkpoint that
            was not trained to refuse. It says the same however much else is in memory.
    """

    best_vote: float
    margin: float
    standing_out: float
    mean_logprob: float
    least_logprob: float
    certainty: float
    no_refusal: float = 0.0

    @classmethod
    def of(
        cls,
        votes: Sequence[float] | NDArray[np.float32],
        logprobs: Sequence[float],
        entropy: float,
        refusal_odds: float = 0.0,
    ) -> Evidence:
        """
        Args:
            votes: of every block that can be read, as the retriever gives them; may be empty.
            logprobs: log-probability of each token of the answer.
            entropy: of the distribution that the first token was taken from.
            refusal_odds: log-odds that the first token begins a refusal.
        """
        best, second, mean, spread = _summary(np.sort(np.asarray(votes, dtype=np.float64)))
        said = list(logprobs) or [0.0]
        return cls(
            best_vote=best,
            margin=best - second,
            standing_out=(best - mean) / spread,
            mean_logprob=float(np.mean(said)),
            least_logprob=min(said),
            certainty=-entropy,
            no_refusal=-refusal_odds,
        )

    def values(self, names: Sequence[str]) -> list[float]:
        """These of its fields, cut to what arithmetic can take."""
        return [float(np.clip(getattr(self, name), -_LARGEST, _LARGEST)) for name in names]


FEATURES = tuple(field.name for field in fields(Evidence))


def _summary(votes: NDArray[np.float64]) -> tuple[float, float, float, float]:
    """(best, second best, mean, standard deviation) of sorted votes."""
    if not len(votes):
        return 0.0, 0.0, 0.0, 1.0
    best = float(votes[-1])
    second = float(votes[-2]) if len(votes) > 1 else best
    return best, second, float(votes.mean()), max(float(votes.std()), 1e-6)


@dataclass(frozen=True)
class Confidence:
    """A fitted confidence: call it with an answer's evidence.

    Attributes:
        features: names of fields of `Evidence`.
        weights, bias: of the logistic regression on them.
        threshold: from which on an answer is trusted.
        fingerprint: of the weights that it was fitted to.
        fewest: blocks of a memory below which it says nothing.
    """

    features: tuple[str, ...]
    weights: tuple[float, ...]
    bias: float
    threshold: float
    fingerprint: str = ""
    fewest: int = 0

    def __call__(self, evidence: Evidence) -> float:
        """The probability, from 0 to 1, that what was asked is in memory."""
        values = zip(self.weights, evidence.values(self.features), strict=True)
        total = self.bias + sum(weight * value for weight, value in values)
        return 1 / (1 + math.exp(-total)) if total > -700 else 0.0

    @classmethod
    def fit(
        cls,
        evidence: Sequence[Evidence],
        stored: Sequence[bool],
        features: Sequence[str] = FEATURES,
        fingerprint: str = "",
    ) -> Confidence:
        """Weights that tell apart what was stored, and the threshold with the best balanced
        accuracy.

        Raises:
            InvalidInputError: all of it was stored, or nothing.
        """
        y = np.array(stored, dtype=np.float64)
        if not 0 < y.sum() < len(y):
            raise InvalidInputError("a confidence is fitted to answers of both kinds")
        x = np.array([one.values(features) for one in evidence])
        mean, scale = x.mean(0), x.std(0) + 1e-6
        weights, bias = logistic((x - mean) / scale, y, _RIDGE, _ITERATIONS)
        raw = weights / scale
        fitted = cls(
            tuple(features),
            tuple(float(w) for w in raw),
            float(bias - (raw * mean).sum()),
            0.5,
            fingerprint,
        )
        scores = [fitted(one) for one in evidence]
        threshold = best_threshold(scores, stored)
        return cls(fitted.features, fitted.weights, fitted.bias, threshold, fingerprint)

    def save(self, path: Path) -> None:
        """Write it as JSON."""
        with refusals_of(f"{path} cannot be written"):
            path.write_text(json.dumps(asdict(self), indent=1) + "\n", "utf-8")

    @classmethod
    def load(cls, folder: Path) -> Confidence | None:
        """The one of a checkpoint, or None if it has none.

        Raises:
            CheckpointError: the file is not what `save` writes.
        """
        path = folder / FILE
        try:
            raw = json.loads(path.read_text("utf-8"))
            loaded = cls(
                tuple(raw["features"]),
                tuple(float(weight) for weight in raw["weights"]),
                float(raw["bias"]),
                float(raw["threshold"]),
                str(raw["fingerprint"]),
                int(raw.get("fewest", 0)),
            )
        except FileNotFoundError:
            return None
        except (ValueError, KeyError, TypeError) as error:
            raise CheckpointError(f"{path} is not a fitted confidence: {error!r}") from error
        if set(loaded.features) - set(FEATURES) or len(loaded.features) != len(loaded.weights):
            raise CheckpointError(f"{path} needs one weight for each of {', '.join(FEATURES)}")
        return loaded


def best_threshold(scores: Floats, stored: Kinds) -> float:
    """The threshold with the best balanced accuracy, in the middle between two scores."""
    order = np.unique(scores)
    between = (order[1:] + order[:-1]) / 2 if len(order) > 1 else order
    return float(max(between, key=lambda t: balanced_accuracy(scores, stored, float(t))))


def balanced_accuracy(scores: Floats, stored: Kinds, threshold: float) -> float:
    """Mean of the shares of both kinds that are told right."""
    trusted, kinds = np.asarray(scores) >= threshold, np.asarray(stored, dtype=bool)
    return float((trusted[kinds].mean() + (~trusted[~kinds]).mean()) / 2)


def auroc(scores: Floats, stored: Kinds) -> float:
    """How often a stored one scores higher than one that is not; a tie counts half."""
    values, kinds = np.asarray(scores, dtype=np.float64), np.asarray(stored, dtype=bool)
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    ends = counts.cumsum()
    ranks = (ends - (counts - 1) / 2)[inverse]
    count, others = int(kinds.sum()), int((~kinds).sum())
    return float((ranks[kinds].sum() - count * (count + 1) / 2) / (count * others))
