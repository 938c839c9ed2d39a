"""Retention of a checkpoint in the middle of a run, on the text that the run holds out.

`mplus eval` measures more, and needs no run.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from mplus_ray.model.errors import MPlusError
from mplus_ray.model.evaluation.data.text import RunningText
from mplus_ray.model.evaluation.loading import load
from mplus_ray.model.evaluation.retention import RetentionPlan, retention


def main() -> None:
    """Measure, and write the figures where `--json` says, else to standard output."""
    parser = argparse.ArgumentParser(
        prog="python -m mplus_ray.model.training.evaluate", description=__doc__
    )
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("--text", type=Path, required=True, help="held_out.npy of the run")
    parser.add_argument("--tokens", default="0,5000,20000")
    parser.add_argument("--tenants", type=int, default=16)
    parser.add_argument("--facts", type=int, default=4, help="of each tenant")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    distances = [int(tokens) for tokens in options.tokens.split(",")]
    questions = options.tenants * options.facts
    plan = RetentionPlan(distances, questions, options.tenants, seed=options.seed)
    mplus = load(str(options.checkpoint))
    result = retention(mplus, RunningText.read([options.text], mplus.tokenizer), plan)
    text = json.dumps(result, indent=1) + "\n"
    if options.json:
        options.json.write_text(text)
    else:
        sys.stdout.write(text)


if __name__ == "__main__":
    try:
        main()
    except MPlusError as error:
        sys.exit(f"error: {error}")
