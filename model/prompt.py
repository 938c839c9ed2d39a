"""How a question becomes the token ids of a prompt."""

from __future__ import annotations

from model.config import ModelConfig
from model.errors import InvalidInputError
from model.text import TextTokenizer

_PLAIN = "Question: {question}\nAnswer:"
_PLACE = "{question}"


def question_prompt(tokenizer: TextTokenizer, config: ModelConfig, question: str) -> list[int]:
    """Ask as the checkpoint was trained to be asked: its own template, its chat template, or a
    plain one.

    Raises:
        InvalidInputError: the question is empty.
    """
    question = question.strip()
    if not question:
        raise InvalidInputError("the question is empty; ask something")
    if config.prompt_template is None and tokenizer.chat_template is not None:
        ids = tokenizer.chat([{"role": "user", "content": question}])
        if config.add_bos_embedding and ids[:1] == [config.bos_token_id]:
            return ids[1:]  # every layer begins with its own bos row
        return ids
    template = config.prompt_template or _PLAIN
    if tokenizer.encode(template) == tokenizer.encode_template(template):
        # No special tokens in it, so the whole may be encoded as one text, as in training.
        return tokenizer.encode(template.replace(_PLACE, question))
    before, _, after = template.partition(_PLACE)
    return [
        *tokenizer.encode_template(before),
        *tokenizer.encode(question),
        *tokenizer.encode_template(after),
    ]
