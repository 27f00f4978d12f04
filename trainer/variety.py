"""Hold the photos of a set against one another: the same background, the same view, the same object.

Backgrounds are told apart by the colours along the border, views and objects by SIFT key points (Lowe 2004) whose
matches agree on one shift, turn and scale. Both were tried on 50 photos of nine subjects. Between photos of
different subjects at most 4 key points agreed, between two frames from nearly one place 20 to 370; the median
likeness of borders was 0.25 to 0.6 within eight sets, and 0.75 in the one whose photos were all taken in one spot.
A smooth subject (a rubber duck) has hardly any key points: that nothing was found is then no proof.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from itertools import combinations
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

Floats = npt.NDArray[np.float32]

SAME_OBJECT = 8  # agreeing key points
SAME_VIEW = 20
SAME_BACKGROUND = 0.7  # of 1, how alike two borders are

_SIDE = 384  # px, the long side on which photos are compared
_KEY_POINTS = 400
_BORDER = 0.15  # of each side
_BINS = (8, 16, 16)  # of L, a, b
_RATIO = 0.75  # Lowe 2004, section 7.1, has 0.8
_ERROR = 6.0  # px that a match may lie off the common movement
_VIEW_TURN, _VIEW_SCALE = 15.0, 1.5  # degrees and times by which two photos of one view may differ


@dataclass(frozen=True)
class Features:
    """What photos are compared by."""

    border: Floats  # colours along the border, (bins,), sums to 1
    points: Floats  # (N, 2) px
    descriptors: Floats  # (N, 128), of length 1


@dataclass(frozen=True)
class Agreement:
    """How two photos' key points agree: how many do, and by what turn (degrees) and scale one becomes the other."""

    points: int = 0
    turn: float = 0.0
    scale: float = 1.0

    @property
    def same_view(self) -> bool:
        """Whether both show one thing from one side."""
        near = abs(self.turn) <= _VIEW_TURN and 1 / _VIEW_SCALE <= self.scale <= _VIEW_SCALE
        return self.points >= SAME_VIEW and near


@dataclass(frozen=True)
class Variety:
    """What the photos of a set have in common, by the names they were given."""

    background: float | None  # the median likeness of two borders, 0 to 1; None for fewer than three photos
    same_view: tuple[str, ...]  # photos of which another shows the same view
    same_object: tuple[tuple[str, ...], ...]  # groups of photos that show one object


def _opencv() -> Any:
    """Not at import, where it would cost every command; and untyped, as its stubs lack SIFT."""
    return import_module("cv2")


def features(image: Image.Image) -> Features:
    """What an upright RGB picture is compared by."""
    cv2 = _opencv()
    small = image.copy()
    small.thumbnail((_SIDE, _SIDE))
    pixels = np.asarray(small)
    found, descriptors = cv2.SIFT_create(_KEY_POINTS).detectAndCompute(
        cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY), None
    )
    points = np.array([point.pt for point in found], dtype=np.float32).reshape(-1, 2)
    matrix = np.zeros((0, 128), np.float32) if descriptors is None else np.asarray(descriptors, np.float32)
    matrix = matrix / np.maximum(np.linalg.norm(matrix, axis=1, keepdims=True), 1e-6)
    return Features(_border(cv2.cvtColor(pixels, cv2.COLOR_RGB2LAB)), points, matrix)


def _border(lab: npt.NDArray[np.uint8]) -> Floats:
    height, width = lab.shape[:2]
    down, across = max(1, int(height * _BORDER)), max(1, int(width * _BORDER))
    mask = np.ones((height, width), dtype=bool)
    mask[down:-down, across:-across] = False
    counts, _ = np.histogramdd(lab[mask].astype(np.float32), bins=_BINS, range=((0, 256),) * 3)
    for axis in range(3):  # neighbouring bins are alike: a slightly different light must not separate them
        padded = np.pad(counts, [(1, 1) if axis == other else (0, 0) for other in range(3)])
        parts = [np.take(padded, range(start, start + _BINS[axis]), axis) for start in range(3)]
        counts = (parts[0] + 2 * parts[1] + parts[2]) / 4
    shares: Floats = (counts / counts.sum()).astype(np.float32).ravel()
    return shares


def agreement(one: Features, other: Features) -> Agreement:
    """How many key points agree on one movement between two photos."""
    cv2 = _opencv()
    pairs = _matches(one.descriptors, other.descriptors)
    if len(pairs) < SAME_OBJECT:
        return Agreement()
    cv2.setRNGSeed(0)
    movement, inliers = cv2.estimateAffinePartial2D(
        one.points[pairs[:, 0]], other.points[pairs[:, 1]], ransacReprojThreshold=_ERROR
    )
    if movement is None:
        return Agreement()
    cos, sin = float(movement[0, 0]), float(movement[1, 0])
    return Agreement(
        int(np.count_nonzero(inliers)), float(np.degrees(np.arctan2(sin, cos))), float(np.hypot(cos, sin))
    )


def _matches(one: Floats, other: Floats) -> npt.NDArray[np.int64]:
    """Pairs of rows that are each other's nearest, and clearly nearer than the second: (M, 2)."""
    if min(len(one), len(other)) < 2:
        return np.zeros((0, 2), np.int64)
    distances = np.sqrt(np.maximum(2 - 2 * one @ other.T, 0))  # (N, M), of vectors of length 1
    there, back = distances.argmin(1), distances.argmin(0)
    mutual = np.flatnonzero(back[there] == np.arange(len(one)))
    clear = [
        row for row in mutual if distances[row, there[row]] < _RATIO * np.partition(distances[row], 1)[1]
    ]
    return np.stack([np.array(clear, np.int64), there[clear].astype(np.int64)], axis=1)


def compare(photos: Mapping[str, Features]) -> Variety:
    """What these photos, each under its name, have in common."""
    likeness = [
        float(np.minimum(one.border, other.border).sum()) for one, other in combinations(photos.values(), 2)
    ]
    views: set[str] = set()
    groups = {name: {name} for name in photos}
    for (first, one), (second, other) in combinations(photos.items(), 2):
        found = agreement(one, other)
        if found.same_view:
            views |= {first, second}
        if found.points >= SAME_OBJECT and groups[first] is not groups[second]:
            joined = groups[first] | groups[second]
            groups |= dict.fromkeys(joined, joined)
    same = {id(group): tuple(name for name in photos if name in group) for group in groups.values()}
    return Variety(
        background=float(np.median(likeness)) if len(photos) > 2 else None,
        same_view=tuple(name for name in photos if name in views),
        same_object=tuple(names for names in same.values() if len(names) > 1),
    )
