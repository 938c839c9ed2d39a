"""Tenants with documents, made over HTTP: real text with facts about invented people in it."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

import httpx

from mplus_ray.bench.ingest.texts import Texts
from mplus_ray.bench.serve.client import Asking
from mplus_ray.bench.serve.samples import ServeBenchError
from mplus_ray.bench.serve.server import Server
from mplus_ray.model.corpus.facts import Fact, draw_fact

_FACTS = 8  # of each tenant
_MEMORIZED_SECONDS = 1800.0
_NO_LIMIT = 1 << 40
_OPEN = {
    "documents_per_minute": _NO_LIMIT,
    "tokens_per_minute": _NO_LIMIT,
    "concurrent_questions": 10_000,
    "threshold": 0,  # no answer is withheld
}
SHORT: dict[str, Any] = {"max_tokens": 32}
"""Answers as they are: a few words."""


def of_length(tokens: int) -> dict[str, Any]:
    """Answers of this length, nearly all: every token is about as likely as the one that ends
    them. Without that, what takes long would depend on what the checkpoint has to say."""
    return {"max_tokens": tokens, "temperature": 100.0}


@dataclass(frozen=True)
class BenchTenant:
    """A tenant, the key to it, and what it was told.

    Attributes:
        name: of the tenant.
        key: an API key.
        facts: that are in its memory.
    """

    name: str
    key: str
    facts: tuple[Fact, ...]


def ask_about(
    members: Sequence[BenchTenant], count: int, options: dict[str, Any] | None = None
) -> list[Asking]:
    """So many questions, each to the next tenant in turn."""
    askings = []
    for number in range(count):
        member = members[number % len(members)]
        fact = member.facts[number // len(members) % len(member.facts)]
        seeded = {**(SHORT if options is None else options), "seed": number}
        askings.append(Asking(member.name, member.key, fact.question, seeded))
    return askings


class Founder:
    """Makes tenants, as an operator does."""

    def __init__(self, url: str, operator_key: str, texts: Texts) -> None:
        self._url, self.key, self.texts = url, operator_key, texts

    @classmethod
    def of(cls, server: Server, texts: Texts) -> Founder:
        """
        Raises:
            ServeBenchError: the installation was there before.
        """
        if server.operator_key is None:
            raise ServeBenchError("no operator's key was printed: the installation is not new")
        return cls(server.url, server.operator_key, texts)

    def found(self, names: Sequence[str], characters: int) -> list[BenchTenant]:
        """Tenants with so many characters of text each, once all of it is memorized.

        Raises:
            ServeBenchError: the service refuses, or memorizes too slowly.
        """
        with self._client() as http:
            members = [self._create(http, name) for name in names]
            jobs = [(m, self._tell(http, m, characters)) for m in members]
            deadline = time.monotonic() + _MEMORIZED_SECONDS
            for member, job in jobs:
                while _send(http, "GET", job, member.key)["state"] != "done":
                    if time.monotonic() > deadline:
                        raise ServeBenchError(
                            f"{member.name} was not memorized in {_MEMORIZED_SECONDS:.0f} s"
                        )
                    time.sleep(0.2)
        return members

    def end(self, name: str) -> None:
        """Delete a tenant and all that it remembers.

        Raises:
            ServeBenchError: the service refuses.
        """
        with self._client() as http:
            _send(http, "DELETE", f"/v1/tenants/{name}", self.key)

    def _client(self) -> httpx.Client:
        return httpx.Client(base_url=self._url, timeout=120, trust_env=False)

    def _create(self, http: httpx.Client, name: str) -> BenchTenant:
        _send(http, "POST", "/v1/tenants", self.key, {"name": name, **_OPEN})
        scopes = {"scopes": ["query", "ingest"]}
        made = _send(http, "POST", f"/v1/tenants/{name}/keys", self.key, scopes)
        rng = Random(name)
        facts = tuple(draw_fact(rng, "everything") for _ in range(_FACTS))
        return BenchTenant(name, made["secret"], facts)

    def _tell(self, http: httpx.Client, member: BenchTenant, characters: int) -> str:
        """Text, the facts among it; returns the job's URL."""
        parts = []
        for number, fact in enumerate(member.facts):
            text = self.texts.document(f"{member.name}/{number}", characters // _FACTS).text
            parts.append({"text": f"{text}\n\n{fact.statement}", "id": f"part-{number}"})
        answer = _send(http, "POST", "/v1/documents", member.key, {"documents": parts})
        return str(answer["job_url"])


def _send(
    http: httpx.Client, method: str, path: str, key: str, body: dict[str, Any] | None = None
) -> dict[str, Any]:
    try:
        response = http.request(method, path, json=body, headers={"authorization": f"Bearer {key}"})
        content = response.raise_for_status().content
        found: dict[str, Any] = json.loads(content) if content else {}
    except httpx.HTTPStatusError as error:
        raise ServeBenchError(f"{path}: {error.response.text[:300]}") from error
    except (httpx.HTTPError, ValueError) as error:
        raise ServeBenchError(f"{path}: {type(error).__name__}: {error}") from error
    return found
