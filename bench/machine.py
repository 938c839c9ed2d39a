"""What the figures were measured on, and the two ceilings of it that they are compared with."""

from __future__ import annotations

import platform
import statistics
import subprocess
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F


@dataclass(frozen=True)
class Timing:
    """Milliseconds of repeated calls.

    Attributes:
        p50: the median.
        low, high: the smallest and the largest.
        n: how many calls.
    """

    p50: float
    low: float
    high: float
    n: int

    @classmethod
    def of(cls, seconds: list[float]) -> Timing:
        ms = sorted(1e3 * s for s in seconds)
        return cls(statistics.median(ms), ms[0], ms[-1], len(ms))

    def __str__(self) -> str:
        return f"{self.p50:.1f} ms ({self.low:.1f} to {self.high:.1f}, n={self.n})"


@dataclass(frozen=True)
class Roofline:
    """Measured ceilings: a large matrix product, and reading memory once.

    Attributes:
        gflops: 10⁹ floating-point operations a second.
        gbps: 10⁹ bytes a second.
    """

    gflops: float
    gbps: float

    def as_dict(self) -> dict[str, float]:
        return asdict(self)


def synchronize(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def timed(call: Callable[[], Any], device: torch.device) -> float:
    """Seconds of one call, to the end of its device work."""
    synchronize(device)
    began = time.perf_counter()
    call()
    synchronize(device)
    return time.perf_counter() - began


def repeat(call: Callable[[], Any], times: int, device: torch.device, warm_up: int = 1) -> Timing:
    for _ in range(warm_up):
        call()
    return Timing.of([timed(call, device) for _ in range(times)])


def measure_roofline(device: torch.device, dtype: torch.dtype) -> Roofline:
    """Best of several, as a ceiling should be; random data, since zeros run faster."""
    size = 8192 if device.type == "cuda" else 2048
    a = torch.randn(size, size, device=device, dtype=dtype)
    product = repeat(lambda: F.linear(a, a), 5, device)
    numbers = torch.randn(1 << (30 if device.type == "cuda" else 26), device=device)
    reading = repeat(lambda: numbers.sum(), 5, device)
    return Roofline(2 * size**3 / product.low / 1e6, numbers.nbytes / reading.low / 1e6)


def describe(device: torch.device, dtype: torch.dtype) -> dict[str, Any]:
    """Machine, software and commit, for the record of a measurement."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else _cpu_name()
    return {
        "device": name,
        "capability": torch.backends.cpu.get_cpu_capability() if device.type == "cpu" else "CUDA",
        "threads": torch.get_num_threads(),
        "dtype": str(dtype).removeprefix("torch."),
        "torch": torch.__version__,
        "python": platform.python_version(),
        "commit": _commit(),
    }


def _cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return f"{names[0]}, {len(names)} cores" if names else platform.machine()


def _commit() -> str:
    done = subprocess.run(
        ["git", "describe", "--always", "--dirty"],
        cwd=Path(__file__).parent,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout.strip() or "unknown"
