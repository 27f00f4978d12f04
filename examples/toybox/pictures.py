"""Pictures for pretraining: renders with their scenes, recoloured in memory, and free photographs."""

import json
import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from looks import DRAW
from PIL import Image, ImageFilter
from torch import Tensor
from vocabulary import COLOURS, Paint, Scene, draw_paint

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


def recolour(rgb: np.ndarray, tint: np.ndarray, colour: np.ndarray) -> np.ndarray:
    """Gives the tinted parts of a render a colour (linear RGB), one for all or one for each pixel.

    rgb: (H, W, 3) uint8; tint: (H, W) uint8. Light that is brighter than the grey could reflect is a highlight and
    keeps its own colour. The mask has fewer samples than the denoised picture: half of it is widened by a pixel, or
    dark things would keep a pale rim."""
    widened = np.asarray(Image.fromarray(tint).filter(ImageFilter.MaxFilter(3)), dtype=np.float32)
    light = _LINEAR[rgb]
    highlight = np.clip(light - TINT_ALBEDO, 0, None)
    painted = (light - highlight) * (colour.astype(np.float32) / TINT_ALBEDO) + highlight
    share = ((tint + widened) / np.float32(510.0))[..., None]
    mixed = share * painted + (1 - share) * light
    return _SRGB[(np.clip(mixed, 0, 1) * (len(_SRGB) - 1) + 0.5).astype(np.int32)]


def shade_of(colour: str, rng: random.Random) -> np.ndarray:
    """Linear RGB, a little lighter or darker each time."""
    return np.array(COLOURS[colour], dtype=np.float32) * np.float32(rng.uniform(0.85, 1.15))


def pattern_over(where: np.ndarray, pattern: str, rng: random.Random) -> np.ndarray:
    """How much of each pixel the pattern's own colour covers, 0 to 1, (H, W); `where` (H, W, 3) is its place on the thing,
    whose longest edge is 1, seen from the front: dots and squares are laid on from there, so that they are round and square.
    """
    across, up = where[..., 0], np.abs(where[..., 2])  # in a mirror the thing stands below itself
    soft = 0.025  # of the edge between both colours
    if pattern == "two-coloured":
        level = rng.uniform(0.3, 0.42)
        over = up - (1 - level) * up.max() if rng.random() < 0.6 else across - rng.uniform(0.05, 0.12)
        return np.clip(over / soft + 0.5, 0, 1)
    period = rng.uniform(0.2, 0.3)
    if pattern == "dotted":
        row = np.floor(up / period)
        x = (across / period + 0.5 * (row % 2)) % 1 - 0.5
        away = np.hypot(x, up / period % 1 - 0.5) * period
        return np.clip((rng.uniform(0.3, 0.36) * period - away) / soft + 0.5, 0, 1)
    if pattern == "checked":
        waves = np.sin(2 * np.pi * across / (1.5 * period)) * np.sin(2 * np.pi * up / (1.5 * period))
        return np.clip((waves - 0.1) / (soft * 8) + 0.5, 0, 1)
    along = rng.choice((up, up, across, (across + up) * 0.71))
    return np.clip((np.sin(2 * np.pi * along / period) - 0.25) / (soft * 2 * np.pi / period) + 0.5, 0, 1)


@dataclass(frozen=True)
class Render:
    """One rendered scene, (H, W) each: `rgb` with grey tinted parts, `tint` and `second`, the shares of the thing's and of the
    second thing's tinted parts, `where` on the thing (blend.picture's pass, None if no pattern can be laid on it), all uint8;
    and what it shows."""

    rgb: np.ndarray
    tint: np.ndarray
    second: np.ndarray
    where: np.ndarray | None
    scene: Scene

    @property
    def things(self) -> np.ndarray:
        """The shares of both things' tinted parts."""
        return np.maximum(self.tint, self.second)

    def draw_paint(self, rng: random.Random) -> Paint:
        """A paint that it can be given."""
        paint = draw_paint(self.scene, rng)
        return paint if self.where is not None else replace(paint, pattern="", other="")

    def painted(self, paint: Paint, rng: random.Random) -> np.ndarray:
        """The picture in that paint, never twice quite the same."""
        colour = shade_of(paint.colour, rng)
        if paint.pattern:
            assert self.where is not None
            share = np.maximum(self.tint, 1)[..., None] / np.float32(255)
            where = np.clip(self.where / np.float32(255) / share, 0, 1) * 2 - 1
            where[self.tint < 100] = 0
            over = pattern_over(where, paint.pattern, rng)[..., None]
            colour = (1 - over) * colour + over * shade_of(paint.other, rng)
        rgb = recolour(self.rgb, self.tint, colour)
        if paint.second_colour:
            rgb = recolour(rgb, self.second, shade_of(paint.second_colour, rng))
        return DRAW[paint.look](rgb, rng) if paint.look in DRAW else rgb


