"""Becomes HAProxy, once what Serve wrote for it is as it has to be. It runs alone, as a script.

Serve has HAProxy show its figures to everybody who can reach this machine: when others ask, and
how much. It has it send a line for each request to whoever collects logs here. And it lets it live
on, with its port, if its own process is killed.
"""

from __future__ import annotations

import ctypes
import os
import re
import signal
import sys
from pathlib import Path

METRICS, STATS = 1, 2  # ports in what Serve writes, that stand for sockets of this user alone
_PR_SET_PDEATHSIG = 1


def narrowed(config: str, folder: Path) -> str:
    """What Serve wrote, with figures for this user alone and without lines for each request."""
    for name, port in (("metrics", METRICS), ("stats", STATS)):
        ours = rf"\1 unix@{folder}/{name} mode 600"
        config, found = re.subn(rf"^( *bind) \*?:{port}$", ours, config, flags=re.M)
        if found != 1:
            raise ValueError(f"Serve's HAProxy has {found} listeners for {name} instead of one")
    return re.sub(r"^ *log .*\n", "", config, flags=re.M)


def main() -> None:
    binary, *options = sys.argv[1:]
    path = Path(options[options.index("-f") + 1])
    path.write_text(narrowed(path.read_text(), path.parent))
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    os.execv(binary, [binary, *options])


if __name__ == "__main__":
    main()
