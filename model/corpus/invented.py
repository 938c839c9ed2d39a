"""Relations made up on the spot, so that a question is matched to a statement by its words.

Forty-six relations in eight phrasings each can be learned by heart: such a model answers nothing
that is worded otherwise. Here almost every fact has a relation of its own, of words from lists.
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

# {r} is what the relation is called, {n} the entity, {v} the value.
SAY = (
    "The {r} of {n} is {v}.",
    "{n} has {v} as {r}.",
    "{v} is the {r} of {n}.",
    "{n}'s {r} is {v}.",
    "As for the {r} of {n}, it is {v}.",
    "{r} of {n}: {v}.",
    "{n} ({r}: {v}) was there too.",
    "When asked for the {r} of {n}, people say {v}.",
    "{n} got {v} for a {r}.",
    "Since May the {r} of {n} has been {v}, or so they say.",
    "They wrote down {v} under {r} for {n}.",
    "{n}, whose {r} is {v}, laughed.",
)
ASK = (
    "What is the {r} of {n}?",
    "What is {n}'s {r}?",
    "Which {r} does {n} have?",
    "Tell me the {r} of {n}.",
    "{n} has what as {r}?",
    "Name the {r} of {n}.",
    "What was given as the {r} of {n}?",
    "What does one say of the {r} of {n}?",
    "As for {n}, what is the {r}?",
    "What did they write down as {r} for {n}?",
)
# {x} is a verb, {o} an object, {p} where or when.
_VERB_SAY = (
    "{n} {x}ed {v} {p}.",
    "{v} was {x}ed by {n} {p}.",
    "{p}, {n} {x}ed {v}.",
    "It was {v} that {n} {x}ed {p}.",
    "{n} {x}ed the {o} with {v} {p}.",
    "{n} often {x}s {v} {p}.",
    "We saw how {n} {x}ed {v} and the {o}.",
)
_VERB_ASK = (
    "What did {n} {x}?",
    "What did {n} {x} {p}?",
    "What was {x}ed by {n}?",
    "{n} {x}ed what?",
    "{p}, what did {n} {x}?",
    "Can you say what {n} {x}ed?",
)
# The same questions by the kind of the value: {k} is what such a value is called.
_KIND_ASK = (
    "Which {k} is the {r} of {n}?",
    "What {k} does {n} have as {r}?",
    "The {r} of {n} is which {k}?",
    "Tell me which {k} is {n}'s {r}.",
    "I wonder what {k} the {r} of {n} is.",
)
_KIND_VERB_ASK = (
    "Which {k} did {n} {x}?",
    "What {k} did {n} {x} {p}?",
    "Which {k} was {x}ed by {n}?",
    "Could you say which {k} {n} {x}ed?",
    "I would like to know what {k} {n} {x}ed {p}.",
)
_KINDS = {
    "person": "person|man or woman|individual",
    "town": "town|place|city|location",
    "firm": "company|firm|business",
    "product": "product|machine|device",
    "event": "event|occasion|gathering",
    "ship": "ship|vessel|boat",
    "age": "age|number of years|number",
    "number": "number|figure",
    "year": "year|date",
    "count": "number|amount|quantity|figure",
    "time": "time|hour|moment",
    "date": "date|day",
    "price": "price|sum|amount of money|cost",
    "weight": "weight|load",
    "telephone": "number|telephone number",
    "code": "code|sign|number",
    "job": "trade|job|profession|occupation",
    "animal": "animal|creature|beast",
    "colour": "colour|shade",
    "food": "food|dish|meal",
    "instrument": "instrument",
    "language": "language|tongue",
    "material": "material|substance|stuff",
    "object": "thing|goods|object|article",
    "sport": "sport|pastime|hobby",
    "weekday": "day|weekday|day of the week",
    "month": "month",
}
# Question words that ask for a kind without naming it.
_WORD_ASK = {
    "person": (
        "Who is the {r} of {n}?",
        "Who is {n}'s {r}?",
        "Do you know who the {r} of {n} is?",
        "Who serves {n} as {r}?",
        "By whom was the {r} of {n} named?",
    ),
    "town": ("Where is the {r} of {n}?", "Where does {n} have the {r}?", "Where is {n}'s {r}?"),
    "time": ("When is the {r} of {n}?", "At what time is {n}'s {r}?"),
    "date": ("When is the {r} of {n}?", "On what day is {n}'s {r}?"),
    "weekday": ("When is the {r} of {n}?", "On what day is {n}'s {r}?"),
    "month": ("When is the {r} of {n}?", "In which month is {n}'s {r}?"),
    "year": (
        "When was the {r} of {n}?",
        "In what year was {n}'s {r}?",
        "Since when has {n} a {r}?",
    ),
    "price": ("How much is the {r} of {n}?", "How much does the {r} of {n} cost?"),
    "weight": ("How heavy is the {r} of {n}?", "How much does {n}'s {r} weigh?"),
    "count": (
        "How many are the {r} of {n}?",
        "How large is {n}'s {r}?",
        "How many has {n} as {r}?",
    ),
    "age": ("How old is the {r} of {n}?", "How many years has {n}'s {r}?"),
}
_WORD_VERB_ASK = {
    "person": ("Who did {n} {x}?", "Whom did {n} {x} {p}?", "Who was {x}ed by {n}?"),
    "firm": ("Who did {n} {x}?", "Who was {x}ed by {n} {p}?"),
}
# Someone or something does it to the entity.
_DONE_SAY = (
    "{v} {x}ed {n} {p}.",
    "{n} was {x}ed by {v}.",
    "{p}, {v} {x}ed {n}.",
    "It was {v} who {x}ed {n} {p}.",
    "{n} let {v} {x} the {o}.",
    "{v} wants to {x} {n} {p}.",
)
_DONE_ASK = (
    "Who {x}ed {n}?",
    "By whom was {n} {x}ed?",
    "Who {x}ed {n} {p}?",
    "Who was it that {x}ed {n}?",
    "Do you know who {x}ed {n}?",
    "Tell me who {x}ed {n}.",
    "Which {k} {x}ed {n}?",
)
_DOERS = ("person", "firm")
_ADJECTIVES = (
    "first last old new secret second usual favourite best worst early late public private "
    "northern southern winter summer former present hidden broken lost original common special "
    "daily weekly yearly small great main other official local foreign ancient modern personal"
).split()
_NOUNS = (
    "name number place colour mark sign key door gate road field house garden window table box "
    "letter book map plan song story game prize gift debt price weight size shape cause reason "
    "friend rival guest guard neighbour cousin uncle aunt master pupil partner driver cook clerk "
    "lawyer witness helper owner keeper guide sponsor editor agent judge horse dog bird tree "
    "flower fruit drink meal dish bread spice medicine tool engine wheel lamp clock ship boat "
    "train bridge tower bell church school market shop bank office factory mill mine farm river "
    "lake island valley hill forest desert harbour station street corner room floor roof wall "
    "coat hat shoe ring stone metal cloth paper ink paint word phrase motto title rank badge "
    "flag seal code signal password address record score speed depth height length age date hour "
    "day month season year birthday holiday journey route visit meeting lesson subject language "
    "hobby sport dance play film picture statue instrument tune voice habit fear dream wish plan "
    "order job trade post salary fine tax loan share stock cargo export import crop harvest"
).split()
_VERBS = (
    "paint follow repair collect order open clean count borrow deliver design discover enjoy fear "
    "fill guard hand invent join watch visit help call mention answer inspect print pack "
    "post boil roast wash water plant pick select reward thank greet avoid defend attack correct "
    "test train warn trust admit attend award belong border construct contain cover demand direct "
    "edit elect end enter explain export fix gather hunt import inform insult lift load "
    "lock offer own park peel present protect question reach recommend record rent report request "
    "rescue respect return reveal review sail sketch smell sort spell start support suspect "
    "touch transport turn unload want weigh"
).split()
_PLACES = (
    "last year|in the spring|at home|near the old mill|on Sundays|after the war|before noon|"
    "in town|by the river|at the fair|during the storm|with great care|for a friend|without a word|"
    "twice|every evening|in secret|on the way back|under the bridge|at the office|in the first week"
).split("|")


def name_of(rng: Random) -> str:
    """What an invented relation is called."""
    noun = rng.choice(_NOUNS)
    return f"{rng.choice(_ADJECTIVES)} {noun}" if rng.random() < 0.6 else noun


def phrases(rng: Random, kind: str) -> tuple[str, str]:
    """A statement and a question, templates over {n} and {v}, of a relation of their own.

    Args:
        kind: of the value, as `values.any_kind` draws it.
    """
    if rng.random() < 0.6:
        return labelled(rng, name_of(rng), kind)
    called = rng.choice(_KINDS[kind].split("|"))
    words = {
        "{x}": rng.choice(_VERBS),
        "{o}": rng.choice(_NOUNS),
        "{p}": rng.choice(_PLACES),
        "{k}": called,
    }
    if kind in _DOERS and rng.random() < 0.5:
        say, ask = rng.choice(_DONE_SAY), rng.choice(_DONE_ASK)
    else:
        say = rng.choice(_VERB_SAY)
        ask = rng.choice(_asking(rng, _VERB_ASK, _KIND_VERB_ASK, _WORD_VERB_ASK.get(kind)))
    for place, word in words.items():
        say, ask = say.replace(place, word), ask.replace(place, word)
    return say, ask


def labelled(rng: Random, label: str, kind: str) -> tuple[str, str]:
    """Templates of a relation that is called `label`."""
    ask = rng.choice(_asking(rng, ASK, _KIND_ASK, _WORD_ASK.get(kind)))
    ask = ask.replace("{k}", rng.choice(_KINDS[kind].split("|")))
    return rng.choice(SAY).replace("{r}", label), ask.replace("{r}", label)


def _asking(
    rng: Random, plain: Sequence[str], by_kind: Sequence[str], by_word: Sequence[str] | None
) -> Sequence[str]:
    """One of these ways to ask."""
    dice = rng.random()
    if by_word is not None and dice < 0.3:
        return by_word
    return by_kind if dice < 0.6 else plain


def blurred(rng: Random, question: str) -> str:
    """A question with some words left out or exchanged, but for {n}.

    Of an entity that only one thing is said of, any question has one answer; what is worded oddly
    must not keep a reader from finding the name.
    """
    words = []
    for word in question.split(" "):
        dice = 1.0 if "{n}" in word else rng.random()
        if dice < 0.15:
            continue
        words.append(rng.choice(rng.choice((_NOUNS, _VERBS, _ADJECTIVES))) if dice < 0.4 else word)
    return " ".join(words)
