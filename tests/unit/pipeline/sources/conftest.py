"""A log, and S3."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import tests.s3
from mplus_ray.pipeline.ledger.ledger import Ledger
from mplus_ray.pipeline.ledger.tenant_log import TenantLog

s3 = tests.s3.s3


@pytest.fixture
def log(tmp_path: Path) -> Iterator[TenantLog]:
    ledger = Ledger(f"sqlite:///{tmp_path / 'ledger.db'}")
    yield ledger.create_tenant("anna", "weights")
    ledger.close()
