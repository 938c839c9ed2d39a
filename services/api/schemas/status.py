"""What goes on in the service, as the operator sees it."""

from __future__ import annotations

from pydantic import Field

from mplus_ray.services.api.schemas.base import Response, example


class Waiting(Response):
    """What is not memorized yet."""

    documents: int
    chunks: int
    tokens: int
    forgets: int = Field(description="Requests to forget that are not carried out.")
    oldest_seconds: float = Field(description="For how long the oldest waits; 0 if none does.")


class Backlog(Waiting):
    """What waits over all tenants."""

    tenants: int = Field(description="That have chunks which wait.")


class Lease(Response):
    """A tenant that a writer holds."""

    tenant: str
    epoch: int = Field(description="Grows with every change of hands.")
    expires_in: float = Field(description="Seconds; negative when it is overdue.")


class Writer(Response):
    """A writer that holds tenants."""

    owner: str
    gone: bool = Field(description="Its process is known to have ended; others may take over.")
    tenants: list[Lease]


class Reader(Response):
    """A reader that is ready."""

    running: int = Field(description="Questions whose answers are being decoded.")
    queued: int = Field(description="Questions that wait for their memory or for a slot.")
    slots: int = Field(description="Answers that may be decoded at a time.")
    memories: int = Field(description="Open on the host.")
    device_used: int = Field(description="Bytes of memories on the device.")
    device_bytes: int = Field(description="That these may take.")
    host_used: int = Field(description="Bytes of memories on the host.")
    host_bytes: int = Field(description="That these may take.")
    answered: int = Field(description="Questions, since it began.")
    failed: int = Field(description="Questions answered with an error, since it began.")


class TenantState(Response):
    """What one tenant waits for."""

    tenant: str
    waiting: Waiting
    failures: int = Field(description="Sources that could not be read.")
    cold: bool = Field(description="Its rows were dropped; they come back from text when wanted.")
    store_bytes: int = Field(description="Of its files; a fork counts shared ones.")


class ServiceStatus(Response):
    """Who works, what waits, and where the bytes are."""

    model_config = example(
        {
            "model": "mplus-small",
            "backlog": {
                "tenants": 1,
                "documents": 2,
                "chunks": 40,
                "tokens": 10000,
                "forgets": 0,
                "oldest_seconds": 3.5,
            },
            "writers": [
                {
                    "owner": "host-4711-1",
                    "gone": False,
                    "tenants": [{"tenant": "anna", "epoch": 3, "expires_in": 58.2}],
                }
            ],
            "readers": [],
            "tenants": [],
            "store_files": 12,
            "store_bytes": 3932160,
        }
    )

    model: str = Field(description="That readers answer with, as OpenAI's clients call it.")
    backlog: Backlog
    writers: list[Writer] = Field(description="Those that hold tenants now, by name.")
    readers: list[Reader] | None = Field(
        description="Those that said so in time; null: readers could not be asked."
    )
    tenants: list[TenantState] = Field(description="By name.")
    store_files: int = Field(description="Files of rows, shared ones once.")
    store_bytes: int
