"""What all models have in common."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, PrivateAttr


class Part(BaseModel):
    """What the service says; a field that a newer service adds is no error here."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class Base(Part):
    """What can be a whole response."""

    _request_id: str | None = PrivateAttr(default=None)

    @property
    def request_id(self) -> str | None:
        """The `X-Request-ID` of the response that this is, as the service's log has it; None of
        what is only a part of one.
        """
        return self._request_id
