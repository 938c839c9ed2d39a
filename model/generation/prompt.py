"""How a question, or a conversation that ends in one, becomes the token ids of a prompt."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence

from mplus_ray.model.config import ModelConfig
from mplus_ray.model.errors import InvalidInputError
from mplus_ray.model.generation.tokenizer import TextTokenizer
from mplus_ray.model.generation.turn_kind import Message, last_answered, leans_on_another

PLAIN = "Question: {question}\nAnswer:"
QUESTION = "{question}"  # its place in a template
_ROLES = ("system", "user", "assistant")


def question_prompt(tokenizer: TextTokenizer, config: ModelConfig, question: str) -> list[int]:
    """Ask as the checkpoint was trained to be asked: its own template, its chat template, or a
    plain one.

    Raises:
        InvalidInputError: the question is empty.
    """
    question = question.strip()
    if not question:
        raise InvalidInputError("the question is empty; ask something")
    if _chats(tokenizer, config):
        return _chat(tokenizer, config, [("user", question)])
    template = config.prompt_template or PLAIN
    if tokenizer.encode(template) == tokenizer.encode_template(template):
        # No special tokens in it, so the whole may be encoded as one text, as in training.
        return tokenizer.encode(template.replace(QUESTION, question))
    before, _, after = template.partition(QUESTION)
    return [
        *tokenizer.encode_template(before),
        *tokenizer.encode(question),
        *tokenizer.encode_template(after),
    ]


def conversation_prompt(
    tokenizer: TextTokenizer, config: ModelConfig, messages: Sequence[Message], max_tokens: int
) -> list[int]:
    """A conversation that ends in a question. A checkpoint without a chat template reads the last
    question before it and its answer, if it leans on them, and nothing else.

    Where all of it would be too long, what was said longest ago is left out.

    Args:
        max_tokens: of the answer, which needs room as well.

    Raises:
        InvalidInputError: it does not end in a user's question, a role is unknown, or the
            question alone is too long.
    """
    if not messages or messages[-1][0] != "user":
        raise InvalidInputError("the conversation must end in a message of the user")
    unknown = sorted({role for role, _ in messages} - set(_ROLES))
    if unknown:
        raise InvalidInputError(
            f"there is no role {', '.join(map(repr, unknown))}; there are {', '.join(_ROLES)}"
        )
    room = prompt_room(config, max_tokens)
    ever_shorter = [messages, *_shortened(messages)]

    def prompt(index: int) -> list[int]:
        return _prompt(tokenizer, config, ever_shorter[index])

    whole = prompt(0)
    if len(whole) <= room:
        return whole
    rest = range(1, len(ever_shorter))
    first = 1 + bisect_left(rest, True, key=lambda index: len(prompt(index)) <= room)
    if first == len(ever_shorter):
        raise InvalidInputError(
            f"the question has {len(prompt(first - 1))} tokens with what stands round it; beside "
            f"an answer of {max_tokens} tokens this model can read {max(room, 0)}"
        )
    return prompt(first)


def prompt_room(config: ModelConfig, max_tokens: int) -> int:
    """Tokens that a prompt may have beside a full memory and an answer of `max_tokens`."""
    memory = config.first_rows + config.retrieved_rows
    memory += config.pool_rows if config.pool_attended else 0
    positions = config.max_position_embeddings
    if memory < positions:
        positions -= memory
    # Else the memory alone goes beyond what the field says, which is that of the backbone then.
    return positions - max_tokens


def _shortened(messages: Sequence[Message]) -> list[list[Message]]:
    """The conversation without its oldest messages, ever shorter, down to the question alone.

    What is left begins with a question of the user's, as chat templates demand. What the system
    said stays as long as possible.
    """
    told = [message for message in messages if message[0] == "system"]
    said = [message for message in messages if message[0] != "system"]
    starts = [at for at, (role, _) in enumerate(said) if role == "user"]
    shorter = [told + said[at:] for at in starts] + ([said[-1:]] if told else [])
    return [one for one in shorter if len(one) < len(messages)]


def _prompt(
    tokenizer: TextTokenizer, config: ModelConfig, messages: Sequence[Message]
) -> list[int]:
    *earlier, (_, question) = messages
    alone = question_prompt(tokenizer, config, question)
    if not earlier:
        return alone
    if _chats(tokenizer, config):
        return _chat(tokenizer, config, [*earlier, ("user", question.strip())])
    return [*_exchange(tokenizer, config, messages), *alone]


def _exchange(
    tokenizer: TextTokenizer, config: ModelConfig, messages: Sequence[Message]
) -> list[int]:
    """The last question before, with its answer, as the checkpoint would have read and said them,
    if the new question leans on them.

    It was trained on questions alone. Before one that has changed the subject they make it refuse
    half of what it answers without them (docs/LOG.md), and so would all else that was said.
    """
    place = last_answered(messages)
    if place is None or not leans_on_another(messages[-1][1]):
        return []
    answer = next(content for role, content in messages[place + 1 :] if role == "assistant")
    asked = question_prompt(tokenizer, config, messages[place][1])
    lead = config.prompt_template or PLAIN
    end = "" if lead.startswith("\n") else "\n"
    return [*asked, *tokenizer.encode(f" {answer.strip()}{end}")]


def _chats(tokenizer: TextTokenizer, config: ModelConfig) -> bool:
    return config.prompt_template is None and tokenizer.chat_template is not None


def _chat(tokenizer: TextTokenizer, config: ModelConfig, messages: Sequence[Message]) -> list[int]:
    ids = tokenizer.chat([{"role": role, "content": content} for role, content in messages])
    if config.add_bos_embedding and ids[:1] == [config.bos_token_id]:
        return ids[1:]  # every layer begins with its own bos row
    return ids
