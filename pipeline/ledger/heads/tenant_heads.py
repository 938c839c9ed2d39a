"""A tenant's heads: what is memorized of the log, up to which step, in which files."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection

from mplus_ray.model.errors import InvalidInputError, StorageError
from mplus_ray.model.store.file_refs import Shard, State
from mplus_ray.pipeline.ledger.heads import building_head as builds
from mplus_ray.pipeline.ledger.heads import leases
from mplus_ray.pipeline.ledger.heads.commit import Advance, advance
from mplus_ray.pipeline.ledger.heads.head import (
    Committed,
    Head,
    Serving,
    add_files,
    check_cover,
    drop_names,
    forgotten,
    new_version,
    read_head,
    require_head,
    to_shard,
)
from mplus_ray.pipeline.ledger.heads.leases import Lease
from mplus_ray.pipeline.ledger.heads.renumbering import step_map
from mplus_ray.pipeline.ledger.schema import documents, garbage, heads, shards, states
from mplus_ray.pipeline.ledger.tenant_scope import TenantScope

__all__ = ["Head", "Lease", "Serving", "TenantHeads"]


class TenantHeads:
    """The heads of one tenant. Whatever changes one takes the lease that allows it.

    Every method with a lease raises StaleLeaseError, and changes nothing, when somebody else
    took the tenant over; otherwise it also renews the lease. Each is one transaction.
    """

    def __init__(self, scope: TenantScope) -> None:
        self._scope = scope

    def serving(self) -> Serving:
        """The head that answers questions, with its files and masks, as of one moment."""
        with self._scope.reading() as connection:
            found = read_head(connection, self._scope, serving=True)
        if found is None:
            raise StorageError("the tenant has no head; it was deleted meanwhile")
        return found

    def building(self) -> Serving | None:
        """The head that will replace it, if one is being built; masks are in its numbering."""
        with self._scope.reading() as connection:
            return read_head(connection, self._scope, serving=False)

    def steps_of(self, head: Head, document_ids: Collection[str]) -> list[tuple[int, int]]:
        """Steps [first, end) of documents that are being forgotten, in the head's numbering.

        Args:
            document_ids: internal ids.
        """
        with self._scope.reading() as connection:
            left_out = step_map(connection, self._scope, head.excluded)
            found = forgotten(connection, self._scope, documents.c.id.in_(document_ids))
        return [(left_out.to_head(first), left_out.to_head(end)) for first, end in found.ranges]

    def files(self) -> set[str]:
        """Names of all files of the tenant's heads."""
        with self._scope.reading() as connection:
            return {
                file
                for table in (shards, states)
                for file in connection.execute(self._scope.select(table, table.c.file)).scalars()
            }

    def garbage(self) -> set[str]:
        """Files that the tenant's heads named once and do not any more."""
        with self._scope.reading() as connection:
            return set(connection.execute(self._scope.select(garbage, garbage.c.file)).scalars())

    def clear_garbage(self, lease: Lease, files: Collection[str]) -> None:
        """These are deleted, or another tenant names them and will see to it."""
        with self._holding(lease) as connection:
            connection.execute(self._scope.delete(garbage).where(garbage.c.file.in_(files)))

    def claim(
        self, owner: str, ttl: float, is_gone: Callable[[str], bool] = lambda owner: False
    ) -> Lease:
        """Take the lease if it is free, expired, the owner's own, or its holder `is_gone`.

        Args:
            owner: the name of the process that will write, which no other has; not empty.
            ttl: seconds until others may take it, without a renewal.

        Raises:
            BusyError: somebody else holds it.
        """
        return leases.claim(self._scope, owner, ttl, is_gone)

    def renew(self, lease: Lease, ttl: float | None = None) -> Lease:
        """Hold it for another `ttl` seconds.

        Raises:
            StaleLeaseError: somebody else took the tenant over.
        """
        wanted = lease if ttl is None else Lease(lease.epoch, lease.owner, lease.expires, ttl)
        with self._scope.writing() as connection:
            return leases.check_and_renew(connection, self._scope, wanted)

    def release(self, lease: Lease) -> None:
        """Give it back; a lease that is void already is left alone."""
        leases.release(self._scope, lease)

    def commit(
        self,
        lease: Lease,
        head_id: str,
        *,
        step: int,
        history: str,
        shards: Sequence[Shard] = (),
        states: Sequence[State] = (),
        drop_states: Sequence[State] = (),
    ) -> Committed:
        """Advance a head to `step` by the shards that continue it.

        Documents that are complete with it are memorized from now on, if the head serves.

        Args:
            history: hash chain at `step`, in hex.
            drop_states: those of the head's that it no longer needs.

        Raises:
            InvalidInputError: the shards do not lead from the head's step to `step`.
        """
        wanted = Advance(self._scope, lease, head_id, step, history, shards, states, drop_states)
        with self._scope.writing() as connection:
            return advance(connection, wanted)

    def begin_build(
        self,
        lease: Lease,
        *,
        fingerprint: str,
        reason: str,
        excluded: Sequence[str] = (),
        step: int = 0,
        history: str = "",
        shards: Sequence[Shard] = (),
        states: Sequence[State] = (),
    ) -> Head:
        """Begin a second head at `step`, which may share files with the serving one.

        An unfinished build is dropped first. The last shard may be named with fewer steps than
        its file has: the rows of a step lie together, so the rest is just not read.

        Args:
            reason: "forget" or "upgrade".
            excluded: internal ids of documents to leave out; each has a forget request.
            shards: cover the steps 0 … `step` exactly.
            states: at or before `step`.
        """
        with self._holding(lease) as connection:
            return builds.begin(
                connection,
                self._scope,
                lease,
                fingerprint=fingerprint,
                reason=reason,
                excluded=excluded,
                step=step,
                history=history,
                shared_shards=shards,
                shared_states=states,
            )

    def drop_build(self, lease: Lease) -> None:
        """Give up the building head, if there is one."""
        with self._holding(lease) as connection:
            builds.drop(connection, self._scope)

    def swap(self, lease: Lease, building_id: str) -> Head:
        """Let the building head serve, in one transaction.

        The documents it leaves out are deleted with their text, the steps of the others and of
        snapshots are numbered anew without them, and their forget requests are rebuilt. The old
        head and its files' names are gone.

        Raises:
            InvalidInputError: the building head is behind what is served now.
        """
        with self._holding(lease) as connection:
            return builds.swap(connection, self._scope, lease, building_id)

    def replace_shards(
        self, lease: Lease, head_id: str, old: Sequence[Shard], new: Sequence[Shard]
    ) -> None:
        """Name other files for the same steps: after compaction or repair.

        Raises:
            InvalidInputError: `old` are not the head's shards, or `new` hold other steps.
        """
        if not old:
            raise InvalidInputError("no shards to replace were given")
        check_cover(old, old[0].first_step, old[-1].end)
        check_cover(new, old[0].first_step, old[-1].end)
        with self._holding(lease) as connection:
            require_head(connection, self._scope, head_id)
            for shard in old:
                mine = (shards.c.head == head_id) & (shards.c.first_step == shard.first_step)
                same = (shards.c.file == shard.file) & (shards.c.steps == shard.steps)
                if drop_names(connection, self._scope, shards, mine, same) != 1:
                    raise InvalidInputError(
                        f"{shard.file} is not the head's shard at step {shard.first_step}; read "
                        "the head anew"
                    )
            add_files(connection, self._scope, head_id, new)
            new_version(connection, self._scope, head_id)

    def drop_shards(self, lease: Lease, head_id: str, gone: Sequence[Shard]) -> None:
        """Leave out shards none of whose rows can be read any more."""
        with self._holding(lease) as connection:
            require_head(connection, self._scope, head_id)
            named = shards.c.file.in_([shard.file for shard in gone])
            drop_names(connection, self._scope, shards, shards.c.head == head_id, named)
            new_version(connection, self._scope, head_id)

    def truncate(self, lease: Lease, head_id: str, step: int, history: str | None = None) -> Head:
        """Give up what lies after `step`, to memorize it again.

        Args:
            step: 0 or the end of a shard.
            history: hash chain at `step`; may be left out where the head has a state or at 0.

        Raises:
            InvalidInputError: `step` is no shard's end, or the history there is not known.
        """
        with self._holding(lease) as connection:
            head = require_head(connection, self._scope, head_id)
            known = self._history_at(connection, head, step) if history is None else history
            ours = self._scope.select(shards).where(shards.c.head == head_id)
            ends = {to_shard(row).end for row in connection.execute(ours)}
            if step not in ends | {0} or known is None:
                raise InvalidInputError(
                    f"the head cannot go back to step {step}: no shard ends there, or it has no "
                    "state there; give the step of a state"
                )
            for table, first in (
                (shards, shards.c.first_step >= step),
                (states, states.c.step > step),
            ):
                drop_names(connection, self._scope, table, table.c.head == head_id, first)
            self._move(connection, lease, head_id, step, known)
            return require_head(connection, self._scope, head_id)

    def reset(self, lease: Lease, head_id: str) -> Head:
        """Back to step 0 without a file; the log has all that is needed to memorize it again."""
        with self._holding(lease) as connection:
            for table in (shards, states):
                drop_names(connection, self._scope, table, table.c.head == head_id)
            self._move(connection, lease, head_id, 0, "")
            return require_head(connection, self._scope, head_id)

    @contextmanager
    def _holding(self, lease: Lease) -> Iterator[Connection]:
        with self._scope.writing() as connection:
            leases.check_and_renew(connection, self._scope, lease)
            yield connection

    def _move(
        self, connection: Connection, lease: Lease, head_id: str, step: int, history: str
    ) -> None:
        moved: dict[str, Any] = {"step": step, "history": history, "epoch": lease.epoch}
        moved |= {"committed": self._scope.clock(), "version": heads.c.version + 1}
        connection.execute(self._scope.update(heads).where(heads.c.id == head_id).values(moved))

    def _history_at(self, connection: Connection, head: Head, step: int) -> str | None:
        if step in (0, head.step):
            return head.history if step else ""
        query = self._scope.select(states, states.c.history).where(
            states.c.head == head.id, states.c.step == step
        )
        return connection.execute(query).scalar_one_or_none()
