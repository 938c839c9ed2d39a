"""What commands that read a memory have in common."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from mplus_ray.model.errors import InvalidInputError
from mplus_ray.model.object_store.failures import refused

if TYPE_CHECKING:
    from mplus_ray.model.structured.form import Form
    from mplus_ray.pipeline.ledger.tenant_log import TenantLog
    from mplus_ray.services.embedded import Embedded
    from mplus_ray.services.settings import Settings

T = TypeVar("T")


def check_words(text: str) -> None:
    """Refuse nothing at once, before a model is loaded for it.

    Raises:
        InvalidInputError: there is nothing in it.
    """
    if not text.strip():
        raise InvalidInputError("the question is empty; ask something")


def form_of(schema: Path, question: str) -> Form:
    """What an answer has to fill, by the JSON Schema in a file.

    Raises:
        InvalidInputError: it cannot be read, or not followed.
    """
    from mplus_ray.model.structured.form import Form
    from mplus_ray.model.structured.schema import Schema, SchemaError

    try:
        return Form(Schema(json.loads(schema.read_text("utf-8"))), question)
    except OSError as error:
        raise refused(error, f"{schema} cannot be read") from error
    except (ValueError, RecursionError) as error:
        raise InvalidInputError(f"{schema} is not JSON: {error}") from error
    except SchemaError as error:
        raise SchemaError(f"{schema}: this schema cannot be followed: {error}") from error


@contextmanager
def open_tenant(
    settings: Settings, tenant: str, as_of: str | None, snapshot: str | None
) -> Iterator[tuple[Embedded, TenantLog, int | None]]:
    """The system, a tenant that exists with its memory made ready, and the step that is asked
    about; None: the last."""
    from mplus_ray.services.cli.output import stderr
    from mplus_ray.services.embedded import Embedded
    from mplus_ray.services.moments import step_of

    with Embedded(settings) as system:
        log = system.existing_tenant(tenant)
        with stderr().status(f"loading {settings.checkpoint}"):
            log.tenant.check_fingerprint(system.model.fingerprint)
        _prepare(system, log)
        yield system, log, step_of(log, as_of, snapshot)


def _prepare(system: Embedded, log: TenantLog) -> None:
    """Make a memory again that was dropped; refuse one that never was."""
    from mplus_ray.model.errors import StorageError
    from mplus_ray.services.cli.refresh import warm

    warm(system, log)
    if not log.heads.serving().head.step:
        raise StorageError(
            "this tenant's documents are in the log, but none is memorized yet; "
            f"`mplus ingest --tenant {log.tenant.name}` memorizes them"
        )


def repairing(system: Embedded, log: TenantLog, read: Callable[[], T]) -> T:
    """What a reader finds, also where a damaged file has to be made again for it."""
    from mplus_ray.model.errors import DamagedFileError
    from mplus_ray.pipeline.maintenance.repair import verify
    from mplus_ray.services.cli.output import stderr

    try:
        return read()
    except DamagedFileError as error:
        # No text was shown yet: rows are read with the question.
        said = f"{error.file}: {error.reason}; making it again from the documents"
        stderr().print(said, soft_wrap=True)
    system.reader.close(log.tenant.id)
    verify(system.engine, log)
    return read()


def say_waiting(waiting: int, tenant: str) -> None:
    """Tell on standard error what the memory lacks of the log."""
    from mplus_ray.services.cli.output import stderr

    if waiting:
        stderr().print(
            f"{waiting} chunks are not memorized yet; `mplus ingest --tenant {tenant}` goes on"
        )
