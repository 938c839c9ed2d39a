"""`mplus export` and `mplus import`: a tenant as one file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mplus_ray.services.cli.options import CheckpointOption, DataOption, JsonOption, TenantOption


def export_archive(
    tenant: TenantOption,
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="A new tar file.", show_default=False)
    ],
    with_memory: Annotated[
        bool,
        typer.Option("--with-memory", help="Also the rows, so that nothing is memorized again."),
    ] = False,
    data: DataOption = None,
    json: JsonOption = None,
) -> None:
    """Write a tenant's documents, settings and snapshots to an archive."""
    from mplus_ray.pipeline.archive.exporter import export_tenant
    from mplus_ray.services.cli.output import human, stderr, write_json
    from mplus_ray.services.embedded import Embedded
    from mplus_ray.services.settings import Settings

    with Embedded(Settings.read(data)) as system:
        log = system.existing_tenant(tenant)
        with stderr().status(f"exporting {tenant}"):
            done = export_tenant(system.stores, log, file.absolute(), with_memory)
    result = {
        "tenant": tenant,
        "file": str(file),
        "documents": done.documents,
        "chunks": done.chunks,
        "memory_files": done.files,
        "bytes": done.nbytes,
    }
    write_json(json, result)
    human(json).print(
        f"{file}: {done.documents} documents, {done.chunks} chunks, {done.files} files of memory, "
        f"{done.nbytes:,} bytes",
        markup=False,
    )


def import_archive(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="Of `mplus export`.", show_default=False)
    ],
    tenant: Annotated[
        str | None,
        typer.Option(
            "--tenant",
            "-t",
            metavar="NAME",
            help="A new name; by default the one that it had.",
            show_default=False,
        ),
    ] = None,
    documents_only: Annotated[
        bool, typer.Option("--documents-only", help="Leave the rows in the archive.")
    ] = False,
    data: DataOption = None,
    checkpoint: CheckpointOption = None,
    json: JsonOption = None,
) -> None:
    """Make the tenant of an archive, after everything in it has been checked.

    Without rows its memory is made from the documents when it is first wanted.
    """
    from mplus_ray.pipeline.archive.format import Archive
    from mplus_ray.pipeline.archive.importer import import_tenant
    from mplus_ray.services.cli.output import human, stderr, write_json
    from mplus_ray.services.embedded import Embedded
    from mplus_ray.services.settings import Settings

    with Archive(file) as archive, Embedded(Settings.read(data, checkpoint)) as system:
        memory = archive.manifest.memory is not None and not documents_only
        with stderr().status(f"importing {file.name}"):
            log = import_tenant(system.stores, archive, tenant, system.model if memory else None)
        name, step, chunks = log.tenant.name, log.heads.serving().head.step, log.length()
    result = {
        "tenant": name,
        "documents": archive.manifest.documents,
        "chunks": chunks,
        "step": step,
    }
    write_json(json, result)
    human(json).print(
        f"{name}: {archive.manifest.documents} documents, {step} of {chunks} chunks memorized",
        markup=False,
    )
