"""The bar of a memory that is made counts the same chunks on both its sides."""

from __future__ import annotations

import io
import re

import pytest
from rich.console import Console

from mplus_ray.pipeline.ledger.tenant import Tenant, new_tenant
from mplus_ray.services.cli.progress import memorizing


@pytest.fixture
def anna() -> Tenant:
    return new_tenant(
        name="anna",
        seed=0,
        fingerprint="f",
        precision="bfloat16",
        retention="checkpoint",
        bytes_per_step=0,
        geometry={},
        now=0.0,
    )


@pytest.fixture
def screen() -> Console:
    return Console(file=io.StringIO(), force_terminal=True, width=120)


def last(screen: Console) -> str:
    file = screen.file
    assert isinstance(file, io.StringIO)
    return re.findall(r"(\d+/\S+) chunks", re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", file.getvalue()))[
        -1
    ]


def test_the_whole_is_what_is_told_and_not_what_was_thought(anna: Tenant, screen: Console) -> None:
    with memorizing(screen, "anna", 4) as bar:
        bar.expect(anna, 10)  # another model cuts the documents finer
        for _ in range(10):
            bar.step(anna, 5)
    assert last(screen) == "10/10"


def test_what_is_told_later_comes_on_top(anna: Tenant, screen: Console) -> None:
    with memorizing(screen, "anna") as bar:
        for steps in (3, 2):
            bar.expect(anna, steps)
            for _ in range(steps):
                bar.step(anna, 5)
    assert last(screen) == "5/5"


def test_documents_that_come_in_the_middle_make_it_larger(anna: Tenant, screen: Console) -> None:
    with memorizing(screen, "anna", 2) as bar:
        for _ in range(3):
            bar.step(anna, 5)
    assert last(screen) == "3/3"
