"""Real `mplus` processes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

MPLUS = Path(sys.executable).with_name("mplus")


@dataclass(frozen=True)
class Outcome:
    """How a process ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


@dataclass(frozen=True)
class Command:
    """`mplus` with a data directory and a checkpoint of its own."""

    data: Path
    checkpoint: Path
    environment: dict[str, str] = field(default_factory=dict)

    def __call__(self, *arguments: str | Path, prefix: tuple[str, ...] = ()) -> Outcome:
        done = subprocess.run(
            self.line(*arguments, prefix=prefix),
            env=self.env,
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )
        return Outcome(done.returncode, done.stdout, done.stderr)

    def start(self, *arguments: str | Path) -> subprocess.Popen[str]:
        return subprocess.Popen(
            self.line(*arguments), env=self.env, stderr=subprocess.PIPE, text=True
        )

    def line(self, *arguments: str | Path, prefix: tuple[str, ...] = ()) -> list[str]:
        return [*prefix, str(MPLUS), *map(str, arguments)]

    @property
    def env(self) -> dict[str, str]:
        own = {
            "MPLUS_DATA": str(self.data),
            "MPLUS_CHECKPOINT": str(self.checkpoint),
            "OMP_NUM_THREADS": "1",  # tiny layers gain nothing from threads
            "COLUMNS": "200",
        }
        return {**os.environ, **own, **self.environment}

    def memory(self) -> dict[str, str]:
        """Digest of every tenant's memory."""
        tenants = self("tenants", "list", "--json", "-").json["tenants"]
        return {tenant["tenant"]: self._digest(tenant["tenant"]) for tenant in tenants}

    def _digest(self, tenant: str) -> str:
        done = self("digest", "-t", tenant, "--json", "-")
        assert done.code == 0, done.err
        return str(done.json["digest"])
