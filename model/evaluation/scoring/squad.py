"""How right an answer is: exact match, F1 and answer-in-output as SQuAD scores them.

Rajpurkar et al. 2016, and their evaluation script: lower case, no ASCII punctuation, no articles,
one space between words; the best of several right answers counts.
"""

from __future__ import annotations

import re
import string
import unicodedata
from collections import Counter
from collections.abc import Sequence

from mplus_ray.model.evaluation.scoring.bm25 import words

_NO_PUNCTUATION = str.maketrans("", "", string.punctuation)
_ARTICLES = re.compile(r"\b(a|an|the)\b")


def normalize(text: str) -> str:
    """The text as the script compares it; one that would be empty stays, for "The" and "!" are
    answers too."""
    text = unicodedata.normalize("NFC", text).lower()
    plain = _ARTICLES.sub(" ", text.translate(_NO_PUNCTUATION))
    return " ".join(plain.split()) or " ".join(text.split())


def exact_match(output: str, answers: Sequence[str]) -> bool:
    """Whether the output is one of the answers."""
    said = normalize(output)
    return any(said == normalize(answer) for answer in answers)


def f1(output: str, answers: Sequence[str]) -> float:
    """Harmonic mean of precision and recall of words, for the answer that fits best."""
    return max(_f1(normalize(output).split(), normalize(answer).split()) for answer in answers)


def holds(text: str, answers: Sequence[str]) -> bool:
    """Whether one of the answers stands in a text, as whole words, whatever is between them."""
    said = _spaced(text)
    wanted = (_spaced(answer) for answer in answers)
    return any(answer.strip() and answer in said for answer in wanted)


def _spaced(text: str) -> str:
    return f" {' '.join(words(unicodedata.normalize('NFC', text)))} "


def _f1(said: list[str], wanted: list[str]) -> float:
    common = sum((Counter(said) & Counter(wanted)).values())
    if common == 0:
        return float(said == wanted)
    precision, recall = common / len(said), common / len(wanted)
    return 2 * precision * recall / (precision + recall)
