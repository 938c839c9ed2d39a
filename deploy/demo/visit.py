"""What the two tenants do over HTTP: hand in their documents, wait, and ask."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

import httpx
import typer

from mplus_ray.deploy.demo.questions import TENANTS, DemoQuestion, DemoTenant
from mplus_ray.deploy.demo.replies import DemoReply
from mplus_ray.model.errors import InvalidInputError, MPlusError

if TYPE_CHECKING:
    from mplus_ray.deploy.demo.progress import Progress
    from mplus_ray.deploy.demo.report import Report

_MAX_TOKENS = 16
_TELL_SECONDS = 10.0  # between two words on how far it is
_LOOK_SECONDS = 0.2  # between two looks at how far memorizing is
_PATIENCE = 120.0  # seconds of one request


def visit(
    url: str, operator: str, report: Report, progress: Progress, stop: threading.Event
) -> list[DemoReply]:
    """Both tenants' documents, and then both tenants' questions.

    Args:
        url: of the service.
        operator: the operator's key, which makes tenants.
        report: is told what happens.
        progress: is told what is done.
        stop: ends the wait for memories.

    Raises:
        MPlusError: the service refused something.
    """
    with httpx.Client(base_url=url, timeout=_PATIENCE) as client:
        keys = {tenant.name: _tenant(client, operator, tenant) for tenant in TENANTS}
        progress.now("handing in documents")
        jobs = {tenant.name: _hand_in(client, keys[tenant.name], tenant) for tenant in TENANTS}
        progress.now("memorizing", tells_itself=True)
        for tenant in TENANTS:
            _wait(client, keys[tenant.name], tenant, jobs[tenant.name], report, stop)
        progress.now("asking")
        replies = []
        for tenant in TENANTS:
            for question in tenant.questions:
                replies.append(_ask(client, keys[tenant.name], tenant, question))
                report.reply(replies[-1])
    return replies


def _tenant(client: httpx.Client, operator: str, tenant: DemoTenant) -> str:
    """Make a tenant; returns a key of it."""
    _send(client, operator, "POST", "/v1/tenants", json={"name": tenant.name})
    scopes = {"scopes": ["query", "ingest"]}
    made = _send(client, operator, "POST", f"/v1/tenants/{tenant.name}/keys", json=scopes)
    return str(made["secret"])


def _hand_in(client: httpx.Client, key: str, tenant: DemoTenant) -> str:
    """Send a tenant's files; returns the job that says how far they are."""
    files = [("files", (path.name, path.read_bytes())) for path in tenant.paths]
    return str(_send(client, key, "POST", "/v1/documents", files=files)["job_id"])


def _wait(
    client: httpx.Client,
    key: str,
    tenant: DemoTenant,
    job_id: str,
    report: Report,
    stop: threading.Event,
) -> None:
    began = time.monotonic()
    told = began
    while True:
        job = _send(client, key, "GET", f"/v1/jobs/{job_id}")
        if job["state"] == "done":
            break
        if job["state"] == "failed":
            raise InvalidInputError(f"documents of {tenant.name} failed: {job['failed']}")
        if time.monotonic() - told >= _TELL_SECONDS:
            told = time.monotonic()
            report.memorizing(tenant, _send(client, key, "GET", "/v1/memory"), told - began)
        if stop.wait(_LOOK_SECONDS):
            raise typer.Exit(130)
    memory = _send(client, key, "GET", "/v1/memory")
    report.memorized(tenant, memory, time.monotonic() - began)


def _ask(client: httpx.Client, key: str, tenant: DemoTenant, question: DemoQuestion) -> DemoReply:
    sent = {"question": question.text, "max_tokens": _MAX_TOKENS, "stop": ["\n"]}
    began = time.monotonic()
    answer = _send(client, key, "POST", "/v1/query", json=sent)
    seconds = time.monotonic() - began
    return DemoReply(
        tenant, question, answer["answer"], answer["abstained"], seconds, answer["citations"]
    )


def _send(client: httpx.Client, key: str, method: str, path: str, **body: Any) -> dict[str, Any]:
    headers = {"authorization": f"Bearer {key}"}
    try:
        response = client.request(method, path, headers=headers, **body)
    except httpx.HTTPError as error:
        raise MPlusError(f"{method} {path}: the service does not answer ({error})") from error
    if response.is_error:
        raise MPlusError(f"{method} {path} was answered {response.status_code}: {response.text}")
    found: dict[str, Any] = response.json()
    return found
