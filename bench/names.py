"""The tenant that the benchmarks write to."""

from __future__ import annotations

TENANT = "bench"
