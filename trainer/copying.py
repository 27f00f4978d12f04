"""Whether a sample repeats a photo: whether its edges lie where that photo's lie, be it moved, mirrored, closer or farther.

Encoders do not answer this. To one that tells subjects apart a good likeness is as near as a copy, and the better the likeness the
nearer (tests/bench_copying.py has the figures of both).
"""

from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps

Floats = npt.NDArray[np.float32]

# Carlini's own; with these distances all from 0.4 to 0.55 come out alike (tests/bench_copying.py).
COPY = 0.5
ONE = 0.3  # photos that are less apart show the same, and neither is another to the other
STRANGERS = 0.7  # what pictures of different things are apart

_SIDE = 48  # px, the short side on which pictures are compared
_MARGIN = 5  # px at each edge of a sample that are not looked for in a photo: so far may a copy be moved
_SCALES = (
    0.84,
    0.92,
    1,
    1.09,
    1.19,
    1.3,
    1.41,
)  # of a photo: a copy may be seen from farther, or be a part of it
_FAINT = 0.02  # difference of lightness, of 1, over 2 px: fainter edges count less, stronger ones no more


class Originals:
    """The photos that samples might repeat, at least one; RGB, of any size."""

    def __init__(self, photos: Sequence[Image.Image]) -> None:
        self._scenes = [_scenes(photo) for photo in photos]
        among = self.apart(photos)
        self._others = np.minimum(among, among.T) > ONE

    def apart(self, samples: Sequence[Image.Image]) -> Floats:
        """(N, P): 0 where a sample's middle is found again in a photo, 1 where nothing there is like it; 1 - the orientation
        correlation (Fitch et al., BMVC 2002) where it is greatest."""
        return np.array([[_apart(_middle(each), scenes) for scenes in self._scenes] for each in samples])

    def copied(self, samples: Sequence[Image.Image]) -> list[int | None]:
        """For each sample the photo that it repeats, by number, or None: it is less than COPY times as far from that photo as, on
        average, from the others (Carlini et al., arXiv:2301.13188, whose others are the nearest images of the training set)."""
        distances, count = self.apart(samples), self._others.sum(axis=1)
        to_others = np.where(count > 0, distances @ self._others.T / np.maximum(count, 1), STRANGERS)
        beyond = distances - COPY * to_others
        return [int(each.argmin()) if each.min() < 0 else None for each in beyond]


def _middle(sample: Image.Image) -> Floats:
    edges = _edges(ImageOps.fit(sample, (min(sample.size),) * 2), _SIDE)
    return edges[_MARGIN:-_MARGIN, _MARGIN:-_MARGIN]


def _scenes(photo: Image.Image) -> list[Floats]:
    small = ImageOps.cover(photo.convert("L"), (4 * _SIDE, 4 * _SIDE))  # the rest is resized many times
    return [
        _edges(side, round(_SIDE * scale)) for side in (small, ImageOps.mirror(small)) for scale in _SCALES
    ]


def _apart(middle: Floats, scenes: Sequence[Floats]) -> float:
    return 1 - max(float(cv2.matchTemplate(scene, middle, cv2.TM_CCORR_NORMED).max()) for scene in scenes)


def _edges(image: Image.Image, side: int) -> Floats:
    """(height, width, 2), of which the smaller is `side`: the slope of the lightness across and down."""
    scale = (side + 2) / min(image.size)  # 2 px are lost to the differences
    width, height = (round(length * scale) for length in image.size)
    pixels = np.asarray(image.convert("L").resize((width, height)), dtype=np.float32) / 255
    smooth = cv2.GaussianBlur(pixels, (0, 0), 1)
    across, down = smooth[1:-1, 2:] - smooth[1:-1, :-2], smooth[2:, 1:-1] - smooth[:-2, 1:-1]
    slope = np.stack([across, down], axis=-1)
    direction: Floats = slope / (np.linalg.norm(slope, axis=-1, keepdims=True) + _FAINT)
    return direction
