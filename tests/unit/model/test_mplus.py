"""The library's door: five lines in a notebook, and everything that may be wrong at it."""

from __future__ import annotations

import math
import shutil
from dataclasses import replace

import pytest
import torch

import mplus_ray.model
from mplus_ray.model.errors import (
    CheckpointError,
    FingerprintMismatchError,
    InvalidInputError,
    MPlusError,
    StorageError,
)
from mplus_ray.model.generation.confidence import Confidence
from mplus_ray.model.generation.memory_view import MemoryView
from mplus_ray.model.generation.sampling import Sampling
from mplus_ray.model.mplus import MPlus
from tests.checkpoints import write_checkpoint
from tests.forms import same_memory
from tests.official import LORA, write_official

TEXT = "Maren Tolva lives in Brelin. She keeps nine geese. " * 4


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    write_checkpoint(folder, seed=2)
    return folder


@pytest.fixture(scope="module")
def mplus(folder):
    return MPlus.load(folder)


@pytest.fixture(scope="module")
def memory(mplus):
    return mplus.memorize(mplus.empty_memory(seed=4), TEXT)


def test_five_lines(folder, tmp_path):
    mplus = mplus_ray.model.MPlus.load(str(folder))
    memory = mplus.memorize(mplus.empty_memory(), TEXT)
    answer = mplus.ask(memory, "Where does Maren Tolva live?", max_tokens=12)
    pieces = list(mplus.stream(memory, "Where does Maren Tolva live?", max_tokens=12))
    mplus.save(memory, tmp_path / "maren")
    same_memory(mplus.restore(tmp_path / "maren"), memory)
    assert "".join(pieces).strip() == answer.text
    assert answer.usage.completion_tokens == 12
    assert answer.finish_reason == "length"


def test_a_text_is_memorized_chunk_by_chunk(mplus, memory):
    ids = mplus.tokenizer.encode(TEXT)
    assert memory.step == math.ceil(len(ids) / 16)
    by_hand = mplus.empty_memory(seed=4)
    for at in range(0, len(ids), 16):
        by_hand = mplus.memorize_chunks([by_hand], [ids[at : at + 16]])[0]
    same_memory(memory, by_hand)


def test_many_tenants_answer_as_one_by_one(mplus, memory):
    other = mplus.memorize(mplus.empty_memory(), "Nothing of the kind.")
    memories = [memory, other, mplus.empty_memory(), memory, mplus.view(memory)]
    questions = ["Who?", "What is it?", "Where?", "When?", "Who?"]
    together = mplus.ask_many(memories, questions, max_tokens=8)
    for one, question, answer in zip(memories, questions, together, strict=True):
        alone = mplus.ask(one, question, max_tokens=8)
        assert (alone.text, alone.usage) == (answer.text, answer.usage)
        assert [s.step for s in alone.sources] == [s.step for s in answer.sources]


def test_sources_are_steps_best_first(mplus, memory):
    sources = mplus.ask(memory, "Who?", max_tokens=1).sources
    assert len(sources) == 5
    assert all(0 <= source.step < memory.step for source in sources)
    scores = [source.score for source in sources]
    assert scores == sorted(scores, reverse=True)
    assert mplus.ask(mplus.empty_memory(), "Who?", max_tokens=1).sources == []


def test_as_many_sources_as_are_asked_for(mplus, memory):
    (generation,) = mplus.start([memory], ["Who?"], Sampling(max_tokens=1))
    every = mplus.answer(generation, 100).sources
    assert [source.step for source in every] != list(range(memory.step))
    assert sorted(source.step for source in every) == list(range(memory.step))
    for count in (0, 1, 7):
        assert mplus.answer(generation, count).sources == every[:count]


def test_a_confidence_is_of_the_weights_it_was_fitted_to(folder, mplus, tmp_path, caplog):
    shutil.copytree(folder, tmp_path / "model")
    assert mplus.confidence is None
    fitted = Confidence(("margin",), (2.0,), 0.5, 0.4, mplus.fingerprint)
    fitted.save(tmp_path / "model" / "confidence.json")
    assert MPlus.load(tmp_path / "model").confidence == fitted
    assert not caplog.records
    replace(fitted, fingerprint="of others").save(tmp_path / "model" / "confidence.json")
    assert MPlus.load(tmp_path / "model").confidence is None
    assert "mplus eval abstention" in caplog.text
    (tmp_path / "model" / "confidence.json").write_text("[]")
    with pytest.raises(CheckpointError, match="not a fitted confidence"):
        MPlus.load(tmp_path / "model")


def test_a_stream_can_be_closed_at_any_time(mplus, memory):
    iterator = mplus.stream(memory, "Who?", max_tokens=200, temperature=1.0)
    first = next(iterator)
    iterator.close()
    assert list(iterator) == []
    assert mplus.stream(memory, "Who?", max_tokens=200, temperature=1.0) is not iterator
    assert next(mplus.stream(memory, "Who?", max_tokens=200, temperature=1.0)) == first


def test_empty_batches(mplus):
    assert mplus.ask_many([], []) == []
    assert mplus.memorize_chunks([], []) == []


