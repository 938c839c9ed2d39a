"""`mplus bench`: how fast it is on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mplus_ray.model.evaluation.data.questions import SHIPPED
from mplus_ray.services.cli.options import CheckpointOption, JsonOption

QuickOption = Annotated[
    bool, typer.Option("--quick", help="Less of everything, in a fraction of the time.")
]

app = typer.Typer(help="Measure.", no_args_is_help=True)


@app.callback()
def bench() -> None:
    """Benchmarks; each prints its figures and their share of what the machine can do."""


@app.command("model")
def bench_model(json: JsonOption = None) -> None:
    """Memorizing, questions and decoding at the paper's geometry."""
    from mplus_ray.bench.model import main
    from mplus_ray.services.cli.output import write_json

    write_json(json, main())


@app.command("memory")
def bench_memory(
    quick: QuickOption = False,
    checkpoint: CheckpointOption = None,
    json: JsonOption = None,
) -> None:
    """What durable memory costs: appends, restarts, forgetting, snapshots, bytes.

    15 minutes; with --quick two.
    """
    from mplus_ray.bench.durable.run import main
    from mplus_ray.services.cli.output import write_json

    write_json(json, main(quick, checkpoint))


@app.command("ingest")
def bench_ingest(
    quick: QuickOption = False,
    turns: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Parquet file of dialogues (column text, a message a line) for the small "
            "documents; by default sentences of the repository's documents.",
            show_default=False,
        ),
    ] = None,
    checkpoint: CheckpointOption = None,
    json: JsonOption = None,
) -> None:
    """Documents arriving: how fast they become memory, how soon, and for how many at once.

    Half an hour; with --quick minutes.
    """
    from mplus_ray.bench.ingest.run import main
    from mplus_ray.services.cli.output import write_json

    write_json(json, main(quick, checkpoint, turns))


@app.command("short")
def bench_short(
    quick: QuickOption = False,
    checkpoint: CheckpointOption = None,
    json: JsonOption = None,
) -> None:
    """How well facts are remembered from short documents, full chunks and packed ones.

    With --quick a third of the questions, for wider bounds.
    """
    from mplus_ray.bench.ingest.short import main
    from mplus_ray.services.cli.output import write_json

    write_json(json, main(quick, checkpoint))


@app.command("titles")
def bench_titles(
    quick: QuickOption = False,
    checkpoint: CheckpointOption = None,
    json: JsonOption = None,
) -> None:
    """Whether a title before a chunk's text helps to remember what the text says of it.

    With --quick a third of the questions, for wider bounds.
    """
    from mplus_ray.bench.ingest.titled import main
    from mplus_ray.services.cli.output import write_json

    write_json(json, main(quick, checkpoint))


@app.command("index")
def bench_index(
    quick: QuickOption = False,
    text: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Parquet file with a column text; by default the repository's documents, again "
            "and again.",
            show_default=False,
        ),
    ] = None,
    questions: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="JSON lines with a field question; by default sentences of the documents.",
            show_default=False,
        ),
    ] = None,
    checkpoint: CheckpointOption = None,
    json: JsonOption = None,
) -> None:
    """How fast a question finds its blocks in a long memory, and how many of the right ones.

    Up to four million tokens; with --quick 400,000.
    """
    from mplus_ray.bench.index.run import main
    from mplus_ray.bench.index.world import QuestionSource
    from mplus_ray.services.cli.output import write_json

    write_json(json, main(quick, checkpoint, QuestionSource(text, questions)))


@app.command("rag")
def bench_rag(
    data: Annotated[
        Path,
        typer.Option(
            metavar="FILE.jsonl",
            help="Passages with questions: an object a line with title, context, question and "
            "answers.",
        ),
    ] = SHIPPED,
    limit: Annotated[int, typer.Option(help="Questions asked, at most.", min=1)] = 100,
    tokens: Annotated[
        int | None,
        typer.Option(
            help="Of the memory; other passages of the file fill it up. By default 20,000, or all "
            "that it has if that is less.",
            min=0,
            show_default=False,
        ),
    ] = None,
    checkpoint: CheckpointOption = None,
    json: JsonOption = None,
) -> None:
    """Answers from memory against the same passages in a prompt: how soon, how many, how right."""
    from mplus_ray.bench.rag.run import main
    from mplus_ray.bench.rag.texts import TOKENS
    from mplus_ray.services.cli.evaluation.inputs import progress
    from mplus_ray.services.cli.output import write_json

    with progress("memorizing", tokens or TOKENS) as advance:
        result = main(checkpoint, data, limit, tokens, advance)
    write_json(json, result)


