"""A search that a reader has taken: like a question, but nothing is decoded."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from mplus_ray.actors.messages import SearchRequest, SearchResult
from mplus_ray.actors.plans import ReadPlan
from mplus_ray.actors.reading.request import Pending
from mplus_ray.model import MPlus
from mplus_ray.model.errors import InvalidInputError, MPlusError
from mplus_ray.model.generation.prompt import conversation_prompt
from mplus_ray.model.generation.search import search

MOST_FOUND = 100
_log = logging.getLogger(__name__)


@dataclass(eq=False)
class SearchRun(Pending):
    """One that is waiting, or at work.

    Attributes:
        asked: what came from the caller.
    """

    asked: SearchRequest

    @property
    def plan(self) -> ReadPlan:
        return self.asked.plan

    @property
    def most_tokens(self) -> int:
        return 0

    def read(self, model: MPlus) -> None:
        limit = self.asked.limit
        if not isinstance(limit, int) or not 1 <= limit <= MOST_FOUND:
            raise InvalidInputError(f"limit must be a whole number from 1 to {MOST_FOUND}")
        turns = [("user", self.asked.query)]
        self.prompt = conversation_prompt(model.tokenizer, model.config, turns, 0)

    def found(self, model: MPlus) -> SearchResult | MPlusError:
        """What it comes to; its memory is open."""
        assert self.hold is not None
        try:
            steps = search(
                model.networks.reader,
                self.hold.view.value,
                self.prompt,
                self.asked.limit,
                model.relevance,
            )
        except MPlusError as error:
            return error.with_traceback(None)  # its frames hold tensors
        except Exception as error:  # noqa: BLE001 - the thread serves others too
            _log.exception("searching failed")
            return MPlusError(f"the reader failed at this search: {error!r}")
        return SearchResult(tuple(steps), model.config.votes)
