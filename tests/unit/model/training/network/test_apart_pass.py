"""The reading pass of training equals memorizing blocks and asking."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from mplus_ray.model.checkpoint.checkpoint import Networks
from mplus_ray.model.generation.read_pass import begin
from mplus_ray.model.generation.tokenizer import TextTokenizer
from mplus_ray.model.mplus import MPlus
from mplus_ray.model.training.data.packs import Branch, Pack
from mplus_ray.model.training.network.apart_pass import read_apart
from mplus_ray.model.training.network.initial import open_whole
from mplus_ray.model.training.network.passes import fused_attention, language
from mplus_ray.model.training.network.trained import merged_roles
from mplus_ray.model.training.phases.reading import ReadingBatch
from mplus_ray.model.training.task import Roles
from tests.reading import reading_recipe, write_backbone

TEXTS = ("The ferry to Brelin leaves at nine.", "Odo keeps the lamp.", "Basalt is dark.")
QUESTION = "\nQuestion: When does the ferry leave?\nAnswer:"


@pytest.fixture(params=[True, False], ids=["shared", "two adapters"])
def roles(request, tmp_path: Path) -> Roles:
    recipe = reading_recipe(tmp_path, write_backbone(tmp_path / "llama"), request.param)
    model = replace(recipe.model, max_vote_gap=None, latest_odds=None)  # as many are read as may be
    roles = open_whole(replace(recipe, model=model), torch.device("cpu")).roles
    assert (roles.writer is roles.reader) == request.param
    torch.manual_seed(3)
    with torch.no_grad():
        for name, parameter in roles.reader.named_parameters():
            if parameter.requires_grad:
                parameter.add_(torch.randn_like(parameter) * (0.3 if "lora" in name else 0.1))
    return roles


@pytest.fixture
def tokenizer(roles: Roles, tmp_path: Path) -> TextTokenizer:
    return TextTokenizer.load(tmp_path / "llama")


def _trained(roles: Roles, packs: list[Pack]) -> list[list[Tensor]]:
    """Logits of every branch of every pack, in one pass."""
    batch = ReadingBatch.of(packs, roles.reader.config.first_rows)
    with torch.no_grad():
        hidden = read_apart(roles, batch.blocks, batch.branches, batch.sees)
    logits = roles.reader.logits(hidden)
    return [
        [logits[row, batch.branches.owners[row] == number] for number in range(len(pack.branches))]
        for row, pack in enumerate(packs)
    ]


def _asked(roles: Roles, tokenizer: TextTokenizer, blocks: list[list[int]]) -> Tensor:
    """Logits of the question after memorizing the blocks, with the merged networks."""
    writer, reader = merged_roles(roles)
    mplus = MPlus(reader.config, Networks(writer, reader, None), tokenizer, "", "float32")
    memory = mplus.empty_memory()
    for ids in blocks:
        memory = mplus.memorize_chunks([memory], [ids])[0]
    prompt = torch.tensor(tokenizer.encode(QUESTION))
    (reading,), (logits,) = begin(reader, [mplus.view(memory)], [prompt], whole=True)
    assert reading.memory_rows == sum(map(len, blocks))
    return logits


def test_questions_read_their_blocks_as_the_product_does(
    roles: Roles, tokenizer: TextTokenizer
) -> None:
    blocks = [tokenizer.encode(text) for text in TEXTS]
    ids = tokenizer.encode(QUESTION)
    seen: list[tuple[int, ...]] = [(0,), (2, 0), (1,), (), (0, 1, 2)]
    starts = [max((len(blocks[at]) for at in sees), default=0) for sees in seen]
    branches = [
        Branch(ids, len(ids) - 1, sees, "apart", start)
        for sees, start in zip(seen, starts, strict=True)
    ]
    other = Pack([blocks[1]], [Branch(ids, len(ids) - 1, (0,), "alone", len(blocks[1]))])

    found, (alone,) = _trained(roles, [Pack(blocks, branches), other])

    for sees, logits in zip(seen, found, strict=True):
        expected = _asked(roles, tokenizer, [blocks[at] for at in sees])
        scale = float(expected.abs().max())
        assert torch.allclose(logits, expected, atol=1e-4 * scale), sees
    assert torch.allclose(alone, found[2], atol=1e-4 * float(alone.abs().max()))


def test_text_in_the_prompt_is_read_after_the_start_rows(
    roles: Roles, tokenizer: TextTokenizer
) -> None:
    ids = tokenizer.encode(TEXTS[0] + QUESTION)
    block = tokenizer.encode(TEXTS[1])
    ((logits,),) = _trained(roles, [Pack([block], [Branch(ids, 1, (), "text")])])
    with torch.no_grad():
        hidden = language(roles.reader, torch.tensor([ids]))
    assert torch.allclose(logits, roles.reader.logits(hidden)[0], atol=1e-4)


def test_attention_with_a_bias_adds_it_to_the_scores() -> None:
    torch.manual_seed(0)
    q, k, v = torch.randn(2, 5, 4, 8), torch.randn(2, 9, 2, 8), torch.randn(2, 9, 2, 8)
    bias = torch.zeros(2, 1, 5, 9).masked_fill(torch.rand(2, 1, 5, 9) < 0.4, float("-inf"))
    bias[..., 0] = 0
    keys, values = k.repeat_interleave(2, 2), v.repeat_interleave(2, 2)
    scores = torch.einsum("bnhe,bmhe->bhnm", q, keys) * 8**-0.5 + bias
    expected = torch.einsum("bhnm,bmhe->bnhe", scores.softmax(-1), values)
    assert torch.allclose(fused_attention(q, k, v, bias), expected, atol=1e-6)