@app.command("serve")
def bench_serve(
    quick: QuickOption = False,
    minutes: Annotated[
        float | None,
        typer.Option(
            help="Of questions and documents together; by default 30, with --quick 1.",
            min=0.1,
            show_default=False,
        ),
    ] = None,
    checkpoint: CheckpointOption = None,
    json: JsonOption = None,
) -> None:
    """Questions over HTTP to a service that this starts: speed, tiers, a killed reader, memory.

    90 minutes; with --quick ten.
    """
    from mplus_ray.bench.serve.run import main
    from mplus_ray.services.cli.output import write_json

    write_json(json, main(quick, checkpoint, minutes))


@app.command("soak")
def bench_soak(
    minutes: Annotated[
        float, typer.Option(help="Of killing; draining and comparing come after that.", min=0.05)
    ] = 20.0,
    seed: Annotated[int, typer.Option(help="Of the documents and of the kills.")] = 0,
    writers: Annotated[int, typer.Option(help="Processes that write.", min=1)] = 2,
    checkpoint: CheckpointOption = None,
    json: JsonOption = None,
) -> None:
    """Kill writers while documents come and go, and compare with an undisturbed run.

    The exit code is 1 if any tenant's memory differs, or a writer failed by itself.
    """
    from mplus_ray.bench.soak.run import main
    from mplus_ray.services.cli.output import write_json

    result = main(minutes, seed, writers, checkpoint)
    write_json(json, result)
    if not result["ok"]:
        raise typer.Exit(1)


@app.command("figures")
def bench_figures(
    out: Annotated[
        Path, typer.Option("--out", metavar="FILE", help="The page, as Markdown.")
    ] = Path("docs/FIGURES.md"),
    readme: Annotated[
        Path | None,
        typer.Option(
            "--readme",
            metavar="FILE",
            help="A page with a place for the few figures that say most, between two comments.",
            show_default=False,
        ),
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(
            "--data",
            metavar="FILE.jsonl",
            help="Passages with questions for `mplus bench rag`; by default the few that ship.",
            show_default=False,
        ),
    ] = None,
    minutes: Annotated[
        float, typer.Option(help="For all of them; what has no time left is named.", min=1)
    ] = 60.0,
    checkpoint: CheckpointOption = None,
    json: JsonOption = None,
) -> None:
    """What fits into an hour of all of these, as one page of tables."""
    from mplus_ray.bench.figures.run import main
    from mplus_ray.services.cli.output import stderr, write_json

    console = stderr()
    outcomes = main(
        out, readme, data, checkpoint, lambda text: console.print(text, markup=False), minutes
    )
    write_json(json, {one.measurement.name: one.figures for one in outcomes})
    if failed := [one.measurement.name for one in outcomes if one.error]:
        said = f"failed: {', '.join(failed)} ({len(failed)} of {len(outcomes)}); the page says why"
        console.print(said, markup=False)
        raise typer.Exit(1)


@app.command("documents")
def bench_documents(
    folder: Annotated[Path, typer.Argument(help="Real files, in folders of any depth.")],
    against: Annotated[
        str,
        typer.Option(
            metavar="NAMES", help="Of these: pdftotext, markitdown, kreuzberg, anydoc; with commas."
        ),
    ] = "pdftotext,markitdown,kreuzberg,anydoc",
    most: Annotated[
        int | None,
        typer.Option(metavar="FILES", min=1, help="Of each format.", show_default=False),
    ] = None,
    json: JsonOption = None,
) -> None:
    """How much of real files' words is read, how fast, and what is refused."""
    from mplus_ray.bench.documents.run import main
    from mplus_ray.services.cli.output import write_json

    write_json(json, main(folder, ["mplus", *against.split(",")], most))
