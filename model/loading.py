"""What loading a checkpoint decides: device, number format, and what was fitted to its weights."""

from __future__ import annotations

import logging
from pathlib import Path

import torch

from mplus_ray.model.errors import InvalidInputError
from mplus_ray.model.generation import confidence
from mplus_ray.model.generation.confidence import Confidence
from mplus_ray.model.retrieval import relevance
from mplus_ray.model.retrieval.relevance import Relevance
from mplus_ray.model.store.row_format import DTYPES

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
    fitted = Confidence.load(folder)
    if fitted is None or fitted.fingerprint == fingerprint:
        return fitted
    _log.warning(
        "%s was fitted to weights %s, not to %s; answers come without a confidence until "
        "`mplus eval abstention` has fitted it again",
        *(folder / confidence.FILE, fitted.fingerprint, fingerprint),
    )
    return None


def relevance_of(folder: Path, fingerprint: str) -> Relevance | None:
    """How relevant what a search finds is, as it was fitted to these weights; None if not."""
    fitted = Relevance.load(folder)
    if fitted is None or fitted.fingerprint == fingerprint:
        return fitted
    _log.warning(
        "%s was fitted to weights %s, not to %s; searches come without scores until "
        "`mplus eval relevance` has fitted it again",
        *(folder / relevance.FILE, fitted.fingerprint, fingerprint),
    )
    return None
