"""What a tenant's memory is, was and can be made into: snapshots, forks, digests, repair."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mplus_ray.services.cli.options import (
    AsOfOption,
    CheckpointOption,
    DataOption,
    JsonOption,
    SnapshotOption,
    TenantOption,
)

if TYPE_CHECKING:
    from mplus_ray.pipeline.chunking.tokenizer import Tokenizer
    from mplus_ray.pipeline.ledger.heads.snapshots import Snapshot
    from mplus_ray.pipeline.ledger.tenant_log import TenantLog
    from mplus_ray.services.embedded import Embedded

StepOption = Annotated[
    int | None,
    typer.Option(help="After so many steps; by default as it is now.", show_default=False),
]


def snapshot(
    tenant: TenantOption,
    name: Annotated[
        str | None,
        typer.Argument(metavar="[NAME]", help="None: list them.", show_default=False),
    ] = None,
    step: StepOption = None,
    delete: Annotated[bool, typer.Option("--delete", help="Take the name away.")] = False,
    data: DataOption = None,
    json: JsonOption = None,
) -> None:
    """Name the memory as it is, or list the names; `ask --snapshot NAME` answers from one.

    A snapshot stores a step and no rows. It moves with the log when a document is forgotten.
    """
    from mplus_ray.model.errors import InvalidInputError
    from mplus_ray.services.cli.output import human, printable, write_json
    from mplus_ray.services.embedded import Embedded
    from mplus_ray.services.settings import Settings

    if (name is None and (delete or step is not None)) or (delete and step is not None):
        raise InvalidInputError("give NAME to take a snapshot; --delete takes a NAME and no --step")
    with Embedded(Settings.read(data)) as system:
        snapshots = system.existing_tenant(tenant).snapshots
        if name is not None and delete:
            snapshots.delete(name)
        elif name is not None:
            snapshots.take(name, step)
        shown = [_snapshot(s) for s in snapshots.list()]
    write_json(json, {"tenant": tenant, "snapshots": shown})
    for row in shown:
        line = f"{row['name']}: step {row['step']}, {row['created']}"
        human(json).print(printable(line), markup=False)
    if not shown:
        human(json).print(f"{tenant} has no snapshots", markup=False)


def fork(
    tenant: TenantOption,
    new: Annotated[str, typer.Argument(metavar="NEW", help="Of the copy.", show_default=False)],
    step: StepOption = None,
    snapshot: SnapshotOption = None,
    data: DataOption = None,
    checkpoint: CheckpointOption = None,
    json: JsonOption = None,
) -> None:
    """Make a second tenant from a tenant's memory, as it is or as it was.

    It shares the files and pays for what it adds. What one of them forgets, the other keeps.
    """
    from mplus_ray.pipeline.maintenance import tenant_lifecycle
    from mplus_ray.services.cli.output import human, write_json
    from mplus_ray.services.cli.refresh import warm
    from mplus_ray.services.embedded import Embedded
    from mplus_ray.services.moments import step_of
    from mplus_ray.services.settings import Settings

    with Embedded(Settings.read(data, checkpoint), write_only=True) as system:
        log = system.existing_tenant(tenant)
        warm(system, log)

        def tokenizer() -> Tokenizer:
            log.tenant.check_fingerprint(system.model.fingerprint)
            return system.model.tokenizer

        made = tenant_lifecycle.fork(
            system.stores, log, new, lambda: step_of(log, step, snapshot), tokenizer
        )
        steps = made.heads.serving().head.step
    write_json(json, {"tenant": new, "parent": tenant, "step": steps})
    human(json).print(f"{new}: {tenant} after {steps} steps", markup=False)


def digest(
    tenant: TenantOption,
    as_of: AsOfOption = None,
    snapshot: SnapshotOption = None,
    data: DataOption = None,
    checkpoint: CheckpointOption = None,
    json: JsonOption = None,
) -> None:
    """One hash over the whole memory: pool, long-term rows, their order and their bytes.

    Equal memories have equal digests, however they came about and wherever they are.
    """
    from mplus_ray.pipeline.maintenance.audit import digest as hash_memory
    from mplus_ray.services.cli.output import human, write_json
    from mplus_ray.services.cli.refresh import warm
    from mplus_ray.services.embedded import Embedded
    from mplus_ray.services.moments import step_of
    from mplus_ray.services.settings import Settings

    with Embedded(Settings.read(data, checkpoint)) as system:
        log = _checked(system, tenant)
        warm(system, log)
        found = hash_memory(log, system.reader, step_of(log, as_of, snapshot))
    write_json(json, {"tenant": tenant, "step": found.step, "digest": found.digest})
    human(json).print(found.digest)


def rebuild(
    tenant: TenantOption,
    data: DataOption = None,
    checkpoint: CheckpointOption = None,
    json: JsonOption = None,
) -> None:
    """Memorize a tenant's log again with the loaded checkpoint; the old memory serves meanwhile.

    This is how a tenant moves to another model, which cuts the documents its own way. Interrupted,
    the same command goes on.
    """
    from mplus_ray.pipeline.maintenance.rebuild import upgrade
    from mplus_ray.services.cli.output import human, stderr, write_json
    from mplus_ray.services.cli.progress import memorizing
    from mplus_ray.services.embedded import Embedded
    from mplus_ray.services.settings import Settings

    began = time.monotonic()
    with Embedded(Settings.read(data, checkpoint), write_only=True) as system:
        log = system.existing_tenant(tenant)
        size = system.step_bytes(log.tenant.precision)
        with memorizing(stderr(), log.tenant.name) as bar:
            upgrade(system.engine, log, size, bar.step, bar.expect)
        head = log.heads.serving().head
    result = {"tenant": tenant, "fingerprint": head.fingerprint, "step": head.step}
    write_json(json, {**result, "seconds": round(time.monotonic() - began, 3)})
    human(json).print(
        f"{tenant}: {head.step} steps of the checkpoint {head.fingerprint[:16]}…", markup=False
    )


def verify(
    tenant: TenantOption,
    data: DataOption = None,
    checkpoint: CheckpointOption = None,
    json: JsonOption = None,
) -> None:
    """Read every file of a memory, compare it with the log, and make again what is damaged.

    Exit code 1 if anything differed, also when it is repaired.
    """
    from mplus_ray.pipeline.maintenance.audit import check_log
    from mplus_ray.pipeline.maintenance.repair import verify as verify_files
    from mplus_ray.services.cli.output import human, printable, write_json
    from mplus_ray.services.embedded import Embedded
    from mplus_ray.services.settings import Settings

    with Embedded(Settings.read(data, checkpoint)) as system:
        log = _checked(system, tenant)
        verdict = verify_files(system.engine, log)
        problems = check_log(system.engine, log, system.reader)
        step = log.heads.serving().head.step
    result: dict[str, Any] = {
        "tenant": tenant,
        "step": step,
        "files": verdict.files,
        "damaged": verdict.damaged,
        "repaired": verdict.repaired,
        "problems": problems,
    }
    write_json(json, result)
    console = human(json)
    for file, reason in verdict.damaged.items():
        made = "made again" if file in verdict.repaired else "still damaged"
        console.print(printable(f"{file}: {reason}; {made}"), markup=False)
    for problem in problems:
        console.print(printable(problem), markup=False)
    count = len(verdict.damaged) + len(problems)
    said = f"{count} differences" if count else "as it should be"
    console.print(f"{tenant}: {step} steps in {verdict.files} files, {said}", markup=False)
    if count:
        raise typer.Exit(1)


def sweep(data: DataOption = None, json: JsonOption = None) -> None:
    """Keep all memories small: drop the rows of cold tenants, merge small files, end deletions.

    For a timer. `tenants set --cold-after` says when a tenant is cold.
    """
    from mplus_ray.pipeline.maintenance.tenant_lifecycle import sweep as sweep_all
    from mplus_ray.services.cli.output import human, say_absent, write_json
    from mplus_ray.services.embedded import Embedded
    from mplus_ray.services.settings import Settings

    settings = Settings.read(data)
    say_absent(settings)
    done = {"cooled": 0, "merged": 0, "removed": 0}
    if settings.exists:  # looking makes no data directory
        with Embedded(settings) as system:
            done = sweep_all(system.stores)
    write_json(json, done)
    human(json).print(
        f"{done['cooled']} tenants cooled, {done['merged']} files merged away, "
        f"{done['removed']} deletions ended"
    )


def _checked(system: Embedded, tenant: str) -> TenantLog:
    """A tenant whose memory the loaded checkpoint made."""
    from mplus_ray.services.cli.output import stderr

    log = system.existing_tenant(tenant)
    with stderr().status(f"loading {system.settings.checkpoint}"):
        log.tenant.check_fingerprint(system.model.fingerprint)
    return log


def _snapshot(taken: Snapshot) -> dict[str, Any]:
    from mplus_ray.services.moments import iso

    return {"name": taken.name, "step": taken.step, "created": iso(taken.created)}
