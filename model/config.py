"""Hyper-parameters of an M+ model, under the field names of the official `config.json`.

Legend: L layers, d hidden size, H query heads, G key/value heads, K memory tokens a step,
N rows in the short-term pool, K0 long-term rows retrieved per layer and question.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal, get_args

from mplus_ray.model.config_json import LEAST, LoraConfig, fields_of, read_config, too_small
from mplus_ray.model.errors import CheckpointError

Retrieval = Literal["rows", "blocks"]
Rows = Literal["outputs", "inputs"]
Positions = Literal["contiguous", "equal"]
Votes = Literal["layers", "words", "both"]


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """The backbone (a Llama-family decoder) and the memory it carries.

    Attributes:
        vocab_size: tokens there are.
        hidden_size, intermediate_size: widths of the residual stream and of the MLP.
        num_hidden_layers, num_attention_heads, num_key_value_heads, head_dim: L layers with so many
            query heads and key/value heads of so many dimensions.
        rms_norm_eps: added under the root of a norm.
        rope_theta, rope_scaling, max_position_embeddings: rotary positions as Hugging Face's
            configurations have them.
        tie_word_embeddings: whether the output projection is the embedding.
        add_bos_embedding: whether every layer sees a learned start row before the memory.
        drop_memory_per_layer: whether each layer draws for itself which rows are dropped.
        lora_config: the adapters; None if both roles have the same weights.
        initial_rf_when_moving_stm_to_ltm: recall frequency that a row has when it enters the
            long-term memory.
        decay_frequency: that a long-term row loses at each merge; below 0 it is forgotten.
        update_ltm_frequency: steps between two merges of dropped rows into the long-term memory.
        num_selector_layers: of each of the retriever's projectors.
        bos_token_id: begins a sequence; None: nothing does.
        eos_token_ids: end an answer.
    """

    vocab_size: int
    hidden_size: int
    intermediate_size: int
    num_hidden_layers: int
    num_attention_heads: int
    num_key_value_heads: int
    head_dim: int
    rms_norm_eps: float = 1e-5
    rope_theta: float = 10_000.0
    rope_scaling: dict[str, Any] | None = None
    max_position_embeddings: int = 131_072
    tie_word_embeddings: bool = False
    attention_bias: bool = False  # biases on q, k, v (Qwen2)
    qk_norm: bool = False  # RMS norm per head on q and k (Qwen3)
    sliding_window: int | None = None  # among prompt tokens only; memory rows are always seen

    num_tokens: int = 256  # K
    num_blocks: int = 50  # pool blocks + retrieved blocks, as the official field counts them
    num_ltm_blocks: int = 10  # retrieved blocks; 0 is MemoryLLM
    chunk_tokens: int = 512  # text tokens one step reads
    header_tokens: int = 0  # of them, how many may say a chunk's title and section before its text
    # What a memory row is: a layer's output at the last K positions of a step (M+, MemoryLLM), or
    # a layer's input at every token of the chunk (MemLong, LongMem, InfLLM), of which a chunk has
    # as many as tokens, K at most.
    rows: Rows = "outputs"
    row_precision: str = "bfloat16"  # how rows of new memories are stored, unless asked otherwise
    add_bos_embedding: bool = True
    start_rows: int = 1  # P, rows of every layer before each chunk and each prompt, if any
    # Where retrieved blocks are read: one behind the other, or each right after the start rows.
    block_positions: Positions = "contiguous"
    drop_memory_per_layer: bool = True
    add_decoder_lora: bool = False  # a read adapter of its own
    lora_config: LoraConfig | None = None
    initial_rf_when_moving_stm_to_ltm: float = 50.0
    decay_frequency: float = 1.0
    update_ltm_frequency: int = 10
    selector_hidden_dim: int = 256  # width of the retriever's keys
    selector_inner_dim: int = 0  # width of its hidden layer; 0: hidden_size // 2
    num_selector_layers: int = 2
    retrieval: Retrieval = "rows"  # what the checkpoint was trained to fetch
    # Whether the whole pool is read beside what is retrieved, as in the paper. If not, blocks are
    # retrieved from the pool and the long-term memory alike, and nothing else is read.
    pool_attended: bool = True
    num_recent_blocks: int = 0  # of the retrieved blocks, how many are the newest, not the best
    # A block whose vote is further behind the best one is not read. Votes are log-odds (they are
    # trained as logits over blocks), so 3 leaves out what is 20 times less likely. None: no limit.
    max_vote_gap: float | None = None
    votes: Votes = "layers"  # what finds blocks: the layers' retriever, the words in them, or both
    word_vote: float = 1.0  # log-odds that one unit of BM25 is worth

    # What it was trained to answer where memory does not say; None if it was not.
    refusal: str | None = None
    # Log-odds of no refusal from which on a block that is read alone answers a question. Of several
    # statements about the same that do, the latest is read. None: all are, whichever came first.
    latest_odds: float | None = None
    prompt_template: str | None = None  # how a question is asked; {question} stands for it
    bos_token_id: int | None = None
    eos_token_ids: tuple[int, ...] = field(default=())

    def __post_init__(self) -> None:
        problems = too_small(
            {
                name: value
                for name in LEAST
                if (value := getattr(self, name)) is not None  # no sliding window
            }
        )
        if self.num_attention_heads % max(self.num_key_value_heads, 1):
            problems.append(
                f"num_attention_heads ({self.num_attention_heads}) is not a multiple of "
                f"num_key_value_heads ({self.num_key_value_heads})"
            )
        if self.head_dim % 2:
            problems.append(f"head_dim ({self.head_dim}) is odd; rotary embeddings need pairs")
        if self.num_blocks <= self.num_ltm_blocks:
            problems.append(
                f"num_blocks ({self.num_blocks}) counts the pool and the retrieved blocks "
                f"together, so it must exceed num_ltm_blocks ({self.num_ltm_blocks})"
            )
        if self.num_selector_layers not in (1, 2):
            problems.append(f"num_selector_layers is {self.num_selector_layers}, expected 1 or 2")
        if self.retrieval not in ("rows", "blocks"):
            problems.append(f"retrieval is {self.retrieval!r}, expected 'rows' or 'blocks'")
        if not self.pool_attended and (self.retrieval != "blocks" or not self.has_long_term):
            problems.append("pool_attended is false, which needs retrieval of blocks")
        problems += self._impossible_rows()
        problems += self._impossible_choice()
        if not 0 <= self.header_tokens <= self.chunk_tokens // 4:
            problems.append(
                f"header_tokens ({self.header_tokens}) is not between 0 and a quarter of "
                f"chunk_tokens ({self.chunk_tokens})"
            )
        if self.prompt_template is not None and "{question}" not in self.prompt_template:
            problems.append("prompt_template has no {question} in it")
        if problems:
            raise CheckpointError("config.json: " + "; ".join(problems))

    def _impossible_choice(self) -> list[str]:
        """What of the choice of blocks cannot be."""
        problems = []
        if not 0 <= self.num_recent_blocks <= self.num_ltm_blocks:
            problems.append(
                f"num_recent_blocks ({self.num_recent_blocks}) is not between 0 and "
                f"num_ltm_blocks ({self.num_ltm_blocks})"
            )
        if self.max_vote_gap is not None and not self.max_vote_gap >= 0:
            problems.append(f"max_vote_gap is {self.max_vote_gap}, expected a number from 0 on")
        if self.latest_odds is not None and None in (self.refusal, self.max_vote_gap):
            problems.append("latest_odds needs a refusal that was trained, and max_vote_gap")
        return problems

    def _impossible_rows(self) -> list[str]:
        """What `rows`, `block_positions` and `votes` ask of one another."""
        problems = [
            f"{name} is {getattr(self, name)!r}, expected one of {', '.join(map(repr, allowed))}"
            for name, allowed in (
                ("rows", get_args(Rows)),
                ("block_positions", get_args(Positions)),
                ("votes", get_args(Votes)),
            )
            if getattr(self, name) not in allowed
        ]
        if self.rows == "inputs" and (self.pool_attended or self.num_tokens != self.chunk_tokens):
            problems.append(
                "rows are inputs, which needs pool_attended false and num_tokens equal to "
                f"chunk_tokens ({self.num_tokens} and {self.chunk_tokens})"
            )
        if self.rows == "outputs" and (self.block_positions, self.votes) != (
            "contiguous",
            "layers",
        ):
            problems.append("equal block_positions and votes of words need rows to be inputs")
        if self.rows == "inputs" and self.votes != "words":
            problems.append("rows are inputs, for which blocks are found by votes of words only")
        if not self.word_vote > 0:
            problems.append(f"word_vote is {self.word_vote}, expected a number above 0")
        return problems

    @property
    def first_rows(self) -> int:
        """Start rows of every layer; 0 for a model without any."""
        return self.start_rows if self.add_bos_embedding else 0

    @property
    def has_retriever(self) -> bool:
        """Whether layers vote, so that rows have retriever keys."""
        return self.has_long_term and self.votes != "words"

    @property
    def pool_rows(self) -> int:
        """N, the rows of the short-term pool per layer."""
        return (self.num_blocks - self.num_ltm_blocks) * self.num_tokens

    @property
    def retrieved_rows(self) -> int:
        """K0, the long-term rows attended per layer; 0 without a long-term memory."""
        return self.num_ltm_blocks * self.num_tokens

    @property
    def has_long_term(self) -> bool:
        return self.num_ltm_blocks > 0

    @property
    def selector_inner(self) -> int:
        return self.selector_inner_dim or self.hidden_size // 2

    @classmethod
    def from_dict(cls, raw: dict[str, Any], where: str = "config.json") -> ModelConfig:
        """Read an official or own `config.json`; unknown fields are ignored.

        Raises:
            CheckpointError: a field is missing or has an impossible value.
        """
        data = fields_of(raw, where)
        known = {f.name for f in fields(cls)}
        return cls(**{k: v for k, v in data.items() if k in known})

    @classmethod
    def load(cls, folder: Path) -> ModelConfig:
        """Read `folder/config.json`."""
        return cls.from_dict(read_config(folder), str(folder / "config.json"))

    def identity(self) -> dict[str, Any]:
        """What of it decides how text becomes memory, beside the weights themselves."""
        names = (
            "num_attention_heads",
            "num_key_value_heads",
            "head_dim",
            "rms_norm_eps",
            "rope_theta",
            "rope_scaling",
            "num_tokens",
            "num_blocks",
            "num_ltm_blocks",
            "drop_memory_per_layer",
            "add_decoder_lora",
            "initial_rf_when_moving_stm_to_ltm",
            "decay_frequency",
            "update_ltm_frequency",
        )
        lora = {"lora_scale": self.lora_config.scale if self.lora_config else None}
        # Fields that came later count where they are used, so that older memories keep their names.
        later = {"header_tokens": 0, "rows": "outputs", "start_rows": 1}
        used = {n: getattr(self, n) for n, old in later.items() if getattr(self, n) != old}
        return {**{name: getattr(self, name) for name in names}, **lora, **used}

    def to_dict(self) -> dict[str, Any]:
        """The JSON form that `from_dict` reads back to an equal config."""
        return {"model_type": "mplus" if self.has_long_term else "memoryllm", **asdict(self)}
