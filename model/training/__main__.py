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
parser.add_argument("--backbone", help="folder or hub id of the model to adapt")
parser.add_argument("--device")
parser.add_argument("--resume", action="store_true", help="continue from the last save in OUT")
parser.add_argument("--steps", type=int, help="of every phase, at most")
parser.add_argument(
    "--export", type=Path, metavar="CHECKPOINT", help="do not train: write OUT's weights there"
)
parser.add_argument("--last", action="store_true", help="export the last weights, not the best")
options = parser.parse_args()
try:
    recipe = Recipe.load(options.recipe, options.backbone)
    if options.export:
        export(recipe, options.out, options.export, options.last)
    elif options.data is None:
        parser.error("training needs --data, the folder of the training texts")
    else:
        train(
            TrainingOrder(
                recipe, options.data, options.out, options.device, options.resume, options.steps
            )
        )
except MPlusError as error:
    sys.exit(f"error: {error}")
