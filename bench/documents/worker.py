"""A process that one contender reads files in: `python -m mplus_ray.bench.documents.worker NAME`.

A path a line on standard input; a line of JSON for each: the text or the error, the seconds of
computing, and the most memory so far in bytes.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import sys
from pathlib import Path

from mplus_ray.bench.documents.contenders import CONTENDERS
from mplus_ray.model.errors import DocumentError

SECONDS = 60.0
_MEMORY = 6 << 30


def main() -> None:
    read = CONTENDERS[sys.argv[1]]
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what a parser prints is no answer
    for line in sys.stdin:
        signal.setitimer(signal.ITIMER_PROF, SECONDS)
        before = _computing()
        try:
            answer = {"text": read(Path(json.loads(line)))}
        except DocumentError as error:
            answer = {"refused": str(error), "reason": error.reason}
        except Exception as error:  # noqa: BLE001 (a contender fails in any way it likes)
            answer = {"refused": f"{type(error).__name__}: {error}"[:300]}
        signal.setitimer(signal.ITIMER_PROF, 0)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        print(
            json.dumps({**answer, "seconds": _computing() - before, "peak": peak}),
            file=answers,
            flush=True,
        )


def _computing() -> float:
    """Seconds of this process and of those that it started."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)


if __name__ == "__main__":
    main()
