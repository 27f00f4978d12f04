"""Judge photos: an upright RGB picture in, a verdict with reasons and remedies out. Pure, no files.

The thresholds were set on 42 real photos of toys, pets and things (all in focus, some with a shallow depth of
field or in dim light) and on blurred, darkened, cropped and mirrored versions of them.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import imagehash
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFilter, ImageOps

Verdict = Literal["ok", "warning", "refused"]
Floats = npt.NDArray[np.float32]

FEWEST, MOST = 3, 20  # photos to bring
MANY = 24  # more photos than this is said
MIN_SIDE = 64  # px: below it there is nothing to learn from, whatever the resolution
WARN_RATIO, MAX_RATIO = 3.0, 8.0  # long side over short side

# As `sharpness` measures it. Sharp photos: 50 and more, median 250. Blurred by a Gaussian of 0.4 % of the side:
# 24 and less. Moved by 2 % of the side: median 12, 40 at most.
MIN_SHARPNESS = 30.0
MIN_HIGHLIGHT = 60.0  # the 95th percentile of luminance; real photos: 107 and more
MAX_SHADOW = 215.0  # the 5th percentile; real photos: 173 and less
MAX_HASH_DISTANCE = 6  # of 64 bits; different photos of one thing are 16 and more apart

_MEASURED_SIDE = 512  # px, the long side on which light, sharpness and likeness are measured
_TILES = 8
_ANGLES = 8


@dataclass(frozen=True)
class PhotoReport:
    """One photo's verdict. `reasons` are why it is not "ok", each with its remedy; `notes` are only said."""

    name: str  # the user's own file name, made safe to show
    verdict: Verdict
    reasons: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    width: int | None = None  # px, upright, as brought; None when the file could not be read
    height: int | None = None
    sharpness: float | None = None  # as `sharpness` measures it; None for a refused photo
    duplicate_of: str | None = None  # the earlier photo's name
    hashes: tuple[str, ...] = ()  # perceptual hash of the photo and of its mirror image, hexadecimal
    stored: str | None = None  # our file name, once imported

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


@dataclass(frozen=True)
class SetReport:
    """The verdict on all photos together: refused without a usable one, a warning where anything needs a look."""

    verdict: Verdict
    reasons: tuple[str, ...]
    notes: tuple[str, ...]
    distinct: int  # usable photos, near-duplicates counted once
    photos: tuple[PhotoReport, ...]

    def as_dict(self) -> dict[str, Any]:
        """For JSON, photos included."""
        return asdict(self)


def judge(
    image: Image.Image,
    name: str,
    *,
    faults: Sequence[str] = (),
    notes: Sequence[str] = (),
    resolution: int | None = None,
    earlier: Sequence[PhotoReport] = (),
) -> PhotoReport:
    """The verdict on one upright RGB `image`.

    `faults` and `notes` are what the reader of the file found already; `resolution` is the training resolution
    in px, None where it is not known; `earlier` are the reports among which near-duplicates are looked for.
    """
    width, height = image.size
    if refusals := _refusals(width, height):
        return PhotoReport(name, "refused", refusals, tuple(notes), width, height)
    grey = _small_grey(image)
    sharp = round(sharpness(grey), 1)
    hashes = _hashes(grey)
    twin = next((report.name for report in earlier if _alike(hashes, report.hashes)), None)
    reasons = [*faults, *_shape(width, height, resolution), *_light(grey)]
    if sharp < MIN_SHARPNESS:
        reasons.append("looks blurred or out of focus: bring a sharper one, the concept learns the blur too")
    if twin is not None:
        reasons.append(f"nearly the same picture as {twin}: keep one of the two, and bring another view")
    verdict: Verdict = "warning" if reasons else "ok"
    return PhotoReport(name, verdict, tuple(reasons), tuple(notes), width, height, sharp, twin, hashes)


def judge_set(photos: Sequence[PhotoReport]) -> SetReport:
    """The verdict on the set; refused photos do not count, near-duplicates count once."""
    usable = [photo for photo in photos if photo.verdict != "refused"]
    distinct = sum(photo.duplicate_of is None for photo in usable)
    flagged = sum(photo.verdict != "ok" for photo in photos)
    notes = [f"{flagged} of {len(photos)} photos need a look"] if flagged else []
    if len(usable) > MANY:
        notes.append(f"{len(usable)} photos: fine, though {FEWEST} to {MOST} good ones are enough and faster")
    if not usable:
        lead = "no photo here can be used" if photos else "no photos"
        return SetReport("refused", (f"{lead}: bring {FEWEST} to {MOST}",), tuple(notes), 0, tuple(photos))
    reasons = []
    if distinct < FEWEST:
        reasons.append(
            f"only {distinct} distinct photo{'s' if distinct > 1 else ''}: bring {FEWEST} to {MOST}, from different "
            "sides and in different places, or the concept repeats the photo itself"
        )
    verdict: Verdict = "warning" if reasons or flagged else "ok"
    return SetReport(verdict, tuple(reasons), tuple(notes), distinct, tuple(photos))


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


def _refusals(width: int, height: int) -> tuple[str, ...]:
    reasons = []
    if min(width, height) < MIN_SIDE:
        reasons.append(f"too small: {width} x {height} px, each side needs {MIN_SIDE} px: bring a larger one")
    if max(width, height) > MAX_RATIO * min(width, height):
        reasons.append(
            f"extreme shape: {width} x {height} px, at most {MAX_RATIO:g} times as long as wide can be used: "
            "crop it to the subject, near a square"
        )
    return tuple(reasons)


def _shape(width: int, height: int, resolution: int | None) -> list[str]:
    short, long = sorted((width, height))
    reasons = []
    if resolution is not None and short < resolution:
        reasons.append(
            f"small: {width} x {height} px, enlarged to the resolution of {resolution} px it becomes soft: "
            "bring a larger one, or train at a lower resolution"
        )
    if long > WARN_RATIO * short:
        sides = "left and right" if width > height else "top and bottom"
        reasons.append(
            f"extreme shape: {width} x {height} px, a square of it leaves out {1 - short / long:.0%} ({sides}): "
            "crop it to the subject"
        )
    return reasons


def _light(grey: Image.Image) -> list[str]:
    shadow, highlight = np.percentile(np.asarray(grey), [5, 95])
    if highlight < MIN_HIGHLIGHT:
        return ["too dark: bring one taken in better light, or brighten it"]
    if shadow > MAX_SHADOW:
        return [
            "too bright, nearly all of it white: bring one that is less exposed, or nearer to the subject"
        ]
    return []


def _hashes(grey: Image.Image) -> tuple[str, ...]:
    return tuple(str(imagehash.phash(picture)) for picture in (grey, ImageOps.mirror(grey)))


def _alike(hashes: Sequence[str], others: Sequence[str]) -> bool:
    """Whether a photo is nearly the same picture as another, or as the other's mirror image."""
    return any((int(hashes[0], 16) ^ int(other, 16)).bit_count() <= MAX_HASH_DISTANCE for other in others)
