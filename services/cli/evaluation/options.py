"""Options that several evaluations share, and the benchmarks that ask the same questions."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

_QUESTIONS = "Questions: an object a line with title, context, question and answers."

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
        help=f"{_QUESTIONS} By default the few that ship.",
        show_default=False,
    ),
]
FactsOrDataOption = Annotated[
    Path | None,
    typer.Option(
        "--data",
        metavar="FILE.jsonl",
        help=f"{_QUESTIONS} By default invented facts.",
        show_default=False,
    ),
]
DistancesOption = Annotated[
    str,
    typer.Option("--tokens", metavar="N,…", help="Tokens of other passages before the question."),
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
