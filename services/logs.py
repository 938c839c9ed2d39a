"""Logs on standard error: for people by default, JSON lines for programs.

Neither holds text of documents or questions: exceptions are given by their kind and place, and
with a message only where it is one of ours that quotes no input.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import traceback
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, TextIO

from mplus_ray.model.errors import InvalidInputError
from mplus_ray.pipeline.writing.observer import reason
from mplus_ray.services.config_file import with_config

# Only these have a level of their own. Other people's stay at WARNING: at DEBUG clients of
# databases, buckets and brokers log what they send.
OURS = ("mplus_ray",)

_FORMS = ("human", "json")
_LEVELS = ("debug", "info", "warning", "error")
_DEFAULT_LEVEL = {"human": "warning", "json": "info"}
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


class JsonFormatter(logging.Formatter):
    """One object a line: ts, level, logger, message, the record's own fields, and the error."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "ts": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        line |= {name: value for name, value in _fields(record).items() if name not in line}
        if record.exc_info and record.exc_info[1] is not None:
            line |= {
                "error": type(record.exc_info[1]).__name__,
                "reason": reason(record.exc_info[1]),
            }
            line["trace"] = _frames(record.exc_info[1])
        return json.dumps(line, ensure_ascii=False, default=str)


class HumanFormatter(logging.Formatter):
    """The message, then the fields as name=value, then where an exception came from."""

    def format(self, record: logging.LogRecord) -> str:
        parts = [record.getMessage()]
        parts += [f"{name}={_short(value)}" for name, value in _fields(record).items()]
        if record.exc_info and record.exc_info[1] is not None:
            parts.append(f"({reason(record.exc_info[1])})")
            parts += [f"\n  {frame}" for frame in _frames(record.exc_info[1])]
        return " ".join(parts)


def configure(
    environment: Mapping[str, str] = os.environ, stream: TextIO | None = None
) -> logging.Handler:
    """Log as MPLUS_LOG (human, json) and MPLUS_LOG_LEVEL (debug … error) say, or the
    configuration file.

    Called again, it replaces what it set before. Returns the handler.

    Args:
        stream: by default standard error, whatever that is when a line is written.

    Raises:
        InvalidInputError: a variable has another value.
    """
    environment = with_config(environment)
    form = _one_of(environment, "MPLUS_LOG", _FORMS, "human")
    level = _one_of(environment, "MPLUS_LOG_LEVEL", _LEVELS, _DEFAULT_LEVEL[form])
    handler = _Handler(stream)
    handler.setFormatter(JsonFormatter() if form == "json" else HumanFormatter())
    root = logging.getLogger()
    for old in [each for each in root.handlers if isinstance(each, _Handler)]:
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(logging.WARNING)
    for name in OURS:
        logging.getLogger(name).setLevel(level.upper())
    return handler


class _Handler(logging.Handler):
    """Ours, to be told from others'."""

    def __init__(self, stream: TextIO | None) -> None:
        super().__init__()
        self._stream = stream

    def emit(self, record: logging.LogRecord) -> None:
        try:
            # Not with `print`, which Ray puts something else in the place of.
            stream = self._stream or sys.stderr
            stream.write(self.format(record) + "\n")
            stream.flush()
        except Exception:  # noqa: BLE001 - a line that cannot be written must not end the work
            self.handleError(record)


def _one_of(
    environment: Mapping[str, str], name: str, values: tuple[str, ...], default: str
) -> str:
    value = environment.get(name) or default
    if value.lower() not in values:
        raise InvalidInputError(f"{name} is {value!r}; give one of {', '.join(values)}")
    return value.lower()


def _fields(record: logging.LogRecord) -> dict[str, Any]:
    """What `extra` brought."""
    return {name: value for name, value in vars(record).items() if name not in _STANDARD}


def _frames(error: BaseException) -> list[str]:
    """Where an exception came from, innermost last, without the lines' text or any value."""
    found = traceback.extract_tb(error.__traceback__)
    return [f"{frame.filename}:{frame.lineno} in {frame.name}" for frame in found]


def _short(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
