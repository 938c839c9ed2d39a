"""What loading a checkpoint decides: device, number format, and what was fitted to its weights."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TypeVar

import torch

from mplus_ray.model.errors import InvalidInputError
from mplus_ray.model.generation import confidence
from mplus_ray.model.generation.confidence import Confidence
from mplus_ray.model.retrieval import relevance
from mplus_ray.model.retrieval.relevance import Relevance
from mplus_ray.model.store.row_format import DTYPES

_Fitted = TypeVar("_Fitted", Confidence, Relevance)
_log = logging.getLogger(__name__)


def device_of(wanted: str | None) -> torch.device:
    """The device of this name; None: CUDA where there is one, else the CPU.

    Raises:
        InvalidInputError: no device is called so.
    """
    try:
        return torch.device(wanted or ("cuda" if torch.cuda.is_available() else "cpu"))
    except RuntimeError as error:
        raise InvalidInputError(f"device {wanted!r} is unknown; try cpu or cuda") from error


def dtype_of(wanted: torch.dtype | str | None, device: torch.device) -> torch.dtype:
    """The format of weights; None: float32 on the CPU and bfloat16 elsewhere.

    Raises:
        InvalidInputError: no format is called so.
    """
    if wanted is None:
        return torch.float32 if device.type == "cpu" else torch.bfloat16
    name = str(wanted).removeprefix("torch.")
    if name not in DTYPES:
        raise InvalidInputError(f"dtype {name!r} is unknown; there are {', '.join(DTYPES)}")
    return DTYPES[name]


def confidence_of(folder: Path, fingerprint: str) -> Confidence | None:
    """How sure to be of answers, as it was fitted to these weights; None if it was not."""
    said = "answers come without a confidence until `mplus eval abstention`"
    return _fitted(Confidence.load(folder), folder / confidence.FILE, fingerprint, said)


def relevance_of(folder: Path, fingerprint: str) -> Relevance | None:
    """How relevant what a search finds is, as it was fitted to these weights; None if not."""
    said = "searches come without scores until `mplus eval relevance`"
    return _fitted(Relevance.load(folder), folder / relevance.FILE, fingerprint, said)


def _fitted(found: _Fitted | None, file: Path, fingerprint: str, said: str) -> _Fitted | None:
    """What a file holds, if it was fitted to the weights of this fingerprint."""
    if found is None or found.fingerprint == fingerprint:
        return found
    _log.warning(
        "%s was fitted to weights %s, not to %s; %s has fitted it again",
        *(file, found.fingerprint, fingerprint, said),
    )
    return None
