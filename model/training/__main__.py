"""What `mplus train` does, in one process.

`python -m mplus_ray.model.training RECIPE --data DIR --out DIR`
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from mplus_ray.model.errors import MPlusError
from mplus_ray.model.training.export import export
from mplus_ray.model.training.recipe import Recipe
from mplus_ray.model.training.run import TrainingOrder, train

parser = argparse.ArgumentParser(
    prog="python -m mplus_ray.model.training", description=train.__doc__
)
parser.add_argument("recipe", type=Path)
parser.add_argument("--data", type=Path, help="folder of the training texts")
parser.add_argument("--out", type=Path, required=True)
parser.add_argument("--backbone", help="folder, hub id or GGUF file of the model to adapt")
parser.add_argument("--start", help="folder of the weights to begin with")
parser.add_argument("--device")
parser.add_argument("--resume", action="store_true", help="continue from the last save in OUT")
parser.add_argument("--steps", type=int, help="of every phase, at most")
parser.add_argument("--minutes", type=float, help="save and end after so many")
parser.add_argument(
    "--export", type=Path, metavar="CHECKPOINT", help="do not train: write OUT's weights there"
)
parser.add_argument("--last", action="store_true", help="export the last weights, not the best")
parser.add_argument("--trained-only", action="store_true", help="export adapters and config only")
options = parser.parse_args()
try:
    recipe = Recipe.load(options.recipe, options.backbone, options.start)
    if options.export:
        export(recipe, options.out, options.export, options.last, options.trained_only)
    elif options.data is None:
        parser.error("training needs --data, the folder of the training texts")
    else:
        folders = options.data, options.out
        limits = {"steps": options.steps, "minutes": options.minutes}
        train(TrainingOrder(recipe, *folders, options.device, options.resume, **limits))
except MPlusError as error:
    sys.exit(f"error: {error}")