def framed(render: Render, usual: float) -> Render:
    """Cut out so that the thing is in the middle and as large as usual; `usual` is its kind's usual extent, in pixels.

    Where a thing is, and how large, costs a small model as many pictures to learn as what it looks like."""
    left, top, right, bottom = extent(render.things)
    whole = render.tint.shape[0]
    side = min(max(0.97 * whole * max(right - left, bottom - top) / usual, 0.7 * whole), whole)
    x = min(max((left + right - side) / 2, 0), whole - side)
    y = min(max((top + bottom - side) / 2, 0), whole - side)

    def cut(picture: np.ndarray) -> np.ndarray:
        box = (x, y, x + side, y + side)
        return np.asarray(Image.fromarray(picture).resize((FRAMED, FRAMED), Image.Resampling.LANCZOS, box))

    return Render(cut(render.rgb), cut(render.tint), cut(render.second), cut(render.where), render.scene)


def in_order(render: Render) -> Render:
    """Mirrored if need be, so that of two things side by side the one named first is on the left: in whichever order a small
    model gets them it paints two halves of each."""
    if render.scene.relation != "beside" or middle(render.tint) <= middle(render.second):
        return render
    passes = (render.rgb, render.tint, render.second, render.where)
    return Render(*(np.ascontiguousarray(each[:, ::-1]) for each in passes), render.scene)


def exchanged(render: Render) -> Render:
    """The same two things, side by side, with the second called the first and in the mirror, so that it is on the left: what
    is said of one can be said of the other where neither has a finish. Any other render as it is."""
    scene = render.scene
    if scene.relation != "beside" or scene.finish:
        return render
    rgb, tint, second = (
        np.ascontiguousarray(each[:, ::-1]) for each in (render.rgb, render.tint, render.second)
    )
    return Render(rgb, second, tint, None, replace(scene, kind=scene.second, second=scene.kind))


def middle(tint: np.ndarray) -> float:
    """How far to the right the tinted parts are, in pixels; 0 without any."""
    columns = tint.sum(0, dtype=float)
    return float(columns @ np.arange(len(columns)) / max(columns.sum(), 1.0))


def size_class(scene: Scene) -> str:
    """Which scenes are framed alike: those of one kind, and all those of two things."""
    return "two" if scene.second else scene.kind


def extent(tint: np.ndarray) -> tuple[float, float, float, float]:
    """Left, top, right and bottom of the tinted parts, a stray percent of their pixels left out; else the whole."""
    rows, columns = np.nonzero(tint > 100)
    if len(rows) < 20:
        return 0, 0, *tint.shape[::-1]
    (left, right), (top, bottom) = np.percentile(columns, [1, 99]), np.percentile(rows, [1, 99])
    return float(left), float(top), float(right), float(bottom)


def load_renders(directory: Path, *, held_out: bool | None = None) -> list[Render]:
    """Every finished render, framed and in order, sorted by number; with `held_out` only those kept for, or from, judging."""
    renders: dict[int, Render] = {}
    extents: dict[str, list[float]] = {}
    for path in sorted(directory.glob("*.json")):
        rgb, tints, where = (
            np.asarray(Image.open(path.with_suffix(suffix)).convert("RGB"))
            for suffix in (".png", ".tint.png", ".where.png")
        )
        scene = Scene(**json.loads(path.read_text()))
        tint, second = (np.ascontiguousarray(tints[..., channel]) for channel in (0, 1))
        render = renders[int(path.stem)] = Render(rgb, tint, second, where, scene)
        left, top, right, bottom = extent(render.things)
        extents.setdefault(size_class(scene), []).append(max(right - left, bottom - top))
    usual = {name: float(np.percentile(some, 70)) for name, some in extents.items()}
    return [
        in_order(framed(render, usual[size_class(render.scene)]))
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


def crop(picture: np.ndarray, size: int, rng: random.Random, *, mirror: bool = True) -> np.ndarray:
    """A random square of `size` pixels, mirrored half of the time if it may be."""
    top, left = rng.randint(0, picture.shape[0] - size), rng.randint(0, picture.shape[1] - size)
    square = picture[top : top + size, left : left + size]
    return square[:, ::-1] if mirror and rng.random() < 0.5 else square


def to_tensor(pictures: Sequence[np.ndarray]) -> Tensor:
    """(B, 3, H, W) float in -1 to 1."""
    stacked = np.stack([np.ascontiguousarray(p) for p in pictures])
    return torch.from_numpy(stacked).permute(0, 3, 1, 2).float() / 127.5 - 1.0
