"""What a memory consists of: counts, and where its rows are."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from mplus_ray.model.config import ModelConfig
from mplus_ray.model.errors import InvalidInputError, TenantNotFoundError
from mplus_ray.model.memory.membership import Membership
from mplus_ray.pipeline.ledger.ledger import Ledger
from mplus_ray.pipeline.ledger.tenant import Tenant, new_tenant
from mplus_ray.pipeline.reports.memory_map import Memberships, Tiers, draw_map, tiers
from mplus_ray.pipeline.reports.tenant_stats import Kind, TenantStats, read_tenant_stats
from tests.logs import build_without, memorize, put

pytest_plugins = ["tests.postgres"]

CONFIG = ModelConfig(
    vocab_size=32,
    hidden_size=8,
    intermediate_size=8,
    num_hidden_layers=3,
    num_attention_heads=2,
    num_key_value_heads=1,
    head_dim=4,
    num_tokens=4,
    num_blocks=6,
    num_ltm_blocks=2,
    initial_rf_when_moving_stm_to_ltm=3,
    update_ltm_frequency=2,
)


@pytest.fixture
def tenant() -> Tenant:
    return new_tenant(name="anna", seed=5, fingerprint="f1", now=0.0)


class TestCounts:
    def test_all_that_a_tenant_has(self, ledger: Ledger) -> None:
        log = ledger.create_tenant("anna", "f1")
        assert read_tenant_stats(log) == TenantStats(0, 0, 0, 0, 0, 0, Kind(0, 0), Kind(0, 0))
        for key in "abc":
            put(log, key)
        log.failures.add("x", "y")
        lease = log.heads.claim("w", 10)
        memorize(log, lease, [2, 5])
        log.forgets.request("a")
        found = read_tenant_stats(log)
        assert found == TenantStats(5, 1, 2, 1, 6, 1, Kind(2, 200), Kind(2, 20))
        build = build_without(log, lease, ["a"])
        assert read_tenant_stats(log) == found  # what is being built is not what is read
        log.heads.swap(lease, build.id)
        assert read_tenant_stats(log) == TenantStats(4, 0, 2, 0, 4, 1, Kind(1, 100), Kind(1, 10))

    def test_nobody_elses(self, ledger: Ledger) -> None:
        put(ledger.create_tenant("bela", "f1"), "a")
        log = ledger.create_tenant("anna", "f1")
        assert read_tenant_stats(log).tokens == 0
        ledger.delete_tenant("anna")
        with pytest.raises(TenantNotFoundError):
            read_tenant_stats(log)


class TestTiers:
    @pytest.mark.parametrize("step", [0, 1, 4, 5, 30])
    @pytest.mark.parametrize("retention", ["checkpoint", "unbounded"])
    def test_every_row_is_somewhere(self, tenant: Tenant, step: int, retention: str) -> None:
        tenant = replace(tenant, retention=retention)
        membership = Memberships(Membership.genesis(CONFIG)).at(tenant, step)
        for layer, found in enumerate(tiers(membership)):
            assert found.pool == min(step, 4) * 4
            assert found.long_term == len(membership.retrievable(layer))
            assert found.pool + found.long_term + found.forgotten == step * 4
            assert (found.forgotten > 0) == (step == 30 and retention == "checkpoint")

    def test_a_checkpoints_own_rows_are_not_a_tenants(self, tenant: Tenant) -> None:
        own = np.broadcast_to(np.arange(-16, 0), (3, 16)).copy()
        memberships = Memberships(Membership.genesis(CONFIG, own))
        assert tiers(memberships.at(tenant, 0)) == [Tiers(16, 0, 0)] * 3
        membership = memberships.at(tenant, 6)
        drawn = draw_map(membership)
        assert sum(drawn.pool[0]) == int((membership.pool[0] >= 0).sum()) < 16
        assert tiers(membership)[0].forgotten == sum(drawn.gone[0])


class TestMap:
    @pytest.mark.parametrize("buckets", [1, 2, 7, 29, 30, 4096])
    def test_it_counts_every_row_once(self, tenant: Tenant, buckets: int) -> None:
        membership = Memberships(Membership.genesis(CONFIG)).at(tenant, 30)
        drawn = draw_map(membership, buckets)
        assert len(drawn.pool[0]) == -(-30 // drawn.bucket) <= buckets
        for layer in range(3):
            for name, ids in (
                ("pool", membership.pool[layer]),
                ("long_term", membership.retrievable(layer)),
            ):
                steps = [int(row) // 4 // drawn.bucket for row in ids]
                counts = [steps.count(bucket) for bucket in range(len(drawn.pool[0]))]
                assert getattr(drawn, name)[layer] == counts
            every = zip(drawn.pool[layer], drawn.long_term[layer], drawn.gone[layer], strict=True)
            ends = [min(30, first + drawn.bucket) for first in range(0, 30, drawn.bucket)]
            widths = np.diff(ends, prepend=0) * 4
            assert [sum(parts) for parts in every] == widths.tolist()

    def test_an_empty_memory_has_no_buckets(self, tenant: Tenant) -> None:
        drawn = draw_map(Memberships(Membership.genesis(CONFIG)).at(tenant, 0))
        assert (drawn.step, drawn.pool, drawn.gone) == (0, [[], [], []], [[], [], []])

    @pytest.mark.parametrize("buckets", [0, -1, 4097])
    def test_an_impossible_number(self, tenant: Tenant, buckets: int) -> None:
        with pytest.raises(InvalidInputError, match="buckets"):
            draw_map(Membership.genesis(CONFIG), buckets)


class TestMemberships:
    def test_it_goes_on_from_the_last_one(
        self, tenant: Tenant, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        drawn, draw = [], Membership.draw

        def noted(self: Membership, seed: int) -> np.ndarray:
            drawn.append(self.step)
            return draw(self, seed)

        monkeypatch.setattr(Membership, "draw", noted)
        memberships = Memberships(Membership.genesis(CONFIG), kept=1)
        for step in (5, 7, 7, 3):
            found = memberships.at(tenant, step)
            fresh = Membership.genesis(CONFIG)
            assert found.step == step
            assert drawn == list(range({5: 0, 7: 5, 3: 0}[step], step))[: len(drawn)]
            drawn.clear()
            assert (found.pool == fresh.replay(tenant.seed, step).pool).all()
            drawn.clear()
        memberships.at(replace(tenant, id="other"), 2)
        memberships.at(tenant, 4)
        assert drawn == [0, 1, 0, 1, 2, 3]
