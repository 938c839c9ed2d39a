"""Jobs: work that goes on after its request was answered, and waiting for it."""

from __future__ import annotations

import time

from ..errors import JobFailedError, WaitTimeoutError
from ..flow import Flow, Sleep, operation, paged
from ..models import Job, JobPage, Receipt, TakenIn
from ..requests import call, given, quoted
from .core import Core
from .sent import Sent

_PATH = "/v1/jobs"
_FIRST_PAUSE, _LONGEST_PAUSE = 0.05, 2.0  # seconds between looks
_WAIT = 300.0


class Jobs(Core):
    """`/v1/jobs`."""

    @operation
    def job(self, id: str) -> Flow[Job]:  # noqa: A002 - as the service calls it
        """How far one is.

        Raises:
            NotFoundError: there is none, or it was done a week ago.
        """
        found = yield from _job(self, id)
        return found

    @paged
    def jobs(self, cursor: str | None, *, page: int = 200) -> Flow[tuple[list[Job], str | None]]:
        """All jobs, the newest first.

        Args:
            page: jobs that are fetched at a time, 200 at most.
        """
        params = given(limit=page, cursor=cursor)
        found = yield from call(self.patience, JobPage, "GET", _PATH, params=params)
        return found.jobs, found.next_cursor

    @operation
    def wait(self, work: str | TakenIn | Receipt | Sent, timeout: float = _WAIT) -> Flow[list[Job]]:
        """Wait until documents are memorized, or all is gone of those that are forgotten.

        Args:
            work: what handing in, sending or deleting returned, or the id of a job.
            timeout: seconds that all of it may take.

        Returns the jobs, done; none where there was nothing to do.

        Raises:
            WaitTimeoutError: it is not done in that time. It goes on.
            JobFailedError: it cannot be done.
        """
        deadline = time.monotonic() + timeout
        done: list[Job] = []
        for name in _names(work):
            done += [(yield from finished(self, name, deadline - time.monotonic()))]
        return done


def finished(core: Core, job_id: str, seconds: float) -> Flow[Job]:
    """A job when it is done.

    Raises:
        WaitTimeoutError: it is not.
        JobFailedError: it cannot be.
    """
    deadline = time.monotonic() + seconds
    pause = _FIRST_PAUSE
    while True:
        job = yield from _job(core, job_id)
        if job.state == "done":
            return job
        if job.state == "failed":
            reasons = (
                "; ".join(one.reason for one in job.failed[:3]) or "the service's log says why"
            )
            raise JobFailedError(f"job {job_id} failed: {reasons}", job)
        left = deadline - time.monotonic()
        if left <= 0:
            did = f"{job.memorized} of {job.documents} documents"
            raise WaitTimeoutError(f"job {job_id} goes on; done: {did}", job)
        yield Sleep(min(pause, left))
        pause = min(1.5 * pause, _LONGEST_PAUSE)


def _job(core: Core, job_id: str) -> Flow[Job]:
    found = yield from call(core.patience, Job, "GET", f"{_PATH}/{quoted(job_id)}")
    return found


def _names(work: str | TakenIn | Receipt | Sent) -> list[str]:
    if isinstance(work, str):
        return [work]
    if isinstance(work, Sent):
        return list(work.jobs)
    return [work.job_id] if work.job_id else []
