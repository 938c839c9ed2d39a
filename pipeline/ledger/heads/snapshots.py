"""Names for moments of a tenant's memory. A snapshot is a step: memory at it can be recomputed."""

from __future__ import annotations

from dataclasses import dataclass

from mplus_ray.model.errors import InvalidInputError
from mplus_ray.pipeline.ledger.schema import heads, snapshots
from mplus_ray.pipeline.ledger.tenant_scope import TenantScope
from mplus_ray.pipeline.parsing.limits import has_dots

_MAX_NAME = 200


@dataclass(frozen=True)
class Snapshot:
    """A named moment: the memory after `step` steps. Forgetting moves it with the log.

    Attributes:
        name: what the user calls it.
        step: of the serving head.
        created: seconds since the epoch.
    """

    name: str
    step: int
    created: float


class Snapshots:
    """The named moments of one tenant."""

    def __init__(self, scope: TenantScope) -> None:
        self._scope = scope

    def take(self, name: str, step: int | None = None) -> Snapshot:
        """Name the memory as it is, or as it was after `step` steps.

        Raises:
            InvalidInputError: the name is impossible or taken, or the step is not memorized.
        """
        check_name(name)
        with self._scope.writing() as connection:
            last = connection.execute(
                self._scope.select(heads, heads.c.step).where(heads.c.serving)
            ).scalar_one()
            wanted = last if step is None else step
            if not 0 <= wanted <= last:
                raise InvalidInputError(f"step {wanted} is not in 0 … {last}, what is memorized")
            named = self._scope.select(snapshots).where(snapshots.c.name == name)
            if connection.execute(named).one_or_none():
                raise InvalidInputError(
                    f"there is a snapshot {name!r} already; delete it first or take another name"
                )
            taken = Snapshot(name, wanted, self._scope.clock())
            self._scope.insert(
                connection,
                snapshots,
                [{"name": name, "step": taken.step, "created": taken.created}],
            )
        return taken

    def list(self) -> list[Snapshot]:
        """All of them, by step."""
        query = self._scope.select(snapshots).order_by(snapshots.c.step, snapshots.c.name)
        with self._scope.reading() as connection:
            rows = connection.execute(query).all()
        return [Snapshot(row.name, row.step, row.created) for row in rows]

    def get(self, name: str) -> Snapshot:
        """The one of that name.

        Raises:
            InvalidInputError: there is none.
        """
        found = next((snapshot for snapshot in self.list() if snapshot.name == name), None)
        if found is None:
            raise _unknown(name)
        return found

    def delete(self, name: str) -> None:
        """Remove the name; no memory is lost with it.

        Raises:
            InvalidInputError: there is none.
        """
        with self._scope.writing() as connection:
            gone = connection.execute(self._scope.delete(snapshots).where(snapshots.c.name == name))
            if not gone.rowcount:
                raise _unknown(name)


def check_name(name: str) -> None:
    """Refuse what cannot name a snapshot."""
    printable = bool(name.strip()) and name.isprintable()
    if not printable or len(name) > _MAX_NAME or has_dots(name):
        raise InvalidInputError(
            f"{name[:_MAX_NAME]!r} cannot name a snapshot; use 1 to {_MAX_NAME} printable "
            "characters, and no part '.' or '..' between slashes"
        )


def _unknown(name: str) -> InvalidInputError:
    return InvalidInputError(f"there is no snapshot {name!r}; list them, or take one first")
