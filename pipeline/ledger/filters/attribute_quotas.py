"""Quotas below the tenant: what each session, each tag or each value of a field may have."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any, TypedDict

from sqlalchemy import Connection

from mplus_ray.model.errors import AttributeQuotaError, InvalidInputError
from mplus_ray.pipeline.ledger.filters.attributes import METADATA, SESSION, TAG, name_of
from mplus_ray.pipeline.ledger.filters.usage import Usage, usage_columns
from mplus_ray.pipeline.ledger.schema import attributes, documents
from mplus_ray.pipeline.ledger.tenant_scope import TenantScope

MAX_NAMES = 10  # attributes that can have quotas: each is one query more for a group of documents
_MAX_NAME = 200
_AT_ONCE = 500  # values in one query
_UNITS = {"max_documents": "documents", "max_bytes": "bytes of memory and metadata"}

Pair = tuple[str, str]  # name and value of a row of `attributes`


class AttributeQuota(TypedDict, total=False):
    """What every value of an attribute may have; None, or nothing said, is no limit.

    Attributes:
        max_documents: how many, without those that are being forgotten.
        max_bytes: of their rows and metadata, as the tenant's own are counted.
    """

    max_documents: int | None
    max_bytes: int | None


def check_attribute_quotas(quotas: Any) -> None:
    """Refuse what are no quotas.

    Raises:
        InvalidInputError: what is wrong, where.
    """
    if not isinstance(quotas, Mapping):
        raise InvalidInputError(
            'attribute_quotas is an object such as {"session": {"max_documents": 100}}, or null'
        )
    if len(quotas) > MAX_NAMES:
        raise InvalidInputError(
            f"attribute_quotas has {len(quotas)} names; {MAX_NAMES} are allowed"
        )
    for name, quota in quotas.items():
        _check_name(name)
        if not isinstance(quota, Mapping) or not quota.keys() <= _UNITS.keys():
            raise InvalidInputError(
                f"attribute_quotas.{name} is an object of {' and '.join(_UNITS)}, such as "
                '{"max_documents": 100}'
            )
        for kind, limit in quota.items():
            whole = isinstance(limit, int) and not isinstance(limit, bool)
            if limit is not None and not (whole and 0 <= limit < 2**63):
                raise InvalidInputError(
                    f"attribute_quotas.{name}.{kind}: {limit!r} is no limit; use a whole number "
                    "from 0, or leave it out"
                )


def _check_name(name: Any) -> None:
    field = isinstance(name, str) and name.startswith(METADATA) and len(name) > len(METADATA)
    if name in (SESSION, TAG) or (field and len(name) <= _MAX_NAME and name.isprintable()):
        return
    raise InvalidInputError(
        f"attribute_quotas: {str(name)[:80]!r} can have none; use `session`, `tag`, or a field of "
        "the metadata by its path, such as `metadata.project`"
    )


class AttributesLeft:
    """What quotas of attributes leave, for a transaction that keeps other writers away.

    Every value is counted once, when a document with it first comes, and kept up from then on.
    Without quotas nothing is counted.
    """

    def __init__(
        self,
        connection: Connection,
        scope: TenantScope,
        quotas: Mapping[str, AttributeQuota] | None,
        bytes_per_step: int,
    ) -> None:
        self._connection = connection
        self._scope = scope
        self._bytes_per_step = bytes_per_step
        self._shown = {_row_name(name): name for name in quotas or {}}
        self._quotas = {_row_name(name): quota for name, quota in (quotas or {}).items()}
        self._used: dict[Pair, Usage] = {}

    def __bool__(self) -> bool:
        return bool(self._quotas)

    def limited(self, rows: Iterable[Mapping[str, Any]]) -> frozenset[Pair]:
        """Of a document's rows of `attributes`, those that have quotas."""
        pairs = ((row["name"], row["value"]) for row in rows)
        return frozenset(pair for pair in pairs if pair[0] in self._quotas)

    def count(self, pairs: Iterable[Pair]) -> None:
        """Count what those have that are not counted yet: a query for each name."""
        by_name: dict[str, list[str]] = defaultdict(list)
        for name, value in sorted(set(pairs) - self._used.keys()):
            by_name[name].append(value)
        for name, values in by_name.items():
            for start in range(0, len(values), _AT_ONCE):
                self._count(name, values[start : start + _AT_ONCE])

    def check(self, new: frozenset[Pair], old: frozenset[Pair], size: Usage, freed: Usage) -> None:
        """Whether a document can have these attributes. What it does not add to is not looked at.

        Args:
            new, old: those of the document, and of the version whose place it takes.
            size, freed: what the two take up.

        Raises:
            AttributeQuotaError: one is full.
        """
        self.count(new)
        for name, value in sorted(new):
            before = self._used[name, value]
            after = before + size - (freed if (name, value) in old else Usage())
            for kind, unit in _UNITS.items():
                limit = self._quotas[name].get(kind)
                has, would = self._in(kind, before), self._in(kind, after)
                if isinstance(limit, int) and would > limit and would > has:
                    shown = self._shown[name]
                    raise AttributeQuotaError(
                        f"{shown} {value!r} may have {limit} {unit}, it has {has} and would have "
                        f"{would} with this document; forget others of it first, or have the "
                        f"operator raise {kind} of {shown} in the tenant's attribute_quotas"
                    )

    def take(self, new: frozenset[Pair], old: frozenset[Pair], size: Usage, freed: Usage) -> None:
        """Have what `check` let pass take up room."""
        for pair in new:
            self._used[pair] += size
        for pair in old & self._used.keys():  # another one is counted when it is needed
            self._used[pair] -= freed

    def _in(self, kind: str, usage: Usage) -> int:
        return usage.documents if kind == "max_documents" else usage.nbytes(self._bytes_per_step)

    def _count(self, name: str, values: list[str]) -> None:
        a, d = attributes.c, documents.c
        query = self._scope.select(attributes, a.value, *usage_columns())
        query = query.join(documents, (d.id == a.document) & d.forget.is_(None))
        found = query.where(a.name == name, a.value.in_(values)).group_by(a.value)
        self._used.update(dict.fromkeys(((name, value) for value in values), Usage()))
        for value, count, steps, metadata in self._connection.execute(found):
            self._used[name, value] = Usage(int(count), int(steps), int(metadata))


def _row_name(name: str) -> str:
    """As rows of `attributes` have it."""
    return name_of(name.removeprefix(METADATA)) if name.startswith(METADATA) else name
