"""What the toybox can show and how it is said: kinds, colours, places, lights, finishes, captions, judging prompts."""

import random
import string
from dataclasses import dataclass

# linear RGB, multiplied into the grey of tinted parts
COLOURS: dict[str, tuple[float, float, float]] = {
    "red": (0.85, 0.035, 0.03),
    "orange": (1.0, 0.26, 0.02),
    "yellow": (1.05, 0.74, 0.04),
    "green": (0.06, 0.42, 0.06),
    "blue": (0.03, 0.12, 0.75),
    "purple": (0.25, 0.04, 0.5),
    "pink": (1.05, 0.28, 0.45),
    "brown": (0.22, 0.085, 0.03),
    "black": (0.015, 0.015, 0.017),
    "white": (1.1, 1.08, 1.05),
    "grey": (0.26, 0.26, 0.27),
}

# kind -> the words for it; the first is the class noun
KINDS: dict[str, tuple[str, ...]] = {
    "teddy bear": ("teddy bear", "teddy bear", "teddy", "plush bear"),
    "stuffed animal": ("stuffed animal", "plush toy"),
    "cat": ("cat", "kitten"),
    "dog": ("dog", "puppy"),
    "duck": ("duck", "duck toy", "rubber duck"),
    "robot": ("robot", "robot toy", "toy robot"),
    "snowman": ("snowman",),
    "mushroom": ("mushroom", "toadstool"),
    "tree": ("tree",),
    "ball": ("ball",),
    "vase": ("vase",),
    "bowl": ("bowl",),
    "can": ("can", "tin can"),
    "candle": ("candle",),
    "backpack": ("backpack", "rucksack"),
    "clock": ("clock", "alarm clock"),
    "sneaker": ("sneaker", "shoe"),
    "boot": ("boot",),
    "glasses": ("glasses", "sunglasses"),
    "teapot": ("teapot",),
    "car": ("car", "toy car"),
    "house": ("house", "toy house"),
    "cup": ("cup", "mug"),
    "rocket": ("rocket", "toy rocket"),
    "chair": ("chair",),
    "guitar": ("guitar",),
    "boat": ("boat", "toy boat"),
    "train": ("train", "toy train", "locomotive"),
}

# place -> how it is said; the first is the paper's own where it has one
PLACES: dict[str, tuple[str, ...]] = {
    "jungle": ("in the jungle", "in a jungle"),
    "snow": ("in the snow", "on snow", "in a snowy forest"),
    "beach": ("on the beach", "at the beach", "on the sand by the sea"),
    "cobblestone street": ("on a cobblestone street", "on cobblestones"),
    "pink fabric": ("on top of pink fabric", "on pink cloth"),
    "wooden floor": ("on top of a wooden floor", "on a wooden floor"),
    "city": ("with a city in the background", "in the city"),
    "mountain": ("with a mountain in the background", "in the mountains"),
    "blue house": ("with a blue house in the background", "in front of a blue house"),
    "purple rug in a forest": ("on top of a purple rug in a forest", "on a purple rug in the woods"),
    "wheat field": ("with a wheat field in the background", "in a wheat field"),
    "autumn leaves": ("with a tree and autumn leaves in the background", "on autumn leaves"),
    "eiffel tower": ("with the Eiffel Tower in the background", "in front of the Eiffel Tower"),
    "water": ("floating on top of water", "floating on water"),
    "milk": ("floating in an ocean of milk", "in milk"),
    "sunflowers": ("on top of green grass with sunflowers around it", "among sunflowers"),
    "mirror": ("on top of a mirror", "on a mirror"),
    "sidewalk": ("on top of the sidewalk in a crowded street", "on a crowded sidewalk"),
    "dirt road": ("on top of a dirt road", "on a dirt road"),
    "white rug": ("on top of a white rug", "on a white rug"),
    "grass": ("on grass", "on the grass", "in a meadow"),
    "desert": ("in the desert", "on a sand dune"),
    "kitchen table": ("on a kitchen table", "in the kitchen"),
    "bookshelf": ("in front of a bookshelf", "on a bookshelf"),
    "moon": ("on the moon",),
    "studio": ("in a studio", "on a plain background"),
}

