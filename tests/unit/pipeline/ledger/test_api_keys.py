"""Keys: shown once, refused at once, and nobody's but their owner's."""

from __future__ import annotations

import hashlib
import hmac
import string
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import select, update

import mplus_ray.pipeline.ledger.api_keys
from mplus_ray.model.errors import (
    ForbiddenError,
    InvalidInputError,
    KeyNotFoundError,
    TenantNotFoundError,
    UnauthorizedError,
)
from mplus_ray.pipeline.ledger.api_keys import Credentials, KeyScope
from mplus_ray.pipeline.ledger.ledger import Ledger
from mplus_ray.pipeline.ledger.schema import heads, keys
from tests.logs import Clock, put

pytest_plugins = ["tests.postgres"]


@pytest.fixture
def credentials(ledger: Ledger) -> Credentials:
    return ledger.credentials


def refusal(credentials: Credentials, text: str) -> str:
    with pytest.raises(UnauthorizedError) as caught:
        credentials.verify(text)
    return str(caught.value)


class TestVerify:
    def test_a_key_says_who_and_what(self, ledger: Ledger, clock: Clock) -> None:
        log = ledger.create_tenant("anna", "f1")
        made, text = ledger.credentials.create(log, ["query", "ingest"], "laptop")
        found, tenant = ledger.credentials.verify(text)
        assert tenant == log.tenant
        assert found == made
        assert (found.tenant, found.name, found.created) == (log.tenant.id, "laptop", clock.now)
        assert found.scopes == {KeyScope.QUERY, KeyScope.INGEST}
        assert ledger.log_of(str(found.tenant)).tenant == log.tenant
        _, callers = ledger.caller(text)
        assert callers is not None
        assert callers.tenant == log.tenant
        _, operators = ledger.credentials.create(None, ["operator"])
        assert ledger.caller(operators)[1] is None

    def test_its_form_is_the_documented_one(self, credentials: Credentials) -> None:
        key, text = credentials.create(None, ["operator"])
        kind, key_id, secret = text.split("_", 2)
        assert (kind, key_id) == ("mplus", key.id)
        assert len(key_id) == 8
        assert len(secret) == 43

    def test_only_its_hash_is_kept(self, ledger: Ledger) -> None:
        _, text = ledger.credentials.create(None, ["operator"])
        with ledger._database.reading() as connection:
            (row,) = connection.execute(select(keys)).all()
        assert row.sha256 == hashlib.sha256(text.encode()).hexdigest()
        assert text[15:] not in str(row)

    def test_all_that_is_wrong_is_refused_in_one_way(self, ledger: Ledger, clock: Clock) -> None:
        credentials, log = ledger.credentials, ledger.create_tenant("anna", "f1")
        _, good = credentials.create(log, ["query"])
        revoked, gone = credentials.create(log, ["query"])
        credentials.revoke(log, revoked.id)
        _, late = credentials.create(log, ["query"], expires=clock.now + 1)
        clock.now += 1
        other = "A" if good[-2] != "A" else "B"
        wrong = {
            "unknown": "mplus_00000000_" + "A" * 43,
            "malformed": "Bearer x",
            "empty": "",
            "of another script": good[:-1] + "\u0661",
            "lone surrogate": "\udc80",
            "one character off": good[:-2] + other + good[-1],
            "longer": good + "\n",
            "revoked": gone,
            "expired": late,
        }
        credentials.verify(good)
        assert {refusal(credentials, text) for text in wrong.values()} == {
            refusal(credentials, "nonsense")
        }

    @given(st.text(alphabet=string.printable + "ÄÖ\0", max_size=80))
    def test_no_text_breaks_it(self, text: str) -> None:
        assert mplus_ray.pipeline.ledger.api_keys._TEXT.fullmatch(text) is None

    def test_an_unknown_id_is_compared_as_a_known_one_is(
        self, credentials: Credentials, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        compared, same = [], hmac.compare_digest

        def compare(a: str, b: str) -> bool:
            compared.append((len(a), len(b)))
            return same(a, b)

        monkeypatch.setattr(hmac, "compare_digest", compare)
        _, good = credentials.create(None, ["operator"])
        credentials.verify(good)
        for text in (good[:-3] + "AAA", "mplus_00000000_" + "A" * 43, ""):
            refusal(credentials, text)
        assert compared == [(64, 64)] * 4

    def test_a_key_dies_with_its_tenant(self, ledger: Ledger) -> None:
        log = ledger.create_tenant("anna", "f1")
        _, text = ledger.credentials.create(log, ["admin"])
        ledger.delete_tenant("anna")
        refusal(ledger.credentials, text)
        with pytest.raises(TenantNotFoundError):
            ledger.log_of(log.tenant.id)

    def test_a_tenant_without_a_memory_that_serves_opens_nothing(self, ledger: Ledger) -> None:
        _, text = ledger.credentials.create(ledger.create_tenant("anna", "f1"), ["admin"])
        with ledger._database.writing() as connection:
            connection.execute(update(heads).values(serving=False))
        refusal(ledger.credentials, text)

    def test_use_is_noted_once_a_minute(self, ledger: Ledger, clock: Clock) -> None:
        credentials = ledger.credentials
        _, text = credentials.create(None, ["operator"])
        noted = []
        for seconds in (0, 59, 1, 30):
            clock.now += seconds
            credentials.verify(text)
            written(ledger)
            noted.append(credentials.list(None)[0].used)
        assert noted == [1000, 1000, 1060, 1060]


class TestOwners:
    def test_nobody_sees_or_revokes_the_keys_of_others(self, ledger: Ledger) -> None:
        anna, bela = (ledger.create_tenant(name, "f1") for name in ("anna", "bela"))
        credentials = ledger.credentials
        owners = {"anna": anna, "bela": bela, "operator": None}
        made = {
            name: credentials.create(log, ["admin"] if log else ["operator"])[0]
            for name, log in owners.items()
        }
        for name, log in owners.items():
            assert credentials.list(log) == [made[name]]
            for other in set(made) - {name}:
                for act in (credentials.revoke, credentials.rotate):
                    with pytest.raises(KeyNotFoundError, match=made[other].id):
                        act(log, made[other].id)
        for key_id in ("", "\0", "\udc80", "x" * 10_000):
            with pytest.raises(KeyNotFoundError):
                credentials.revoke(anna, key_id)
        assert all(key.revoked is None for log in owners.values() for key in credentials.list(log))

    def test_revoking_twice_is_once(self, ledger: Ledger, clock: Clock) -> None:
        key, text = ledger.credentials.create(None, ["operator"])
        clock.now += 5
        assert ledger.credentials.revoke(None, key.id).revoked == clock.now
        clock.now += 5
        assert ledger.credentials.revoke(None, key.id).revoked == clock.now - 5
        refusal(ledger.credentials, text)

    def test_another_process_refuses_it_at_once(self, ledger_url: str, ledger: Ledger) -> None:
        key, text = ledger.credentials.create(None, ["operator"])
        other = Ledger(ledger_url)
        assert other.credentials.verify(text)[0].id == key.id
        ledger.credentials.revoke(None, key.id)
        refusal(other.credentials, text)
        other.close()

    def test_rotating_replaces_it(self, ledger: Ledger, clock: Clock) -> None:
        log = ledger.create_tenant("anna", "f1")
        credentials = ledger.credentials
        old, old_text = credentials.create(log, ["query", "admin"], "laptop", clock.now + 60)
        new, text = credentials.rotate(log, old.id)
        assert credentials.verify(text)[0] == new
        assert (new.scopes, new.name, new.expires) == (old.scopes, old.name, old.expires)
        assert new.id != old.id
        refusal(credentials, old_text)
        with pytest.raises(InvalidInputError, match="nothing to rotate"):
            credentials.rotate(log, old.id)
        clock.now += 60
        with pytest.raises(InvalidInputError, match="nothing to rotate"):
            credentials.rotate(log, new.id)

    def test_one_of_two_that_rotate_at_once_wins(self, ledger: Ledger) -> None:
        log = ledger.create_tenant("anna", "f1")
        key, _ = ledger.credentials.create(log, ["query"])

        def rotate(_: int) -> bool:
            try:
                ledger.credentials.rotate(log, key.id)
            except InvalidInputError:
                return False
            return True

        with ThreadPoolExecutor(4) as pool:
            assert sorted(pool.map(rotate, range(4))) == [False, False, False, True]
        assert [k.revoked is None for k in ledger.credentials.list(log)].count(True) == 1

    def test_a_deleted_tenant_gets_no_key(self, ledger: Ledger) -> None:
        log = ledger.create_tenant("anna", "f1")
        ledger.delete_tenant("anna")
        with pytest.raises(TenantNotFoundError):
            ledger.credentials.create(log, ["query"])

    def test_removal_takes_a_tenants_keys_and_no_others(self, ledger: Ledger) -> None:
        anna, bela = (ledger.create_tenant(name, "f1") for name in ("anna", "bela"))
        kept = [ledger.credentials.create(log, s)[0].id for log, s in (
            (bela, ["query"]), (None, ["operator"]))]  # fmt: skip
        ledger.credentials.create(anna, ["query"])
        ledger.marked.begin_removal(ledger.delete_tenant("anna").id)
        with ledger._database.reading() as connection:
            assert set(connection.execute(select(keys.c.id)).scalars()) == set(kept)
        ledger.marked.remove(anna.tenant.id)

    def test_a_fork_has_no_keys(self, ledger: Ledger) -> None:
        log = ledger.create_tenant("anna", "f1")
        put(log, "a")
        ledger.credentials.create(log, ["query"])
        assert ledger.credentials.list(ledger.fork_tenant(log, "bela")) == []


class TestCreate:
    @pytest.mark.parametrize("scopes", [[], ["operator"], ["query", "root"], ["QUERY"]])
    def test_a_tenants_scopes(self, ledger: Ledger, scopes: list[str]) -> None:
        log = ledger.create_tenant("anna", "f1")
        with pytest.raises(InvalidInputError, match="admin, ingest, query"):
            ledger.credentials.create(log, scopes)

    @pytest.mark.parametrize("scopes", [[], ["admin"], ["operator", "query"]])
    def test_the_operators_scope(self, credentials: Credentials, scopes: list[str]) -> None:
        with pytest.raises(InvalidInputError, match="scopes of operator"):
            credentials.create(None, scopes)

    @pytest.mark.parametrize("name", ["x" * 101, "a\nb", "\x1b[2J"])
    def test_an_impossible_name(self, credentials: Credentials, name: str) -> None:
        with pytest.raises(InvalidInputError, match="100 printable"):
            credentials.create(None, ["operator"], name)

    @pytest.mark.parametrize("expires", [1000.0, 0.0, float("nan"), float("inf"), 1e13])
    def test_an_impossible_time(self, credentials: Credentials, expires: float) -> None:
        with pytest.raises(InvalidInputError, match="in the future"):
            credentials.create(None, ["operator"], expires=expires)

    def test_whether_there_is_any(self, credentials: Credentials) -> None:
        assert not credentials.any()
        key, _ = credentials.create(None, ["operator"])
        credentials.revoke(None, key.id)
        assert credentials.any()

    def test_a_key_says_what_it_lacks(self, credentials: Credentials) -> None:
        key, _ = credentials.create(None, ["operator"])
        key.require(KeyScope.OPERATOR)
        with pytest.raises(ForbiddenError, match="scope admin, and this one has operator"):
            key.require(KeyScope.ADMIN)


def written(ledger: Ledger) -> None:
    """Wait until all notes that were taken are in the ledger."""
    if ledger.notes._thread is not None:
        ledger.notes._thread.submit(lambda: None).result(timeout=10)
