"""`python -m mplus_ray.deploy.demo`: what `make demo` runs."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

from rich.console import Console

from mplus_ray.deploy.demo.report import Report
from mplus_ray.deploy.demo.run import ask_questions, memorize_documents
from mplus_ray.model.errors import MPlusError
from mplus_ray.pipeline.ledger.ledger import Ledger
from mplus_ray.pipeline.ray_cluster import local_ray
from mplus_ray.services.cli.output import write_json
from mplus_ray.services.cli.progress import memorizing
from mplus_ray.services.settings import Settings


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m mplus_ray.deploy.demo", description=__doc__)
    parser.add_argument("--checkpoint", help="by default the one in the repository")
    parser.add_argument("--data", type=Path, help="keep the memories there (a new folder)")
    parser.add_argument("--json", metavar="FILE", help="results as JSON; - is standard output")
    options = parser.parse_args()
    try:
        if options.data:
            _demo(options.data, options.checkpoint, options.json)
        else:
            with tempfile.TemporaryDirectory(prefix="mplus-demo-") as folder:
                _demo(Path(folder), options.checkpoint, options.json)
    except MPlusError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        sys.exit(130)


def _demo(data: Path, checkpoint: str | None, json: str | None) -> None:
    settings = Settings.read(data, checkpoint)
    settings.data.mkdir(parents=True, exist_ok=True)
    console = Console(stderr=json == "-", highlight=False, soft_wrap=True)
    report = Report(console, settings.checkpoint)
    report.begin()
    began = time.monotonic()
    ledger = Ledger(settings.ledger_url)
    try:
        with local_ray() as resources:
            report.ray_started(resources, time.monotonic() - began)
            logs = memorize_documents(
                settings.checkpoint,
                settings.data,
                resources,
                ledger,
                report.model_loaded,
                lambda waiting: memorizing(console, waiting),
            )
            replies = ask_questions(
                settings.checkpoint, settings.data, resources, logs, report.reply
            )
    finally:
        ledger.close()
    write_json(json, report.end(replies, time.monotonic() - began))


if __name__ == "__main__":
    main()
