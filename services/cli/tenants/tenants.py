"""`mplus tenants`: who has a memory here, and how large it may become."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mplus_ray.services.cli.options import CheckpointOption, DataOption, JsonOption

if TYPE_CHECKING:
    from mplus_ray.pipeline.ledger.tenant import Tenant, TenantLimits

app = typer.Typer(help="Create, list, change and delete tenants.", no_args_is_help=True)

NameArgument = Annotated[str, typer.Argument(metavar="NAME", show_default=False)]


def _limit(option: str, help: str, metavar: str = "N|none") -> Any:  # noqa: A002
    return typer.Option(option, metavar=metavar, help=help, show_default=False)


_DEFAULT = "none is what the service allows by default."
DocumentsOption = Annotated[str | None, _limit("--max-documents", "Documents it may have.")]
BytesOption = Annotated[str | None, _limit("--max-bytes", "Bytes its rows may take.")]
ColdOption = Annotated[
    str | None,
    _limit(
        "--cold-after",
        "Idle for so long, `mplus sweep` drops its rows; they are made again from text.",
        "SECONDS|none",
    ),
]
DocumentRateOption = Annotated[
    str | None, _limit("--documents-per-minute", f"Documents it may hand in; {_DEFAULT}")
]
TokenRateOption = Annotated[
    str | None, _limit("--tokens-per-minute", f"Tokens of them; {_DEFAULT}")
]
QuestionsOption = Annotated[
    str | None, _limit("--concurrent-questions", f"Questions at once; {_DEFAULT}")
]
ThresholdOption = Annotated[
    str | None,
    _limit(
        "--threshold",
        "Confidence below which the service gives no answer: 0 answers always, none is the "
        "checkpoint's own.",
        "0…1|none",
    ),
]
_COLUMNS = ("tenant", "documents", "chunks", "tokens", "step", "bytes")


@app.callback()
def tenants() -> None:
    """Tenants and the size of what they have taken in."""


@app.command("list")
def list_tenants(data: DataOption = None, json: JsonOption = None) -> None:
    """Every tenant with its documents, chunks, tokens, memorized steps and bytes of rows."""
    from rich.table import Table
    from rich.text import Text

    from mplus_ray.services.cli.output import human, say_absent, write_json
    from mplus_ray.services.embedded import Embedded
    from mplus_ray.services.settings import Settings

    settings = Settings.read(data=data)
    say_absent(settings)
    summaries = []
    if settings.exists:  # looking makes no data directory
        with Embedded(settings) as system:
            summaries = system.ledger.tenants()
    rows = [
        {
            "tenant": summary.tenant.name,
            "documents": summary.documents,
            "chunks": summary.chunks,
            "tokens": summary.tokens,
            "step": summary.step,
            "bytes": summary.nbytes,
            **_settings(summary.tenant),
        }
        for summary in summaries
    ]
    write_json(json, {"tenants": rows})
    table = Table(*_COLUMNS, box=None)
    for row in rows:
        table.add_row(*(Text(str(row[column])) for column in _COLUMNS))
    human(json).print(table if rows else f"no tenants in {settings.data}")


@app.command("create")
def create(
    name: NameArgument,
    seed: Annotated[
        int | None, typer.Option(help="By default a hash of the name.", show_default=False)
    ] = None,
    precision: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="What rows are kept in: bfloat16 (the default), float32, float16 or int8.",
            show_default=False,
        ),
    ] = None,
    retention: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="checkpoint (the default): old rows go as the model was trained; or unbounded.",
            show_default=False,
        ),
    ] = None,
    max_documents: DocumentsOption = None,
    max_bytes: BytesOption = None,
    cold_after: ColdOption = None,
    documents_per_minute: DocumentRateOption = None,
    tokens_per_minute: TokenRateOption = None,
    concurrent_questions: QuestionsOption = None,
    threshold: ThresholdOption = None,
    data: DataOption = None,
    checkpoint: CheckpointOption = None,
    json: JsonOption = None,
) -> None:
    """Make a tenant. Seed, precision and retention are for life; `set` changes the rest."""
    from mplus_ray.model.errors import InvalidInputError, TenantNotFoundError
    from mplus_ray.services.cli.output import human, write_json
    from mplus_ray.services.embedded import Embedded
    from mplus_ray.services.settings import Settings

    limits = _limits(
        max_documents=max_documents,
        max_bytes=max_bytes,
        cold_after=cold_after,
        documents_per_minute=documents_per_minute,
        tokens_per_minute=tokens_per_minute,
        concurrent_questions=concurrent_questions,
        threshold=threshold,
    )
    with Embedded(Settings.read(data, checkpoint), write_only=True) as system:
        try:
            system.existing_tenant(name)
        except TenantNotFoundError:
            own = {"seed": seed, "precision": precision, "retention": retention, **limits}
            tenant = system.create_tenant(name, **own).tenant
        else:
            raise InvalidInputError(
                f"there is a tenant {name!r} already; `mplus tenants set` changes its limits"
            )
    write_json(json, {"tenant": name, **_settings(tenant)})
    human(json).print(f"{name}: {tenant.precision} rows, seed {tenant.seed}", markup=False)


@app.command("set")
def set_limits(
    name: NameArgument,
    max_documents: DocumentsOption = None,
    max_bytes: BytesOption = None,
    cold_after: ColdOption = None,
    documents_per_minute: DocumentRateOption = None,
    tokens_per_minute: TokenRateOption = None,
    concurrent_questions: QuestionsOption = None,
    threshold: ThresholdOption = None,
    data: DataOption = None,
    json: JsonOption = None,
) -> None:
    """Change what is given, `none` to lift a limit; what the tenant has stays."""
    from mplus_ray.pipeline.ledger.tenant import LIMITS
    from mplus_ray.services.cli.output import human, write_json
    from mplus_ray.services.embedded import Embedded
    from mplus_ray.services.settings import Settings

    changed = _limits(
        max_documents=max_documents,
        max_bytes=max_bytes,
        cold_after=cold_after,
        documents_per_minute=documents_per_minute,
        tokens_per_minute=tokens_per_minute,
        concurrent_questions=concurrent_questions,
        threshold=threshold,
    )
    with Embedded(Settings.read(data)) as system:
        system.existing_tenant(name).set_limits(**changed)
        tenant = system.ledger.tenant(name).tenant
    settings = _settings(tenant)
    write_json(json, {"tenant": name, **settings})
    for field in LIMITS:
        value = settings[field]
        human(json).print(f"{field:<22}{'none' if value is None else f'{value:g}'}")


@app.command("delete")
def delete(
    name: NameArgument,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    data: DataOption = None,
    json: JsonOption = None,
) -> None:
    """Take a tenant away with its documents, its memory and its text. There is no way back."""
    from mplus_ray.pipeline.maintenance.tenant_lifecycle import delete as delete_tenant
    from mplus_ray.services.cli.output import human, write_json
    from mplus_ray.services.embedded import Embedded
    from mplus_ray.services.settings import Settings

    with Embedded(Settings.read(data)) as system:
        log = system.existing_tenant(name)
        if not yes:
            typer.confirm(
                f"Delete {name} with {len(log.documents())} documents, for good?",
                abort=True,
                err=True,
            )
        delete_tenant(system.stores, name)
    write_json(json, {"tenant": name, "deleted": True})
    human(json).print(f"{name} is gone", markup=False)


def _limits(**texts: str | None) -> TenantLimits:
    """The limits that were given, as numbers; None for those that are lifted."""
    from mplus_ray.pipeline.ledger.tenant import TenantLimits

    limits = TenantLimits()
    for name, text in texts.items():
        if text is not None:
            limits[name] = _number(f"--{name.replace('_', '-')}", text)  # type: ignore[literal-required]
    return limits


def _number(option: str, text: str) -> float | int | None:
    from mplus_ray.model.errors import InvalidInputError

    if text == "none":
        return None
    if option == "--threshold":
        try:
            return float(text)
        except ValueError:
            raise InvalidInputError(
                f"{option} {text}: give a number from 0 to 1, or none"
            ) from None
    if not text.isdecimal() or int(text) >= 2**63:
        raise InvalidInputError(f"{option} {text}: give a whole number, or none for no limit")
    return int(text)


def _settings(tenant: Tenant) -> dict[str, Any]:
    from mplus_ray.pipeline.ledger.tenant import LIMITS

    shown = ("fingerprint", "seed", "precision", "retention")
    fields = asdict(tenant)
    return {name: fields[name] for name in (*shown, *LIMITS)}
