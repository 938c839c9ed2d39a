"""`mplus eval`: what a checkpoint remembers, finds and knows."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from mplus_ray.model.errors import InvalidInputError
from mplus_ray.services.cli.evaluation.inputs import (
    BETWEEN,
    HELD_OUT,
    DataOption,
    LimitOption,
    PlotOption,
    SeedOption,
    TenantsOption,
    TextOption,
    check_plot,
    cutter,
    load_model,
    memories,
    progress,
    running_text,
    setting_of,
    to_distances,
)
from mplus_ray.services.cli.options import CheckpointOption, JsonOption

if TYPE_CHECKING:
    from mplus_ray.model import MPlus
    from mplus_ray.model.corpus.facts import Unseen
    from mplus_ray.model.evaluation.data.passages import Logs, Plan
    from mplus_ray.model.evaluation.data.telling import Advance
    from mplus_ray.model.evaluation.plots import Curve
    from mplus_ray.model.evaluation.quick import Texts

app = typer.Typer(
    help="Measure what a checkpoint remembers, finds and knows.", no_args_is_help=True
)


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
    from mplus_ray.model.evaluation.data.facts import WAYS
    from mplus_ray.model.evaluation.plots import Curve
    from mplus_ray.model.evaluation.retention import Plan, retention

    if told not in WAYS:
        raise InvalidInputError(f"--told {told} is unknown; there are {', '.join(WAYS)}")
    count = min(questions, limit or questions)
    if unseen not in ("questions", "everything"):
        raise InvalidInputError(f"--unseen {unseen} is unknown; give questions or everything")
    plan = Plan(
        to_distances(tokens), count, min(tenants, count), told, seed, cast("Unseen", unseen)
    )
    check_plot(plot)
    mplus = load_model(checkpoint)
    running = running_text(mplus, text, HELD_OUT)
    with progress("retention", plan.tokens(mplus.config.chunk_tokens)) as advance:
        result = retention(mplus, running, plan, advance)
    settings = setting_of(
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
    from mplus_ray.model.evaluation.plots import Curve
    from mplus_ray.model.evaluation.qa import qa

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
    from mplus_ray.model.evaluation.citations import citations
    from mplus_ray.model.evaluation.plots import Curve

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
    from mplus_ray.model.evaluation.abstention import After, abstention
    from mplus_ray.model.evaluation.data.questions import draw, read_questions
    from mplus_ray.model.evaluation.data.telling import ToldDocument
    from mplus_ray.model.evaluation.plots import draw_roc
    from mplus_ray.model.evaluation.quick import fact_documents
    from mplus_ray.services.cli.evaluation.tables import abstention_line
    from mplus_ray.services.cli.output import human, write_json

    check_plot(plot)
    if save is not None and not save.absolute().parent.is_dir():
        raise InvalidInputError(f"--save {save}: there is no folder {save.absolute().parent}")
    passages = draw(read_questions(data), limit or None, Random(seed)) if data else []
    mplus = load_model(checkpoint)
    running, cut = running_text(mplus, text, HELD_OUT), cutter(mplus)
    if data is None:
        documents = fact_documents(mplus, running, limit or 300, seed)
        source = f"invented facts in {running.source}"
    else:
        documents = [ToldDocument(cut(passage.context), passage.questions) for passage in passages]
        source = data.name
    total = sum(len(chunk.ids) for document in documents for chunk in document.chunks)
    after = After(running, tokens) if tokens else None
    with progress("abstention", total + 2 * tokens) as advance:
        result, confidence = abstention(mplus, documents, seed, advance, after)
    if save is not None:
        confidence.save(save)
    if plot is not None:
        draw_roc(plot, result["roc"], "Told and never told")
    settings = setting_of(mplus, seed, data=source, limit=limit, tokens=tokens)
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
    from mplus_ray.model.evaluation.perplexity import perplexity, place_windows, tokens_to_memorize
    from mplus_ray.model.evaluation.plots import Curve

    check_plot(plot)
    mplus = load_model(checkpoint)
    running = running_text(mplus, [data] if data else None, HELD_OUT[:1])
    size = mplus.config.chunk_tokens
    distances = to_distances(tokens) if tokens else memories(len(running) - limit * size)
    starts = place_windows(len(running), max(distances), size, limit)
    with progress("perplexity", tokens_to_memorize(starts, distances, size)) as advance:
        result = perplexity(mplus, running.ids, distances, limit, advance, seed)
    settings = setting_of(mplus, seed, data=running.source, limit=limit)
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
    from mplus_ray.model.evaluation.quick import quick
    from mplus_ray.services.cli.evaluation.tables import quick_table
    from mplus_ray.services.cli.output import human, write_json

    mplus = load_model(checkpoint)
    texts = _quick_texts(mplus, data, text)
    result = quick(mplus, texts, cutter(mplus), progress, seed)
    settings = setting_of(
        mplus, seed, text=texts.text.source, data=data.name if data else "shipped"
    )
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
    from mplus_ray.model.evaluation.data.passages import Plan, lay_out
    from mplus_ray.model.evaluation.data.questions import SHIPPED, read_questions

    plan = Plan(to_distances(tokens), limit or None, tenants, seed)
    check_plot(plot)
    passages = read_questions(data or SHIPPED)
    mplus = load_model(checkpoint)
    between = None if data and not text else running_text(mplus, text, BETWEEN)
    logs = lay_out(passages, cutter(mplus), plan, between)
    with progress(name, logs.tokens) as advance:
        result = measure(mplus, logs, plan, advance)
    return result | {
        "settings": setting_of(
            mplus,
            seed,
            data=(data or SHIPPED).name,
            between=between.source if between else "the file's other passages",
            limit=limit,
            tenants=tenants,
        )
    }


def _quick_texts(mplus: MPlus, data: Path | None, text: list[Path] | None) -> Texts:
    from mplus_ray.model.evaluation.data.questions import SHIPPED, read_questions
    from mplus_ray.model.evaluation.quick import Texts

    passages = read_questions(data or SHIPPED)
    others = None if data and not text else running_text(mplus, text, BETWEEN)
    return Texts(running_text(mplus, text, HELD_OUT), passages, others)


def _arms_out(
    result: dict[str, Any], json: str | None, plot: Path | None, curve: Curve, title: str
) -> None:
    from mplus_ray.model.evaluation.plots import draw_arms
    from mplus_ray.services.cli.evaluation.tables import arms_table
    from mplus_ray.services.cli.output import human, write_json

    if plot is not None:
        draw_arms(plot, result["arms"], curve, title)
    write_json(json, result)
    human(json).print(arms_table(result["arms"], curve))
