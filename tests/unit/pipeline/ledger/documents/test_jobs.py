"""Jobs: what was accepted, and how far it has come."""

from __future__ import annotations

import pytest
from sqlalchemy import func, select

from mplus_ray.model.errors import InvalidInputError, JobNotFoundError, TenantNotFoundError
from mplus_ray.pipeline.ledger.documents.jobs import Job, RefusedDocument
from mplus_ray.pipeline.ledger.ledger import Ledger
from mplus_ray.pipeline.ledger.schema import job_documents, jobs
from mplus_ray.pipeline.ledger.tenant_log import TenantLog
from mplus_ray.pipeline.parsing.document_id import id_of_name
from tests.logs import Clock, build_without, memorize, put

pytest_plugins = ["tests.postgres"]

WEEK = 7 * 24 * 3600


@pytest.fixture
def log(ledger: Ledger) -> TenantLog:
    return ledger.create_tenant("anna", "f1")


def batch(log: TenantLog, *keys: str) -> Job:
    return log.jobs.create([put(log, key).document for key in keys])


def progress(log: TenantLog, job: Job) -> tuple[str, int]:
    found = log.jobs.get(job.id)
    return found.state, found.memorized


class TestBatch:
    def test_it_follows_its_documents(self, log: TenantLog, clock: Clock) -> None:
        put(log, "before")
        job = batch(log, "a", "b")
        assert (job.kind, job.state, job.documents, job.created) == (
            "ingest",
            "waiting",
            2,
            clock.now,
        )
        lease = log.heads.claim("w", 10)
        seen = []
        for end in (2, 3, 4, 5, 6):
            memorize(log, lease, [end])
            seen.append(progress(log, job))
        assert seen == [("waiting", 0), ("running", 0), ("running", 1), ("running", 1), ("done", 2)]

    def test_a_known_document_is_done_already(self, log: TenantLog) -> None:
        put(log, "a")
        memorize(log, log.heads.claim("w", 10), [2])
        known = put(log, "a")
        assert not known.new
        assert log.jobs.create([known.document, known.document]).state == "done"

    def test_failures_are_told_with_their_reasons(self, log: TenantLog) -> None:
        failed = [RefusedDocument("x.pdf", "encrypted"), RefusedDocument("y\udc80", "torn\0")]
        job = log.jobs.create([put(log, "a").document], failed)
        assert log.jobs.get(job.id).failed == (
            RefusedDocument("x.pdf", "encrypted"),
            RefusedDocument(id_of_name("y\udc80"), "torn\ufffd"),
        )
        assert job.state == "waiting"
        assert log.jobs.create([], failed).state == "failed"
        assert log.jobs.create([]).state == "done"

    def test_what_is_forgotten_first_is_not_waited_for(self, log: TenantLog) -> None:
        job = batch(log, "a", "b")
        log.forgets.request("a")
        assert progress(log, job) == ("running", 1)
        lease = log.heads.claim("w", 10)
        head = build_without(log, lease, ["a"])
        log.heads.swap(lease, head.id)
        assert [document.key for document in log.documents()] == ["b"]
        assert progress(log, job) == ("done", 2)

    def test_it_stays_done_when_the_memory_is_dropped(self, log: TenantLog) -> None:
        job = batch(log, "a")
        lease = log.heads.claim("w", 10)
        head = memorize(log, lease, [2])
        log.heads.reset(lease, head.id)
        assert progress(log, job) == ("done", 1)


class TestForget:
    def test_its_receipt_is_the_job(self, log: TenantLog) -> None:
        put(log, "a")
        put(log, "b")
        lease = log.heads.claim("w", 10)
        memorize(log, lease, [4])
        request = log.forgets.request("a")
        job = log.jobs.get(request.receipt.id)
        assert (job.kind, job.state, job.documents, job.memorized) == ("forget", "waiting", 1, 0)
        assert job.receipt == request.receipt
        log.heads.swap(lease, build_without(log, lease, ["a"]).id)
        assert progress(log, job) == ("running", 0)
        log.forgets.mark_purged([job.id])
        assert progress(log, job) == ("done", 1)


class TestList:
    def test_the_newest_first_page_by_page(self, log: TenantLog, clock: Clock) -> None:
        made = []
        for key in "abcd":
            made.append(batch(log, key).id)
            clock.now += 1
        made.append(log.forgets.request("a").receipt.id)
        assert [job.id for job in log.jobs.list()] == made[::-1]
        pages, after = [], None
        while page := log.jobs.list(2, after):
            pages.append([job.id for job in page])
            after = page[-1].id
        assert pages == [made[:2:-1], made[2:0:-1], made[:1]]

    def test_those_of_one_moment_are_all_listed(self, log: TenantLog) -> None:
        made = {batch(log, key).id for key in "abcde"}
        seen, after = [], None
        while page := log.jobs.list(2, after):
            seen += [job.id for job in page]
            after = page[-1].id
        assert sorted(seen) == sorted(made)

    def test_a_lost_place_is_said(self, log: TenantLog) -> None:
        with pytest.raises(InvalidInputError, match="list from the start"):
            log.jobs.list(after="gone")


class TestAge:
    def test_finished_batches_go_after_a_week(self, log: TenantLog, clock: Clock) -> None:
        done, waiting = batch(log, "a"), batch(log, "b")
        failed = log.jobs.create([], [RefusedDocument("x", "y")])
        memorize(log, log.heads.claim("w", 10), [2])
        clock.now += WEEK
        batch(log, "c")
        assert len(log.jobs.list()) == 4
        clock.now += 1
        new = batch(log, "d")
        assert {job.id for job in log.jobs.list()} >= {waiting.id, new.id}
        for gone in (done, failed):
            with pytest.raises(JobNotFoundError):
                log.jobs.get(gone.id)
        with log.scope.reading() as connection:
            named = connection.execute(select(job_documents.c.job)).scalars()
            assert set(named) <= set(connection.execute(select(jobs.c.id)).scalars())

    def test_receipts_stay_but_are_not_listed(self, log: TenantLog, clock: Clock) -> None:
        put(log, "a")
        lease = log.heads.claim("w", 10)
        request = log.forgets.request("a").receipt
        log.heads.swap(lease, build_without(log, lease, ["a"]).id)
        log.forgets.mark_purged([request.id])
        assert [job.id for job in log.jobs.list()] == [request.id]
        clock.now += WEEK
        assert log.jobs.list() == []
        assert log.jobs.get(request.id).state == "done"


class TestOwners:
    def test_another_tenants_jobs_are_not_there(self, ledger: Ledger, log: TenantLog) -> None:
        other = ledger.create_tenant("bela", "f1")
        job, request = batch(log, "a"), log.forgets.request("a").receipt
        for job_id in (job.id, request.id, "", "x" * 10_000, "\0", "\udc80"):
            with pytest.raises(JobNotFoundError):
                other.jobs.get(job_id)
        for after in (job.id, "\0"):
            with pytest.raises(InvalidInputError):
                other.jobs.list(after=after)
        assert other.jobs.list() == []

    def test_they_go_with_the_tenant(self, ledger: Ledger, log: TenantLog) -> None:
        batch(log, "a")
        ledger.marked.begin_removal(ledger.delete_tenant("anna").id)
        with log.scope.reading() as connection:
            for table in (jobs, job_documents):
                assert connection.execute(select(func.count()).select_from(table)).scalar() == 0
        with pytest.raises(TenantNotFoundError):
            log.jobs.create([])

    def test_a_fork_has_none(self, ledger: Ledger, log: TenantLog) -> None:
        batch(log, "a")
        assert ledger.fork_tenant(log, "bela").jobs.list() == []
