"""`train`: a recipe, a folder of texts and a folder for the run."""

from __future__ import annotations

import os
import shutil
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from tokenizers import Tokenizer

from mplus_ray.model.checkpoint.backbone import copy_tokenizer
from mplus_ray.model.checkpoint.hub import find_checkpoint
from mplus_ray.model.errors import InvalidInputError
from mplus_ray.model.generation.tokenizer import TextTokenizer
from mplus_ray.model.network.allocator import keep_freed_memory
from mplus_ray.model.training.data.continuing import Continuing
from mplus_ray.model.training.data.documents import Documents
from mplus_ray.model.training.data.packs import Packs
from mplus_ray.model.training.data.passages import load_reading
from mplus_ray.model.training.data.questions import load_passages
from mplus_ray.model.training.data.text import Corpus, answer_end, prepare
from mplus_ray.model.training.export import export
from mplus_ray.model.training.loop import saves
from mplus_ray.model.training.loop.loop import Keep, Trainer
from mplus_ray.model.training.loop.parallel import Group
from mplus_ray.model.training.network.initial import open_whole
from mplus_ray.model.training.phases.language import LanguageTask
from mplus_ray.model.training.phases.memory import MemoryTask
from mplus_ray.model.training.phases.reading import ReadingTask
from mplus_ray.model.training.reading_phase import ReadingPhase
from mplus_ray.model.training.recipe import LanguagePhase, Phase, Recipe
from mplus_ray.model.training.task import Task
from mplus_ray.model.training.validation.held_out import Validation
from mplus_ray.model.training.validation.reading import HeldOutReading

CHECKPOINT = "checkpoint"  # what becomes of a run, in its folder
_DRAWERS = 8  # at most, for a GPU


@dataclass(frozen=True)
class TrainingOrder:
    """What is to be trained.

    Attributes:
        data: folder with the parquet and jsonl files that the recipe names.
        out: the run's folder; all workers see it.
        device: "cpu", "cuda", …; None: a GPU if there is one.
        steps: of every phase at most; None: all that the recipe wants.
        minutes: after which it saves and stops, to be resumed; None: it goes on to the end.
        drawers: processes that draw batches ahead, 0: this one draws them; None: as many as a
            GPU is kept busy by, and none on a CPU. The batches are the same.
        recipe: a file, or the name of one that ships.
        resume: go on from what is in `out`.
    """

    recipe: Recipe
    data: Path
    out: Path
    device: str | None = None
    resume: bool = False
    steps: int | None = None
    drawers: int | None = None
    minutes: float | None = None

    def drawers_of(self, device: torch.device) -> int:
        """Processes that draw batches ahead of a worker on this device."""
        if self.drawers is not None:
            return self.drawers
        if device.type == "cpu":
            return 0  # the arithmetic wants all cores
        cores = len(os.sched_getaffinity(0)) // max(1, torch.cuda.device_count())
        return max(0, min(_DRAWERS, cores - 1))  # one is for the worker itself

    def device_of(self, rank: int = 0) -> torch.device:
        """Where the worker of this rank on its machine trains."""
        name = self.device or ("cuda" if torch.cuda.is_available() else "cpu")
        if name == "cuda":
            name = f"cuda:{rank % max(1, torch.cuda.device_count())}"
        return torch.device(name)


def train(order: TrainingOrder) -> bool:
    """Train in this process. False if it was asked to stop before the end (SIGTERM, Ctrl-C): what
    it had is saved, to be resumed."""
    make_ready(order)
    trainer = open_trainer(order, Group(), order.device_of())
    if order.resume:
        trainer.resume(order.out)
    with _stopping(trainer):
        trainer.run(tasks_of(order))
    if not trainer.stopping:
        export(order.recipe, order.out, order.out / CHECKPOINT)
    return not trainer.stopping


