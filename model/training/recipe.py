"""A training recipe: the model's shape, the texts, and the phases in order."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import yaml

from mplus_ray.model.checkpoint.backbone import backbone_config
from mplus_ray.model.checkpoint.backbone_folder import backbone_folder
from mplus_ray.model.checkpoint.hub import find_checkpoint
from mplus_ray.model.config import ModelConfig
from mplus_ray.model.config_json import LoraConfig, read_config
from mplus_ray.model.errors import InvalidInputError
from mplus_ray.model.generation.tokenizer import TextTokenizer
from mplus_ray.model.training.loop.precision import Precision
from mplus_ray.model.training.reading_phase import QuestionFile, ReadingPhase


@dataclass(frozen=True, kw_only=True)
class LanguagePhase:
    """Plain causal language modelling with recall inside the context.

    Attributes:
        name: in reports and files.
        task: `language`.
        tokens: trained on in all.
        batch, length: sequences in a step, and tokens of each.
        matrix_lr, other_lr: highest learning rates of matrices (Muon) and of all else (AdamW).
    """

    name: str
    task: Literal["language"]
    tokens: int
    batch: int = 16
    length: int = 256
    text: float = 0.25  # shares of the batch: real text,
    repeat: float = 0.25  # a span and its copy; the rest are facts and questions
    interleaved: float = 0.0  # facts each asked once, soon after they are stated
    matrix_lr: float = 0.02
    other_lr: float = 3e-3
    last_lr: float = 0.1  # share of the rates left at the end


@dataclass(frozen=True, kw_only=True)
class MemoryPhase:
    """Write documents into rows, answer from rows alone, retrieve blocks.

    Attributes:
        name: in reports and files.
        task: `memory`.
        tokens: trained on in all.
        matrix_lr, other_lr: highest learning rates of matrices (Muon) and of all else (AdamW).
        last_lr: the share of them that is left at the phase's end.
    """

    name: str
    task: Literal["memory"]
    tokens: int
    documents: int = 12  # fresh documents a step, written with gradients
    chunks: tuple[int, ...] = (1, 2)  # chunks of a fresh document
    short: float = 0.25  # share of the steps with chunks of a sentence or two
    questions: int = 4  # per document, at most
    pool_blocks: tuple[int, ...] = (0,)  # detached blocks around the fresh ones
    negatives: int = 0  # bank blocks the retriever must tell apart, beside the batch's own
    retriever_questions: int = 24  # of a step, that the retriever learns from
    retrieved: tuple[int, ...] = (0,)  # detached blocks that stand beside the relevant one
    real: float = 0.08  # shares of the documents: passages with real questions,
    recall: float = 0.06  # text to be recalled word by word,
    following: float = 0.0  # text of which what comes next is to be foretold; the rest are facts
    continuing: float = 0.0  # share of the steps in which a whole next chunk is to be foretold
    gradient_chunks: int = 0  # so many last chunks are written with gradients; 0: all
    retriever_weight: float = 0.3  # 0: the retriever is not trained
    matrix_lr: float = 0.01
    other_lr: float = 1e-3
    last_lr: float = 0.1


Phase = LanguagePhase | MemoryPhase | ReadingPhase


@dataclass(frozen=True, kw_only=True)
class Adapters:
    """Low-rank adapters round a frozen backbone (M+, section 4.1).

    Attributes:
        r: rank of the products.
        alpha: they count alpha / r times.
        targets: the linear layers that get them.
        shared: one adapter in both roles, instead of one that writes and one that reads.
    """

    r: int = 16
    alpha: int = 32
    targets: tuple[str, ...] = ("q_proj", "k_proj", "v_proj", "up_proj", "down_proj", "gate_proj")
    shared: bool = False


@dataclass(frozen=True, kw_only=True)
class ValidationSettings:
    """How often what is held out decides which weights are kept; see validation.py.

    Attributes:
        every: tokens from one to the next; there is one at the end of every phase, too.
        steps: batches of facts, of which the first fills the memory around, or of held-out
            questions.
        text: tokens of running text.
        questions: so many are asked from memory, of titles that reading phases never train on.
    """

    every: int = 1_000_000
    steps: int = 4
    text: int = 8_000
    questions: int = 0


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """A training run, as its YAML file says it.

    Attributes:
        name: of the recipe's file.
        seed: of weights and data.
        model: what is trained.
        phases: one after the other.
        save_every_minutes: between two states that a run can be resumed from.
        precision: what is computed in; `auto` goes by the device.
        validation: when, and on how much.
        adapters: train these alone, round a frozen backbone; None: all weights.
    """

    name: str
    seed: int
    model: ModelConfig
    corpus: dict[str, int]  # parquet file → characters taken from it
    phases: tuple[Phase, ...]
    save_every_minutes: float = 4.0
    questions: tuple[str, ...] = field(default=())  # of memory phases: jsonl files
    reading: tuple[QuestionFile, ...] = field(default=())  # of reading phases
    plant_induction: bool = False  # start with a recall circuit, see induction.py
    # Begin with the weights and the tokenizer of this checkpoint folder; round a backbone, with the
    # adapters and start rows in its adapters.safetensors.
    start: str | None = None
    # What the backbone makes of this text in every layer is what the start rows begin as.
    start_text: str | None = None
    # Share of those weights in what is exported. Fine-tuned and first weights averaged answer what
    # was not trained on better than either (Wortsman et al. 2022, arXiv 2109.01903).
    kept: float = 0.0
    precision: Precision = "auto"
    shards: int = 1  # parts of a step, each a batch of its own; workers share them out
    recompute: bool = False  # activations for the gradients: half the speed, a tenth of the memory
    validation: ValidationSettings = field(default_factory=ValidationSettings)
    backbone: str | None = None  # Hugging Face folder or id: frozen, with adapters
    adapters: Adapters | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.kept < 1 or (self.kept and self.start is None):
            raise InvalidInputError(
                f"kept: {self.kept} is no share of the weights to start from; name those by "
                "`start`, and keep less than 1"
            )
        reads = any(isinstance(phase, ReadingPhase) for phase in self.phases)
        if reads and self.model.rows != "inputs":
            raise InvalidInputError("reading phases need a model with `rows: inputs`")
        if reads and self.model.prompt_template is None:
            raise InvalidInputError(
                "reading phases need `prompt_template` in `model`, which is how a question is asked"
            )
        if reads and not any(one.share and one.held_out != 1 for one in self.reading):
            raise InvalidInputError(
                "reading phases need `reading`, files of questions that may be trained on"
            )
        if self.validation.questions and not any(one.held_out for one in self.reading):
            raise InvalidInputError(
                "validation has questions, but no file of `reading` has titles that are held_out"
            )

    @classmethod
    def load(cls, path: Path, backbone: str | None = None, start: str | None = None) -> Recipe:
        """Read a YAML recipe.

        Args:
            backbone: folder or id of the model to adapt, or a GGUF file, instead of the recipe's.
                Its own config gives the shape, the recipe's `model` the memory.
            start: instead of the recipe's.

        Raises:
            InvalidInputError: a field is unknown, missing or of the wrong kind.
            CheckpointError: the backbone is none that can be adapted.
        """
        try:
            raw = yaml.safe_load(path.read_text())
            raw["phases"] = tuple(_phase(p) for p in raw["phases"])
            raw["start"] = start or raw.get("start")
            raw["questions"] = tuple(raw.get("questions", ()))
            raw["reading"] = tuple(QuestionFile(**one) for one in raw.get("reading", ()))
            raw["validation"] = ValidationSettings(**raw.get("validation", {}))
            if "adapters" in raw:
                raw["adapters"] = Adapters(**_tuples(raw["adapters"]))
                named = backbone or raw.get("backbone")
                raw["backbone"] = named and backbone_folder(named)
                raw["model"] = _adapted(path, raw, raw["adapters"])
            elif backbone is not None:
                raise InvalidInputError(f"{path} trains from nothing; it has no adapters")
            else:
                raw["model"] = ModelConfig.from_dict(raw["model"], str(path))
            return cls(**raw)
        except (OSError, yaml.YAMLError, TypeError, KeyError, AttributeError) as error:
            raise InvalidInputError(f"{path} is not a training recipe: {error}") from error


def _phase(raw: dict[str, Any]) -> Phase:
    kinds = {"language": LanguagePhase, "memory": MemoryPhase, "reading": ReadingPhase}
    values = _tuples(raw)
    kind = kinds.get(values.get("task", ""))
    if kind is None:
        expected = ", ".join(map(repr, kinds))
        raise KeyError(f"task {values.get('task')!r}, expected one of {expected}")
    return kind(**values)


def _adapted(path: Path, raw: dict[str, Any], adapters: Adapters) -> ModelConfig:
    """The backbone's shape with the recipe's memory and adapters."""
    if raw["backbone"] is None:
        raise InvalidInputError(f"{path} adapts a backbone; name one with --backbone DIR")
    folder, memory = find_checkpoint(raw["backbone"]), raw["model"]
    if raw.get("start_text"):
        rows = len(TextTokenizer.load(folder).encode(raw["start_text"]))
        memory = {**memory, "add_bos_embedding": True, "start_rows": rows}
    lora = LoraConfig(r=adapters.r, lora_alpha=adapters.alpha, target_modules=adapters.targets)
    config = backbone_config(read_config(folder), memory, str(folder / "config.json"))
    return replace(config, lora_config=lora, add_decoder_lora=not adapters.shared)


def _tuples(raw: dict[str, Any]) -> dict[str, Any]:
    return {k: tuple(v) if isinstance(v, list) else v for k, v in raw.items()}
