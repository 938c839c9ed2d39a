"""Files of a folder by every contender: words found, speed, memory, and what was refused."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from mplus_ray.bench.documents.contenders import CONTENDERS, is_installed
from mplus_ray.bench.documents.references import Words, reference, words
from mplus_ray.pipeline.parsing.refusals import Refusals
from mplus_ray.pipeline.sources import find_files
from mplus_ray.pipeline.sources.files import find_documents

_FEWEST = 5  # words of a file that counts
_REASON = re.compile(r"\d+|0x[0-9a-f]+|'[^']*'|\([^)]*\)")


@dataclass
class Score:
    """One contender on the files of one format.

    Attributes:
        files, refused, ended: how many were tried, were refused, and ended their process.
        found, wanted, given: words that were found, that the references have, that were given.
        lost: words that the references have of files that were refused.
        size, seconds: bytes read, and computing time for them.
        peak: the most memory of its process in bytes.
        reasons: why files were refused, by frequency.
    """

    files: int = 0
    refused: int = 0
    ended: int = 0
    found: int = 0
    wanted: int = 0
    given: int = 0
    lost: int = 0
    size: int = 0
    seconds: float = 0.0
    peak: int = 0
    reasons: Counter[str] = field(default_factory=Counter)

    @property
    def recall(self) -> float | None:
        return self.found / self.wanted if self.wanted else None

    @property
    def precision(self) -> float | None:
        return self.found / self.given if self.given else None

    def shown(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "files": self.files,
            "refused": self.refused,
            "ended": self.ended,
            "recall": self.recall and round(self.recall, 4),
            "precision": self.precision and round(self.precision, 4),
            "words": self.wanted,
            "words_refused": self.lost,
            "megabytes_per_second": self.seconds and round(self.size / 1e6 / self.seconds, 2),
            "peak_megabytes": self.peak // 10**6,
            "reasons": dict(self.reasons.most_common(12)),
        }


class _Worker:
    """A contender's process, started again after a file that ended it."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._process: subprocess.Popen[str] | None = None

    def read(self, path: Path) -> dict[str, Any] | None:
        """What it says of a file; None: the file ended it."""
        if self._process is None:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "mplus_ray.bench.documents.worker", self._name],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
            )
        process = self._process
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            process.stdin.write(json.dumps(str(path)) + "\n")
            process.stdin.flush()
            line = process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            process.wait()
            self._process = None
            return None
        answer: dict[str, Any] = json.loads(line)
        return answer

    def close(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()


def main(folder: Path, contenders: Sequence[str], most: int | None = None) -> dict[str, Any]:
    """Read every file of a folder by every contender.

    Args:
        contenders: their names; one that is not installed is left out, and that is said.
        most: files of a format, spread over all of them; None: all.
    """
    console = Console(stderr=True)
    missing = [name for name in contenders if not is_installed(name)]
    if missing:
        console.print(f"not installed, left out: {', '.join(missing)}")
    names = [name for name in contenders if name in CONTENDERS and name not in missing]
    workers = {name: _Worker(name) for name in names}
    scores: dict[str, dict[str, Score]] = defaultdict(lambda: defaultdict(Score))
    try:
        for path in _chosen(folder, most):
            known = _reference(path)
            for name in names:
                if name != "pdftotext" or path.suffix.lower() == ".pdf":
                    kind = path.suffix.lower()[1:] or "none"
                    _count(scores[kind][name], workers[name].read(path), path, known)
    finally:
        for worker in workers.values():
            worker.close()
    _print(console, scores)
    for name in names:
        console.print(
            f"{name}: {_refusals(scores, name).text() or 'nothing left out'}", markup=False
        )
    if text := find_documents([folder]).left_out.text():
        console.print(f"not tried: {text}", markup=False)
    return {
        kind: {name: score.shown() for name, score in by_name.items()}
        for kind, by_name in sorted(scores.items())
    }


def _chosen(folder: Path, most: int | None) -> Iterator[Path]:
    kinds: dict[str, list[Path]] = defaultdict(list)
    for path in find_files([folder]):
        if not path.name.startswith("expected"):  # of a page beside it
            kinds[path.suffix.lower()].append(path)
    for paths in kinds.values():
        step = max(len(paths) / most, 1.0) if most else 1.0
        yield from (paths[int(place * step)] for place in range(int(len(paths) / step)))


def _reference(path: Path) -> Words | None:
    """None also where the reference cannot read the file."""
    try:
        found = reference(path)
    except Exception:  # noqa: BLE001 (the reference may be a broken file)
        return None
    return found if found is not None and found.total() >= _FEWEST else None


def _count(score: Score, answer: dict[str, Any] | None, path: Path, known: Words | None) -> None:
    score.files += 1
    if answer is None:
        score.ended += 1
        return
    score.peak = max(score.peak, answer["peak"])
    if (reason := answer.get("refused")) is not None:
        score.refused += 1
        score.lost += known.total() if known is not None else 0
        said = _REASON.sub("#", reason.replace(str(path), "").lstrip(" :,"))[:80]
        score.reasons[answer.get("reason", said)] += 1
        return
    score.size += path.stat().st_size
    score.seconds += answer["seconds"]
    if known is not None:
        given = words(answer["text"])
        score.found += (known & given).total()
        score.wanted += known.total()
        score.given += given.total()


def _refusals(scores: dict[str, dict[str, Score]], name: str) -> Refusals:
    """What a contender refused, by kind and reason."""
    found = Refusals()
    for kind, by_name in scores.items():
        for reason, count in by_name[name].reasons.items():
            found.add(f".{kind}", reason, count)
        if ended := by_name[name].ended:
            found.add(f".{kind}", "ended its process", ended)
    return found


def _print(console: Console, scores: dict[str, dict[str, Score]]) -> None:
    table = Table(
        "format", "reader", "files", "refused", "ended", "recall", "precision", "MB/s", "MB"
    )
    for kind, by_name in sorted(scores.items()):
        for name, score in by_name.items():
            shown = score.shown()
            cells = (shown[key] for key in ("files", "refused", "ended", "recall", "precision"))
            rest = (shown["megabytes_per_second"], shown["peak_megabytes"])
            table.add_row(kind, name, *(str(cell or "") for cell in (*cells, *rest)))
    console.print(table)
