"""`mplus eval`: what a checkpoint remembers, finds and knows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from model.errors import InvalidInputError
from services.options import CheckpointOption, JsonOption

if TYPE_CHECKING:
    from model import MPlus
    from model.evaluation.passages import Cut, Logs, Plan
    from model.evaluation.plots import Curve
    from model.evaluation.quick import Texts
    from model.evaluation.telling import Advance, Chunk
    from model.evaluation.text import RunningText
    from model.training.facts import Unseen

app = typer.Typer(
    help="Measure what a checkpoint remembers, finds and knows.", no_args_is_help=True
)

_DOCUMENTS = Path(__file__).parents[1] / "deploy" / "demo" / "documents"
# By an author and of a series that `model.training.text` holds out, so no recipe trains on them.
_HELD_OUT = (_DOCUMENTS / "anna" / "bartleby.txt", _DOCUMENTS / "bruno" / "pep-0008.txt")
# The questions that ship are about those two, so that other texts stand between.
_BETWEEN = (_DOCUMENTS / "anna" / "sleepy-hollow.txt", _DOCUMENTS / "bruno" / "pep-0484.txt")

TextOption = Annotated[
    list[Path] | None,
    typer.Option(
        "--text",
        metavar="FILE",
        help="Other text to tell: text, Parquet (only authors that training holds out) or .npy "
        "of token ids; may be given again. By default documents of the repository that training "
        "holds out, from their start again where they end.",
        show_default=False,
    ),
]
DataOption = Annotated[
    Path | None,
    typer.Option(
        "--data",
        metavar="FILE.jsonl",
        help="Questions: an object a line with title, context, question and answers. By default "
        "the few that ship.",
        show_default=False,
    ),
]
LimitOption = Annotated[
    int,
    typer.Option(
        "--limit", metavar="N", help="At most so many questions, drawn by the seed; 0: all.", min=0
    ),
]
SeedOption = Annotated[int, typer.Option("--seed", help="Of everything that is drawn.", min=0)]
TenantsOption = Annotated[
    int, typer.Option("--tenants", help="That share what is asked about.", min=1)
]
PlotOption = Annotated[
    Path | None,
    typer.Option(
        "--plot", metavar="FILE.png", help="Draw it (needs matplotlib).", show_default=False
    ),
]


@app.callback()
def evaluate() -> None:
    """Evaluations; every share comes with bounds that hold the true one with 95 %."""


@app.command("retention")
def eval_retention(
    tokens: Annotated[
        str, typer.Option(metavar="N,…", help="Tokens of other text before the question.")
    ] = "0,20000,160000",
    questions: Annotated[int, typer.Option(help="Invented facts, one question each.", min=1)] = 300,
    told: Annotated[
        str,
        typer.Option(
            help="How a fact is told: in prose (a chunk of text around it), as one sentence, or "
            "as an update of an earlier one.",
            metavar="prose|sentence|update",
        ),
    ] = "prose",
    unseen: Annotated[
        str,
        typer.Option(
            help="Whose phrasings training never saw: the questions', or everything's (the "
            "statements' too).",
            metavar="questions|everything",
        ),
    ] = "questions",
    text: TextOption = None,
    tenants: TenantsOption = 4,
    limit: LimitOption = 0,
    checkpoint: CheckpointOption = None,
    seed: SeedOption = 0,
    json: JsonOption = None,
    plot: PlotOption = None,
) -> None:
    """Invented facts, so many tokens of other text, then the questions; M+, the pool alone
    (MemoryLLM) and no memory."""
    from model.evaluation.facts import WAYS
    from model.evaluation.plots import Curve
    from model.evaluation.retention import Plan, retention

    if told not in WAYS:
        raise InvalidInputError(f"--told {told} is unknown; there are {', '.join(WAYS)}")
    count = min(questions, limit or questions)
    if unseen not in ("questions", "everything"):
        raise InvalidInputError(f"--unseen {unseen} is unknown; give questions or everything")
    plan = Plan(_distances(tokens), count, min(tenants, count), told, seed, cast("Unseen", unseen))
    _check_plot(plot)
    mplus = _load(checkpoint)
    running = _running_text(mplus, text, _HELD_OUT)
    with _progress("retention", plan.tokens(mplus.config.chunk_tokens)) as advance:
        result = retention(mplus, running, plan, advance)
    settings = _settings(
        mplus, seed, text=running.source, tenants=plan.tenants, told=told, unseen=unseen
    )
    settings["text_tokens"] = len(running)
    _arms_out(
        result | {"settings": settings},
        json,
        plot,
        Curve("exact", "low", "high", "exact match"),
        "What is still known",
    )


@app.command("qa")
def eval_qa(
    data: DataOption = None,
    tokens: Annotated[
        str, typer.Option(metavar="N,…", help="Tokens of other passages before the question.")
    ] = "0,20000",
    text: TextOption = None,
    tenants: TenantsOption = 4,
    limit: LimitOption = 300,
    checkpoint: CheckpointOption = None,
    seed: SeedOption = 0,
    json: JsonOption = None,
    plot: PlotOption = None,
) -> None:
    """Real questions: exact match, F1 and answer-in-output of M+, of the same model with the
    passage in its prompt, with nothing, and with BM25 passages in its prompt."""
    from model.evaluation.plots import Curve
    from model.evaluation.qa import qa

    result = _on_passages("qa", qa, data, tokens, text, tenants, limit, checkpoint, seed, plot)
    curve = Curve("f1", "f1_low", "f1_high", "F1")
    _arms_out(result, json, plot, curve, "Questions on passages")


@app.command("citations")
def eval_citations(
    data: DataOption = None,
    tokens: Annotated[
        str, typer.Option(metavar="N,…", help="Tokens of other passages before the question.")
    ] = "0,20000",
    text: TextOption = None,
    tenants: TenantsOption = 4,
    limit: LimitOption = 300,
    checkpoint: CheckpointOption = None,
    seed: SeedOption = 0,
    json: JsonOption = None,
    plot: PlotOption = None,
) -> None:
    """Whether the passage with the answer is the first, or among the first three, that the
    retriever names; beside BM25 over the same passages."""
    from model.evaluation.citations import citations
    from model.evaluation.plots import Curve

    result = _on_passages(
        "citations", citations, data, tokens, text, tenants, limit, checkpoint, seed, plot
    )
    _arms_out(result, json, plot, Curve("hit@1", "hit@1_low", "hit@1_high", "hit@1"), "Citations")


@app.command("abstention")
def eval_abstention(
    data: Annotated[
        Path | None,
        typer.Option(
            "--data",
            metavar="FILE.jsonl",
            help="Questions: an object a line with title, context, question and answers. By "
            "default invented facts.",
            show_default=False,
        ),
    ] = None,
    tokens: Annotated[
        int,
        typer.Option(metavar="N", help="Tokens of other text between telling and asking.", min=0),
    ] = 0,
    text: TextOption = None,
    limit: LimitOption = 300,
    save: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.json",
            help="Write the fitted confidence there: CHECKPOINT/confidence.json ships it.",
            show_default=False,
        ),
    ] = None,
    checkpoint: CheckpointOption = None,
    seed: SeedOption = 0,
    json: JsonOption = None,
    plot: PlotOption = None,
) -> None:
    """Whether a confidence tells what was memorized from what never was: area under the ROC
    curve, chosen on one half of the documents and measured on the other."""
    from model.evaluation.abstention import After, abstention
    from model.evaluation.plots import draw_roc
    from model.evaluation.questions import draw, read_questions
    from model.evaluation.quick import fact_documents
    from model.evaluation.telling import Document
    from services.output import human, write_json
    from services.show_eval import abstention_line

    _check_plot(plot)
    if save is not None and not save.absolute().parent.is_dir():
        raise InvalidInputError(f"--save {save}: there is no folder {save.absolute().parent}")
    passages = draw(read_questions(data), limit or None, Random(seed)) if data else []
    mplus = _load(checkpoint)
    running, cut = _running_text(mplus, text, _HELD_OUT), _cut(mplus)
    if data is None:
        documents = fact_documents(mplus, running, limit or 300, seed)
        source = f"invented facts in {running.source}"
    else:
        documents = [Document(cut(passage.context), passage.questions) for passage in passages]
        source = data.name
    total = sum(len(chunk.ids) for document in documents for chunk in document.chunks)
    after = After(running, tokens) if tokens else None
    with _progress("abstention", total + 2 * tokens) as advance:
        result, confidence = abstention(mplus, documents, seed, advance, after)
    if save is not None:
        confidence.save(save)
    if plot is not None:
        draw_roc(plot, result["roc"], "Told and never told")
    settings = _settings(mplus, seed, data=source, limit=limit, tokens=tokens)
    write_json(json, result | {"settings": settings})
    human(json).print(abstention_line(result))


@app.command("perplexity")
def eval_perplexity(
    data: Annotated[
        Path | None,
        typer.Option(
            "--data",
            metavar="FILE.txt",
            help="Text never trained on; by default a document of the repository (Bartleby).",
            show_default=False,
        ),
    ] = None,
    tokens: Annotated[
        str | None,
        typer.Option(
            metavar="N,…",
            help="Tokens of memory before what is read; by default 0,2000,16000,64000, as far as "
            "the text allows.",
            show_default=False,
        ),
    ] = None,
    limit: Annotated[
        int, typer.Option("--limit", metavar="N", help="Windows of a chunk each.", min=1)
    ] = 64,
    checkpoint: CheckpointOption = None,
    seed: SeedOption = 0,
    json: JsonOption = None,
    plot: PlotOption = None,
) -> None:
    """Perplexity of running text, with memory of so many tokens before it."""
    from model.evaluation.perplexity import perplexity, place_windows, tokens_to_memorize
    from model.evaluation.plots import Curve

    _check_plot(plot)
    mplus = _load(checkpoint)
    running = _running_text(mplus, [data] if data else None, _HELD_OUT[:1])
    size = mplus.config.chunk_tokens
    distances = _distances(tokens) if tokens else _memories(len(running) - limit * size)
    starts = place_windows(len(running), max(distances), size, limit)
    with _progress("perplexity", tokens_to_memorize(starts, distances, size)) as advance:
        result = perplexity(mplus, running.ids, distances, limit, advance, seed)
    settings = _settings(mplus, seed, data=running.source, limit=limit)
    _arms_out(
        result | {"settings": settings},
        json,
        plot,
        Curve("perplexity", "low", "high", "perplexity"),
        "Text after what is remembered",
    )


@app.command("quick")
def eval_quick(
    data: DataOption = None,
    text: TextOption = None,
    checkpoint: CheckpointOption = None,
    seed: SeedOption = 0,
    json: JsonOption = None,
) -> None:
    """All of them, small, in minutes: one table."""
    from model.evaluation.quick import quick
    from services.output import human, write_json
    from services.show_eval import quick_table

    mplus = _load(checkpoint)
    texts = _quick_texts(mplus, data, text)
    result = quick(mplus, texts, _cut(mplus), _progress, seed)
    settings = _settings(mplus, seed, text=texts.text.source, data=data.name if data else "shipped")
    write_json(json, result | {"settings": settings})
    human(json).print(quick_table(result))


def _on_passages(
    name: str,
    measure: Callable[[MPlus, Logs, Plan, Advance], dict[str, Any]],
    data: Path | None,
    tokens: str,
    text: list[Path] | None,
    tenants: int,
    limit: int,
    checkpoint: str | None,
    seed: int,
    plot: Path | None,
) -> dict[str, Any]:
    """What `qa` and `citations` have in common."""
    from model.evaluation.passages import Plan, lay_out
    from model.evaluation.questions import SHIPPED, read_questions

    plan = Plan(_distances(tokens), limit or None, tenants, seed)
    _check_plot(plot)
    passages = read_questions(data or SHIPPED)
    mplus = _load(checkpoint)
    between = None if data and not text else _running_text(mplus, text, _BETWEEN)
    logs = lay_out(passages, _cut(mplus), plan, between)
    with _progress(name, logs.tokens) as advance:
        result = measure(mplus, logs, plan, advance)
    return result | {
        "settings": _settings(
            mplus,
            seed,
            data=(data or SHIPPED).name,
            between=between.source if between else "the file's other passages",
            limit=limit,
            tenants=tenants,
        )
    }


def _quick_texts(mplus: MPlus, data: Path | None, text: list[Path] | None) -> Texts:
    from model.evaluation.questions import SHIPPED, read_questions
    from model.evaluation.quick import Texts

    passages = read_questions(data or SHIPPED)
    others = None if data and not text else _running_text(mplus, text, _BETWEEN)
    return Texts(_running_text(mplus, text, _HELD_OUT), passages, others)


def _load(checkpoint: str | None) -> MPlus:
    from model.evaluation.loading import load
    from services.settings import Settings

    return load(Settings.read(checkpoint=checkpoint).checkpoint)


def _cut(mplus: MPlus) -> Cut:
    """As documents are cut when they are ingested."""
    from model.evaluation.telling import Chunk
    from pipeline.chunk import chunk

    def cut(text: str) -> list[Chunk]:
        spans = chunk(text, mplus.tokenizer, mplus.config.chunk_tokens)
        pieces = (text[span.start : span.end] for span in spans)
        return [Chunk(piece, mplus.tokenizer.encode(piece)) for piece in pieces]

    return cut


def _running_text(mplus: MPlus, paths: list[Path] | None, default: tuple[Path, ...]) -> RunningText:
    from model.evaluation.text import RunningText

    return RunningText.read(paths or list(default), mplus.tokenizer)


def _distances(tokens: str) -> list[int]:
    parts = [part.strip().replace("_", "") for part in tokens.split(",")]
    if not all(part.isascii() and part.isdigit() for part in parts):
        raise InvalidInputError(
            f"--tokens {tokens} is not a list of whole numbers such as 0,20000,160000"
        )
    return sorted({int(part) for part in parts})


def _memories(room: int) -> list[int]:
    """The usual lengths of memory that a text is long enough for."""
    return [length for length in (0, 2_000, 16_000, 64_000) if length <= max(room, 0)]


def _check_plot(plot: Path | None) -> None:
    if plot is not None:
        from model.evaluation.plots import check

        check(plot)


@contextmanager
def _progress(what: str, tokens: int) -> Iterator[Advance]:
    """A bar on standard error over the tokens that are memorized; the questions come between."""
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
    from rich.progress import TimeRemainingColumn as Remaining

    from services.output import stderr

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed:,.0f} of about {task.total:,.0f} tokens"),
        TimeElapsedColumn(),
        Remaining(),
    )
    with Progress(*columns, console=stderr()) as progress:
        task = progress.add_task(what, total=tokens)

        def advance(memorized: int) -> None:
            progress.advance(task, memorized)

        yield advance
        progress.update(task, total=progress.tasks[0].completed)


def _settings(mplus: MPlus, seed: int, **others: Any) -> dict[str, Any]:
    """What a figure depends on."""
    return {"fingerprint": mplus.fingerprint, "seed": seed, **others}


def _arms_out(
    result: dict[str, Any], json: str | None, plot: Path | None, curve: Curve, title: str
) -> None:
    from model.evaluation.plots import draw_arms
    from services.output import human, write_json
    from services.show_eval import arms_table

    if plot is not None:
        draw_arms(plot, result["arms"], curve, title)
    write_json(json, result)
    human(json).print(arms_table(result["arms"], curve))
