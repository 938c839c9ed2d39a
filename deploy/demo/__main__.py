"""`python -m mplus_ray.deploy.demo`: what `mplus demo` runs."""

from __future__ import annotations

import sys

import typer

from mplus_ray.deploy.demo.cli import demo
from mplus_ray.model.errors import MPlusError

if __name__ == "__main__":
    try:
        typer.run(demo)
    except MPlusError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
