"""A message: who wrote what to whom, and the text of attachments."""

from __future__ import annotations

import email
import email.policy
import io
import mimetypes
from collections.abc import Callable, Iterator
from email.errors import HeaderParseError
from email.header import decode_header, make_header
from email.message import Message
from pathlib import Path

from oxmsg import Message as OutlookMessage

from mplus_ray.model.errors import DocumentError
from mplus_ray.pipeline.parsing.document import ParsedDocument
from mplus_ray.pipeline.parsing.formats.html import parse_markup
from mplus_ray.pipeline.parsing.refusals import Refusal, Refusals, kind_of_name
from mplus_ray.pipeline.parsing.text.builder import TextBuilder, one_line
from mplus_ray.pipeline.parsing.text.encodings import decode, labelled
from mplus_ray.pipeline.parsing.text.titles import meaningful

_HEADERS = ("Subject", "From", "To", "Cc", "Date")
_MOST_PARTS = 1000
_LONGEST_HEADER = 10_000  # characters

Parse = Callable[[bytes, str], ParsedDocument]
Attachment = tuple[str, bytes]


def parse_mail(data: bytes, name: str, parse: Parse) -> ParsedDocument:
    """A message as the internet has it (RFC 5322).

    Args:
        parse: for what is attached; what it refuses is named in the text.
    """
    message = email.message_from_bytes(data, policy=email.policy.compat32)
    headers = [(header, _header(message, header)) for header in _HEADERS]
    body, attachments = _parts(message, name)
    return _document(headers, body, attachments, name, parse)


def parse_outlook(data: bytes, name: str, parse: Parse) -> ParsedDocument:
    """A message that Outlook saved as .msg."""
    message = OutlookMessage.load(io.BytesIO(data))
    recipients = "; ".join(
        each.name if each.name == each.email_address else f"{each.name} <{each.email_address}>"
        for each in message.recipients
    )
    sent = message.sent_date.isoformat(" ", "minutes") if message.sent_date else ""
    values = (message.subject, message.sender, recipients, "", sent)
    headers = [(key, value or "") for key, value in zip(_HEADERS, values, strict=True)]
    body = message.body or ""
    if not body.strip() and message.html_body:
        body = parse_markup(message.html_body, name).text
    attachments = (
        (each.file_name or "attachment", each.file_bytes or b"") for each in message.attachments
    )
    return _document(headers, body, attachments, name, parse)


def _document(
    headers: list[tuple[str, str]],
    body: str,
    attachments: Iterator[Attachment],
    name: str,
    parse: Parse,
) -> ParsedDocument:
    builder = TextBuilder()
    builder.paragraph("\n".join(f"{key}: {value}" for key, value in headers if value))
    for paragraph in body.split("\n\n"):
        builder.paragraph(paragraph)
    left_out: list[str] = []
    refusals = Refusals()
    for file, content in attachments:
        try:
            inner = parse(content, file)
        except DocumentError as error:
            left_out.append(one_line(file))
            refusals.note(f"{kind_of_name(file)} attachment", error)
            continue
        builder.heading(f"Attachment: {file}", 1)
        builder.verbatim(inner.text)
    text, sections = builder.finish()
    title = meaningful(headers[0][1], name) or Path(name).stem
    metadata = {"attachments_left_out": left_out[:100]} if left_out else {}
    return ParsedDocument(title, text, sections, metadata, tuple(refusals.listed()))


def _header(message: Message, header: str) -> str:
    value = str(message.get(header, ""))[:_LONGEST_HEADER]
    try:
        return one_line(str(make_header(decode_header(value))))
    except (HeaderParseError, LookupError, UnicodeError, ValueError):
        return one_line(value)


def _parts(message: Message, name: str) -> tuple[str, Iterator[Attachment]]:
    """The text of a message, and what is attached."""
    plain: list[str] = []
    html: list[str] = []
    attached: list[Attachment] = []
    for place, part in enumerate(_leaves(message)):
        if place >= _MOST_PARTS:
            raise DocumentError(
                f"{name} has more than {_MOST_PARTS:,} parts; split it", Refusal.TOO_LARGE
            )
        kind, file = part.get_content_type(), part.get_filename()
        if kind == "message/rfc822":
            attached.append(_inner_message(part))
            continue
        payload = part.get_payload(decode=True)
        content = payload if isinstance(payload, bytes) else b""
        if file or part.get_content_disposition() == "attachment":
            attached.append((file or f"attachment{_suffix(kind)}", content))
        elif kind == "text/html":
            html.append(_text(part, content, name))
        elif kind.startswith(("text/", "multipart/")):  # of many parts without a boundary too
            plain.append(_text(part, content, name))
        elif content:
            attached.append((f"part {place + 1}{_suffix(kind)}", content))
    if any(text.strip() for text in plain):
        return "\n\n".join(plain), iter(attached)
    return "\n\n".join(parse_markup(page, name).text for page in html if page.strip()), iter(
        attached
    )


def _text(part: Message, content: bytes, name: str) -> str:
    label = part.get_content_charset()
    return decode(content, name, labelled(label) if label else None) if content else ""


def _leaves(message: Message) -> Iterator[Message]:
    """Its parts, a message in it as one."""
    waiting = [message]
    while waiting:
        part = waiting.pop()
        inner = part.get_payload()
        if part.get_content_type() == "message/rfc822" or not isinstance(inner, list):
            yield part
        else:
            waiting += reversed([each for each in inner if isinstance(each, Message)])


def _inner_message(part: Message) -> Attachment:
    inner = part.get_payload()
    message = inner[0] if isinstance(inner, list) and inner else part
    content = message.as_bytes() if isinstance(message, Message) else b""
    subject = _header(message, "Subject") if isinstance(message, Message) else ""
    return part.get_filename() or f"{subject[:100] or 'message'}.eml", content


def _suffix(kind: str) -> str:
    return mimetypes.guess_extension(kind) or ""
