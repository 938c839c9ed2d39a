"""The same numbers on CUDA: parity, batches, and answers, in float32 and bfloat16."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from mplus_ray.model.checkpoint.checkpoint import load_networks
from mplus_ray.model.config import ModelConfig
from mplus_ray.model.generation.memory_view import MemoryView
from mplus_ray.model.generation.read_pass import begin, extend
from mplus_ray.model.memory.genesis import first_memory
from mplus_ray.model.memory.memory import memorize
from tests.forms import chunks, same_memory
from tests.official import LORA, write_official

GOLDEN = Path(__file__).parents[1] / "golden"
CUDA = torch.device("cuda")
CPU = torch.device("cpu")
PRECISIONS = {torch.float32: 1e-4, torch.bfloat16: 0.15}
# Rows of a case have values of about 1; bfloat16 keeps eight bits of them.
# Logits of `short_chunks` are 0.16 off in bfloat16 on a CPU too, rows 0.004.
LOGITS = {torch.float32: 1e-4, torch.bfloat16: 0.25}


@pytest.fixture(autouse=True)
def _exact_products(monkeypatch):
    """float32 means float32, not TF32."""
    monkeypatch.setattr(torch.backends.cuda.matmul, "allow_tf32", False)


def _name(dtype):
    return str(dtype).removeprefix("torch.")


def loaded(folder, config, device, dtype):
    return load_networks(folder, config, device, dtype, write_only=False)


def replay(folder, device, dtype):
    """Rows of every step, and logits of the first prompt, of a recorded case."""
    config = ModelConfig.load(folder)
    networks = loaded(folder, config, device, dtype)
    trace = load_file(folder / "trace.safetensors")
    memory = first_memory(networks.reader, networks.genesis, 0, "", _name(dtype))
    new = []
    while f"step.{memory.step}.input_ids" in trace:
        ids = trace[f"step.{memory.step}.input_ids"].tolist()
        drops = trace[f"step.{memory.step}.dropped"].numpy()
        memory = memorize(networks.writer, networks.reader, [memory], [ids], [drops])[0]
        new.append(memory.last_block)
    prompt = trace["query.0.input_ids"].to(device)
    view = MemoryView(networks.reader, memory)
    _, logits = begin(networks.reader, [view], [prompt], whole=True)
    return new, logits[0], trace


def relative(ours, theirs):
    ours, theirs = ours.float().cpu(), theirs.float()
    assert bool(ours.isfinite().all())
    return float((ours - theirs).norm() / theirs.norm())


@pytest.mark.parametrize("dtype", PRECISIONS)
@pytest.mark.parametrize("case", ["short_chunks", "expiry"])
def test_the_official_numbers(case, dtype):
    new, logits, trace = replay(GOLDEN / case, CUDA, dtype)
    for step, rows in enumerate(new):
        assert rows.device.type == "cuda"
        assert relative(rows, trace[f"step.{step}.new_memory"]) < PRECISIONS[dtype]
    assert relative(logits, trace["query.0.logits"]) < LOGITS[dtype]


@pytest.fixture(scope="module", params=PRECISIONS, ids=str)
def crowd(tmp_path_factory, request):
    folder = tmp_path_factory.mktemp("model")
    config, _ = write_official(
        folder,
        hidden_size=256,
        intermediate_size=512,
        head_dim=64,
        num_tokens=32,
        chunk_tokens=96,
        lora_config=LORA,
        add_decoder_lora=True,
    )
    networks = loaded(folder, config, CUDA, request.param)
    memories = []
    for age in (0, 1, 4, 9):
        memory = first_memory(networks.reader, networks.genesis, age, "", _name(request.param))
        for chunk in chunks(config, age, age):
            memory = memorize(networks.writer, networks.reader, [memory], [chunk])[0]
        memories.append(memory)
    return networks, memories, request.param


def test_a_batch_of_chunks_is_one_by_one(crowd):
    networks, memories, dtype = crowd
    rng = random.Random(0)
    texts = [[rng.randrange(320) for _ in range(n)] for n in (96, 1, 33, 64)]
    together = memorize(networks.writer, networks.reader, memories, texts)
    for memory, text, after in zip(memories, texts, together, strict=True):
        alone = memorize(networks.writer, networks.reader, [memory], [text])[0]
        assert alone.last_block is not None
        assert relative(after.last_block, alone.last_block.cpu()) < PRECISIONS[dtype] / 10
        assert after.membership.pool.tolist() == alone.membership.pool.tolist()


def test_memorizing_twice_is_the_same_bit_for_bit(crowd):
    networks, memories, _ = crowd
    texts = [[5, 6, 7]] * len(memories)
    first = memorize(networks.writer, networks.reader, memories, texts)
    second = memorize(networks.writer, networks.reader, memories, texts)
    for one, other in zip(first, second, strict=True):
        same_memory(one, other)


def test_a_batch_of_questions_is_one_by_one(crowd):
    networks, memories, dtype = crowd
    rng = random.Random(1)
    views = [MemoryView(networks.reader, memory) for memory in memories]
    seen = [views[i] for i in (3, 0, 2, 2, 1, 3)]
    prompts = [
        torch.tensor([rng.randrange(320) for _ in range(rng.randint(1, 20))], device=CUDA)
        for _ in seen
    ]
    more = torch.tensor([[rng.randrange(320) for _ in seen] for _ in range(3)], device=CUDA)
    together, logits = begin(networks.reader, seen, prompts)
    rows = [torch.cat(logits)] + [extend(networks.reader, together, ids) for ids in more]
    for at, (view, prompt) in enumerate(zip(seen, prompts, strict=True)):
        alone, own = begin(networks.reader, [view], [prompt])
        single = [own[0]] + [extend(networks.reader, alone, ids[at][None]) for ids in more]
        ours = torch.stack([row[at] for row in rows])
        assert relative(ours, torch.cat(single).cpu()) < PRECISIONS[dtype]


def test_float32_answers_are_those_of_the_cpu(tmp_path):
    config, _ = write_official(tmp_path, genesis=6)
    logits = []
    for device in (CPU, CUDA):
        networks = loaded(tmp_path, config, device, torch.float32)
        memory = first_memory(networks.reader, networks.genesis, 0, "", "float32")
        for chunk in chunks(config, 7):
            memory = memorize(networks.writer, networks.reader, [memory], [chunk])[0]
        view = MemoryView(networks.reader, memory)
        prompt = torch.tensor([5, 6, 7], device=device)
        logits.append(begin(networks.reader, [view], [prompt], whole=True)[1][0].cpu())
    assert relative(*logits) < 1e-4
