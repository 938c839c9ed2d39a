"""Where documents come from. A source is a small class in a file of its own."""

from mplus_ray.pipeline.sources.files import find_files
from mplus_ray.pipeline.sources.resolve import divided, left_out, open_sources, read_again
from mplus_ray.pipeline.sources.source import (
    DocumentSource,
    Finished,
    Idle,
    Incoming,
    Item,
    Present,
    Rows,
    Until,
)

__all__ = [
    "DocumentSource",
    "Finished",
    "Idle",
    "Incoming",
    "Item",
    "Present",
    "Rows",
    "Until",
    "divided",
    "find_files",
    "left_out",
    "open_sources",
    "read_again",
]
