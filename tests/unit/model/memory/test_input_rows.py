"""Rows that are a layer's inputs: reading them is reading the text, wherever they are kept."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from mplus_ray.model import MPlus
from mplus_ray.model.config import ModelConfig
from mplus_ray.model.errors import CheckpointError
from mplus_ray.model.generation.answer import evidence_of, refuses
from mplus_ray.model.generation.read_pass import begin
from mplus_ray.model.generation.sampling import Sampling
from mplus_ray.model.object_store.object_store import ObjectStore
from mplus_ray.model.store.shards import ShardHeader, check_shard, copy_steps, write_shard
from mplus_ray.model.training.network import passes
from tests.checkpoints import INPUT_ROWS, tiny_config, write_checkpoint

TEXTS = ("The ferry to Brelin leaves at nine.", "Odo keeps the lamp.", "Basalt is dark.", "Mira")
QUESTION = "When does the ferry leave?"


@pytest.fixture(scope="module")
def mplus(tmp_path_factory) -> MPlus:
    folder = tmp_path_factory.mktemp("inputs")
    write_checkpoint(folder, **INPUT_ROWS)
    return MPlus.load(folder, precision="float32")


def grow(mplus: MPlus, texts=TEXTS, **settings):
    memory = mplus.empty_memory(**settings)
    for text in texts:
        memory = mplus.memorize(memory, text)
    return memory


def logits(mplus: MPlus, memory, question: str = QUESTION, **view):
    ids = mplus.tokenizer.encode(f"\nQuestion: {question}\nAnswer:")
    readings, found = begin(
        mplus.networks.reader, [mplus.view(memory, **view)], [torch.tensor(ids)], whole=True
    )
    return readings[0], found[0]


@torch.no_grad()
def in_the_prompt(mplus: MPlus, text: str, question: str = QUESTION):
    """Logits of the question with the text before it, in one sequence after the start rows."""
    network = mplus.networks.reader
    prompt = mplus.tokenizer.encode(f"\nQuestion: {question}\nAnswer:")
    ids = torch.tensor([mplus.tokenizer.encode(text) + prompt])
    return network.logits(passes.language(network, ids))[0, -len(prompt) :]


def test_one_block_read_alone_is_the_text_in_the_prompt(mplus):
    reading, found = logits(mplus, grow(mplus, TEXTS[:1]))
    assert torch.allclose(found, in_the_prompt(mplus, TEXTS[0]), atol=1e-5)
    assert reading.memory_rows == len(mplus.tokenizer.encode(TEXTS[0]))


def test_nothing_remembered_is_the_question_after_the_start_rows(mplus):
    assert torch.allclose(logits(mplus, grow(mplus, ()))[1], in_the_prompt(mplus, ""), atol=1e-5)


def test_a_block_does_not_depend_on_those_before_it_nor_on_the_batch(mplus):
    alone = [grow(mplus, [text]) for text in TEXTS]
    whole = grow(mplus)
    chunks = [mplus.tokenizer.encode(text) for text in TEXTS]
    together = mplus.memorize_chunks([mplus.empty_memory()] * len(TEXTS), chunks)
    for step, (one, other) in enumerate(zip(alone, together, strict=True)):
        expected = one.store.stored(0, 1)
        for found in (whole.store.stored(step, step + 1), other.store.stored(0, 1)):
            assert torch.equal(found.kv, expected.kv)
            assert torch.equal(found.tokens, expected.tokens)
            assert found.lengths == expected.lengths == (len(chunks[step]),)


def test_words_find_the_block_and_count_what_may_be_read_alone(mplus):
    memory = grow(mplus)
    reading, _ = logits(mplus, memory)
    assert int(reading.known_votes.argmax()) == 0
    hidden, _ = logits(mplus, memory, forgotten=[(0, 1)])
    assert hidden.known_votes[0] == -torch.inf
    without = grow(mplus, TEXTS[1:])
    again, _ = logits(mplus, without)
    assert torch.equal(hidden.known_votes[1:], again.known_votes)
    # How the words are spelt and inflected does not matter, and what every prompt has says nothing.
    assert logits(mplus, memory, "LEAVING, ferries?")[0].known_votes[0] > 0
    assert not logits(mplus, grow(mplus, ["Question and answer"]))[0].known_votes.any()


def test_blocks_beside_each_other_are_read_from_equal_places(mplus):
    """Which of them is older makes no difference."""
    one, other = grow(mplus, TEXTS[:2]), grow(mplus, TEXTS[1::-1])
    assert torch.allclose(logits(mplus, one)[1], logits(mplus, other)[1], atol=1e-5)


@pytest.mark.parametrize("precision", ["float32", "bfloat16", "int8"])
def test_saved_and_restored_it_answers_as_before(mplus, tmp_path, precision):
    model = MPlus(mplus.config, mplus.networks, mplus.tokenizer, mplus.fingerprint, precision, None)
    memory = grow(model, TEXTS[:3], seed=5)
    model.save(memory, tmp_path / "m")
    grown = model.memorize(memory, TEXTS[3])
    model.save(grown, tmp_path / "m")
    restored = model.restore(tmp_path / "m")
    assert torch.equal(logits(model, restored)[1], logits(model, grown)[1])
    ragged = restored.store.stored(1, 4)
    assert ragged.lengths == tuple(len(model.tokenizer.encode(text)) for text in TEXTS[1:])
    assert torch.equal(ragged.kv, grown.store.stored(1, 4).kv)
    assert ragged.tokens is not None
    assert ragged.tokens.tolist() == [i for t in TEXTS[1:] for i in model.tokenizer.encode(t)]
    # It can be written on from a restored prefix, as if it had never been saved.
    on = model.memorize(restored, TEXTS[0])
    assert torch.equal(logits(model, on)[1], logits(model, model.memorize(grown, TEXTS[0]))[1])


def test_a_past_moment_has_a_future_of_its_own(mplus):
    memory = grow(mplus)
    early = replace(
        memory,
        membership=memory.membership.everything(2),
        writer_state=grow(mplus, TEXTS[:2]).writer_state,
    )
    assert torch.equal(logits(mplus, early)[1], logits(mplus, grow(mplus, TEXTS[:2]))[1])
    other = mplus.memorize(early, "The ferry to Holt leaves at ten.")
    expected = grow(mplus, [*TEXTS[:2], "The ferry to Holt leaves at ten."])
    assert torch.equal(logits(mplus, other)[1], logits(mplus, expected)[1])
    assert torch.equal(logits(mplus, memory)[1], logits(mplus, grow(mplus))[1])


def test_shards_keep_lengths_when_they_are_merged_and_cut(mplus, tmp_path):
    memory, files = grow(mplus), ObjectStore.open(str(tmp_path))
    header = ShardHeader(mplus.fingerprint, memory.store.format, 0, 2)
    first = write_shard(files, "a.arrow", header, memory.store.stored(0, 2))
    second = write_shard(files, "b.arrow", replace(header, first_step=2), memory.store.stored(2, 4))
    merged = copy_steps(files, [first, second], 1, 4, "c.arrow")
    check_shard(files, merged, mplus.fingerprint)
    assert merged.lengths == memory.store.stored(1, 4).lengths
    store = mplus.empty_memory().store.prefix(0)
    store.attach(files, [merged])
    found, expected = store.stored(1, 4), memory.store.stored(1, 4)
    assert torch.equal(found.kv, expected.kv)
    assert torch.equal(found.tokens, expected.tokens)


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"rows": "middles"}, "rows"),
        ({"pool_attended": True}, "pool_attended"),
        ({"num_tokens": 32}, "chunk_tokens"),
        ({"votes": "layers"}, "words"),
        ({"word_vote": 0.0}, "word_vote"),
        ({"rows": "outputs"}, "inputs"),
    ],
)
def test_impossible_settings_are_refused(changes, word):
    with pytest.raises(CheckpointError, match=word):
        tiny_config(**{**INPUT_ROWS, **changes})


def test_the_config_makes_a_round_trip():
    config = tiny_config(**INPUT_ROWS)
    assert ModelConfig.from_dict(config.to_dict()) == config
    assert config.identity()["rows"] == "inputs"
    assert "rows" not in tiny_config().identity()


def test_a_refusal_is_seen_in_the_first_token(tmp_path):
    write_checkpoint(tmp_path / "m", **INPUT_ROWS, refusal=" not said")
    model = MPlus.load(tmp_path / "m", precision="float32")
    memory = grow(model)
    (generation,) = model.start([memory], [QUESTION], Sampling(max_tokens=3))
    first = logits(model, memory)[1][-1].log_softmax(0)
    at = model.tokenizer.encode(" not said")[0]
    odds = float(first[at] - torch.log1p(-first[at].exp()))
    assert generation.refusal_odds == pytest.approx(odds, abs=1e-4)
    assert evidence_of(generation).no_refusal == -generation.refusal_odds
    assert not refuses(generation)
    generation.text = " not said"
    assert refuses(generation)


def test_a_checkpoint_says_how_its_rows_are_stored(tmp_path):
    write_checkpoint(tmp_path / "m", **INPUT_ROWS, row_precision="int8")
    assert MPlus.load(tmp_path / "m").empty_memory().store.format.precision == "int8"
    assert MPlus.load(tmp_path / "m", precision="float32").precision == "float32"
