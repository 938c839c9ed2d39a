"""Speed of the model at the paper's geometry: memorizing, questions, decoding, batches.

Weights are random; speed does not depend on them. Memories of many thousand chunks are filled
with random rows instead of memorizing for an hour: the state has the same size and shape.
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict, dataclass
from typing import Any

import torch

from mplus_ray.bench.machine import Timing, describe, measure_roofline, repeat, timed
from mplus_ray.bench.shapes import (
    LLAMA_8B,
    SMALL,
    bytes_per_tenant,
    decode_work,
    memorize_work,
    question_work,
)
from mplus_ray.model.config import ModelConfig
from mplus_ray.model.generation.memory_view import MemoryView
from mplus_ray.model.generation.read_pass import begin, extend
from mplus_ray.model.generation.reading import Reading
from mplus_ray.model.memory.genesis import first_memory
from mplus_ray.model.memory.memory import Memory, memorize
from mplus_ray.model.network.allocator import keep_freed_memory
from mplus_ray.model.network.decoder import Network
from mplus_ray.model.store.row_format import RowBlock
from mplus_ray.model.store.writer_state import WriterState

QUESTION, DECODED, BATCH = 32, 16, 8
STEPS_83K = 364  # 83k long-term rows per layer beside a full pool
STEPS_500K = 1993
_BANK = 32  # random blocks that a filled memory is made of


@dataclass
class Bench:
    """A random network of one shape on one device.

    Attributes:
        config: the shape.
        network: with random weights, for both roles.
        device, dtype: where it is, and what it computes in.
    """

    config: ModelConfig
    network: Network
    device: torch.device
    dtype: torch.dtype

    @classmethod
    def build(cls, config: ModelConfig, device: torch.device, dtype: torch.dtype) -> Bench:
        with torch.device(device):
            network = Network(config).to(dtype)
        with torch.no_grad():
            for parameter in network.parameters():
                if parameter.dim() > 1:
                    parameter.normal_(std=0.02)
        return cls(config, network.requires_grad_(False).eval(), device, dtype)

    def memory(self, seed: int) -> Memory:
        return first_memory(self.network, None, seed, "random", "bfloat16")

    def chunk(self) -> list[int]:
        ids: list[int] = torch.randint(self.config.vocab_size, (self.config.chunk_tokens,)).tolist()
        return ids

    def step(self, memories: list[Memory]) -> list[Memory]:
        chunks = [self.chunk() for _ in memories]
        return memorize(self.network, self.network, memories, chunks)

    def fill(self, memory: Memory, steps: int) -> Memory:
        """Random rows up to `steps`, as if so many chunks had been memorized."""
        config = self.config
        shape = (config.num_hidden_layers, config.num_tokens)
        hidden = self._random(*shape, config.hidden_size)
        kv_shape = (*shape, 2, config.num_key_value_heads, config.head_dim)
        bank = [
            RowBlock(self._random(*kv_shape), self._random(*shape, config.selector_hidden_dim))
            for _ in range(_BANK)
        ]
        while memory.step < steps:
            rows = bank[memory.step % _BANK]
            stretch = 1 + memory.step / 10_000  # no two steps alike
            memory = memory.append(
                WriterState(memory.step + 1, b"", hidden),
                RowBlock(rows.kv * stretch, rows.keys * stretch),
            )
        return memory

    def _random(self, *shape: int) -> torch.Tensor:
        return torch.randn(*shape, device=self.device, dtype=self.dtype)

    def prompt(self) -> torch.Tensor:
        return torch.randint(self.config.vocab_size, (QUESTION,), device=self.device)

    def answer(self, views: list[MemoryView], prompts: list[torch.Tensor]) -> list[Reading]:
        """Prompt and a few greedy tokens."""
        readings, logits = begin(self.network, views, prompts)
        tokens = torch.stack([row[-1].argmax() for row in logits])
        for _ in range(DECODED - 1):
            tokens = extend(self.network, readings, tokens).argmax(-1)
        return readings


def measure_memorize(bench: Bench, samples: int) -> dict[str, Timing]:
    """Chunks of one tenant at the beginning of its memory and after 2,000 steps."""
    memory = bench.memory(0)
    for _ in range(2):
        memory = bench.step([memory])[0]
    results = {}
    for name, first in (("step_1", 2), ("step_2000", 2000)):
        memory = bench.fill(memory, first)
        seconds = []
        for _ in range(samples):
            held: list[Memory] = []
            seconds.append(timed(lambda: held.extend(bench.step([memory])), bench.device))  # noqa: B023
            memory = held[0]
        results[name] = Timing.of(seconds)
    return results


def measure_questions(bench: Bench, samples: int) -> dict[str, Timing]:
    """Prompt to first token with 83k and 500k long-term rows per layer, and decoding."""
    memory = bench.fill(bench.memory(1), STEPS_83K)
    results = {}
    for name, steps in (("ltm_83k", STEPS_83K), ("ltm_500k", STEPS_500K)):
        memory = bench.fill(memory, steps)
        view = _warm_view(bench, memory)
        prompt = bench.prompt()
        results[name] = repeat(
            lambda: begin(bench.network, [view], [prompt]),  # noqa: B023
            samples,
            bench.device,
            warm_up=2,
        )
        if name == "ltm_83k":
            results["first_after_write"] = repeat(
                lambda: begin(bench.network, [MemoryView(bench.network, memory)], [prompt]),  # noqa: B023
                max(3, samples // 3),
                bench.device,
            )
            readings, _ = begin(bench.network, [view], [prompt])
            token = torch.zeros(1, dtype=torch.long, device=bench.device)
            results["decode"] = repeat(
                lambda: extend(bench.network, readings, token),  # noqa: B023
                4 * samples,
                bench.device,
                warm_up=3,
            )
    return results


def _warm_view(bench: Bench, memory: Memory) -> MemoryView:
    view = MemoryView(bench.network, memory)
    assert len(view.retrievable) == bench.config.num_hidden_layers
    return view


def measure_batches(bench: Bench, samples: int) -> dict[str, Any]:
    """Eight together against the same eight one by one, in the same run."""
    memories = [bench.fill(bench.memory(seed), 60) for seed in range(BATCH)]
    together = repeat(lambda: bench.step(memories), samples, bench.device)
    alone = repeat(
        lambda: [bench.step([memory]) for memory in memories], samples, bench.device, warm_up=1
    )
    views = [MemoryView(bench.network, memory) for memory in memories]
    prompts = [bench.prompt() for _ in views]
    result: dict[str, Any] = {
        "memorize_ms": asdict(together),
        "memorize_one_by_one_ms": asdict(alone),
        "memorize_speedup": alone.p50 / together.p50,
    }
    for name, chosen in (("answer", views), ("answer_one_tenant", [views[0]] * BATCH)):
        both = repeat(lambda: bench.answer(chosen, prompts), samples, bench.device)  # noqa: B023
        single = repeat(
            lambda: [bench.answer([v], [p]) for v, p in zip(chosen, prompts, strict=True)],  # noqa: B023
            samples,
            bench.device,
        )
        result[f"{name}_ms"] = asdict(both)
        result[f"{name}_one_by_one_ms"] = asdict(single)
        result[f"{name}_speedup"] = single.p50 / both.p50
    return result


def measure(bench: Bench, samples: int) -> dict[str, Any]:
    """All figures of one shape, in the form of `mplus bench model --json`."""
    config, itemsize = bench.config, bench.dtype.itemsize
    roofline = measure_roofline(bench.device, bench.dtype)
    chunks = measure_memorize(bench, samples)
    questions = measure_questions(bench, samples)
    batches = measure_batches(bench, max(3, samples // 3))
    ceilings = (roofline.gflops, roofline.gbps)
    median = (chunks["step_1"].p50 + chunks["step_2000"].p50) / 2
    long_term = {
        name: steps * config.num_tokens - config.pool_rows
        for name, steps in (("ltm_83k", STEPS_83K), ("ltm_500k", STEPS_500K))
    }
    of_roofline = {
        "memorize": memorize_work(config, config.chunk_tokens).fraction(median, *ceilings)
    }
    for name, rows in long_term.items():
        work = question_work(config, QUESTION, rows, itemsize)
        of_roofline[f"question_{name}"] = work.fraction(questions[name].p50, *ceilings)
    of_roofline["decode"] = decode_work(config, itemsize).fraction(
        questions["decode"].p50, *ceilings
    )
    return {
        "machine": describe(bench.device, bench.dtype),
        "parameters": sum(p.numel() for p in bench.network.parameters()),
        "memorize_ms_per_chunk": {
            "p50": median,
            "max": max(timing.high for timing in chunks.values()),
            "step_1": chunks["step_1"].p50,
            "step_2000": chunks["step_2000"].p50,
            "spread": {name: asdict(timing) for name, timing in chunks.items()},
        },
        "question_ms": {
            **{name: questions[name].p50 for name in long_term},
            "ltm_83k_first_after_write": questions["first_after_write"].p50,
            "spread": {name: asdict(timing) for name, timing in questions.items()},
        },
        "decode_ms": questions["decode"].p50,
        "batch_8": batches,
        "bytes_per_tenant": {
            "this_shape_step_2000": bytes_per_tenant(config, 2000, itemsize),
            "llama_8b_bf16_step_2000": bytes_per_tenant(LLAMA_8B, 2000, 2),
        },
        "roofline": {**roofline.as_dict(), "fraction": of_roofline},
    }


def show(result: dict[str, Any]) -> None:
    """A table for people, on standard error."""
    from rich.console import Console
    from rich.table import Table

    chunks, questions, batch = (
        result["memorize_ms_per_chunk"],
        result["question_ms"],
        result["batch_8"],
    )
    share = result["roofline"]["fraction"]
    table = Table("figure", "median", "range", "of roofline", box=None)

    def row(name: str, timing: dict[str, float], fraction: float | None = None) -> None:
        table.add_row(
            name,
            f"{timing['p50']:.1f} ms",
            f"{timing['low']:.1f} to {timing['high']:.1f}, n={timing['n']}",
            "" if fraction is None else f"{fraction:.0%}",
        )

    row("memorize a chunk, step 1", chunks["spread"]["step_1"], share["memorize"])
    row("memorize a chunk, step 2,000", chunks["spread"]["step_2000"], share["memorize"])
    row("question, 83k long-term rows", questions["spread"]["ltm_83k"], share["question_ltm_83k"])
    row("the same, first after a write", questions["spread"]["first_after_write"])
    row(
        "question, 500k long-term rows", questions["spread"]["ltm_500k"], share["question_ltm_500k"]
    )
    row("decode a token", questions["spread"]["decode"], share["decode"])
    row(f"memorize {BATCH} tenants together", batch["memorize_ms"])
    row(f"answer {BATCH} tenants together", batch["answer_ms"])
    row(f"answer {BATCH} questions of one tenant", batch["answer_one_tenant_ms"])
    console = Console(stderr=True)
    console.print(result["machine"])
    console.print(table)
    console.print(
        f"together against one by one: memorize {batch['memorize_speedup']:.2f}x, "
        f"answer {batch['answer_speedup']:.2f}x, "
        f"answer one tenant {batch['answer_one_tenant_speedup']:.2f}x"
    )
    ceilings = result["roofline"]
    console.print(f"ceilings: {ceilings['gflops']:.0f} GFLOP/s, {ceilings['gbps']:.1f} GB/s")


def main(samples: int = 9) -> dict[str, Any]:
    """Measure, print and return; the CUDA device is used where there is one."""
    torch.manual_seed(0)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    config, dtype = SMALL, torch.float32
    if device.type == "cuda":
        config, dtype = LLAMA_8B, torch.bfloat16
    keep_freed_memory()
    result = measure(Bench.build(config, device, dtype), samples)
    show(result)
    return result


if __name__ == "__main__":
    sys.stdout.write(json.dumps(main(), indent=1) + "\n")
