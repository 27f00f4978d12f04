"""Measure one upright RGB picture: size, sharpness, light, and the hashes by which near-duplicates are found."""

from dataclasses import dataclass

import imagehash
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFilter, ImageOps

Floats = npt.NDArray[np.float32]

_MEASURED_SIDE = 512  # px, the long side on which light, sharpness and likeness are measured
_TILES = 8
_ANGLES = 8
_BLACK, _WHITE = 5, 250  # grey levels up to and from which nothing can be told apart


@dataclass(frozen=True)
class Measures:
    """What the pixels say. Grey levels are 0 to 255."""

    width: int
    height: int
    sharpness: float  # as `sharpness` measures it
    shadow: float  # the 5th percentile of luminance
    highlight: float  # the 95th
    lost: float  # the share of pixels that are as good as black or white
    hashes: tuple[str, str]  # perceptual hash of the photo and of its mirror image, hexadecimal


def measure(image: Image.Image) -> Measures:
    """All measures of an upright RGB picture; one of a few pixels is measured too."""
    grey = _small_grey(image)
    values = np.asarray(grey)
    shadow, highlight = (float(value) for value in np.percentile(values, [5, 95]))
    lost = float(np.mean((values <= _BLACK) | (values >= _WHITE)))
    hashes = str(imagehash.phash(grey)), str(imagehash.phash(ImageOps.mirror(grey)))
    sharp = round(sharpness(grey), 1) if min(grey.size) > _TILES else 0.0
    return Measures(*image.size, sharp, shadow, highlight, round(lost, 3), hashes)


def sharpness(grey: Image.Image) -> float:
    """How sharp the sharpest part of a grey picture is, in squared grey levels of the contrast-stretched picture.

    The Laplacian's variance in the peak tile of 8 x 8, not in the whole image, so that a sharp subject before a
    blurred background counts as sharp. Of the Laplacian, the second derivative along each of eight directions,
    and the lowest of the eight: a moved camera blurs along one direction and leaves the edges that run along it
    crisp. The slight blur ahead keeps grain from counting as detail.
    """
    stretched = ImageOps.autocontrast(grey, cutoff=1).filter(ImageFilter.GaussianBlur(0.7))
    angles = np.pi * np.arange(_ANGLES) / _ANGLES
    cos, sin = np.cos(angles), np.sin(angles)
    steering = np.stack([cos**2, 2 * cos * sin, sin**2], axis=1)  # (angles, 3)
    peak = np.zeros(_ANGLES)
    for tile in _tiles(_second_derivatives(np.asarray(stretched, dtype=np.float32))):
        covariance = np.cov(tile.reshape(3, -1))
        peak = np.maximum(peak, np.einsum("ai,ij,aj->a", steering, covariance, steering))
    return float(peak.min())


def _second_derivatives(pixels: Floats) -> Floats:
    """d2/dx2, d2/dxdy, d2/dy2 of a (H, W) picture: (3, H - 2, W - 2)."""
    centre = pixels[1:-1, 1:-1]
    xx = pixels[1:-1, :-2] + pixels[1:-1, 2:] - 2 * centre
    yy = pixels[:-2, 1:-1] + pixels[2:, 1:-1] - 2 * centre
    xy = (pixels[:-2, :-2] + pixels[2:, 2:] - pixels[:-2, 2:] - pixels[2:, :-2]) / 4
    return np.stack([xx, xy, yy])


def _tiles(maps: Floats) -> list[Floats]:
    """(3, H, W) -> 8 x 8 tiles of (3, about H / 8, about W / 8)."""
    return [
        tile for row in np.array_split(maps, _TILES, axis=1) for tile in np.array_split(row, _TILES, axis=2)
    ]


def _small_grey(image: Image.Image) -> Image.Image:
    """The long side at most 512 px; small photos are not enlarged, which would read as blur."""
    grey = image.reduce(max(1, max(image.size) // (2 * _MEASURED_SIDE))).convert("L")
    grey.thumbnail((_MEASURED_SIDE, _MEASURED_SIDE), Image.Resampling.LANCZOS)
    return grey
