"""M+ in a notebook: load, memorize, ask, stream, save, restore.

mplus = MPlus.load("small")
memory = mplus.memorize(mplus.empty_memory(), "Maren Tolva lives in Brelin.")
print(mplus.ask(memory, "Where does Maren Tolva live?").text)
print(*mplus.stream(memory, "Who lives in Brelin?"), sep="")
mplus.save(memory, "maren"); memory = mplus.restore("maren")
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from mplus_ray.model.checkpoint.checkpoint import Networks, load_networks
from mplus_ray.model.checkpoint.hub import find_checkpoint
from mplus_ray.model.checkpoint.tensors import TensorFolder
from mplus_ray.model.config import ModelConfig
from mplus_ray.model.errors import CheckpointError, FingerprintMismatchError, InvalidInputError
from mplus_ray.model.generation.answer import Answer, Found, Source, Usage, answer_of
from mplus_ray.model.generation.confidence import Confidence
from mplus_ray.model.generation.generate import Generation, advance, pieces, start
from mplus_ray.model.generation.memory_view import MemoryView
from mplus_ray.model.generation.prompt import question_prompt
from mplus_ray.model.generation.sampling import Sampling
from mplus_ray.model.generation.search import search
from mplus_ray.model.generation.tokenizer import TextTokenizer
from mplus_ray.model.generation.words import Words
from mplus_ray.model.loading import confidence_of, device_of, dtype_of, relevance_of
from mplus_ray.model.memory import saved_memory
from mplus_ray.model.memory.genesis import first_memory
from mplus_ray.model.memory.memory import Memory, memorize, write_steps
from mplus_ray.model.memory.step_order import StepOrder
from mplus_ray.model.memory.step_ranges import StepRanges
from mplus_ray.model.network.allocator import keep_freed_memory
from mplus_ray.model.object_store.object_store import ObjectStore
from mplus_ray.model.retrieval.relevance import Relevance
from mplus_ray.model.store.file_refs import State
from mplus_ray.model.store.row_format import RowBlock, RowFormat
from mplus_ray.model.store.writer_state import WriterState, read_state
from mplus_ray.model.structured.grammars import Grammars

__all__ = ["Answer", "MPlus", "Source", "Usage"]


class MPlus:
    """A loaded checkpoint. It holds weights and never a tenant: memories are values."""

    def __init__(
        self,
        config: ModelConfig,
        networks: Networks,
        tokenizer: TextTokenizer,
        fingerprint: str,
        precision: str,
        confidence: Confidence | None = None,
        relevance: Relevance | None = None,
    ) -> None:
        self.config = config
        self.networks = networks
        self.tokenizer = tokenizer
        self.fingerprint = fingerprint
        self.precision = precision
        self.confidence = confidence
        self.relevance = relevance
        self.grammars = Grammars(tokenizer, config)
        self._words = Words(tokenizer, config) if config.votes != "layers" else None

    @classmethod
    def load(
        cls,
        source: str | Path,
        device: str | None = None,
        dtype: torch.dtype | str | None = None,
        write_only: bool = False,
        precision: str | None = None,
    ) -> MPlus:
        """Load a checkpoint folder or hub id, ours or an official one.

        Args:
            device: by default CUDA where there is one, else the CPU.
            dtype: of weights; by default float32 on the CPU and bfloat16 elsewhere.
            write_only: leave out weights that only answering needs.
            precision: how rows of new memories are stored: float32, bfloat16, float16 or int8; by
                default as the checkpoint says.

        Raises:
            CheckpointError: it cannot be read; the message lists every reason.
        """
        if isinstance(source, Path) and not source.is_dir():
            raise CheckpointError(f"there is no folder {source}; name one that holds a checkpoint")
        path = find_checkpoint(str(source))
        config = ModelConfig.load(path)
        precision = precision or config.row_precision
        RowFormat.of(config, precision)  # an unknown one is refused before the weights are read
        where = device_of(device)
        number = dtype_of(dtype, where)
        if where.type == "cpu":
            keep_freed_memory()
        networks = load_networks(path, config, where, number, write_only)
        tokenizer = TextTokenizer.load(path)
        if tokenizer.size > config.vocab_size:
            raise CheckpointError(
                f"{path}: the tokenizer has {tokenizer.size} tokens, the network only "
                f"{config.vocab_size}; they do not belong together"
            )
        fingerprint = TensorFolder.open(path).fingerprint(config.identity())
        return cls(
            networks.reader.config,
            networks,
            tokenizer,
            fingerprint,
            precision,
            confidence_of(path, fingerprint),
            relevance_of(path, fingerprint),
        )

    def empty_memory(
        self, seed: int = 0, precision: str | None = None, retention: str = "checkpoint"
    ) -> Memory:
        """The memory of somebody new: the checkpoint's genesis, or nothing at all.

        Args:
            seed: decides which rows each step drops; 0 ≤ seed < 2^128.
            precision: how its rows are stored; by default as the model was loaded for.
            retention: "unbounded" keeps long-term rows for ever, whatever the checkpoint says.
        """
        if not 0 <= seed < 1 << 128:
            raise InvalidInputError("a seed is a whole number from 0 to 2^128 - 1")
        reader, genesis = self.networks.reader, self.networks.genesis
        memory = first_memory(reader, genesis, seed, self.fingerprint, precision or self.precision)
        return memory if retention == "checkpoint" else memory.unbounded()

    def memorize(self, memory: Memory, text: str) -> Memory:
        """Memorize a text, chunk by chunk; returns the new memory.

        Raises:
            InvalidInputError: there is nothing in the text.
        """
        ids = self.tokenizer.encode(text)
        if not ids or not text.strip():
            raise InvalidInputError("the text is empty; there is nothing to memorize")
        size = self.config.chunk_tokens
        for at in range(0, len(ids), size):
            memory = self.memorize_chunks([memory], [ids[at : at + size]])[0]
        return memory

    def memorize_chunks(
        self, memories: Sequence[Memory], chunks: Sequence[Sequence[int]]
    ) -> list[Memory]:
        """One chunk of token ids for each of many tenants, in one forward pass.

        Raises:
            InvalidInputError: a chunk is empty, too long or not of this vocabulary.
            FingerprintMismatchError: a memory was made with other weights.
        """
        if len(memories) != len(chunks):
            raise InvalidInputError(
                f"{len(memories)} memories and {len(chunks)} chunks were given; "
                "every chunk needs one memory"
            )
        for memory in memories:
            self._check(memory)
        return memorize(self.networks.writer, self.networks.reader, memories, chunks)

    def write_steps(
        self, writer_states: Sequence[WriterState], chunks: Sequence[Sequence[int]]
    ) -> list[tuple[WriterState, RowBlock]]:
        """The next writer state and the new rows of each of many tenants, in one forward pass."""
        return write_steps(self.networks.writer, self.networks.reader, writer_states, chunks)

    def read_writer_state(self, files: ObjectStore, state: State) -> WriterState:
        """Where a saved state says that memorizing can go on.

        Raises:
            DamagedFileError: the file is missing or not what was written.
        """
        return read_state(files, state, self.fingerprint, self.networks.writer.device)

    def living_steps(
        self, seed: int, retention: str, steps: Sequence[int]
    ) -> NDArray[np.bool_] | None:
        """Which steps a memory still has rows of, at any of these moments; None if of all.

        Args:
            steps: moments at which the memory is looked at, 0 … any.
        """
        membership = self.empty_memory(seed, retention=retention).membership
        if not membership.forgets:
            return None
        living = np.zeros(max(steps, default=0), dtype=bool)
        for step in sorted(steps):
            membership = membership.replay(seed, step)
            living[:step] |= membership.living_steps()
        return living

    def view(
        self,
        memory: Memory,
        forgotten: Sequence[tuple[int, int]] = (),
        only: StepRanges | None = None,
        order: StepOrder = StepOrder(),  # noqa: B008
    ) -> MemoryView:
        """The memory prepared for reading; worth keeping between questions.

        Args:
            forgotten: steps [first, end) whose rows are not to be read, nor named as a source.
            only: if given, the steps whose rows are; those of other steps are not.
            order: in which what the steps tell of happened.
        """
        self._check(memory)
        if not self.networks.reader.can_answer:
            raise InvalidInputError("this model was loaded with write_only; it cannot answer")
        return MemoryView(self.networks.reader, memory, forgotten, self._words, only, order)

    def ask(self, memory: Memory | MemoryView, question: str, **sampling: Any) -> Answer:
        """Answer a question; keyword arguments are those of `Sampling`."""
        return self.ask_many([memory], [question], **sampling)[0]

    def ask_many(
        self, memories: Sequence[Memory | MemoryView], questions: Sequence[str], **sampling: Any
    ) -> list[Answer]:
        """Answer questions to many memories together; the answers are those of one by one."""
        generations = self.start(memories, questions, Sampling.of(sampling))
        while any(g.finish_reason is None for g in generations):
            advance(self.networks.reader, generations)
        return [self.answer(generation) for generation in generations]

    def stream(self, memory: Memory | MemoryView, question: str, **sampling: Any) -> Iterator[str]:
        """The answer piece by piece; closing the iterator cancels it."""
        generation = self.start([memory], [question], Sampling.of(sampling))[0]
        yield from pieces(self.networks.reader, generation)

    def search(self, memory: Memory | MemoryView, query: str, limit: int = 10) -> list[Found]:
        """The steps that an answer to `query` would draw on, the best first; none is decoded.

        Args:
            limit: so many at most, from 1.

        Raises:
            InvalidInputError: the query is empty, or the checkpoint retrieves nothing.
        """
        if limit < 1:
            raise InvalidInputError("limit must be a whole number of at least 1")
        prompt = question_prompt(self.tokenizer, self.config, query)
        view = memory if isinstance(memory, MemoryView) else self.view(memory)
        self._check(view.memory)
        return search(self.networks.reader, view, prompt, limit, self.relevance)

    def start(
        self,
        memories: Sequence[Memory | MemoryView],
        questions: Sequence[str],
        sampling: Sampling,
    ) -> list[Generation]:
        """Read the questions; `generate.advance` then adds a token to each answer."""
        prompts = [question_prompt(self.tokenizer, self.config, q) for q in questions]
        if len(memories) != len(questions):
            raise InvalidInputError(
                f"{len(memories)} memories and {len(questions)} questions were given; "
                "every question needs one memory"
            )
        views = [m if isinstance(m, MemoryView) else self.view(m) for m in memories]
        for view in views:
            self._check(view.memory)
        samplings = [sampling] * len(prompts)
        return start(self.networks.reader, self.tokenizer, views, prompts, samplings, self.grammars)

    def answer(self, generation: Generation, count: int = 5) -> Answer:
        """What a generation has come to.

        Args:
            count: so many sources at most.

        Raises:
            InvalidInputError: it could not go on in the form that it was to have.
        """
        if generation.failed is not None:
            raise generation.failed
        return answer_of(generation, count, self.relevance)

    def save(self, memory: Memory, path: str | Path) -> None:
        """Save a memory to a folder; later saves of the same history add only what is new."""
        self._check(memory)
        saved_memory.save_memory(memory, Path(path))

    def restore(self, path: str | Path) -> Memory:
        """Read a saved memory back.

        Raises:
            StorageError: none is there, or it is damaged.
            FingerprintMismatchError: it was made with other weights.
        """
        return saved_memory.restore_memory(self.empty_memory(), Path(path))

    def _check(self, memory: Memory) -> None:
        if memory.fingerprint != self.fingerprint:
            raise FingerprintMismatchError(
                f"the memory was made with weights {memory.fingerprint}, but "
                f"{self.fingerprint} are loaded"
            )
