"""Whether a sample repeats a photo: whether its edges lie where that photo's lie, be it moved, mirrored, closer or farther.

An encoder is no judge of that: it takes copies that are cut, blurred or in other colours for other pictures, and a good likeness for
a copy (tests/bench_copying.py measures both). What edges cannot tell: on an empty ground a small thing is hardly more than its
outline, and another of that size and place passes for it.
"""

from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps

Floats = npt.NDArray[np.float32]

COPY = 0.5  # Carlini's own; with these distances anything from 0.35 to 0.55 finds the same
ONE = 0.3  # photos that are less apart show the same, and neither is another to the other
STRANGERS = 0.7  # what pictures of different things are apart

_SIDE = 48  # px, the short side on which pictures are compared
_MARGIN = 5  # px at each edge of a sample that are not looked for in a photo: so far may a copy be moved
# Of a photo, which a copy may show from farther, or a part of; a twelfth apart, what lies between two is found by either.
_SCALES = (0.84, 0.92, 1, 1.09, 1.19, 1.3, 1.41)
_FAINT = 0.02  # difference of lightness, of 1, over 2 px: fainter edges count less, stronger ones no more


class Originals:
    """The photos that samples might repeat, at least one; RGB, of any size."""

    def __init__(self, photos: Sequence[Image.Image]) -> None:
        self._views = [_views(photo) for photo in photos]
        among = self.apart(photos)
        self._others = np.minimum(among, among.T) > ONE  # (P, P), which photos show something else

    def apart(self, samples: Sequence[Image.Image]) -> Floats:
        """(N, P), N at least 1: 0 where a sample's middle is found again in a photo, 1 where nothing there is like it; 1 less the
        orientation correlation (Fitch et al., BMVC 2002) where it is greatest."""
        middles = [_middle(each) for each in samples]
        distances = [[_apart(middle, views) for views in self._views] for middle in middles]
        return np.array(distances, dtype=np.float32)

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


def _views(photo: Image.Image) -> list[Floats]:
    small = ImageOps.cover(photo.convert("L"), (4 * _SIDE, 4 * _SIDE))  # the rest is resized many times
    return [
        _edges(side, round(_SIDE * scale)) for side in (small, ImageOps.mirror(small)) for scale in _SCALES
    ]


def _apart(middle: Floats, views: Sequence[Floats]) -> float:
    if np.ptp(middle, axis=(0, 1)).max() < 1e-3:  # without an edge; OpenCV would find it everywhere
        return 1.0
    # less the means: a ground that darkens evenly has one direction all over, and is no edge
    alike = max(float(cv2.matchTemplate(view, middle, cv2.TM_CCOEFF_NORMED).max()) for view in views)
    return 1 - max(0.0, alike)


def _edges(image: Image.Image, side: int) -> Floats:
    """(height, width, 2), of which the smaller is `side`: which way the lightness slopes, of length 1, less where it is faint."""
    scale = (side + 2) / min(image.size)  # 2 px are lost to the differences
    width, height = (round(length * scale) for length in image.size)
    pixels = np.asarray(image.convert("L").resize((width, height)), dtype=np.float32) / 255
    smooth = cv2.GaussianBlur(pixels, (0, 0), 1)
    across, down = smooth[1:-1, 2:] - smooth[1:-1, :-2], smooth[2:, 1:-1] - smooth[:-2, 1:-1]
    slope = np.stack([across, down], axis=-1)
    direction: Floats = slope / (np.linalg.norm(slope, axis=-1, keepdims=True) + _FAINT)
    return direction
