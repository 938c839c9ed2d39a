"""The name of a holder of leases in this process, and whether another holder still lives."""

from __future__ import annotations

import os
import platform
import uuid
from pathlib import Path


def new_owner() -> str:
    """Unlike any other holder that may share a ledger; begins with the host's name."""
    return f"{process_owner()}{uuid.uuid4().hex[:8]}"


def process_owner() -> str:
    """What all holders in this process begin with."""
    return f"{_place()}/{os.getpid()}/{_started(os.getpid())}/"


def is_gone(owner: str) -> bool:
    """Whether a holder is known to have ended. Of another host's nothing is known."""
    place, pid, started, _ = [*owner.split("/"), "", "", ""][:4]
    if place != _place() or not pid.isdigit():
        return False
    return _started(int(pid)) != started


def _place() -> str:
    """The host, and the container in it: process ids mean nothing beyond that."""
    try:
        space = Path("/proc/self/ns/pid").readlink().name
    except OSError:
        space = ""
    return f"{platform.node()}{space}"


def _started(pid: int) -> str:
    """When a process began, in the kernel's own count, or "" where there is none."""
    try:
        # The name in parentheses may hold anything, so fields are counted from its end.
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return _signalled(pid)
    return "" if fields[0] in ("Z", "X") else fields[19]


def _signalled(pid: int) -> str:
    """Whether a process lives, where there is no /proc: it does if it can be signalled."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return ""
    except OSError:
        pass
    return "alive"
