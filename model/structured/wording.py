"""How memory is asked for a field: by the field's name or description, and by what the user named.

A reader trained on questions answers "What is the birthplace of Maren Tolva?" better than "Tell me
about Maren Tolva. Birthplace?" (docs/LOG.md), so the names that a message has are its subject.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from mplus_ray.model.generation.turn_kind import is_function_word

_NAME = r"(?:\d+|[^\W\d_a-z][\w'’.-]*)"
# Words with capitals one after another, "of" and the like between them.
_NAMES = re.compile(rf"{_NAME}(?: (?:(?:of|the|de|da|di|van|von|der|la|le|du) )*{_NAME})*")
_JOINING = frozenset("of in at for by".split())
_LETTER = re.compile(r"\w")
_LONGEST_NAME = 4  # words of a description that is asked for as such
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_PREDICATES = {"is": "Is", "was": "Was", "has": "Has", "can": "Can", "does": "Does", "did": "Did"}
# What a request begins with, in capitals only because it begins.
_REQUESTS = frozenset(
    "answer ask build classify collect create describe determine explain extract fill find get "
    "generate give identify list look make name output parse produce provide read report retrieve "
    "return say show state summarise summarize tell use write".split()
)
_TITLES = frozenset(("name", "full name", "title"))
_WHO = re.compile(r"\s*(?:who(?:se)?|which)\b(?:\s+(?:is|was|are|were)\b)?\s*", re.IGNORECASE)


@dataclass(frozen=True)
class Wording:
    """What is asked about, on the way from the outermost object to a field.

    Attributes:
        message: the user's.
        alone: the schema has one field, so that the message is the question.
        names: of the fields on the way, in words, the outermost first.
        description: of the last one.
        subject: what it is all about; None: what the message names.
    """

    message: str
    alone: bool
    names: tuple[str, ...] = ()
    description: str = ""
    subject: str | None = None

    def of(self, name: str, schema: Mapping[str, Any]) -> Wording:
        """A field of what this is."""
        described = schema.get("description", "")
        described = described.strip() if isinstance(described, str) else ""
        called = _as_name(described) or words(name)
        return replace(self, names=(*self.names, called), description=described)

    def of_items(self, key: str) -> Wording:
        """A field of all objects of a list; by their names a list is asked for as such."""
        return self if is_title(key) else self.of(key, {})

    def about(self, subject: str) -> Wording:
        """What is asked about an object that has a name."""
        return replace(self, names=(), description="", subject=subject)

    @property
    def named(self) -> str | None:
        """What it is about, as far as it has a name."""
        return self.subject or subject_of(self.message)

    @property
    def seeks_a_name(self) -> bool:
        """Whether the message asks who or which something is: "Who is the mayor of Brelin?", but
        not "Who is Maren Tolva?"."""
        match = _WHO.match(self.message)
        if match is None:
            return False
        rest = self.message[match.end() :]
        # Letters from the end, because a regex would look for it from each sign before.
        end = next((at for at in range(len(rest), 0, -1) if _LETTER.match(rest[at - 1])), 0)
        return rest[:end] != self.named

    def question(self, several: bool = False) -> str:
        """In words.

        Args:
            several: it may have more than one answer.
        """
        if self.alone or not self.names:
            return self.message
        if self.description.endswith("?"):
            return self.description
        subject = self.named
        first, _, rest = self.names[-1].partition(" ")
        if subject and rest and first in _PREDICATES:
            return f"{_PREDICATES[first]} {subject} {rest}?"
        what = " of the ".join(reversed(self.names))
        verb = "are" if several else "is"
        if subject:
            return f"What {verb} the {what} of {subject}?"
        said = self.message.strip()
        end = "" if said[-1:] in ".!?:" else "."
        return f"{said}{end} What {verb} the {what}?"


def _as_name(description: str) -> str | None:
    """A description that names a field, such as "Date of birth"; None if it says more or less."""
    parts = description.rstrip(".").lower().split()
    plain = all(part in _JOINING or not is_function_word(part) for part in parts)
    if not 0 < len(parts) <= _LONGEST_NAME or not plain or not "".join(parts).isalpha():
        return None
    return " ".join(parts)


def is_title(name: str) -> bool:
    """Whether a field is the name of what its object is."""
    return words(name) in _TITLES


def words(name: str) -> str:
    """A field's name in words: `birthYear` and `birth_year` are "birth year"."""
    return _CAMEL.sub(" ", name).replace("_", " ").replace("-", " ").strip().lower()


def subject_of(message: str) -> str | None:
    """The longest name in a message; None if it has none."""
    found = []
    for match in _NAMES.finditer(message):
        text = match.group().rstrip(".'’-")
        begins = not message[: match.start()].strip(" \n\t\"'“(") or (
            message[: match.start()].rstrip()[-1:] in ".!?:\n"
        )
        if begins:  # the first word of a sentence has a capital anyway
            first, _, rest = text.partition(" ")
            text = rest if not rest or _says_little(first) else text
        if text and not _says_little(text):
            found.append(text)
    return max(found, key=len, default=None)


def _says_little(word: str) -> bool:
    return is_function_word(word) or word.casefold() in _REQUESTS
