"""What a recipe says of a reading phase, and of the questions that are asked in it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from mplus_ray.model.errors import InvalidInputError

_SHARES = (
    "alone",
    "hard",
    "unanswerable",
    "headers",
    "facts",
    "yes_no",
    "numbers",
    "prompt",
    "text",
)


@dataclass(frozen=True, kw_only=True)
class ReadingPhase:
    """Answer from blocks that were encoded apart (Block-Attention, arXiv 2409.15355).

    A pack is a sequence of blocks, each read right after the start rows and apart from the others,
    and of questions that see some of the blocks, as retrieval would put them before an answer. It
    is for models whose rows are inputs (`ModelConfig.rows`).

    Attributes:
        name: of the phase; its batches depend on it.
        tokens: budget, of blocks, questions and answers.
        batch: packs of a step.
        pack: tokens of a pack, about.
        passages: how many passages of one title stand in a pack, one of these numbers.
        questions: of one passage, at most.
        alone: share of the questions that see the block with the answer and no other.
        distractors: how many blocks the others see beside it, one of these numbers.
        hard: share of those blocks that are of the same title, where there are such.
        unanswerable: share of the questions that see other blocks only; the answer is `refusal`.
        refusal: what is said where the blocks do not say it.
        headers: share of the passages whose blocks begin with their title.
        facts: share of the passages into which facts about invented entities are strewn.
        yes_no: share of the questions about those that want a yes or a no.
        numbers: share of the questions that are drawn among those of a number or a date.
        prompt: share of the questions about several blocks that are asked a second time with the
            same blocks in one prompt, which is what reading apart is to come up to.
        divergence: weight of the divergence from the answers given there (KL, in nats a token).
        text: share of the tokens that are running text, so that reading on is not forgotten.
        text_weight: of the loss on it, against the answers'.
        matrix_lr: rate of Muon; adapters have nothing for it.
        other_lr: rate of AdamW, which adapters and start rows are trained by.
        last_lr: share of the rates left at the end.
        task: `reading`.
    """

    name: str
    task: Literal["reading"]
    tokens: int
    batch: int = 1
    pack: int = 800
    passages: tuple[int, ...] = (1, 2, 2, 3)
    questions: int = 6
    alone: float = 0.35
    distractors: tuple[int, ...] = (1, 1, 2)
    hard: float = 0.7
    unanswerable: float = 0.12
    refusal: str = "not said"
    headers: float = 0.7
    facts: float = 0.0
    yes_no: float = 0.0
    numbers: float = 0.0
    prompt: float = 0.0
    divergence: float = 0.0
    text: float = 0.0
    text_weight: float = 0.2
    matrix_lr: float = 0.01
    other_lr: float = 5e-4
    last_lr: float = 0.1

    def __post_init__(self) -> None:
        wrong = [f"{n} is {getattr(self, n)}" for n in _SHARES if not 0 <= getattr(self, n) <= 1]
        if self.alone + self.unanswerable > 1:
            wrong.append(f"alone and unanswerable are {self.alone + self.unanswerable} together")
        if self.text == 1:
            wrong.append("text is 1, which leaves nothing to ask")
        if wrong:
            raise InvalidInputError(
                f"phase {self.name}: shares go from 0 to 1, but {'; '.join(wrong)}"
            )
        least = {"batch": 1, "pack": 64, "questions": 1, "tokens": 0}
        few = [f"{n} is {getattr(self, n)}" for n, low in least.items() if getattr(self, n) < low]
        few += ["passages has a number below 1"] * (min(self.passages, default=0) < 1)
        few += ["distractors has a number below 0"] * (min(self.distractors, default=-1) < 0)
        if few:
            raise InvalidInputError(f"phase {self.name}: {'; '.join(few)}")


@dataclass(frozen=True, kw_only=True)
class QuestionFile:
    """Real questions for reading phases: JSON lines with title, context, question and answers.

    Attributes:
        file: its name in the data folder.
        share: how often passages of it are drawn, against the other files'.
        held_out: one title in so many is never trained on, and asked in validation; 0: none, 1:
            all of them.
    """

    file: str
    share: float = 1.0
    held_out: int = 0

    def __post_init__(self) -> None:
        if self.share < 0 or self.held_out < 0:
            raise InvalidInputError(f"{self.file}: share and held_out are numbers from 0 on")
