"""What reads a file: our parsers, and others where they are installed."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

Read = Callable[[Path], str]


def ours(path: Path) -> str:
    """Every document of a file, as `mplus ingest` reads it."""
    from mplus_ray.model.errors import DocumentError
    from mplus_ray.pipeline.parsing.child import records_of

    records = list(records_of(path, str(path), None))
    texts = [r.outcome.text for r in records if not isinstance(r.outcome, DocumentError)]
    if not texts:
        records[0].load()
    return "\n".join(texts)


def pdftotext(path: Path) -> str:
    """Poppler's, for PDFs only."""
    done = subprocess.run(
        ["pdftotext", "-enc", "UTF-8", str(path), "-"], capture_output=True, check=True, timeout=120
    )
    return done.stdout.decode("utf-8", "replace")


def markitdown(path: Path) -> str:
    """Microsoft's converter of everything to Markdown."""
    from markitdown import MarkItDown

    return str(MarkItDown(enable_plugins=False).convert(str(path)).text_content)


def kreuzberg(path: Path) -> str:
    """The library with the most formats."""
    from kreuzberg import ExtractionConfig, extract_file_sync

    return str(extract_file_sync(str(path), config=ExtractionConfig(use_cache=False)).content)


def anydoc(path: Path) -> str:
    """The library that our parsers have office files from, by itself."""
    import anydoc as library

    return library.to_markdown(str(path))


CONTENDERS: dict[str, Read] = {
    "mplus": ours,
    "pdftotext": pdftotext,
    "markitdown": markitdown,
    "kreuzberg": kreuzberg,
    "anydoc": anydoc,
}


def is_installed(name: str) -> bool:
    """Whether a contender can be tried on this machine."""
    if name == "pdftotext":
        return shutil.which(name) is not None
    return name == "mplus" or importlib.util.find_spec(name) is not None
