"""Processes as /proc has them: whose they are, and how much memory they take."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

_PROC = Path("/proc")
_ROLES = {
    "Readers": "readers",
    "Ingress": "ingress",
    "ProxyActor": "proxy",
    "WorkerActor": "writers",
}


@dataclass(frozen=True)
class Process:
    """One that lives.

    Attributes:
        title: its command line, or what it calls itself.
        pid: its id.
    """

    pid: int
    title: str

    @property
    def role(self) -> str:
        """What it does for the service; `other` is Ray."""
        return next((role for name, role in _ROLES.items() if name in self.title), "other")


@dataclass(frozen=True)
class ResidentBytes:
    """Bytes of processes. What several share counts once, in parts (PSS).

    Attributes:
        total: mapped files included; `own`: without them.
        by_role: of the total.
        own: without mapped files.
    """

    total: int
    own: int
    by_role: dict[str, int]


def processes_with(name: str, value: str, proc: Path = _PROC) -> list[Process]:
    """Those that began with this in their environment, zombies apart."""
    entry = f"{name}={value}".encode()
    found = []
    for folder in proc.glob("[0-9]*"):
        with suppress(OSError):  # it has ended, or is not ours to look at
            if entry in (folder / "environ").read_bytes().split(b"\0"):
                command = (folder / "cmdline").read_bytes().replace(b"\0", b" ")
                if command:
                    found.append(Process(int(folder.name), command.decode(errors="replace")))
    return found


def memory_of(processes: list[Process], proc: Path = _PROC) -> ResidentBytes:
    """What they take together; those that have ended take nothing."""
    total, own = 0, 0
    by_role: dict[str, int] = {}
    for process in processes:
        with suppress(OSError):
            sizes = dict(_sizes((proc / str(process.pid) / "smaps_rollup").read_text()))
            total += sizes["Pss"]
            own += sizes["Pss"] - sizes.get("Pss_File", 0)
            by_role[process.role] = by_role.get(process.role, 0) + sizes["Pss"]
    return ResidentBytes(total, own, by_role)


def _sizes(rollup: str) -> Iterator[tuple[str, int]]:
    for line in rollup.splitlines():
        name, _, value = line.partition(":")
        if value.endswith(" kB"):
            yield name, 1024 * int(value.split()[0])
