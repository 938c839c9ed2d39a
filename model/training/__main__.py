"""`python -m model.training RECIPE --data DIR --out DIR [--resume] [--export CHECKPOINT]`."""

from __future__ import annotations

import argparse
from pathlib import Path

from model.training.export import export
from model.training.recipe import Recipe
from model.training.run import train

parser = argparse.ArgumentParser(prog="python -m model.training", description=train.__doc__)
parser.add_argument("recipe", type=Path)
parser.add_argument("--data", type=Path, help="folder of the training texts")
parser.add_argument("--out", type=Path, required=True)
parser.add_argument("--resume", action="store_true", help="continue from the last save in OUT")
parser.add_argument(
    "--export", type=Path, metavar="CHECKPOINT", help="do not train: write OUT's weights there"
)
options = parser.parse_args()
if options.export:
    export(Recipe.load(options.recipe), options.out, options.export)
elif options.data is None:
    parser.error("training needs --data, the folder of the training texts")
else:
    train(options.recipe, options.data, options.out, options.resume)
