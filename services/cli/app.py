"""The command line, `mplus`. Only what parsing needs is imported before a command runs."""

from __future__ import annotations

import sys

import typer

from mplus_ray.bench import cli as cli_bench
from mplus_ray.model.errors import MPlusError
from mplus_ray.services import logs
from mplus_ray.services.cli import archive as cli_archive
from mplus_ray.services.cli import ask as cli_ask
from mplus_ray.services.cli import documents as cli_documents
from mplus_ray.services.cli import evaluate as cli_eval
from mplus_ray.services.cli import ingest as cli_ingest
from mplus_ray.services.cli import init as cli_init
from mplus_ray.services.cli import keys as cli_keys
from mplus_ray.services.cli import memorize as cli_memorize
from mplus_ray.services.cli import memory as cli_memory
from mplus_ray.services.cli import parity as cli_parity
from mplus_ray.services.cli import serve as cli_serve
from mplus_ray.services.cli import status as cli_status
from mplus_ray.services.cli import tenants as cli_tenants
from mplus_ray.services.cli import train as cli_train

app = typer.Typer(
    name="mplus",
    help="Documents become latent memory; questions are answered from it.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,  # a traceback is for defects, and then all of it
)
app.command("ingest")(cli_ingest.ingest)
app.command("ask")(cli_ask.ask)
app.add_typer(cli_documents.app, name="documents")
app.add_typer(cli_tenants.app, name="tenants")
app.add_typer(cli_keys.app, name="keys")
app.command("memorize")(cli_memorize.memorize)
app.command("serve")(cli_serve.serve)
app.command("status")(cli_status.status)
app.command("snapshot")(cli_memory.snapshot)
app.command("fork")(cli_memory.fork)
app.command("digest")(cli_memory.digest)
app.command("verify")(cli_memory.verify)
app.command("rebuild")(cli_memory.rebuild)
app.command("sweep")(cli_memory.sweep)
app.command("export")(cli_archive.export_archive)
app.command("import")(cli_archive.import_archive)
app.command("parity")(cli_parity.parity)
app.command("init")(cli_init.init)
app.command("train")(cli_train.train)
app.add_typer(cli_eval.app, name="eval")
app.add_typer(cli_bench.app, name="bench")


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
