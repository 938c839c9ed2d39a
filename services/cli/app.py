"""The command line, `mplus`. Only what parsing needs is imported before a command runs."""

from __future__ import annotations

import os
import sys
from importlib.metadata import entry_points
from typing import Annotated

import typer

from mplus_ray import __version__
from mplus_ray.model.errors import MPlusError
from mplus_ray.services import logs
from mplus_ray.services.cli import ask, config, memorize, search, serve, status
from mplus_ray.services.cli.checkpoints import get, init, train
from mplus_ray.services.cli.documents import archive, documents, ingest, send
from mplus_ray.services.cli.evaluation import evaluate, parity, relevance
from mplus_ray.services.cli.tenants import keys, memory, tenants, webhooks
from mplus_ray.services.config_file import export_cache

app = typer.Typer(
    name="mplus",
    no_args_is_help=True,
    pretty_exceptions_enable=False,  # a traceback is for defects, and then all of it
)
app.command("ingest")(ingest.ingest)
app.command("send")(send.send)
app.command("ask")(ask.ask)
app.command("search")(search.search)
app.add_typer(documents.app, name="documents")
app.add_typer(tenants.app, name="tenants")
app.add_typer(keys.app, name="keys")
app.add_typer(webhooks.app, name="webhooks")
app.command("memorize")(memorize.memorize)
app.command("serve")(serve.serve)
app.command("config")(config.config)
app.command("status")(status.status)
app.command("snapshot")(memory.snapshot)
app.command("fork")(memory.fork)
app.command("digest")(memory.digest)
app.command("verify")(memory.verify)
app.command("rebuild")(memory.rebuild)
app.command("sweep")(memory.sweep)
app.command("export")(archive.export_archive)
app.command("import")(archive.import_archive)
app.command("parity")(parity.parity)
app.command("init")(init.init)
app.command("get")(get.get)
app.command("train")(train.train)
evaluate.app.command("relevance")(relevance.eval_relevance)
app.add_typer(evaluate.app, name="eval")
for _command in entry_points(group="mplus.commands"):  # what builds on services, as bench does
    _loaded = _command.load()
    if isinstance(_loaded, typer.Typer):
        app.add_typer(_loaded, name=_command.name)
    else:
        app.command(_command.name)(_loaded)


def _show_version(wanted: bool) -> None:
    if wanted:
        print(f"mplus {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    context: typer.Context,
    version: Annotated[
        bool,
        typer.Option("--version", help="Show it and leave.", is_eager=True, callback=_show_version),
    ] = False,
) -> None:
    """Documents become latent memory; questions are answered from it."""
    if context.invoked_subcommand != "config":  # which shows the environment as it was
        export_cache(os.environ)


def main() -> None:
    """Run the command; an error the user can act on becomes one line and its exit code."""
    arguments = sys.argv[1:]
    if arguments[-1:] == ["--json"]:
        arguments.append("-")  # typer has no options whose value may be left out
    try:
        logs.configure()
        app(arguments)
    except MPlusError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
