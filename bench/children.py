"""Measurements in processes of their own, so that memory and threads are theirs alone."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any


@contextmanager
def started(
    module: str, arguments: Sequence[object], threads: int | None = None
) -> Iterator[subprocess.Popen[str]]:
    """`python -m module …` with its input and output as pipes; it has ended afterwards.

    Args:
        threads: of its arithmetic; by default as many as torch takes.
    """
    environment = dict(os.environ)
    if threads is not None:
        environment |= {"OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads)}
    process = subprocess.Popen(
        [sys.executable, "-m", module, *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def measure_in_child(module: str, *arguments: object) -> dict[str, Any]:
    """What the module prints as JSON; its standard error is this process's.

    Raises:
        RuntimeError: it failed, and has said why.
    """
    with started(module, arguments) as process:
        output, _ = process.communicate()
    if process.returncode:
        raise RuntimeError(f"{module} failed with exit code {process.returncode}; see above")
    found: dict[str, Any] = json.loads(output)
    return found


def peak_bytes() -> int:
    """Bytes that were ever resident in this process.

    Not `ru_maxrss`, which a child inherits from the process that started it.
    """
    lines = Path("/proc/self/status").read_text().splitlines()
    peak = next(line for line in lines if line.startswith("VmHWM:"))
    return 1024 * int(peak.split()[1])
