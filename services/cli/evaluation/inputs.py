"""What the commands of `mplus eval` are given, and how far they are."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mplus_ray.model.errors import InvalidInputError

if TYPE_CHECKING:
    from mplus_ray.model import MPlus
    from mplus_ray.model.evaluation.data.passages import Cut
    from mplus_ray.model.evaluation.data.telling import Advance, Chunk
    from mplus_ray.model.evaluation.data.text import RunningText

_DOCUMENTS = Path(__file__).parents[3] / "deploy" / "demo" / "documents"
# By an author and of a series that `model.training.data.text` holds out, so no recipe trains on
# them.
HELD_OUT = (_DOCUMENTS / "anna" / "bartleby.txt", _DOCUMENTS / "bruno" / "pep-0008.txt")
# The questions that ship are about those two, so that other texts stand between.
BETWEEN = (_DOCUMENTS / "anna" / "sleepy-hollow.txt", _DOCUMENTS / "bruno" / "pep-0484.txt")


def load_model(checkpoint: str | None) -> MPlus:
    from mplus_ray.model.evaluation.loading import load
    from mplus_ray.services.settings import Settings

    return load(Settings.read(checkpoint=checkpoint).checkpoint)


def cutter(mplus: MPlus) -> Cut:
    """As documents are cut when they are ingested."""
    from mplus_ray.model.evaluation.data.telling import Chunk
    from mplus_ray.pipeline.chunking.chunker import chunk_document
    from mplus_ray.pipeline.chunking.headers import Headings

    def cut(text: str) -> list[Chunk]:
        spans = chunk_document(text, Headings(""), mplus.tokenizer)
        pieces = (text[span.start : span.end] for span in spans)
        return [Chunk(piece, mplus.tokenizer.encode(piece)) for piece in pieces]

    return cut


def running_text(mplus: MPlus, paths: list[Path] | None, default: tuple[Path, ...]) -> RunningText:
    from mplus_ray.model.evaluation.data.text import RunningText

    return RunningText.read(paths or list(default), mplus.tokenizer)


def to_distances(tokens: str) -> list[int]:
    parts = [part.strip().replace("_", "") for part in tokens.split(",")]
    if not all(part.isascii() and part.isdigit() for part in parts):
        raise InvalidInputError(
            f"--tokens {tokens} is not a list of whole numbers such as 0,20000,160000"
        )
    return sorted({int(part) for part in parts})


def memories(room: int) -> list[int]:
    """The usual lengths of memory that a text is long enough for."""
    return [length for length in (0, 2_000, 16_000, 64_000) if length <= max(room, 0)]


def check_plot(plot: Path | None) -> None:
    if plot is not None:
        from mplus_ray.model.evaluation.plots import check

        check(plot)


@contextmanager
def progress(what: str, tokens: int) -> Iterator[Advance]:
    """A bar on standard error over the tokens that are memorized; the questions come between.
    Where that is no terminal, a line now and then."""
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
    from rich.progress import TimeRemainingColumn as Remaining

    from mplus_ray.services.cli.output import stderr
    from mplus_ray.services.cli.progress import ProgressLines

    console, done = stderr(), 0
    lines = ProgressLines(console)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed:,.0f} of about {task.total:,.0f} tokens"),
        TimeElapsedColumn(),
        Remaining(),
    )
    with Progress(*columns, console=console) as bar:
        task = bar.add_task(what, total=tokens)

        def advance(memorized: int) -> None:
            nonlocal done
            done += memorized
            bar.advance(task, memorized)
            lines.say(f"{what}: {done:,} of about {tokens:,} tokens")

        yield advance
        bar.update(task, total=bar.tasks[0].completed)


def setting_of(mplus: MPlus, seed: int, **others: Any) -> dict[str, Any]:
    """What a figure depends on."""
    return {"fingerprint": mplus.fingerprint, "seed": seed, **others}
