"""Renders the toybox's world: `python examples/toybox/render.py --count 8000`.

Each picture is a thing in a place under a light, NNNNNN.png, with its passes (NNNNNN.tint.png and NNNNNN.where.png) and,
written last, its scene (NNNNNN.json): a killed run goes on where it stopped. Picture N is the same on every machine. Needs `bpy`
(Python 3.11); about a second a picture and core, less on a GPU.
"""

import argparse
import dataclasses
import json
import multiprocessing
import os
import random
from pathlib import Path

from vocabulary import COLOURS, FINISHES, KINDS, PLACES, RELATIONS, Scene

CACHE = Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser() / "toybox"
SIZE = 144  # crops of 128 are trained on
SAMPLES = 4  # and denoised: 8 cost twice the time and look the same at this size
PROFILES = {"car", "train", "sneaker", "boot", "boat", "teapot", "cup"}  # built with their side to the camera
BY_NATURE_FURRY = {"teddy bear", "stuffed animal", "cat", "dog", "rabbit"}

# relation -> where the thing stands aside and back, how large it is, and how large the second one, which stands opposite
SPOTS = {
    "": (0.0, 0.0, 1.0, 0.0),
    "beside": (0.55, 0.0, 1.0, 0.9),
    "in front of": (0.28, -0.45, 0.85, 1.25),
    "behind": (0.28, 0.5, 1.25, 0.8),
}


def draw_scene(number: int) -> Scene:
    """Scene `number`: kinds and places go round, so that every kind meets every place."""
    rng = random.Random(f"scene {number}")
    kinds, places = list(KINDS), list(PLACES)
    kind = kinds[number % len(kinds)]
    place = places[(number // len(kinds) + number % len(kinds)) % len(places)]
    light = rng.choices(("day", "sunset", "night", "overcast"), (5, 1.5, 2, 1.5))[0]
    finish = rng.choice(FINISHES) if rng.random() < 0.12 else ""
    if finish == "furry" and kind in BY_NATURE_FURRY:
        finish = ""
    second = rng.choice([k for k in kinds if k != kind]) if rng.random() < 0.22 else ""
    relation = rng.choices(list(RELATIONS), (4, 1, 1))[0] if second else ""
    look = "clay model" if rng.random() < 0.05 else "photo"
    if look == "clay model":
        finish = ""  # nothing is left of it in clay
    return Scene(kind, place, light, finish, second, relation, look)


def turn_of(kind: str, rng: random.Random) -> float:
    """Degrees about z: faces look roughly at the camera, vehicles and shoes show their side."""
    return max(-70.0, min(70.0, rng.gauss(0, 20 if kind in PROFILES else 30)))


def compose(scene: Scene, rng: random.Random, colour: str = "") -> None:
    """Builds the whole scene in Blender's current file, its thing to be recoloured later, or of that colour at once."""
    import blend
    import places
    import places_more
    import things_made
    import things_more
    import things_soft

    builders = things_soft.KINDS | things_made.KINDS | things_more.KINDS
    blend.reset()
    sink = (places.PLACES | places_more.PLACES)[scene.place](rng, scene.light)
    side, depth, size, second_size = SPOTS[scene.relation]
    side *= rng.choice((-1, 1)) if scene.second else 1
    thing = builders[scene.kind](rng, blend.Look(scene.finish, COLOURS.get(colour)))
    turn = turn_of(scene.kind, rng)
    blend.settle(thing, size=size, turn=turn, at=(side, depth, 0))
    blend.frame((side, depth, 0), turn)
    second: list = []
    if scene.second:
        second = builders[scene.second](rng, blend.Look(second=True))
        spot = (-side * rng.uniform(1.0, 1.15), -depth + rng.uniform(-0.1, 0.15), 0)
        blend.settle(second, size=second_size, turn=turn_of(scene.second, rng), at=spot)
    low, high = blend.bounds(thing + second)
    for part in thing + second:
        part.location.z -= sink * (high.z - low.z)
    if scene.place == "mirror":
        places.reflect(thing + second)
    if scene.look == "clay model":
        blend.in_clay()
    azimuths, heights = (places.VIEWS | places_more.VIEWS).get(scene.place, ((-22, 22), (6, 30)))
    distance = rng.uniform(1.75, 2.6) * (1.5 if scene.second else 1.0)
    target = (rng.uniform(-0.1, 0.1), 0, (high.z - low.z) * rng.uniform(0.42, 0.62))
    blend.camera(
        target,
        distance=distance,
        azimuth=rng.uniform(*azimuths),
        height=rng.uniform(*heights),
        lens=rng.uniform(45, 58),
        roll=rng.gauss(0, 1.5),
    )


def render_one(job: tuple[int, Path, bool]) -> int:
    """Renders picture `number` into the directory unless it is there; returns the number."""
    number, directory, gpu = job
    record = directory / f"{number:06d}.json"
    if not record.exists():
        import blend

        scene = draw_scene(number)
        compose(scene, random.Random(f"picture {number}"))
        blend.picture(record.with_suffix(".png"), size=SIZE, samples=SAMPLES, seed=number, gpu=gpu)
        staged = record.with_suffix(".staged")
        staged.write_text(json.dumps(dataclasses.asdict(scene)))
        staged.replace(record)
    return number


def silence() -> None:
    """Blender reports every file it saves; a worker's standard output is not needed."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output_dir", type=Path, default=CACHE / "renders")
    parser.add_argument("--count", type=int, default=8000)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--pairs", action="store_true", help="of the scenes only those of two things")
    parser.add_argument("--workers", type=int, default=os.cpu_count())
    parser.add_argument(
        "--gpu", action="store_true", help="render on the GPU that Blender's preferences offer"
    )
    arguments = parser.parse_args()
    arguments.output_dir.mkdir(parents=True, exist_ok=True)
    numbers = range(arguments.first, arguments.count)
    jobs = [
        (n, arguments.output_dir, arguments.gpu)
        for n in numbers
        if not arguments.pairs or draw_scene(n).second
    ]
    # a fresh process now and then gives back what Blender leaks
    context = multiprocessing.get_context("spawn")
    with context.Pool(arguments.workers, silence, maxtasksperchild=100) as pool:
        for done, number in enumerate(pool.imap_unordered(render_one, jobs), start=1):
            if done % 50 == 0:
                print(f"{done} of {len(jobs)} (last: {number:06d})", flush=True)


if __name__ == "__main__":
    main()