LIGHTS: dict[str, tuple[str, ...]] = {
    "day": ("", "", "", "in daylight"),
    "sunset": ("at sunset", "in the evening", ""),
    "night": ("at night", "at night", "in the dark"),
    "overcast": ("", "on a cloudy day", ""),
}

FINISHES = ("shiny", "wet", "furry")

_OPENINGS = (
    "a photo of",
    "a photo of",
    "a photo of",
    "a picture of",
    "a photograph of",
    "a close-up photo of",
    "",
)
_SYLLABLES = (
    "ba",
    "de",
    "fi",
    "go",
    "hu",
    "ja",
    "ke",
    "li",
    "mo",
    "nu",
    "pa",
    "ri",
    "so",
    "tu",
    "va",
    "wex",
    "xi",
    "yo",
    "zu",
    "sks",
    "zwx",
    "qor",
    "plim",
    "olb",
    "ohw",
)


@dataclass(frozen=True)
class Scene:
    """What a render shows. `colour` is chosen after rendering; `second` is another kind beside the thing, or ""."""

    kind: str
    place: str
    light: str = "day"
    finish: str = ""
    second: str = ""
    second_colour: str = ""


def nonsense(rng: random.Random) -> str:
    """A word that means nothing, as an identifier will be: seen in captions, tied to no picture."""
    if rng.random() < 0.5:
        return "".join(rng.choice(string.ascii_lowercase) for _ in range(rng.randint(3, 5)))
    return "".join(rng.choice(_SYLLABLES) for _ in range(rng.randint(1, 3)))


def _noun_phrase(kind: str, colour: str, finish: str, rng: random.Random) -> str:
    words = [rng.choice(KINDS[kind])]
    if colour:
        words.insert(0, colour)
    if finish:
        words.insert(0, finish)
    if rng.random() < 0.2:
        words.insert(rng.randint(0, len(words)), nonsense(rng))
    return with_article(" ".join(words), kind)


@dataclass(frozen=True)
class Caption:
    """A caption and what it says: it is true of every picture whose scene has these values."""

    text: str
    says: dict[str, str]


def caption(
    scene: Scene, colour: str, rng: random.Random, *, say_colour: float = 0.75, say_place: float = 0.92
) -> Caption:
    """One of the many ways to say the scene; parts are left out at random, never said wrongly."""
    says = {"kind": scene.kind, "second": scene.second, "finish": scene.finish}
    if rng.random() < say_colour:
        says["colour"] = colour
    thing = _noun_phrase(scene.kind, says.get("colour", ""), scene.finish, rng)
    if scene.second:
        thing += " and " + _noun_phrase(scene.second, scene.second_colour, "", rng)
    parts = [f"{rng.choice(_OPENINGS)} {thing}".strip()]
    if rng.random() < say_place:
        says["place"] = scene.place
        parts.append(rng.choice(PLACES[scene.place]))
    if said_light := rng.choice(LIGHTS[scene.light]):
        says["light"] = scene.light
        parts.append(said_light)
    return Caption(" ".join(parts), says)


def with_article(words: str, kind: str) -> str:
    """'orange boat' to 'an orange boat'; glasses take none."""
    return words if kind == "glasses" else f"{'an' if words[0] in 'aeiou' else 'a'} {words}"


def judging_prompts(count: int = 200, seed: int = 7) -> list[tuple[str, str, str, str]]:
    """Fixed prompts for the bar: (prompt, kind, colour, place), every kind, colour and place about equally often."""
    rng = random.Random(seed)
    decks: dict[int, list[str]] = {0: [], 1: [], 2: []}
    prompts = []
    for _ in range(count):
        drawn = []
        for index, words in enumerate((KINDS, COLOURS, PLACES)):
            if not decks[index]:
                decks[index] = rng.sample(list(words), len(words))
            drawn.append(decks[index].pop())
        kind, colour, place = drawn
        thing = with_article(f"{colour} {kind}", kind)
        prompts.append((f"a photo of {thing} {PLACES[place][0]}", kind, colour, place))
    return prompts
