"""One kind of error, whoever was refused."""

from __future__ import annotations

import errno
import os

import pytest

from mplus_ray.model.errors import (
    MissingFileError,
    StorageError,
)
from mplus_ray.model.object_store.failures import refusals, refusals_of


class TestRefusals:
    """One kind of error, whoever was refused: what, why, and what to do."""

    @pytest.mark.parametrize(
        ("number", "otherwise", "advice"),
        [
            (errno.ENOSPC, "", "free some space"),
            (errno.ENOSPC, "name another folder", "free some space, or name another folder"),
            (errno.EACCES, "", "give this user access to it, or name another folder"),
            (errno.EROFS, "use --out", "give this user access to it, or use --out"),
            (errno.ENOENT, "", "make its folder, or name another"),
            (errno.EIO, "use --out", "use --out"),
            (errno.EIO, "", "check the storage, then try again"),
        ],
    )
    def test_what_to_do(self, number: int, otherwise: str, advice: str) -> None:
        with pytest.raises(StorageError) as caught, refusals_of("x cannot be written", otherwise):
            raise OSError(number, os.strerror(number))
        assert str(caught.value) == f"x cannot be written: {os.strerror(number)}; {advice}"

    def test_a_file_that_is_missing_is_told_from_the_rest(self) -> None:
        with (
            pytest.raises(MissingFileError, match="store/a does not exist"),
            refusals("store", "a"),
        ):
            raise FileNotFoundError(errno.ENOENT, "No such file or directory")
