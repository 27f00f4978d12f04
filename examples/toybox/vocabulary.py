"""What the toybox can show and how it is said: kinds, colours, patterns, places, lights, looks, captions, judging prompts."""

import random
import string
from collections.abc import Sequence
from dataclasses import asdict, dataclass

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
    "penguin": ("penguin",),
    "rabbit": ("rabbit", "bunny"),
    "frog": ("frog",),
    "pumpkin": ("pumpkin",),
    "cake": ("cake", "birthday cake"),
    "lamp": ("lamp", "table lamp"),
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
    "underwater": ("under water", "at the bottom of the sea"),
    "space": ("in space", "among the stars"),
    "stage": ("on a stage", "on a theatre stage"),
    "chessboard": ("on a chessboard", "among chess pieces"),
}

LIGHTS: dict[str, tuple[str, ...]] = {
    "day": ("", "", "", "in daylight"),
    "sunset": ("at sunset", "in the evening", ""),
    "night": ("at night", "at night", "in the dark"),
    "overcast": ("", "on a cloudy day", ""),
}

FINISHES = ("shiny", "wet", "furry")

# pattern -> the words for it; it comes in a second colour, over the first, which covers more
PATTERNS: dict[str, tuple[str, ...]] = {
    "striped": ("striped",),
    "dotted": ("dotted", "spotted", "polka dot"),
    "checked": ("checked", "chequered"),
    "two-coloured": ("two-coloured", "two-tone"),
}

# relation of the thing to a second one -> how it is said
RELATIONS: dict[str, tuple[str, ...]] = {
    "beside": ("next to", "next to", "beside", "and"),
    "in front of": ("in front of",),
    "behind": ("behind",),
}

# look -> how a caption opens; the first is the look's own name
LOOKS: dict[str, tuple[str, ...]] = {
    "photo": (
        "a photo of",
        "a photo of",
        "a photo of",
        "a picture of",
        "a photograph of",
        "a close-up photo of",
        "",
    ),
    "clay model": ("a clay model of", "a plasticine model of"),
    "cartoon": ("a cartoon of", "a cartoon drawing of"),
    "pencil drawing": ("a pencil drawing of", "a pencil sketch of"),
    "oil painting": ("an oil painting of", "a painting of"),
}
DRAWN = ("cartoon", "pencil drawing", "oil painting")  # made of a photo, by looks.py
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
    """What a render shows; colours are chosen after rendering. `second` is another kind that the thing is in `relation` to,
    both "" where it is alone; `look` is "photo" or "clay model"."""

    kind: str
    place: str
    light: str = "day"
    finish: str = ""
    second: str = ""
    relation: str = ""
    look: str = "photo"


@dataclass(frozen=True)
class Paint:
    """What a render is given afterwards: the thing's colour and pattern, this one's colour, the second thing's, a look."""

    colour: str
    pattern: str = ""
    other: str = ""  # the pattern's colour
    second_colour: str = ""
    look: str = "photo"


def draw_paint(scene: Scene, rng: random.Random) -> Paint:
    """A paint for the scene: some in a pattern, some photos drawn."""
    colour, other, second_colour = rng.choice(list(COLOURS)), "", ""
    pattern = rng.choice(list(PATTERNS)) if rng.random() < 0.22 else ""
    if pattern:
        other = rng.choice([each for each in COLOURS if each != colour])
    if scene.second:
        second_colour = rng.choice(list(COLOURS))
    look = rng.choice(DRAWN) if scene.look == "photo" and rng.random() < 0.15 else scene.look
    return Paint(colour, pattern, other, second_colour, look)


def values_of(scene: Scene, paint: Paint) -> dict[str, str]:
    """What is true of a picture, by aspect."""
    return asdict(scene) | asdict(paint)


def nonsense(rng: random.Random) -> str:
    """A word that means nothing, as an identifier will be: seen in captions, tied to no picture."""
    if rng.random() < 0.5:
        return "".join(rng.choice(string.ascii_lowercase) for _ in range(rng.randint(3, 5)))
    return "".join(rng.choice(_SYLLABLES) for _ in range(rng.randint(1, 3)))


def _noun_phrase(kind: str, words: Sequence[str], nonsense_share: float, rng: random.Random) -> str:
    """The kind with what is said of it before it, now and then with a nonsense word somewhere."""
    words = [*(word for word in words if word), rng.choice(KINDS[kind])]
    if rng.random() < nonsense_share:
        words.insert(rng.randint(0, len(words)), nonsense(rng))
    return with_article(" ".join(words), kind)


@dataclass(frozen=True)
class Caption:
    """A caption and what it says: it is true of every picture whose scene and paint have these values. `things` are the
    noun phrases of the thing and of the second one, as they stand in the text."""

    text: str
    says: dict[str, str]
    things: tuple[str, ...] = ()


def caption(
    scene: Scene,
    paint: Paint,
    rng: random.Random,
    *,
    say_colour: float = 0.75,
    say_place: float = 0.92,
    nonsense_share: float = 0.2,
) -> Caption:
    """One of the many ways to say what is seen; colours, place and light are left out at random, never said wrongly."""
    aspects = ("kind", "finish", "second", "relation", "pattern", "look")
    says = {aspect: value for aspect, value in values_of(scene, paint).items() if aspect in aspects}
    colours = ""
    if rng.random() < say_colour:
        says["colour"] = colours = paint.colour
        if paint.pattern and rng.random() < 0.7:
            says["other"] = paint.other
            colours += f" and {paint.other}"
    pattern = rng.choice(PATTERNS[paint.pattern]) if paint.pattern else ""
    if "other" in says and paint.pattern == "two-coloured" and rng.random() < 0.7:
        pattern = ""  # "red and white" says it
    thing = _noun_phrase(scene.kind, (scene.finish, colours, pattern), nonsense_share, rng)
    things = (thing,)
    if scene.second:
        said = paint.second_colour if rng.random() < say_colour else ""
        if said:
            says["second_colour"] = said
        second = _noun_phrase(scene.second, (said,), nonsense_share, rng)
        things = (thing, second)
        thing += f" {rng.choice(RELATIONS[scene.relation])} {second}"
    parts = [f"{rng.choice(LOOKS[paint.look])} {thing}".strip()]
    if rng.random() < say_place:
        says["place"] = scene.place
        parts.append(rng.choice(PLACES[scene.place]))
    if said_light := rng.choice(LIGHTS[scene.light]):
        says["light"] = scene.light
        parts.append(said_light)
    return Caption(" ".join(parts), says, things)


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


def judging_pairs(count: int = 100, seed: int = 7) -> list[tuple[str, Scene, Paint]]:
    """Fixed prompts of two things: every kind about equally often first, and second."""
    rng = random.Random(f"pairs {seed}")
    kinds, pairs = list(KINDS), []
    for number in range(count):
        kind = kinds[number % len(kinds)]
        second = kinds[(number + 1 + number // len(kinds) + rng.randrange(len(kinds) - 2)) % len(kinds)]
        second = second if second != kind else kinds[(number + 1) % len(kinds)]
        scene = Scene(kind, rng.choice(list(PLACES)), second=second, relation="beside")
        paint = Paint(rng.choice(list(COLOURS)), second_colour=rng.choice(list(COLOURS)))
        first = with_article(f"{paint.colour} {kind}", kind)
        other = with_article(f"{paint.second_colour} {second}", second)
        prompt = f"a photo of {first} next to {other} {PLACES[scene.place][0]}"
        pairs.append((prompt, scene, paint))
    return pairs
