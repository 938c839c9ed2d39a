"""Threads that come and go leave no memory of their own behind."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

_CODE = """
import sys, threading
import psutil
from mplus_ray.services.serving.process.allocator import share_arenas
if sys.argv[1] == "shared":
    assert share_arenas()

def work():
    pieces = [bytes([n % 7]) * 100_000 for n in range(300)]  # too small to be mapped one by one
    last.append(pieces[-1])  # what lies above the rest, which is freed
    del pieces
    done.wait()

done, last = threading.Event(), []
threads = []
for _ in range(8):
    thread = threading.Thread(target=work)
    thread.start()
    threads.append(thread)
    thread.join(0.3)
print(psutil.Process().memory_info().rss >> 20)
done.set()
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="glibc's allocator alone does this")
def test_threads_share_what_was_freed() -> None:
    def resident(how: str) -> int:
        done = subprocess.run(
            [sys.executable, "-c", _CODE, how], capture_output=True, text=True, check=True
        )
        return int(done.stdout)

    assert resident("shared") < resident("alone") / 2