def make_ready(order: TrainingOrder) -> None:
    """Make the run's folder, its tokenizer and its texts, once for all workers.

    Raises:
        InvalidInputError: the folder holds a run already, or a text or the checkpoint to start
            from is missing.
    """
    recipe, out = order.recipe, order.out
    if not order.resume and (out / saves.STATE).exists():
        raise InvalidInputError(
            f"{out} holds a run; go on with it by --resume, or name another folder"
        )
    wanted = (*recipe.corpus, *recipe.questions, *(one.file for one in recipe.reading))
    missing = [name for name in wanted if not (order.data / name).exists()]
    if missing:
        raise InvalidInputError(f"{order.data} lacks {', '.join(missing)}, which the recipe names")
    own = recipe.start is not None and recipe.backbone is None
    begun = _tokenizer_of(Path(str(recipe.start))) if own else None
    out.mkdir(parents=True, exist_ok=True)
    if not order.resume:
        (out / "losses.csv").unlink(missing_ok=True)
        if begun is not None:
            shutil.copyfile(begun, out / "tokenizer.json")
        if recipe.backbone is not None:
            copy_tokenizer(find_checkpoint(recipe.backbone), out)
    prepare(order.data, recipe.corpus, recipe.model.vocab_size, out)


def open_trainer(
    order: TrainingOrder, group: Group, device: torch.device, keep: Keep | None = None
) -> Trainer:
    """One worker's trainer, at the beginning of the run."""
    recipe, out = order.recipe, order.out
    if device.type == "cpu":
        keep_freed_memory()
    validation = _validation(order)
    whole = open_whole(recipe, device, group)
    drawers = order.drawers_of(device)
    limits = order.steps, drawers, order.minutes
    return Trainer(recipe, whole, out, group, keep, validation, *limits)


def _validation(order: TrainingOrder) -> Validation:
    recipe, tokenizer, reading = order.recipe, _tokenizer(order), None
    reads = any(isinstance(phase, ReadingPhase) for phase in recipe.phases)
    if reads and any(one.held_out for one in recipe.reading):
        held_out = load_reading(order.data, recipe.reading, held_out=True)
        words, end = TextTokenizer.load(order.out), answer_end(recipe.model, tokenizer)
        reading = HeldOutReading(recipe, words, held_out, end)
    return Validation(recipe, tokenizer, Corpus.open(order.out / "held_out.npy"), reading)


def tasks_of(order: TrainingOrder) -> Callable[[Phase], Task]:
    """What makes the task of a phase."""
    recipe = order.recipe
    tokenizer, corpus = _tokenizer(order), Corpus.open(order.out / "corpus.npy")
    passages = load_passages([order.data / name for name in recipe.questions], tokenizer)
    read = load_reading(order.data, recipe.reading, held_out=False) if recipe.reading else []
    words, end = TextTokenizer.load(order.out), answer_end(recipe.model, tokenizer)

    def task_of(phase: Phase) -> Task:
        if isinstance(phase, LanguagePhase):
            return LanguageTask(phase, tokenizer, corpus)
        if isinstance(phase, ReadingPhase):
            packs = Packs(phase, recipe.model, words, read, end, corpus)
            return ReadingTask(phase, packs, recipe.model.first_rows)
        shares = phase.real, phase.recall, phase.following
        documents = Documents(tokenizer, corpus, passages, *shares)
        return MemoryTask(phase, recipe.model, Continuing(documents, phase.continuing))

    return task_of


def _tokenizer_of(start: Path) -> Path:
    path = start / "tokenizer.json"
    if not path.is_file():
        raise InvalidInputError(
            f"the recipe starts from {start}, and there is no {path.name} in it; run this where "
            "that path leads to a checkpoint, or put another into the recipe"
        )
    return path


def _tokenizer(order: TrainingOrder) -> Tokenizer:
    return prepare(order.data, order.recipe.corpus, order.recipe.model.vocab_size, order.out)


@contextmanager
def _stopping(trainer: Trainer) -> Iterator[None]:
    """SIGTERM and Ctrl-C let the step under way finish, and save."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(number: int, frame: object) -> None:
        trainer.stopping = True

    before = {s: signal.signal(s, stop) for s in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
