"""Invented names and the values facts are made of; every draw comes from the caller's generator."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

_ONSETS = "b br c d dr f g gr h k l m n p pl r s st t tr v w z th"
_VOWELS = "a e i o u a e i o u ai ea"
_CODAS = "n r s l m nd rt x"
_FIRST = (
    "Adam Agnes Albert Alice Amir Anna Anton Arthur Bella Carla Carlos Clara Daniel David Diana "
    "Edith Edward Elena Emil Emma Erik Eva Felix Fiona Frank George Grace Greta Hannah Harold "
    "Helen Henry Hugo Ida Igor Irene Isaac Ivan Jack James Jane Joan John Jonas Julia Karl Kate "
    "Laura Lena Leo Lucy Maria Mark Martha Mary Maya Miguel Mina Nadia Nina Nora Olga Oscar Otto "
    "Paul Peter Priya Rachel Ralph Rosa Ruth Samuel Sara Simon Sofia Susan Thomas Tom Vera Victor "
    "Walter William Yusuf Zoe"
)
_LISTS = {
    "job": (
        "baker sailor doctor teacher lawyer painter miller farmer soldier tailor nurse plumber "
        "pilot judge banker barber butcher carpenter chemist clerk cook dentist driver fisherman "
        "gardener glazier goldsmith hunter joiner librarian locksmith mason mechanic merchant "
        "miner musician optician porter postman potter printer roofer saddler sculptor shepherd "
        "shoemaker singer smith surgeon surveyor translator watchmaker weaver welder writer"
    ),
    "animal": (
        "dog cat horse parrot goat rabbit fox donkey pony monkey canary goose duck hamster turtle "
        "lizard snake mouse raven pigeon falcon lamb pig cow calf squirrel hedgehog ferret badger "
        "peacock swan magpie frog toad spider beetle tortoise finch"
    ),
    "colour": (
        "red blue green black white silver golden purple orange brown pink grey yellow violet "
        "scarlet crimson turquoise beige ivory indigo"
    ),
    "food": (
        "bread|cheese|apples|fish soup|rice|honey cake|plums|beans|roast lamb|onion pie|dumplings|"
        "pancakes|mushrooms|oysters|peanuts|strawberries|pea soup|fried eggs|cabbage|noodles|"
        "salmon|walnuts|cherries|lentils|pumpkin|garlic|celery|sausages|trout|spinach|figs|"
        "grapes|melon|carrots|potato salad|ginger|almonds|mustard|olives|peaches"
    ),
    "instrument": (
        "piano violin cello flute harp guitar trumpet drum clarinet oboe organ banjo lute horn "
        "tuba bassoon viola accordion mandolin trombone zither fiddle saxophone bagpipe"
    ),
    "language": (
        "French German Spanish Italian Russian Polish Greek Turkish Arabic Hindi Chinese Japanese "
        "Korean Dutch Danish Swedish Finnish Latin Hebrew Welsh Irish Czech Hungarian Persian "
        "Swahili Thai Portuguese Norwegian"
    ),
    "material": (
        "copper|iron|oak|marble|silk|wool|glass|salt|coal|leather|tin|amber|cotton|linen|timber|"
        "steel|brass|ivory|clay|paper|rubber|wheat|tobacco|coffee|tea|sugar|pepper|slate|granite|"
        "pine|walnut wood|lead|zinc|bronze|velvet|hemp|barley|wine|oil|wax"
    ),
    "object": (
        "lamps|bicycles|clocks|shoes|pianos|engines|bells|chairs|umbrellas|knives|toys|hats|"
        "carpets|mirrors|pumps|boats|tents|wagons|gloves|locks|cameras|radios|pens|maps|bottles|"
        "ropes|spoons|saddles|stoves|windows|ladders|buttons|candles|scissors|watches|kettles"
    ),
    "sport": (
        "chess|swimming|rowing|fencing|archery|sailing|wrestling|skating|cycling|fishing|hiking|"
        "boxing|tennis|golf|climbing|dancing|knitting|bird watching|stamp collecting|poker|"
        "billiards|riding|gymnastics|juggling|photography|gardening|table tennis|draughts"
    ),
    "weekday": "Monday Tuesday Wednesday Thursday Friday Saturday Sunday",
    "month": (
        "January February March April May June July August September October November December"
    ),
    "shape": "lamp clock radio pump engine stove camera bicycle kettle drill boat loom press mill",
    "gathering": "festival fair race congress regatta tournament parade exhibition concert games",
    "trade": "Works Brothers Mills Company Bank Press Motors Foods Tools Lines Trading Glass",
}
_VALUES = "job animal colour food instrument language material object sport weekday month".split()
CHOICES = {k: v.split("|" if "|" in v else None) for k, v in _LISTS.items()}
FIRST_NAMES = _FIRST.split()


def word(rng: Random) -> str:
    """One invented, capitalized word of two or three syllables."""
    onsets, vowels, codas = _ONSETS.split(), _VOWELS.split(), _CODAS.split()
    syllables = [rng.choice(onsets) + rng.choice(vowels) for _ in range(rng.choice((2, 2, 3)))]
    return ("".join(syllables) + (rng.choice(codas) if rng.random() < 0.6 else "")).capitalize()


def _person(rng: Random) -> str:
    first = rng.choice(FIRST_NAMES) if rng.random() < 0.5 else word(rng)
    return first if rng.random() < 0.2 and first not in FIRST_NAMES else f"{first} {word(rng)}"


def _town(rng: Random) -> str:
    prefix = rng.choice(("Port ", "New ", "Upper ", "Saint ")) if rng.random() < 0.15 else ""
    return prefix + word(rng)


def _code(rng: Random) -> str:
    letters = "".join(rng.choice("ABCDEFGHKLMNPRSTUVWXYZ") for _ in range(2))
    return f"{letters}-{rng.randrange(10, 1000)}"


_KINDS: dict[str, Callable[[Random], str]] = {
    "person": _person,
    "town": _town,
    "firm": lambda r: f"{word(r)} {r.choice(CHOICES['trade'])}",
    "product": lambda r: f"the {word(r)} {r.choice(CHOICES['shape'])}",
    "event": lambda r: f"the {word(r)} {r.choice(CHOICES['gathering'])}",
    "ship": lambda r: f"the ship {word(r)}",
    "age": lambda r: str(r.randrange(11, 99)),
    "number": lambda r: str(r.randrange(100, 1000)),
    "year": lambda r: str(r.randrange(1100, 2025)),
    "count": lambda r: f"{r.randrange(1, 90)},{r.randrange(0, 1000):03d}",
    "time": lambda r: f"{r.randrange(6, 23)}:{r.randrange(0, 60, 5):02d}",
    "date": lambda r: f"{r.randrange(1, 31)} {r.choice(CHOICES['month'])}",
    "price": lambda r: f"{r.randrange(2, 1000)} {r.choice(('dollars', 'euros', 'pounds'))}",
    "weight": lambda r: f"{r.randrange(2, 200)} {r.choice(('pounds', 'kilograms', 'tons'))}",
    "telephone": lambda r: f"{r.randrange(200, 999)}-{r.randrange(1000, 9999)}",
    "code": _code,
}


def any_kind(rng: Random) -> str:
    """A kind of value."""
    return rng.choice([*_KINDS, *_VALUES])


def draw(kind: str, rng: Random) -> str:
    """A fresh value (or entity name) of the kind."""
    make = _KINDS.get(kind)
    return make(rng) if make else rng.choice(CHOICES[kind])
