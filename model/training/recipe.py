"""A training recipe: the model's shape, the texts, and the phases in order."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import yaml

from model.config import ModelConfig
from model.errors import InvalidInputError
from model.training.precision import Precision


@dataclass(frozen=True, kw_only=True)
class LanguagePhase:
    """Plain causal language modelling with recall inside the context."""

    name: str
    task: Literal["language"]
    tokens: int
    batch: int = 16
    length: int = 256
    text: float = 0.25  # shares of the batch: real text,
    repeat: float = 0.25  # a span and its copy; the rest are facts and questions
    interleaved: float = 0.0  # facts each asked once, soon after they are stated
    matrix_lr: float = 0.02
    other_lr: float = 3e-3
    last_lr: float = 0.1  # share of the rates left at the end


@dataclass(frozen=True, kw_only=True)
class MemoryPhase:
    """Write documents into rows, answer from rows alone, retrieve blocks."""

    name: str
    task: Literal["memory"]
    tokens: int
    documents: int = 12  # fresh documents a step, written with gradients
    chunks: tuple[int, ...] = (1, 2)  # chunks of a fresh document
    short: float = 0.25  # share of the steps with chunks of a sentence or two
    questions: int = 4  # per document, at most
    pool_blocks: tuple[int, ...] = (0,)  # detached blocks around the fresh ones
    negatives: int = 0  # bank blocks the retriever must tell apart, beside the batch's own
    retrieved: tuple[int, ...] = (0,)  # detached blocks that stand beside the relevant one
    real: float = 0.08  # shares of the documents: passages with real questions,
    recall: float = 0.06  # text to be recalled word by word,
    following: float = 0.0  # text of which what comes next is to be foretold; the rest are facts
    retriever_weight: float = 0.3
    matrix_lr: float = 0.01
    other_lr: float = 1e-3
    last_lr: float = 0.1


@dataclass(frozen=True, kw_only=True)
class Recipe:
    name: str
    seed: int
    model: ModelConfig
    corpus: dict[str, int]  # parquet file → characters taken from it
    phases: tuple[LanguagePhase | MemoryPhase, ...]
    save_every_minutes: float = 4.0
    questions: tuple[str, ...] = field(default=())  # real questions: jsonl files
    plant_induction: bool = False  # start with a recall circuit, see induction.py
    start: str | None = None  # begin with the weights and the tokenizer of this checkpoint folder
    precision: Precision = "auto"

    @classmethod
    def load(cls, path: Path) -> Recipe:
        """Read a YAML recipe.

        Raises:
            InvalidInputError: a field is unknown, missing or of the wrong kind.
        """
        try:
            raw = yaml.safe_load(path.read_text())
            phases = tuple(_phase(p) for p in raw.pop("phases"))
            model = ModelConfig.from_dict(raw.pop("model"), str(path))
            questions = tuple(raw.pop("questions", ()))
            return cls(model=model, phases=phases, questions=questions, **raw)
        except (OSError, yaml.YAMLError, TypeError, KeyError, AttributeError) as error:
            raise InvalidInputError(f"{path} is not a training recipe: {error}") from error


def _phase(raw: dict[str, Any]) -> LanguagePhase | MemoryPhase:
    values: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in raw.items()}
    if values.get("task") == "language":
        return LanguagePhase(**values)
    if values.get("task") == "memory":
        return MemoryPhase(**values)
    raise KeyError(f"task {values.get('task')!r}, expected 'language' or 'memory'")
