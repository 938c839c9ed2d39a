"""Text of pages that are pictures, by the Tesseract program; only where it is asked for."""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import dataclass
from typing import Any

from mplus_ray.model.errors import DocumentError, InvalidInputError
from mplus_ray.pipeline.parsing.refusals import Refusal

_SCALE = 200 / 72  # pixels for each point: 200 dots an inch
_MOST_PIXELS = 40_000_000  # of one page
_SECONDS = 120.0  # for one page
_LANGUAGES = re.compile(r"[a-zA-Z_]{3,20}(\+[a-zA-Z_]{3,20}){0,9}")


@dataclass(frozen=True)
class Ocr:
    """How pictures of text are read.

    Attributes:
        languages: as Tesseract names them, such as `eng` or `deu+fra`.
    """

    languages: str

    def __post_init__(self) -> None:
        """
        Raises:
            InvalidInputError: Tesseract is not installed, or has no such language.
        """
        if not _LANGUAGES.fullmatch(self.languages):
            raise InvalidInputError(
                f"--ocr {self.languages}: give languages as Tesseract names them, such as eng or "
                "deu+fra"
            )
        if shutil.which("tesseract") is None:
            raise InvalidInputError(
                "--ocr needs the program tesseract, which is not installed (Debian and Ubuntu: "
                "apt install tesseract-ocr)"
            )

    def read_page(self, page: Any) -> str:
        """The text of a PDF's page.

        Raises:
            DocumentError: Tesseract could not read it.
        """
        width, height = page.get_size()
        scale = min(_SCALE, (_MOST_PIXELS / max(width * height, 1.0)) ** 0.5)
        bitmap = page.render(scale=scale, grayscale=True)
        pixels = bitmap.to_numpy()
        picture = b"P5 %d %d 255\n" % (pixels.shape[1], pixels.shape[0]) + pixels.tobytes()
        bitmap.close()
        return self._read(picture)

    def _read(self, picture: bytes) -> str:
        command = ["tesseract", "stdin", "stdout", "-l", self.languages, "--dpi", "200"]
        try:
            done = subprocess.run(
                command, input=picture, capture_output=True, timeout=_SECONDS, check=True
            )
        except subprocess.TimeoutExpired as error:
            raise DocumentError(
                f"tesseract took longer than {_SECONDS:g} s for a page", Refusal.TOO_COSTLY
            ) from error
        except subprocess.CalledProcessError as error:
            said = error.stderr.decode("utf-8", "replace").strip()[:300]
            raise DocumentError(
                f"tesseract could not read a page: {said}", Refusal.UNREADABLE
            ) from error
        return done.stdout.decode("utf-8", "replace").replace("\f", "").strip()
