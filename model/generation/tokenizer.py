"""Text ↔ token ids. User text can never become a special token; bytes never split a character."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

from jinja2 import TemplateError
from jinja2.sandbox import ImmutableSandboxedEnvironment
from tokenizers import Tokenizer
from tokenizers.decoders import DecodeStream

from mplus_ray.model.config import ModelConfig
from mplus_ray.model.errors import CheckpointError, InvalidInputError

Offsets = list[tuple[int, int]]

_SURROGATE = re.compile("[\ud800-\udfff]")


class TextTokenizer:
    """The checkpoint's tokenizer, once for text that users send and once for our own templates."""

    def __init__(
        self,
        definition: dict[str, Any],
        settings: dict[str, Any],
        config: Mapping[str, Any] = MappingProxyType({}),
    ) -> None:
        """
        Args:
            config: the checkpoint's, for how text is cut into chunks.
        """
        plain = json.loads(json.dumps(definition))
        for token in plain.get("added_tokens") or []:
            token["special"] = True  # so that `encode_special_tokens` covers every added token
        try:
            self._plain = Tokenizer.from_str(json.dumps(plain))
            self._template = Tokenizer.from_str(json.dumps(definition))
        except Exception as error:  # the binding raises bare Exception
            raise CheckpointError(f"tokenizer.json is damaged: {error}") from error
        for tokenizer in (self._plain, self._template):
            tokenizer.no_padding()
            tokenizer.no_truncation()
        self._plain.encode_special_tokens = True
        self.chat_template: str | None = _default_template(settings.get("chat_template"))
        self.chunk_tokens: int = config.get("chunk_tokens", ModelConfig.chunk_tokens)
        self.header_tokens: int = config.get("header_tokens", ModelConfig.header_tokens)
        self._settings = settings

    @classmethod
    def load(cls, folder: Path) -> TextTokenizer:
        """Read `tokenizer.json` and, if there, its settings, template and the checkpoint's config.

        Raises:
            CheckpointError: no tokenizer, or one that cannot be read.
        """
        path = folder / "tokenizer.json"
        config = _json(folder / "config.json")
        if not path.exists():
            return cls(_convert(folder), _json(folder / "tokenizer_config.json"), config)
        settings = _json(folder / "tokenizer_config.json")
        jinja = folder / "chat_template.jinja"
        if jinja.exists():
            settings["chat_template"] = jinja.read_text()
        return cls(_json(path), settings, config)

    @property
    def definition(self) -> str:
        """What `tokenizer.json` says."""
        return self._template.to_str()

    @property
    def size(self) -> int:
        """Token ids run from 0 to size - 1."""
        return max(self._plain.get_vocab(with_added_tokens=True).values(), default=-1) + 1

    def encode(self, text: str) -> list[int]:
        """Ids of a user's text, with no special tokens around or inside it."""
        ids: list[int] = self._plain.encode(clean(text), add_special_tokens=False).ids
        return ids

    def encode_with_offsets(self, text: str) -> tuple[list[int], Offsets]:
        """Ids, and for each the characters [start, end) of `text` it stands for."""
        encoding = self._plain.encode(clean(text), add_special_tokens=False)
        return encoding.ids, encoding.offsets

    def encode_template(self, text: str) -> list[int]:
        """Ids of our own text, in which special tokens are special."""
        ids: list[int] = self._template.encode(text, add_special_tokens=False).ids
        return ids

    def decode(self, ids: Sequence[int]) -> str:
        text: str = self._template.decode(list(ids), skip_special_tokens=True)
        return text

    def id_of(self, token: str) -> int | None:
        found: int | None = self._template.token_to_id(token)
        return found

    def chat(self, messages: Sequence[dict[str, str]]) -> list[int]:
        """Ids of a conversation in the checkpoint's chat template, ready for the reply.

        Args:
            messages: {"role": …, "content": …} in order.
        """
        if self.chat_template is None:
            raise InvalidInputError("this checkpoint has no chat template; ask a plain question")
        marks = [f"\ue000{index}\ue001" for index in range(len(messages))]
        shown = [{**m, "content": mark} for m, mark in zip(messages, marks, strict=True)]
        environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
        environment.globals["raise_exception"] = _refuse
        tokens = {
            name: value["content"] if isinstance(value, dict) else value
            for name, value in self._settings.items()
            if name.endswith("_token") and value
        }
        try:
            text = environment.from_string(self.chat_template).render(
                messages=shown, add_generation_prompt=True, **tokens
            )
        except Exception as error:  # a template is a program of somebody else's
            raise InvalidInputError(f"the chat template refused the messages: {error}") from error
        ids: list[int] = []
        for mark, message in zip(marks, messages, strict=True):
            before, found, text = text.partition(mark)
            if not found:
                raise InvalidInputError(
                    f"the chat template has no place for a message of role {message['role']!r}"
                )
            ids += self.encode_template(before) + self.encode(message["content"])
        return ids + self.encode_template(text)

    def stream(self) -> TextStream:
        return TextStream(self._template)


class TextStream:
    """Text out of single token ids, released only as whole characters."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._stream = DecodeStream(skip_special_tokens=True)

    def add(self, token: int) -> str:
        """What became readable with this token; "" inside a character."""
        return self._stream.step(self._tokenizer, token) or ""


def clean(text: str) -> str:
    """A text without lone surrogates, which no encoding can carry (lengths stay)."""
    return _SURROGATE.sub("\ufffd", text)


def _json(path: Path) -> dict[str, Any]:
    if not path.exists():
        return {}
    try:
        loaded = json.loads(path.read_text(encoding="utf-8"))
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise CheckpointError(f"{path} is not valid JSON: {error}") from error
    if not isinstance(loaded, dict):
        raise CheckpointError(f"{path} is not a JSON object")
    return loaded


def _convert(folder: Path) -> dict[str, Any]:
    """A checkpoint with only a SentencePiece model: transformers knows how to convert it."""
    from transformers import AutoTokenizer

    try:
        converted = AutoTokenizer.from_pretrained(folder, use_fast=True)
        definition: dict[str, Any] = json.loads(converted.backend_tokenizer.to_str())
    except Exception as error:  # whatever the conversion stumbles over
        raise CheckpointError(f"{folder} has no usable tokenizer: {error}") from error
    return definition


def _default_template(template: Any) -> str | None:
    """Some checkpoints list several named templates."""
    if isinstance(template, list):
        return next((t["template"] for t in template if t.get("name") == "default"), None)
    return template if isinstance(template, str) else None


def _refuse(message: str) -> None:
    raise TemplateError(message)
