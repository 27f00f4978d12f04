"""Photographs-to-be of one particular thing: where it stands, in which light, and how the camera looks at it."""

import argparse
import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import blend as b
import bpy
from PIL import Image
from places import PLACES


@dataclass(frozen=True, kw_only=True)
class Shot:
    """One photograph: the place and its light, how the thing is turned, and the camera. Angles in degrees."""

    place: str
    light: str
    turn: float
    azimuth: float
    height: float
    distance: float
    lens: float
    aim: float = 0.46  # height of the camera's target
    exposure: float = 0.4  # stops
    seed: int


S = TypeVar("S", bound=Shot)
Stand = Callable[[S, float], None]  # puts the thing there, given how far it sinks into the ground


def set_up(shot: S, stand: Stand[S]) -> None:
    """The whole scene of a photograph, in Blender's current file."""
    b.reset()
    rng = random.Random(f"photograph {shot.seed}")
    sink = PLACES[shot.place](rng, "night" if shot.light == "lamp" else shot.light)
    if shot.light == "lamp":
        b.sky((0.5, 0.44, 0.38), (0.5, 0.44, 0.38), 0.55)
    for light in bpy.data.lights:  # softer and less coloured than the toybox's
        light.color = [0.45 * c + 0.55 * max(light.color) for c in light.color]
        if light.type == "SUN":
            light.angle = max(light.angle, math.radians(14))
    stand(shot, sink)
    b.camera(
        (0, 0, shot.aim), distance=shot.distance, azimuth=shot.azimuth, height=shot.height, lens=shot.lens
    )
    focus = bpy.context.scene.camera.data.dof
    bpy.context.scene.view_settings.exposure = shot.exposure
    bpy.context.scene.cycles.adaptive_threshold = 0.04
    focus.use_dof, focus.focus_distance, focus.aperture_fstop = True, shot.distance - 0.2, 1.8


def photograph(shot: S, stand: Stand[S], path: Path, size: int, samples: int) -> None:
    """Renders the shot as a JPEG."""
    set_up(shot, stand)
    raw = path.with_suffix(".png")
    b.picture(raw, size=size, samples=samples, seed=shot.seed, threads=2)
    with Image.open(raw) as image:
        image.convert("RGB").save(path, quality=92, subsampling=0, optimize=True)
    for made in (raw, *(raw.with_suffix(f".{name}.png") for name in b.PASSES)):
        made.unlink()


def main(description: str, shots: Sequence[S], stand: Stand[S], directory: Path) -> None:
    """The command line: 01.jpg and on, those that are missing."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--output_dir", type=Path, default=directory)
    parser.add_argument("--size", type=int, default=768)
    parser.add_argument("--samples", type=int, default=16)
    everyone = range(1, len(shots) + 1)
    parser.add_argument("--only", type=int, nargs="*", default=everyone, help="numbers from 1")
    arguments = parser.parse_args()
    arguments.output_dir.mkdir(parents=True, exist_ok=True)
    for number in arguments.only:
        path = arguments.output_dir / f"{number:02d}.jpg"
        if not path.exists():
            photograph(shots[number - 1], stand, path, arguments.size, arguments.samples)
