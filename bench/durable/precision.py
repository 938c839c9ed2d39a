"""What storing rows in fewer bits changes: which rows are retrieved, the logits, the answers."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from mplus_ray.bench.fixture import Library
from mplus_ray.model import MPlus
from mplus_ray.model.generation.prompt import question_prompt
from mplus_ray.model.generation.read_pass import begin
from mplus_ray.model.generation.reading import Reading
from mplus_ray.model.memory.memory import Memory

# Of the demo's documents; the answers of two memories are compared with each other.
QUESTIONS = (
    "Where was Maren Tolva born?",
    "What does Maren Tolva work as?",
    "How old is Pavel Strand?",
    "Which instrument does Pavel Strand play?",
    "In which room does Ilse Corbin stay?",
    "What is Hugo Vannis allergic to?",
    "Who bought Canterville Chase?",
    "What is the name of Ichabod Crane's horse?",
    "Where was Nadia Kelm born?",
    "Which animal does Nadia Kelm keep?",
    "Who is married to Greta Sorn?",
    "When is the appointment of Otto Brandt?",
    "Which day does Otto Brandt have off?",
    "What is the capital of Iceland?",
    "What is the highest point of Kenya?",
    "What is the maximum length of a line of Python code?",
)
_REFERENCE = "float32"


def measure_precision(model: MPlus, library: Library, steps: int) -> dict[str, Any]:
    """bfloat16 and int8 against rows that are not rounded, and int8 against bfloat16.

    One forward pass a step makes the rows of all three: writing never reads a stored row.
    """
    memories = _memorize(model, library, steps)
    read = {name: _read(model, memory) for name, memory in memories.items()}
    pairs = (("bfloat16", _REFERENCE), ("int8", _REFERENCE), ("int8", "bfloat16"))
    return {
        "steps": steps,
        "questions": len(QUESTIONS),
        "retrieval": model.config.retrieval,
        **{f"{a}_against_{b}": _compare(read[a], read[b]) for a, b in pairs},
    }


def _memorize(model: MPlus, library: Library, steps: int) -> dict[str, Memory]:
    memories = {
        name: model.empty_memory(precision=name) for name in (_REFERENCE, "bfloat16", "int8")
    }
    # Short pieces first: those about people are short, and the questions are about them.
    texts = [
        document.text[span.start : span.end]
        for document, spans in sorted(library.pieces, key=lambda piece: len(piece[1]))
        for span in spans
    ]
    for text in texts[:steps]:
        some = next(iter(memories.values()))
        ids = model.tokenizer.encode(text)
        ((writer_state, rows),) = model.write_steps([some.writer_state], [ids])
        memories = {name: memory.append(writer_state, rows) for name, memory in memories.items()}
    return memories


def _read(model: MPlus, memory: Memory) -> list[tuple[Reading, torch.Tensor, str]]:
    """Each question's reading, first logits and answer."""
    view = model.view(memory)
    prompts = [
        torch.tensor(question_prompt(model.tokenizer, model.config, question))
        for question in QUESTIONS
    ]
    texts = [a.text for q in QUESTIONS for a in model.ask_many([view], [q], max_tokens=16)]
    found = []
    for prompt, text in zip(prompts, texts, strict=True):
        (reading,), (logits,) = begin(model.networks.reader, [view], [prompt])
        found.append((reading, logits[-1], text))
    return found


def _compare(
    ours: list[tuple[Reading, torch.Tensor, str]],
    theirs: list[tuple[Reading, torch.Tensor, str]],
) -> dict[str, Any]:
    rows, logits, rounding, spread, tokens, answers, best = ([] for _ in range(7))
    for (a, x, said), (b, y, expected) in zip(ours, theirs, strict=True):
        kept = sum(len(np.intersect1d(p, q)) for p, q in zip(a.retrieved, b.retrieved, strict=True))
        rows.append(kept / max(1, sum(len(q) for q in b.retrieved)))
        difference = float((x - y).abs().max())
        logits.append(difference)
        if rows[-1] == 1.0:
            rounding.append(difference)
        spread.append(float(y.max() - y.median()))
        tokens.append(bool(x.argmax() == y.argmax()))
        answers.append(said == expected)
        assert a.votes is not None
        assert b.votes is not None
        best.append(bool(a.votes.argmax() == b.votes.argmax()))
    return {
        "same_rows": float(np.mean(rows)),
        "same_rows_worst": min(rows),
        "same_best_block": float(np.mean(best)),
        "largest_logit_difference": max(logits),
        "questions_with_the_same_rows": len(rounding),
        "largest_logit_difference_of_those": max(rounding, default=None),
        "median_of_largest_logit_less_median": float(np.median(spread)),
        "same_first_token": float(np.mean(tokens)),
        "same_answer": float(np.mean(answers)),
    }
