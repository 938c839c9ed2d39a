"""Documents that come, are replaced and forgotten, and what was acknowledged of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random

from mplus_ray.bench.fixture import tenant
from mplus_ray.bench.ingest.texts import Texts, accept
from mplus_ray.pipeline.ledger.tenant_log import TenantLog
from mplus_ray.pipeline.parsing.document import ParsedDocument
from mplus_ray.services.embedded import Embedded

_TENANTS = 6  # that documents arrive for at a time
_TENANT_DOCUMENTS = 150  # after so many another tenant takes its place, so forgetting stays cheap
_CHARACTERS = (40, 40, 150, 400, 1_500, 5_000)  # of a document, one in so many


@dataclass
class Journal:
    """What was acknowledged: per tenant the documents that stay, in the log's order.

    Attributes:
        tenants: texts by document by tenant.
        accepted, replaced, repeated, forgotten: how many documents were new, had another text, were
            there already, or were taken back.
    """

    tenants: dict[str, dict[str, str]] = field(default_factory=dict)
    accepted: int = 0
    replaced: int = 0
    repeated: int = 0
    forgotten: int = 0

    def note(self, name: str, key: str, text: str) -> None:
        """A document, or another version of one, which comes last then."""
        own = self.tenants.setdefault(name, {})
        self.replaced += own.pop(key, None) is not None
        self.accepted += 1
        own[key] = text


@dataclass
class Arrivals:
    """Documents and wishes as they come, drawn from a seed.

    Attributes:
        system: where they arrive.
        texts: what they are made of.
        rng: draws what comes next.
        journal: of what was acknowledged.
        tenants: how many there are so far.
    """

    system: Embedded
    texts: Texts
    rng: Random
    journal: Journal
    sent: dict[str, int] = field(default_factory=dict)  # to every tenant that is not full
    tenants: int = 0

    def send(self) -> None:
        """One more document, or another wish about one that is there; none if too much waits."""
        name = self._next_tenant()
        log, own = tenant(self.system, name), self.journal.tenants.setdefault(name, {})
        chance = self.rng.random()
        if own and chance < 0.1:
            key = self.rng.choice(list(own))
            log.forgets.request(key)
            del own[key]
            self.journal.forgotten += 1
        elif own and chance < 0.16:
            self._accept(log, self.rng.choice(list(own)))
        elif own and chance < 0.2:
            key = self.rng.choice(list(own))
            if self._append(log, ParsedDocument(key, own[key])):
                raise RuntimeError(f"{key} of {name} was there and was taken in again")
            self.journal.repeated += 1
        else:
            self.sent[name] += 1
            self._accept(log, f"document {self.sent[name]}")

    def waiting(self) -> tuple[int, int]:
        """Steps and requests to forget that are not done yet."""
        found = self.system.ledger.waiting()
        return sum(one.chunks for one in found), sum(one.forgets for one in found)

    def _accept(self, log: TenantLog, key: str) -> None:
        version = f"{log.tenant.name}, {key}, {self.journal.accepted}"
        text = self.texts.document(version, self.rng.choice(_CHARACTERS)).text
        if not text.strip():
            return
        self._append(log, ParsedDocument(key, text))
        self.journal.note(log.tenant.name, key, text)

    def _append(self, log: TenantLog, document: ParsedDocument) -> bool:
        model = self.system.model
        return accept(log, document, model.tokenizer).new

    def _next_tenant(self) -> str:
        for name in [name for name, count in self.sent.items() if count >= _TENANT_DOCUMENTS]:
            del self.sent[name]
        while len(self.sent) < _TENANTS:
            self.sent[f"tenant-{self.tenants}"] = 0
            self.tenants += 1
        return self.rng.choice(list(self.sent))
