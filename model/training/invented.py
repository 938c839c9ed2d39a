"""Relations made up on the spot, so that a question is matched to a statement by its words.

Forty-six relations in eight phrasings each can be learned by heart: such a model answers nothing
that is worded otherwise. Here almost every fact has a relation of its own, of words from lists.
"""

from __future__ import annotations

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


def phrases(rng: Random) -> tuple[str, str]:
    """A statement and a question, templates over {n} and {v}, of a relation of their own."""
    if rng.random() < 0.6:
        return labelled(rng, name_of(rng))
    words = {
        "{x}": rng.choice(_VERBS),
        "{o}": rng.choice(_NOUNS),
        "{p}": rng.choice(_PLACES),
    }
    say, ask = rng.choice(_VERB_SAY), rng.choice(_VERB_ASK)
    for place, word in words.items():
        say, ask = say.replace(place, word), ask.replace(place, word)
    return say, ask


def labelled(rng: Random, label: str) -> tuple[str, str]:
    """The same of a relation that is called `label`."""
    return rng.choice(SAY).replace("{r}", label), rng.choice(ASK).replace("{r}", label)
