"""What other users of the machine can read of an installation: nothing."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from mplus_ray.model.errors import StorageError
from mplus_ray.services.embedded import Embedded
from mplus_ray.services.private_files import private_folder
from mplus_ray.services.settings import Settings


@pytest.fixture(autouse=True)
def usual_umask() -> Iterator[None]:
    before = os.umask(0o022)
    yield
    os.umask(before)


def modes(folder: Path) -> set[int]:
    """Of everything in it, and of itself."""
    return {stat.S_IMODE(path.stat().st_mode) for path in [folder, *folder.rglob("*")]}


def installation(folder: Path) -> None:
    """A ledger with a tenant, as any command leaves it."""
    with Embedded(Settings.read(folder, environment={})) as system:
        system.ledger.create_tenant("anna", "0" * 64)


def test_a_new_installation_is_its_owners_alone(tmp_path: Path) -> None:
    installation(tmp_path / "deep" / "data")
    assert modes(tmp_path / "deep" / "data") <= {0o700, 0o600}


def test_an_older_one_is_closed_with_a_word(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    data = tmp_path / "data"
    installation(data)
    (data / "rows").mkdir()
    (data / "rows" / "one.arrow").write_text("rows")
    for path in [data, *data.rglob("*")]:
        path.chmod(0o755 if path.is_dir() else 0o644)
    (data / "elsewhere").symlink_to(tmp_path)
    installation(data)
    (data / "elsewhere").unlink()
    assert modes(data) == {0o700, 0o600}
    assert "they cannot any more" in caplog.text
    assert stat.S_IMODE(tmp_path.stat().st_mode) & 0o500 == 0o500
    caplog.clear()
    installation(data)
    assert not caplog.text


def test_what_cannot_be_closed_is_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(1, "not yours")

    tmp_path.chmod(0o755)
    monkeypatch.setattr(Path, "chmod", refuse)
    private_folder(tmp_path)
    assert "cannot be changed: not yours" in caplog.text


def test_a_folder_that_cannot_be_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match="name another one"):
        private_folder(tmp_path / "file" / "data")
