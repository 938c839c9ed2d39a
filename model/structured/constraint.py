"""What an answer has to be. Without torch, so that it can be made where no weights are."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mplus_ray.model.errors import InvalidInputError

# Models that may put any space between values put nothing else there (docs/LOG.md).
_CLOSE = {"whitespace_flexible": False, "item_separator": ", ", "key_separator": ": "}
# What would end a regex of a grammar, and pairs that do not, such as a backslash of its own.
_DELICATE = re.compile(r"\\.|[/\n]", re.DOTALL)


@dataclass(frozen=True)
class Constraint:
    """The form of a whole answer: exactly one of a regular expression and a JSON Schema. What a
    checkpoint refuses with may be said instead (`model.structured.grammars`).

    Attributes:
        regex: the answer without space before it matches it, in the syntax of Rust's `regex`.
        schema: the JSON Schema of a value whose JSON the answer is, as text.
    """

    regex: str | None = None
    schema: str | None = None

    def __post_init__(self) -> None:
        if (self.regex is None) == (self.schema is None):
            raise InvalidInputError("a constraint is either a regex or a schema")

    @classmethod
    def to_schema(cls, schema: Mapping[str, Any]) -> Constraint:
        """An answer that is JSON of this schema."""
        return cls(schema=json.dumps({**schema, "x-guidance": _CLOSE}))

    def lark(self, refusal: str | None) -> str:
        """Itself as a grammar.

        Args:
            refusal: what may be said instead.
        """
        if self.regex is not None:
            value = f"/{_DELICATE.sub(_escaped, self.regex)}/"
        else:
            value = f"%json {self.schema}"
        instead = f" | {json.dumps(refusal, ensure_ascii=False)}" if refusal else ""
        return f'start: " "? value{instead}\nvalue: {value}\n'


def _escaped(found: re.Match[str]) -> str:
    text = found.group()
    return {"/": "\\/", "\n": "\\n", "\\\n": "\\n"}.get(text, text)
