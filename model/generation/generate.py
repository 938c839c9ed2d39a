"""Answers in progress: prompts in, text out, any number of them a step at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor

from mplus_ray.model.errors import InvalidInputError
from mplus_ray.model.generation.latest import answering_odds
from mplus_ray.model.generation.memory_view import MemoryView
from mplus_ray.model.generation.read_pass import begin, extend
from mplus_ray.model.generation.reading import Reading
from mplus_ray.model.generation.sampling import Sampling, next_token
from mplus_ray.model.generation.tokenizer import TextStream, TextTokenizer
from mplus_ray.model.network.decoder import Network
from mplus_ray.model.structured.grammars import Grammars, TokenMask

FinishReason = Literal["stop", "length", "cancelled"]


@dataclass
class Generation:
    """One answer. Its text grows with `advance` until `finish_reason` is set.

    Attributes:
        logprobs: log-probability (nats) of every token chosen, one that ends the answer included,
            at temperature 1 and without any penalty.
        entropy: of the distribution that the first of them was taken from (nats).
        refusal_id: the token that a refusal begins with; None if the checkpoint has none.
        refusal_odds: log-odds of it as the first token; 0 without it.
        reading: the sequence so far, with its keys and values.
        prompt: token ids.
        sampling: how tokens are chosen.
        stop_ids: tokens that end it.
        tokens: chosen so far.
        text: of them, as far as no character is cut.
        finish_reason: None while it goes on.
        mask: which tokens its form allows; None if it may have any form.
        failed: why it cannot go on, though others do.
    """

    reading: Reading
    prompt: list[int]
    sampling: Sampling
    stop_ids: frozenset[int]
    _stream: TextStream
    _random: torch.Generator
    tokens: list[int] = field(default_factory=list)
    text: str = ""
    finish_reason: FinishReason | None = None
    logprobs: list[float] = field(default_factory=list)
    entropy: float = 0.0
    refusal_id: int | None = None
    refusal_odds: float = 0.0
    mask: TokenMask | None = None
    failed: InvalidInputError | None = None
    _held: str = ""  # text that may turn out to begin a stop string

    def cancel(self) -> None:
        """Stop decoding; nothing more is computed for this answer."""
        self.finish_reason = self.finish_reason or "cancelled"

    @property
    def shown(self) -> str:
        """What of the text will stay: without space before it, nor space that may end it."""
        return self.text.strip()

    def _choose(self, logits: Tensor) -> None:
        """Take the next token from logits [vocab]."""
        scores = logits.float().cpu()
        try:
            allowed = None if self.mask is None else torch.from_numpy(self.mask.allowed())
        except InvalidInputError as error:
            self._fail(error)
            return
        seen = self.prompt + self.tokens
        token = next_token(scores, seen, self.sampling, self._random, allowed)
        self._witness(scores, token)
        if token in self.stop_ids:
            self._finish("stop")
            return
        self.tokens.append(token)
        self._release(self._stream.add(token))
        if self.mask is not None:
            self._follow(self.mask, token)
        if self.finish_reason is None and len(self.tokens) >= self.sampling.max_tokens:
            self._finish("length")

    def _follow(self, mask: TokenMask, token: int) -> None:
        try:
            mask.take(token)
        except InvalidInputError as error:
            self._fail(error)
            return
        if mask.complete and self.finish_reason is None:
            self._finish("stop")

    def _fail(self, error: InvalidInputError) -> None:
        """This answer alone ends; those decoded beside it go on."""
        self.failed = error
        self._finish("cancelled")

    def _witness(self, scores: Tensor, token: int) -> None:
        """Note how sure the network was."""
        if self.logprobs:
            self.logprobs.append(float(scores[token] - scores.logsumexp(0)))
            return
        rows = scores.log_softmax(0)
        self.logprobs.append(float(rows[token]))
        self.entropy = float(-(rows.exp() * rows).nansum())
        if self.refusal_id is not None:
            self.refusal_odds = -answering_odds(rows, self.refusal_id)

    def _release(self, piece: str) -> None:
        """Pass text on, but for what could still become a stop string."""
        self._held += piece
        ends = [at for stop in self.sampling.stop if (at := self._held.find(stop)) >= 0]
        if ends:
            self._held = self._held[: min(ends)]
            self._finish("stop")
            return
        longest = max((_overlap(self._held, stop) for stop in self.sampling.stop), default=0)
        cut = len(self._held) - longest
        self.text += self._held[:cut]
        self._held = self._held[cut:]

    def _finish(self, reason: FinishReason) -> None:
        self.text += self._held
        self._held = ""
        self.finish_reason = reason


def start(
    network: Network,
    tokenizer: TextTokenizer,
    views: Sequence[MemoryView],
    prompts: Sequence[list[int]],
    samplings: Sequence[Sampling],
    grammars: Grammars | None = None,
    owners: Sequence[str] = (),
) -> list[Generation]:
    """Read the prompts in one pass and choose each answer's first token.

    Args:
        grammars: of the checkpoint; needed where a sampling has a constraint.
        owners: whose each question is, see `Grammars.compile`; without them, everybody's.

    Raises:
        InvalidInputError: a question is empty, or its constraint cannot be compiled.
    """
    if not prompts:
        return []
    for prompt in prompts:
        if not prompt:
            raise InvalidInputError("the question is empty")
    whose = owners or [""] * len(samplings)
    masks = [_mask(s, grammars, owner) for s, owner in zip(samplings, whose, strict=True)]
    device, refusal = network.device, network.config.refusal
    refusal_id = tokenizer.encode(refusal)[0] if refusal else None
    readings, logits = begin(
        network, views, [torch.tensor(p, device=device) for p in prompts], refusal=refusal_id
    )
    generations = [
        Generation(
            reading,
            prompt,
            sampling,
            frozenset(network.config.eos_token_ids) | frozenset(sampling.stop_ids),
            tokenizer.stream(),
            sampling.generator(),
            refusal_id=refusal_id,
            mask=mask,
        )
        for reading, prompt, sampling, mask in zip(readings, prompts, samplings, masks, strict=True)
    ]
    for generation, row in zip(generations, logits, strict=True):
        generation._choose(row[-1])
    return generations


def _mask(sampling: Sampling, grammars: Grammars | None, owner: str) -> TokenMask | None:
    if sampling.constraint is None:
        return None
    assert grammars is not None, "who asks for a form has the checkpoint's grammars"
    return grammars.compile(sampling.constraint, owner).mask()


def advance(network: Network, generations: Sequence[Generation]) -> None:
    """One more token for every answer that is not finished."""
    active = [g for g in generations if g.finish_reason is None]
    if not active:
        return
    newest = torch.tensor([g.tokens[-1] for g in active], device=network.device)
    logits = extend(network, [g.reading for g in active], newest)
    for generation, row in zip(active, logits, strict=True):
        generation._choose(row)


def pieces(network: Network, generation: Generation) -> Iterator[str]:
    """The rest of an answer as it comes, without space round it; closing the iterator cancels."""
    shown = 0
    try:
        while True:
            text = generation.shown
            if len(text) > shown:
                yield text[shown:]
                shown = len(text)
            if generation.finish_reason is not None:
                return
            advance(network, [generation])
    finally:
        generation.cancel()


def _overlap(text: str, stop: str) -> int:
    """Length of the longest end of `text` that begins `stop`."""
    for size in range(min(len(text), len(stop) - 1), 0, -1):
        if text.endswith(stop[:size]):
            return size
    return 0
