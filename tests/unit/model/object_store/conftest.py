"""A storage on the disk, and S3."""

from __future__ import annotations

from pathlib import Path

import pytest

import tests.s3
from mplus_ray.model.object_store.object_store import ObjectStore

s3 = tests.s3.s3


@pytest.fixture
def local(tmp_path: Path) -> ObjectStore:
    return ObjectStore.open(f"file://{tmp_path}/rows")
