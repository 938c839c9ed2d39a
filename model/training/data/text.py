"""Text to tokens: the tokenizer, the question format, and the corpus on disk.

A question is `PROMPT` filled in; the answer follows after one space and ends with <eos>.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from random import Random

import numpy as np
import pyarrow.parquet as pq
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers

from mplus_ray.model.config import ModelConfig
from mplus_ray.model.corpus.facts import draw_fact
from mplus_ray.model.corpus.held_out import is_held_out
from mplus_ray.model.errors import CheckpointError

PROMPT = " Question: {question} Answer:"
SPECIAL = ("<pad>", "<bos>", "<eos>")
PAD, BOS, EOS = range(3)
# What ends a text: ours, Llama 3, Qwen, Llama 2 and Mistral.
_ENDS = ("<eos>", "<|end_of_text|>", "<|endoftext|>", "</s>")


class Corpus:
    """A long run of token ids, read at random places."""

    def __init__(self, ids: np.ndarray) -> None:
        self.ids = ids

    @classmethod
    def open(cls, path: Path) -> Corpus:
        return cls(np.load(path, mmap_mode="r"))

    def span(self, rng: Random, length: int) -> list[int]:
        """`length` consecutive tokens from a random place."""
        start = rng.randrange(len(self.ids) - length)
        return [int(i) for i in self.ids[start : start + length]]


def question_ids(tokenizer: Tokenizer, question: str) -> list[int]:
    """The prompt up to and with "Answer:"."""
    return list(tokenizer.encode(PROMPT.format(question=question)).ids)


def answer_ids(tokenizer: Tokenizer, answer: str) -> list[int]:
    """The answer as the model must continue it, with its end."""
    return [*tokenizer.encode(" " + answer).ids, end_of(tokenizer)]


def end_of(tokenizer: Tokenizer) -> int:
    """The token that ends an answer and a document.

    Raises:
        CheckpointError: the tokenizer has none that is known.
    """
    for token in _ENDS:
        if (number := tokenizer.token_to_id(token)) is not None:
            return int(number)
    raise CheckpointError(f"the tokenizer has no end of text; known are {', '.join(_ENDS)}")


def answer_end(config: ModelConfig, tokenizer: Tokenizer) -> int:
    """The token that ends an answer of an adapted backbone: its own, if its config names one."""
    return config.eos_token_ids[0] if config.eos_token_ids else end_of(tokenizer)


def open_tokenizer(path: Path) -> Tokenizer:
    """The tokenizer without what some add by themselves to every text, such as a first token."""
    tokenizer = Tokenizer.from_file(str(path))
    tokenizer.post_processor = processors.Sequence([])
    return tokenizer


def documents(data: Path, files: dict[str, int], held_out: bool) -> Iterator[str]:
    """Texts of `files` ({file name: characters wanted of it}), one side of the author split."""
    for name, wanted in files.items():
        table = pq.read_table(data / name)
        rows = table.select(["author", "title", "text"]).to_pylist()
        Random(0).shuffle(rows)
        for row in rows:
            if wanted <= 0:
                break
            if is_held_out(row["author"], row["title"]) == held_out:
                text = row["text"][: min(wanted, 300_000)]
                wanted -= len(text)
                yield text


def train_tokenizer(texts: Iterator[str], vocab_size: int) -> Tokenizer:
    """Byte-level BPE: every text has tokens, and none of them can be a special one by accident."""
    tokenizer = Tokenizer(models.BPE())
    # A name at the start of a document gets the same tokens as inside a sentence.
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=list(SPECIAL),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def prepare(data: Path, files: dict[str, int], vocab_size: int, out: Path) -> Tokenizer:
    """Make (or reopen) `tokenizer.json`, `corpus.npy` and `held_out.npy` in `out`."""
    if (out / "held_out.npy").exists():
        return open_tokenizer(out / "tokenizer.json")
    if (out / "tokenizer.json").exists():  # of the checkpoint that the run starts from
        tokenizer = open_tokenizer(out / "tokenizer.json")
    else:
        rng = Random(0)
        facts = (draw_fact(rng) for _ in range(10_000))
        invented = (f.statement + PROMPT.format(question=f.question) for f in facts)
        real = (text[:20_000] for text in documents(data, files, held_out=False))
        tokenizer = train_tokenizer(chain(real, invented), vocab_size)
        tokenizer.save(str(out / "tokenizer.json"))
    end, width = end_of(tokenizer), np.uint16 if vocab_size <= 1 << 16 else np.uint32
    for name, held_out in (("corpus.npy", False), ("held_out.npy", True)):
        encoded = [
            np.array([*tokenizer.encode(text).ids, end], dtype=width)
            for text in documents(data, files, held_out)
        ]
        np.save(out / name, np.concatenate(encoded))
    return tokenizer
