"""`mplus send`: documents to a service over HTTP, to the end."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from mplus_ray.model.errors import MPlusError
from mplus_ray.services.cli.options import JsonOption

if TYPE_CHECKING:
    from pathlib import Path

    from mplus_ray.pipeline.parsing.refusals import Refusals
    from mplus_ray.services.client import Client, Sent

_URL = "http://127.0.0.1:8000"
_KEY = "MPLUS_API_KEY"
_COUNTS = tuple("read taken_in known replaced refused requests min_step unanswered".split())
_SHOWN = 10  # failures; --json has the first thousand


class RefusedError(MPlusError):
    """A service refuses what is sent, or nobody answers."""

    exit_code = 6


def send(
    sources: Annotated[
        list[str],
        typer.Argument(
            metavar="SOURCE…",
            help="Files, folders and globs; .jsonl and .ndjson go as streams of lines, and so does "
            "-, standard input.",
            show_default=False,
        ),
    ],
    url: Annotated[
        str, typer.Option("--url", envvar="MPLUS_URL", help="Where the service answers.")
    ] = _URL,
    lines: Annotated[
        int, typer.Option(min=1, max=100_000, help="Lines of one request of a stream.")
    ] = 10_000,
    json: JsonOption = None,
) -> None:
    """Send documents to a running service, for the tenant of the key in $MPLUS_API_KEY.

    Where the service stops, at a limit or because the connection breaks, this goes on by itself.
    What the tenant has already is not taken in again.
    """
    from mplus_ray.pipeline.parsing.refusals import Refusals
    from mplus_ray.pipeline.sources.files import find_documents
    from mplus_ray.services.cli.output import human, printable
    from mplus_ray.services.client import ClientError, Sent

    began = time.monotonic()
    found = find_documents(source for source in sources if source != "-")
    sent, refusals = Sent(), Refusals()
    refusals.include(found.left_out.listed())
    root = _common_folder(found.files)
    with _client(url) as client:
        try:
            for path in found.files:
                _send_one(client, path, path.relative_to(root).as_posix(), lines, sent)
            if "-" in sources:
                client.send_lines(sys.stdin.buffer, lines=lines, sent=sent)
        except ClientError as error:
            raise RefusedError(str(error)) from error
        finally:
            for (kind, reason), count in sent.refusals.items():
                refusals.add(kind, reason, count)
            _write_result(sent, refusals, json)
            seconds = time.monotonic() - began
            console = human(json)
            console.print(_summary(sent, seconds))
            if text := refusals.text():
                console.print(printable(f"  {text}"), markup=False)
    if sent.refused:
        raise _all_refused(sent)


def _client(url: str) -> Client:
    from mplus_ray.model.errors import InvalidInputError
    from mplus_ray.services.client import Client

    key = os.environ.get(_KEY)
    if not key:
        raise InvalidInputError(
            f"put a key of the tenant into ${_KEY}; `mplus keys create` makes one"
        )
    return Client(url, key)


def _common_folder(paths: Sequence[Path]) -> Path:
    """The folder that all files are in, so that their ids say where in it they are."""
    from pathlib import Path

    if not paths:
        return Path("/")
    return Path(os.path.commonpath([path.parent for path in paths]))


def _send_one(client: Client, path: Path, name: str, lines: int, sent: Sent) -> None:
    from mplus_ray.pipeline.parsing.kinds import KINDS

    if KINDS.get(path.suffix.lower()) == "jsonl":
        with path.open("rb") as stream:
            client.send_lines(stream, lines=lines, sent=sent, name=name)
    else:
        client.send_file(path, name, sent=sent)


def _summary(sent: Sent, seconds: float) -> str:
    known = f" ({sent.known} known already)" if sent.known else ""
    known += f", {sent.replaced} in an older one's place" if sent.replaced else ""
    failed = f", {sent.refused} failed" if sent.refused else ""
    documents = f"{sent.taken_in:,} document{'' if sent.taken_in == 1 else 's'}"
    text = f"{documents}{known}{failed} sent in {seconds:.1f} s"
    if not sent.unanswered:
        return text
    return (
        f"{text}; of {sent.unanswered:,} more, whose request was not answered, the service has "
        "taken in what arrived: send them again, and that counts as known"
    )


def _write_result(sent: Sent, refusals: Refusals, json: str | None) -> None:
    from mplus_ray.services.cli.output import write_json

    counts = {name: getattr(sent, name) for name in _COUNTS}
    result = {
        **counts,
        "refusals": [asdict(one) for one in refusals.listed()],
        "failed": [{"source": source, "reason": reason} for source, reason in sent.failed],
    }
    write_json(json, result)


def _all_refused(sent: Sent) -> Exception:
    from mplus_ray.model.errors import DocumentError

    reasons = "\n  ".join(reason for _, reason in sent.failed[:_SHOWN])
    more = "\n  … and more; see --json" if sent.refused > _SHOWN else ""
    return DocumentError(
        f"{sent.refused} of {sent.read} documents were left out:\n  {reasons}{more}"
    )
