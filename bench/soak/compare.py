"""A disturbed installation beside an undisturbed one."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mplus_ray.bench.fixture import installation, tenant
from mplus_ray.bench.ingest.texts import accept
from mplus_ray.bench.soak.arrivals import Journal
from mplus_ray.pipeline.ledger.tenant_log import TenantLog
from mplus_ray.pipeline.maintenance.audit import digest
from mplus_ray.pipeline.maintenance.head_files import purge
from mplus_ray.pipeline.maintenance.repair import verify
from mplus_ray.pipeline.parsing.document import ParsedDocument
from mplus_ray.pipeline.workers.catch_up import catch_up
from mplus_ray.services.embedded import Embedded


def compare(
    system: Embedded, folder: Path, journal: Journal, say: Callable[[str], None]
) -> dict[str, Any]:
    """What differs from one process that was given the documents that stayed, and the steps.

    Args:
        system: the installation to judge; nobody writes to it now.
        folder: for the other one.
    """
    problems = []
    steps = 0
    with installation(folder, system.model) as other:
        for name, documents in journal.tenants.items():
            log = tenant(other, name)
            for key, text in documents.items():
                model = other.model
                document = ParsedDocument(key, text)
                accept(log, document, model.tokenizer)
        say("memorizing the same undisturbed")
        catch_up(other.engine, [other.ledger.tenant(name) for name in journal.tenants])
        say("comparing")
        for name, documents in journal.tenants.items():
            log, twin = system.ledger.tenant(name), other.ledger.tenant(name)
            problems += [f"{name}: {what}" for what in _differences(system, log, documents)]
            mine, theirs = digest(log, system.reader), digest(twin, other.reader)
            if mine != theirs:
                problems.append(f"{name}: the memory is {mine}, undisturbed {theirs}")
            steps += mine.step
            system.reader.close(log.tenant.id)
            other.reader.close(twin.tenant.id)
    return {"problems": problems, "steps": steps}


def _differences(system: Embedded, log: TenantLog, documents: dict[str, str]) -> list[str]:
    """Of a tenant from what was acknowledged, and of its files from what it names."""
    problems = []
    expected = [(key, hashlib.sha256(text.encode()).hexdigest()) for key, text in documents.items()]
    if [(document.key, document.sha256) for document in log.documents()] != expected:
        problems.append("the log has other documents than were acknowledged")
    if damaged := verify(system.engine, log).damaged:
        problems.append(f"damaged files: {damaged}")
    with system.engine.lease(log) as lease:
        purge(system.engine, log, lease)
    found = {file for file, _ in system.files.list(f"{log.tenant.id}/")}
    if left := found - log.heads.files():
        problems.append(f"{len(left)} files that nobody names")
    return problems
