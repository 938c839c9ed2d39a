"""What holds for every test: no network, modest threads, a data directory of its own.

The environment is set while this file is imported, before any test imports torch or Ray.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import settings

# A slow example on a busy machine is no fault of the code.
settings.register_profile("mplus", deadline=None)
settings.load_profile("mplus")

os.environ |= {
    "HF_HUB_OFFLINE": "1",
    "MPLUS_CHECKPOINT": "mplus-tiny",  # complete as it comes, and small
    "HF_DATASETS_OFFLINE": "1",
    "RAY_AUTH_MODE": "disabled",
    "RAY_USAGE_STATS_ENABLED": "0",
    "TOKENIZERS_PARALLELISM": "false",
}
os.environ.setdefault("OMP_NUM_THREADS", "1")  # small shapes: a second thread only waits


@pytest.fixture(autouse=True)
def _own_data_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MPLUS_DATA", str(tmp_path / "mplus-data"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Everything under tests/gpu is marked `gpu`; what is so marked needs a CUDA device."""
    gpu_folder = config.rootpath / "tests" / "gpu"
    for item in items:
        if gpu_folder in item.path.parents:
            item.add_marker(pytest.mark.gpu)
    marked = [item for item in items if item.get_closest_marker("gpu")]
    if marked and not _has_cuda():
        for item in marked:
            item.add_marker(pytest.mark.skip(reason="no CUDA device"))


def _has_cuda() -> bool:
    import torch

    return torch.cuda.is_available()
