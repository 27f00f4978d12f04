"""Pictures drawn for tests of photos."""

from pathlib import Path

import numpy as np
from PIL import Image


def scene(seed: int, size: tuple[int, int] = (160, 160)) -> Image.Image:
    """A sharp picture with coarse forms (told apart by the hash) and fine grain, different for every seed."""
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(40, 216, (5, 5, 3), dtype=np.uint8)).resize(
        size, Image.Resampling.BICUBIC
    )
    grain = rng.integers(-40, 40, (size[1], size[0], 1))
    return Image.fromarray((np.asarray(coarse, dtype=np.int16) + grain).clip(0, 255).astype(np.uint8))


def save(path: Path, image: Image.Image, **options: object) -> Path:
    image.save(path, **options)
    return path
