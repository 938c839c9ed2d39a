"""How a receiver knows that an event is ours: Standard Webhooks' signature.

https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Sequence

_PREFIX = "whsec_"


def signed_headers(
    secrets: Sequence[str], event: str, seconds: int, payload: bytes
) -> dict[str, str]:
    """The three headers of an attempt.

    Args:
        secrets: each makes a signature; a receiver that knows one of them is content.
        event: the same for every attempt.
        seconds: since the epoch, of this attempt.
    """
    said = f"{event}.{seconds}.".encode() + payload
    signatures = []
    for secret in secrets:
        key = base64.b64decode(secret.removeprefix(_PREFIX))
        digest = hmac.new(key, said, hashlib.sha256).digest()
        signatures.append(f"v1,{base64.b64encode(digest).decode()}")
    return {
        "webhook-id": event,
        "webhook-timestamp": str(seconds),
        "webhook-signature": " ".join(signatures),
    }
