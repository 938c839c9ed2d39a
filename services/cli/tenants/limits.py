"""The options of all limits of a tenant, which `mplus tenants create` and `set` share."""

from __future__ import annotations

import functools
import inspect
import json
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from mplus_ray.pipeline.ledger.tenant import TenantLimits

_DEFAULT = "none is what the service allows by default."
_THRESHOLD = "threshold"
_ATTRIBUTE_QUOTAS = "attribute_quotas"
_HELP = {
    "max_documents": ("N|none", "Documents it may have."),
    "max_bytes": ("N|none", "Bytes its rows may take."),
    "cold_after": (
        "SECONDS|none",
        "Idle for so long, `mplus sweep` drops its rows; they are made again from text.",
    ),
    "documents_per_minute": ("N|none", f"Documents it may hand in; {_DEFAULT}"),
    "tokens_per_minute": ("N|none", f"Tokens of them; {_DEFAULT}"),
    "concurrent_questions": ("N|none", f"Questions at once; {_DEFAULT}"),
    _THRESHOLD: (
        "0…1|none",
        "Confidence below which the service gives no answer: 0 answers always, none is the "
        "checkpoint's own.",
    ),
    "ttl": (
        "SECONDS|none",
        "A document that does not say when is forgotten after so long; of those taken in from now "
        "on.",
    ),
    "max_webhooks": ("N|none", f"Webhooks it may have; {_DEFAULT}"),
    _ATTRIBUTE_QUOTAS: (
        "JSON|none",
        "What each session, each tag, or each value of a field of the metadata may have: "
        '\'{"session": {"max_documents": 100, "max_bytes": 50000000}, "metadata.project": …}\'.',
    ),
}


def takes_limits(command: Callable[..., None]) -> Callable[..., None]:
    """A command whose argument `limits` is made of an option for each limit.

    Args:
        command: gets a `TenantLimits` of what was given; None in it lifts a limit.
    """
    options = [_parameter(name, *texts) for name, texts in _HELP.items()]
    signature = inspect.signature(command, eval_str=True)
    parameters = []
    for parameter in signature.parameters.values():
        parameters += options if parameter.name == "limits" else [parameter]

    @functools.wraps(command)
    def with_options(**given: Any) -> None:
        texts = {name: given.pop(name) for name in _HELP}
        command(**given, limits=_limits(texts))

    with_options.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    with_options.__annotations__ = {one.name: one.annotation for one in parameters}
    return with_options


def _parameter(name: str, metavar: str, help: str) -> inspect.Parameter:  # noqa: A002
    option = typer.Option(_option(name), metavar=metavar, help=help, show_default=False)
    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    return inspect.Parameter(name, kind, default=None, annotation=Annotated[str | None, option])


def _option(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def _limits(texts: Mapping[str, str | None]) -> TenantLimits:
    """The limits that were given, as values; None for those that are lifted."""
    from mplus_ray.pipeline.ledger.tenant import TenantLimits

    limits = TenantLimits()
    for name, text in texts.items():
        if text is not None:
            limits[name] = _value(name, text)  # type: ignore[literal-required]
    return limits


def _value(name: str, text: str) -> Any:
    from mplus_ray.model.errors import InvalidInputError

    if text == "none":
        return None
    if name == _ATTRIBUTE_QUOTAS:
        try:
            return json.loads(text)
        except (ValueError, RecursionError) as error:
            raise InvalidInputError(
                f"{_option(name)} {text[:80]}: give an object as JSON, such as "
                f'\'{{"session": {{"max_documents": 100}}}}\', or none ({error})'
            ) from None
    if name == _THRESHOLD:
        try:
            return float(text)
        except ValueError:
            raise InvalidInputError(
                f"{_option(name)} {text}: give a number from 0 to 1, or none"
            ) from None
    if not text.isdecimal() or int(text) >= 2**63:
        raise InvalidInputError(
            f"{_option(name)} {text}: give a whole number, or none for no limit"
        )
    return int(text)
