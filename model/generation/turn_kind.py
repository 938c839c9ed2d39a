"""What the last turn of a conversation wants, by its form.

Words are of two sorts: a language's function words, of which there are few and no new ones, and
words of its own. A turn that has any of the latter is put to memory, which says itself whether it
holds the answer. What is left asks nothing, asks the assistant about itself, or asks where the
answer before came from. Nothing here knows what is talked about.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from enum import Enum

Message = tuple[str, str]  # role and content

_WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)?")
_ASKING = frozenset("who whom whose what which when where why how".split())
_AUXILIARIES = frozenset(
    "am is are was were be been being do does did have has had can could will would shall should "
    "may might must isn't aren't wasn't weren't don't doesn't didn't can't couldn't won't".split()
)
_YOU = frozenset("you your yours yourself you're".split())
_PEOPLE = frozenset("he him his she her hers they them their theirs we us our ours i me my".split())
_THIS = frozenset("that this these those so it".split())
_POINTING = _THIS | frozenset("he him his she her hers they them their theirs its".split())
_GOING_ON = frozenset("and but or so then also".split())
_FEW = 4  # words of its own; a question with more has said what it is about
_FUNCTION = frozenset(
    "a an the and or but if then than as of at by for from in into on to with about over up down "
    "out off not no nor too also very much just only again here there now well any some all both "
    "each more most other such own same it's its that's what's who's where's how's i'm i've i'll "
    "we're let's please".split()
)
_CLOSED = _ASKING | _AUXILIARIES | _YOU | _PEOPLE | _THIS | _FUNCTION
# How words are handed on, and what they are handed on in.
_SAYING = frozenset(
    "say says said tell tells told read find found get got learn learned come comes came know "
    "state stated mention mentioned write wrote written stand stands".split()
)
_SOURCES = frozenset(
    "source sources citation citations cite reference references document documents passage "
    "passages page pages file files text evidence proof".split()
)
# Interjections, and what stands beside them.
GREETINGS = frozenset("hello hi hey greetings morning afternoon evening howdy".split())
THANKS = frozenset("thanks thank thx cheers appreciated grateful".split())
FAREWELLS = frozenset("bye goodbye farewell night ciao later".split())
_COURTESIES = frozenset(
    "good great nice fine ok okay yes yeah yep sure right alright cool perfect wonderful excellent "
    "awesome lovely super sorry oh ah wow hm hmm dear lot lots many kind kindly day see".split()
)
_COURTEOUS = GREETINGS | THANKS | FAREWELLS | _COURTESIES


class TurnKind(Enum):
    """What a turn wants.

    Attributes:
        MEMORY: an answer from memory; also whatever is neither of the others.
        SOURCE: where the answer before came from.
        ASSISTANT: to know who or what answers here.
        TALK: nothing; it greets, thanks, agrees or takes leave.
    """

    MEMORY = "memory"
    SOURCE = "source"
    ASSISTANT = "assistant"
    TALK = "talk"


def words_of(text: str) -> list[str]:
    """The words of a turn in lower case."""
    return [word.replace("’", "'") for word in _WORD.findall(text.casefold())]


def is_function_word(word: str) -> bool:
    """Whether a word is one of a language's few that name nothing, such as "where" or "the"."""
    return word.casefold() in _CLOSED


def asks(text: str) -> bool:
    """Whether a turn has the form of a question."""
    words = words_of(text)
    return "?" in text or bool(words and words[0] in _ASKING | _AUXILIARIES)


def kind_of(messages: Sequence[Message]) -> TurnKind:
    """What the last of these messages, which is the user's, wants."""
    *before, (_, last) = messages
    words = words_of(last)
    own = _own(words)
    if not asks(last) or _only_greets(own):
        return TurnKind.TALK if set(own) <= _COURTEOUS else TurnKind.MEMORY
    if any(role == "assistant" for role, _ in before) and _wants_source(words, own):
        return TurnKind.SOURCE
    if not own and not _YOU.isdisjoint(words):
        return TurnKind.ASSISTANT
    return TurnKind.MEMORY


def leans_on_another(text: str) -> bool:
    """Whether a question can hardly be understood without the one before: it says "she" or "that"
    with few words of its own, or has none, or goes on with "and"."""
    words = words_of(text)
    own = _own(words)
    if not own or words[0] in _GOING_ON:
        return True
    return not _POINTING.isdisjoint(words) and len(own) <= _FEW


def last_answered(messages: Sequence[Message]) -> int | None:
    """The place of the last question to memory that the assistant has replied to, before the last
    message; None if there is none."""
    replied = False
    for place in range(len(messages) - 2, -1, -1):
        role, _ = messages[place]
        if role == "assistant":
            replied = True
        elif role == "user":
            if replied and kind_of(messages[: place + 1]) is TurnKind.MEMORY:
                return place
            replied = False
    return None


def _own(words: Sequence[str]) -> list[str]:
    return [word for word in words if word not in _CLOSED]


def _wants_source(words: Sequence[str], own: Sequence[str]) -> bool:
    """Whether all it is about is who said something, or where it stands: "Who told you that?",
    "Where is that from?", "Which document says so?"."""
    if not _PEOPLE.isdisjoint(words) or not set(own) <= _SAYING | _SOURCES:
        return False
    if not _SOURCES.isdisjoint(own):
        return True
    asking = _ASKING.intersection(words)
    if own:
        return bool(asking & {"who", "where", "how"}) and not (_THIS | _YOU).isdisjoint(words)
    return "where" in asking and "from" in words and not _THIS.isdisjoint(words)


def _only_greets(own: Sequence[str]) -> bool:
    """Whether it is a greeting, be it with an inquiry after health: "Hi, how are you?"."""
    return set(own) <= _COURTEOUS and not GREETINGS.isdisjoint(own)
