"""What a writer needs to go on at a step, as a file: the newest block's hidden rows.

Everything else of the past is in row shards or follows from the seed.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field

import pyarrow as pa
import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from mplus_ray.model.errors import DamagedFileError, FingerprintMismatchError
from mplus_ray.model.object_store.object_store import ObjectStore, checksum
from mplus_ray.model.store.file_refs import State
from mplus_ray.model.store.shards import read_checked


def write_state(
    files: ObjectStore, name: str, writer_state: WriterState, fingerprint: str
) -> State:
    """Write a state to a new file; it is durable on return.

    Raises:
        StorageError: the storage refused; nothing of the file stays.
    """
    facts = {
        "step": writer_state.step,
        "history": writer_state.history.hex(),
        "fingerprint": fingerprint,
    }
    tensors = (
        {}
        if writer_state.last_block is None
        else {"last_block": writer_state.last_block.cpu().contiguous()}
    )
    data = pa.py_buffer(save(tensors, {"mplus": json.dumps(facts)}))
    files.put(name, data)
    return State(name, checksum(data), writer_state.step, data.size, writer_state.history.hex())


def read_state(
    files: ObjectStore, state: State, fingerprint: str, device: torch.device
) -> WriterState:
    """The state that was written.

    Raises:
        DamagedFileError: it is missing, torn or changed.
        FingerprintMismatchError: other weights made it.
    """
    data = read_checked(files, state.file, state.checksum)
    return decode_state(data, state, fingerprint, device)


def decode_state(
    buffer: pa.Buffer, state: State, fingerprint: str, device: torch.device
) -> WriterState:
    """The state in a state file's bytes; raises as `read_state` does."""
    data = buffer.to_pybytes()
    try:
        length = int.from_bytes(data[:8], "little")
        facts = json.loads(json.loads(data[8 : 8 + length])["__metadata__"]["mplus"])
        tensors = load(data)
        if (facts["step"], facts["history"]) != (state.step, state.history):
            raise ValueError(f"it is of step {facts['step']}, not of {state.step}")
    except (SafetensorError, ValueError, KeyError) as error:
        raise DamagedFileError(state.file, str(error)) from error
    if facts["fingerprint"] != fingerprint:
        raise FingerprintMismatchError(
            f"{state.file} was made with weights {facts['fingerprint']}, not {fingerprint}"
        )
    block = tensors.get("last_block")
    return WriterState(
        state.step, bytes.fromhex(state.history), None if block is None else block.to(device)
    )


@dataclass(frozen=True)
class WriterState:
    """Where a log can be memorized further: all that writing needs of the past.

    Attributes:
        step: chunks memorized so far.
        history: names the log that led here: a hash chain over its chunks; empty at step 0.
        last_block: hidden rows [L, K, d] of the newest step; None before the first step of a
            memory without genesis, and where rows are inputs, which need nothing of the past.
    """

    step: int
    history: bytes
    last_block: Tensor | None = field(repr=False)
