"""Pictures for pretraining: renders with their scenes, recoloured in memory, and free photographs."""

import json
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageFilter
from torch import Tensor
from vocabulary import COLOURS, Scene

TINT_ALBEDO = 0.8  # blend.TINT_ALBEDO: the grey under which tinted parts were rendered
FRAMED = 136  # pixels a side, with a little room to move a crop of 128 in
HELD_OUT = 19  # every 19th render is never trained on; shares no factor with the numbers of kinds and places


def to_linear(srgb: np.ndarray) -> np.ndarray:
    """sRGB to linear light, both 0 to 1."""
    return np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)


def to_srgb(linear: np.ndarray) -> np.ndarray:
    """Linear light to sRGB, both 0 to 1."""
    linear = np.clip(linear, 0, 1)
    return np.where(linear <= 0.0031308, linear * 12.92, 1.055 * linear ** (1 / 2.4) - 0.055)


# looked up, not computed: recolouring is what a training step waits for
_LINEAR = to_linear(np.arange(256) / 255.0).astype(np.float32)
_SRGB = (to_srgb(np.linspace(0, 1, 16384)) * 255 + 0.5).astype(np.uint8)


def recolour(rgb: np.ndarray, tint: np.ndarray, colour: Sequence[float]) -> np.ndarray:
    """Gives the tinted parts of a render a colour (linear RGB).

    rgb: (H, W, 3) uint8; tint: (H, W) uint8. Light that is brighter than the grey could reflect is a highlight and
    keeps its own colour. The mask has fewer samples than the denoised picture: half of it is widened by a pixel, or
    dark things would keep a pale rim."""
    widened = np.asarray(Image.fromarray(tint).filter(ImageFilter.MaxFilter(3)), dtype=np.float32)
    light = _LINEAR[rgb]
    highlight = np.clip(light - TINT_ALBEDO, 0, None)
    painted = (light - highlight) * (np.asarray(colour, dtype=np.float32) / TINT_ALBEDO) + highlight
    share = ((tint + widened) / np.float32(510.0))[..., None]
    mixed = share * painted + (1 - share) * light
    return _SRGB[(np.clip(mixed, 0, 1) * (len(_SRGB) - 1) + 0.5).astype(np.int32)]


@dataclass(frozen=True)
class Render:
    """One rendered scene: `rgb` (H, W, 3) uint8 with grey tinted parts, `tint` (H, W) uint8, and what it shows."""

    rgb: np.ndarray
    tint: np.ndarray
    scene: Scene

    def painted(self, colour: str, rng: random.Random) -> np.ndarray:
        """The picture with its thing in that colour, a little lighter or darker each time."""
        r, g, b = COLOURS[colour]
        shade = rng.uniform(0.85, 1.15)
        return recolour(self.rgb, self.tint, (r * shade, g * shade, b * shade))


def framed(render: Render, usual: float) -> Render:
    """Cut out so that the thing is in the middle and as large as usual; `usual` is its kind's usual extent, in pixels.

    Where a thing is, and how large, costs a small model as many pictures to learn as what it looks like."""
    left, top, right, bottom = extent(render.tint)
    whole = render.tint.shape[0]
    side = min(max(0.97 * whole * max(right - left, bottom - top) / usual, 0.7 * whole), whole)
    x = min(max((left + right - side) / 2, 0), whole - side)
    y = min(max((top + bottom - side) / 2, 0), whole - side)

    def cut(picture: np.ndarray) -> np.ndarray:
        box = (x, y, x + side, y + side)
        return np.asarray(Image.fromarray(picture).resize((FRAMED, FRAMED), Image.Resampling.LANCZOS, box))

    return Render(cut(render.rgb), cut(render.tint), render.scene)


def extent(tint: np.ndarray) -> tuple[float, float, float, float]:
    """Left, top, right and bottom of the tinted parts, a stray percent of their pixels left out; else the whole."""
    rows, columns = np.nonzero(tint > 100)
    if len(rows) < 20:
        return 0, 0, *tint.shape[::-1]
    (left, right), (top, bottom) = np.percentile(columns, [1, 99]), np.percentile(rows, [1, 99])
    return float(left), float(top), float(right), float(bottom)


def load_renders(directory: Path, *, held_out: bool | None = None) -> list[Render]:
    """Every finished render, framed, sorted by number; with `held_out` only those kept for, or from, judging."""
    renders: dict[int, Render] = {}
    extents: dict[str, list[float]] = {}
    for path in sorted(directory.glob("*.json")):
        rgb = np.asarray(Image.open(path.with_suffix(".png")).convert("RGB"))
        tint = np.asarray(Image.open(path.with_suffix(".tint.png")).convert("L"))
        render = renders[int(path.stem)] = Render(rgb, tint, Scene(**json.loads(path.read_text())))
        left, top, right, bottom = extent(tint)
        extents.setdefault(render.scene.kind, []).append(max(right - left, bottom - top))
    usual = {kind: float(np.percentile(some, 70)) for kind, some in extents.items()}
    return [
        framed(render, usual[render.scene.kind])
        for number, render in renders.items()
        if held_out is None or (number % HELD_OUT == 0) == held_out
    ]


def load_photographs(
    directories: Sequence[Path], sides: Sequence[int] = (132, 176, 240, 352)
) -> list[np.ndarray]:
    """Every photograph below the directories at several scales (short side `sides`), (H, W, 3) uint8."""
    scaled = []
    paths = sorted(
        p for d in directories for p in d.rglob("*") if p.suffix.lower() in {".jpg", ".jpeg", ".png", ".webp"}
    )
    for path in paths:
        picture = Image.open(path)
        if min(picture.size) < 256 or picture.mode not in {"RGB", "RGBA", "P"}:
            continue
        picture = picture.convert("RGB")
        for side in sides:
            scale = side / min(picture.size)
            size = (round(picture.width * scale), round(picture.height * scale))
            scaled.append(np.asarray(picture.resize(size, Image.Resampling.LANCZOS)))
    return scaled


def crop(picture: np.ndarray, size: int, rng: random.Random) -> np.ndarray:
    """A random square of `size` pixels, mirrored half of the time."""
    top, left = rng.randint(0, picture.shape[0] - size), rng.randint(0, picture.shape[1] - size)
    square = picture[top : top + size, left : left + size]
    return square[:, ::-1] if rng.random() < 0.5 else square


def to_tensor(pictures: Sequence[np.ndarray]) -> Tensor:
    """(B, 3, H, W) float in -1 to 1."""
    stacked = np.stack([np.ascontiguousarray(p) for p in pictures])
    return torch.from_numpy(stacked).permute(0, 3, 1, 2).float() / 127.5 - 1.0
