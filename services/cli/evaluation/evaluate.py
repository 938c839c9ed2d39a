"""`mplus eval`: what a checkpoint remembers, finds and knows. A file a kind of question."""

from __future__ import annotations

import typer

from mplus_ray.services.cli.evaluation.abstention import abstention
from mplus_ray.services.cli.evaluation.passages import citations, qa
from mplus_ray.services.cli.evaluation.perplexity import perplexity
from mplus_ray.services.cli.evaluation.quick import quick
from mplus_ray.services.cli.evaluation.retention import retention

app = typer.Typer(
    help="Measure what a checkpoint remembers, finds and knows.", no_args_is_help=True
)
for _command in (retention, qa, citations, abstention, perplexity, quick):
    app.command()(_command)


@app.callback()
def evaluate() -> None:
    """Evaluations; every share comes with bounds that hold the true one with 95 %."""
