"""A long memory of real text as the retriever sees it: keys, and what questions ask of them.

Chunks of many texts are memorized side by side in streams, which fills a core far better than one
after the other, and the streams' blocks stand behind one another in one store.

Legend: L layers, n question tokens, s key width.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pyarrow.parquet as pq
import torch
from torch import Tensor

from mplus_ray.model import MPlus
from mplus_ray.model.errors import InvalidInputError
from mplus_ray.model.generation.block_votes import layer_queries
from mplus_ray.model.generation.prompt import question_prompt
from mplus_ray.model.store.row_format import RowBlock
from mplus_ray.model.store.row_store import RowStore
from mplus_ray.pipeline.parsing.parse import parse_file
from mplus_ray.pipeline.sources import find_files

_DOCUMENTS = Path(__file__).parents[2] / "deploy" / "demo" / "documents"
_STREAMS = 32
_RUN = 16  # chunks of one text after another in a stream


@dataclass(frozen=True)
class QuestionSource:
    """Where text and questions come from; None: the documents of the demo, and their sentences.

    Attributes:
        text: a Parquet file with a column `text`.
        questions: a file with a JSON object with a `question` in each line.
    """

    text: Path | None = None
    questions: Path | None = None

    def texts(self) -> list[str]:
        if self.text is None:
            return [parse_file(path).text for path in find_files([_DOCUMENTS])]
        return [str(text) for text in pq.read_table(self.text, columns=["text"])["text"]]

    def asked(self, count: int) -> list[str]:
        """Questions, the same ones every time.

        Raises:
            InvalidInputError: there are none.
        """
        if self.questions is None:
            pieces = [p for text in self.texts() for p in re.split(r"(?<=[.!?])\s+", text)]
            found = [piece for piece in pieces if 30 < len(piece) < 120]
        else:
            lines = self.questions.read_text("utf-8").splitlines()
            found = [str(json.loads(line)["question"]) for line in lines]
        if not found:
            raise InvalidInputError(f"{self.questions} has no questions")
        return random.Random(0).sample(found, min(count, len(found)))


def grow(model: MPlus, source: QuestionSource) -> Iterator[RowStore]:
    """One store that gets longer every time; the text comes round again when it has ended."""
    config = replace(model.config, num_key_value_heads=1, head_dim=2)  # only keys are looked at
    store = RowStore(config, "bfloat16", torch.float32, torch.device("cpu"), None)
    writer_states = [model.empty_memory(seed).writer_state for seed in range(_STREAMS)]
    runs = _runs(model, source.texts())
    shape = (config.num_hidden_layers, config.num_tokens, 2, 1, 2)
    while True:
        streams = [next(runs) for _ in range(_STREAMS)]
        blocks: list[list[Tensor]] = [[] for _ in streams]
        for chunks in zip(*streams, strict=True):
            written = model.write_steps(writer_states, chunks)
            writer_states = [writer_state for writer_state, _ in written]
            for found, (_, rows) in zip(blocks, written, strict=True):
                found.append(rows.keys)
        for keys in (keys for found in blocks for keys in found):
            store.append(store.format.store(RowBlock(torch.zeros(shape), keys)), b"")
        yield store


def _runs(model: MPlus, texts: Sequence[str]) -> Iterator[list[list[int]]]:
    size = model.config.chunk_tokens
    while True:
        chunks: list[list[int]] = []
        for text in texts:
            ids = model.tokenizer.encode(text)
            chunks += [ids[at : at + size] for at in range(0, len(ids), size)]
            while len(chunks) >= _RUN:
                yield chunks[:_RUN]
                chunks = chunks[_RUN:]


def queries(model: MPlus, question: str) -> list[Tensor]:
    """What each layer's retriever is asked, L × [n, s]."""
    view = model.view(model.empty_memory())
    prompt = torch.tensor(question_prompt(model.tokenizer, model.config, question))
    return layer_queries(model.networks.reader, [view], [prompt])[0]
