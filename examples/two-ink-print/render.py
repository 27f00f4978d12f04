"""Makes the example's ten pictures in one style: `python examples/two-ink-print/render.py`.

Ten different things of the toybox's world, each rendered in a place of its own, then printed as a poster: navy ink for
the darks and the outlines, coral ink for what lies between, cream paper for the lights. Beside each picture is its caption,
for --read_prompts_from_txts. Pictures that exist are kept. Needs `bpy` (Python 3.11), `numpy` and `Pillow`.
"""

import argparse
import random
import sys
from pathlib import Path

import numpy as np
from PIL import Image, ImageFilter, ImageOps

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "toybox"))

import blend  # noqa: E402
from render import compose  # noqa: E402
from vocabulary import Scene  # noqa: E402

NAVY, CORAL, PAPER = (np.array(rgb, np.float32) for rgb in ((27, 38, 79), (240, 98, 77), (250, 240, 214)))
IDENTIFIER = "sks"
SCENES = (  # kind, its article and colour, place and how it is said, light
    ("cat", "a white cat", "white", "wooden floor", "on a wooden floor", "day"),
    ("car", "a yellow car", "yellow", "city", "in the city", "day"),
    ("boat", "a red boat", "red", "water", "floating on water", "day"),
    ("house", "a blue house", "blue", "mountain", "in the mountains", "day"),
    ("mushroom", "a red mushroom", "red", "autumn leaves", "on autumn leaves", "overcast"),
    ("robot", "a grey robot", "grey", "desert", "in the desert", "day"),
    ("vase", "a green vase", "green", "kitchen table", "on a kitchen table", "day"),
    ("teddy bear", "a brown teddy bear", "brown", "snow", "in the snow", "overcast"),
    ("guitar", "an orange guitar", "orange", "beach", "on the beach", "day"),
    ("rocket", "a white rocket", "white", "moon", "on the moon", "night"),
)


def printed(picture: Image.Image, seed: int) -> Image.Image:
    """The picture in two inks on paper: flat tones, their border a halftone, dark outlines, a little grain."""
    side = picture.width
    flat = picture.filter(ImageFilter.MedianFilter(2 * (side // 70) + 1))
    tone = np.asarray(ImageOps.autocontrast(flat.convert("L"), cutoff=2), np.float32) / 255
    y, x = np.mgrid[:side, :side]
    pitch = side / 64  # of the halftone, at 45 degrees
    screen = 0.5 + 0.25 * (
        np.cos(2 * np.pi * (x + y) / (pitch * 1.414)) + np.cos(2 * np.pi * (x - y) / (pitch * 1.414))
    )
    edges = flat.filter(ImageFilter.GaussianBlur(side / 400))
    sobel = [np.gradient(np.asarray(channel, np.float32)) for channel in edges.split()]
    steep = np.sqrt(sum(down**2 + right**2 for down, right in sobel)) * side / 512
    grain = np.random.default_rng(seed).normal(0, 0.01, tone.shape)
    dark = (tone + grain + 0.08 * (screen - 0.5) < 0.3) | (steep > 16)
    middle = tone + grain + 0.1 * (screen - 0.5) < 0.62
    made = np.where(dark[..., None], NAVY, np.where(middle[..., None], CORAL, PAPER))
    return Image.fromarray(made.astype(np.uint8)).filter(ImageFilter.GaussianBlur(side / 1000))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--output_dir", type=Path, default=HERE / "instance_images")
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--samples", type=int, default=12)
    arguments = parser.parse_args()
    arguments.output_dir.mkdir(parents=True, exist_ok=True)
    for number, (kind, named, colour, place, where, light) in enumerate(SCENES, start=1):
        path = arguments.output_dir / f"{number:02d}.jpg"
        if path.exists():
            continue
        compose(Scene(kind, place, light), random.Random(f"{IDENTIFIER} {number}"), colour)
        raw = path.with_suffix(".png")
        blend.picture(raw, size=arguments.size, samples=arguments.samples, seed=number, threads=2)
        path.with_suffix(".txt").write_text(f"a picture of {named} {where} in the {IDENTIFIER} style\n")
        with Image.open(raw) as picture:
            printed(picture.convert("RGB"), number).save(path, quality=92, subsampling=0)
        for made in (raw, *(raw.with_suffix(f".{name}.png") for name in blend.PASSES)):
            made.unlink()


if __name__ == "__main__":
    main()
