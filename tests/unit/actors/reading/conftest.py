"""Tenants with memories of their own."""

from __future__ import annotations

import pytest

from mplus_ray.actors.plans import ReadPlan
from mplus_ray.model.object_store.object_store import ObjectStore
from tests.readers import (
    Tenants,
    load,
    texts,
)


@pytest.fixture(scope="module")
def tenants(tmp_path_factory: pytest.TempPathFactory) -> Tenants:
    folder = tmp_path_factory.mktemp("tenants")
    return Tenants(load(folder / "model"), ObjectStore.open(str(folder / "rows")))


@pytest.fixture(scope="module")
def plans(tenants: Tenants) -> dict[str, ReadPlan]:
    names = {"anna": 12, "bela": 9, "cora": 6, "dora": 1, "emil": 0}
    return {
        name: tenants.grow(name, texts(name, count), seed)
        for seed, (name, count) in enumerate(names.items())
    }
