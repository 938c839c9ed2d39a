"""Real questions whose answer stands in their passage, as tokens."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

from tokenizers import Tokenizer

from mplus_ray.model.training.data.text import answer_ids, question_ids

_LONGEST_ANSWER = 40  # characters; longer ones are paraphrase, not recall
_HELD_OUT_TITLES = 4


@dataclass(frozen=True)
class TrainingPassage:
    """A passage and its questions: (prompt ids, answer ids, token where the answer stands).

    Attributes:
        ids: its tokens.
        questions: of each the prompt, the answer, and where in `ids` that stands.
    """

    ids: list[int]
    questions: list[tuple[list[int], list[int], int]]


def is_held_out_title(title: str) -> bool:
    """Whole articles and stories are kept apart."""
    digest = hashlib.sha256(title.encode()).digest()
    return int.from_bytes(digest[:4], "big") % _HELD_OUT_TITLES == 0


def load_passages(paths: list[Path], tokenizer: Tokenizer) -> list[TrainingPassage]:
    """Passages of jsonl files with context, question and answers, in file order.

    Of every file one title in `_HELD_OUT_TITLES` is left out, to be asked about in evaluation.
    """
    passages: dict[str, TrainingPassage] = {}
    offsets: dict[str, list[tuple[int, int]]] = {}
    for path in paths:
        for line in path.read_text().splitlines():
            row = json.loads(line)
            context = row["context"]
            if is_held_out_title(row["title"]):
                continue
            answer = next((a for a in row["answers"] if a in context), None)
            if answer is None or not 0 < len(answer) <= _LONGEST_ANSWER:
                continue
            if context not in passages:
                encoded = tokenizer.encode(context)
                passages[context] = TrainingPassage(encoded.ids, [])
                offsets[context] = encoded.offsets
            where = context.index(answer)
            token = next(i for i, (_, end) in enumerate(offsets[context]) if end > where)
            prompt = question_ids(tokenizer, row["question"].strip())
            passages[context].questions.append((prompt, answer_ids(tokenizer, answer), token))
    return list(passages.values())