@pytest.mark.parametrize("text", ["", " ", "\n\t\r ", "\u2003"])
def test_nothing_to_memorize(mplus, memory, text):
    with pytest.raises(InvalidInputError, match="empty"):
        mplus.memorize(memory, text)


@pytest.mark.parametrize("text", ["x", "\x00", "\ud83d", "\U0010ffff", "é" * 500, "<bos><eos>"])
def test_any_other_text_is_memorized(mplus, text):
    assert mplus.memorize(mplus.empty_memory(), text).step >= 1


@pytest.mark.parametrize("seed", [-1, 1 << 128])
def test_impossible_seeds(mplus, seed):
    with pytest.raises(InvalidInputError, match="seed"):
        mplus.empty_memory(seed)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"max_tokens": 0}, "max_tokens"),
        ({"temperature": -1}, "temperature"),
        ({"stop": "END"}, "stop"),
        ({"temprature": 1}, "temprature"),
    ],
)
def test_impossible_options(mplus, memory, options, said):
    with pytest.raises(InvalidInputError, match=said):
        mplus.ask(memory, "Who?", **options)


def test_as_many_questions_as_memories(mplus, memory):
    with pytest.raises(InvalidInputError, match="2 memories and 1 questions"):
        mplus.ask_many([memory, memory], ["Who?"])
    with pytest.raises(InvalidInputError, match="1 memories and 2 chunks"):
        mplus.memorize_chunks([memory], [[1], [2]])


@pytest.mark.parametrize("question", ["", "  \n"])
def test_an_empty_question(mplus, memory, question):
    with pytest.raises(InvalidInputError, match="question is empty"):
        mplus.ask(memory, question)
    with pytest.raises(InvalidInputError, match="question is empty"):
        list(mplus.stream(memory, question))


def test_a_memory_of_other_weights(mplus, memory, tmp_path):
    write_checkpoint(tmp_path / "other", seed=3)
    other = MPlus.load(tmp_path / "other")
    for use in (
        lambda: other.ask(memory, "Who?"),
        lambda: list(other.stream(memory, "Who?")),
        lambda: other.memorize(memory, "text"),
        lambda: other.memorize_chunks([other.empty_memory(), memory], [[1], [2]]),
        lambda: other.view(memory),
        lambda: other.ask(mplus.view(memory), "Who?"),
        lambda: other.save(memory, tmp_path / "saved"),
    ):
        with pytest.raises(FingerprintMismatchError, match="made with weights"):
            use()
    mplus.save(memory, tmp_path / "saved")
    with pytest.raises(FingerprintMismatchError):
        other.restore(tmp_path / "saved")
    same_memory(mplus.restore(tmp_path / "saved"), memory)


def test_restoring_from_nowhere(mplus, tmp_path):
    with pytest.raises(StorageError, match="no saved memory"):
        mplus.restore(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"dtype": "int8"}, "dtype 'int8'"),
        ({"dtype": "float64"}, "dtype 'float64'"),
        ({"dtype": torch.float64}, "float64"),
        ({"dtype": "nonsense"}, "dtype 'nonsense'"),
        ({"device": "toaster"}, "device 'toaster'"),
    ],
)
def test_impossible_ways_to_load(folder, options, said):
    with pytest.raises(InvalidInputError, match=said):
        MPlus.load(folder, **options)


def test_loading_what_is_no_checkpoint(tmp_path):
    with pytest.raises(CheckpointError, match=r"no config\.json"):
        MPlus.load(tmp_path)
    with pytest.raises(CheckpointError):
        MPlus.load(tmp_path / "nowhere")


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_every_dtype_memorizes_answers_and_saves(folder, tmp_path, dtype):
    mplus = MPlus.load(folder, dtype=dtype)
    memory = mplus.memorize(mplus.empty_memory(), TEXT)
    mplus.ask(memory, "Who?", max_tokens=3)
    mplus.save(memory, tmp_path)
    same_memory(mplus.restore(tmp_path), memory)


def test_a_writer_cannot_answer_and_says_so(tmp_path):
    write_official(tmp_path, lora_config=LORA, add_decoder_lora=True)
    writer = MPlus.load(tmp_path, write_only=True)
    memory = writer.memorize(writer.empty_memory(), TEXT)
    both = MPlus.load(tmp_path)
    same_memory(memory, both.memorize(both.empty_memory(), TEXT))
    with pytest.raises(InvalidInputError, match="write_only"):
        writer.ask(memory, "Who?")


def test_every_error_of_ours_is_one_kind():
    for kind in (CheckpointError, FingerprintMismatchError, InvalidInputError, StorageError):
        assert issubclass(kind, MPlusError)
        assert kind.exit_code != 0


def test_a_view_is_of_the_memory_it_was_made_of(mplus, memory):
    view = mplus.view(memory)
    assert isinstance(view, MemoryView)
    before = mplus.ask(view, "Who?", max_tokens=5).text
    mplus.memorize(memory, "And something else altogether.")
    assert mplus.ask(view, "Who?", max_tokens=5).text == before
    assert view.nbytes > 0
