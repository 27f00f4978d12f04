"""Looks other than a photograph's, drawn from one: cartoon, pencil drawing, oil painting. (H, W, 3) uint8 in and out."""

import random
from collections.abc import Callable

import numpy as np
from PIL import Image, ImageEnhance, ImageFilter

GREY = np.array([0.299, 0.587, 0.114], dtype=np.float32)


def _blurred(plane: np.ndarray, radius: float) -> np.ndarray:
    """(H, W) 0 to 1."""
    image = Image.fromarray((plane * 255).astype(np.uint8)).filter(ImageFilter.GaussianBlur(radius))
    return np.asarray(image, dtype=np.float32) / 255


def lines(rgb: np.ndarray, strength: float) -> np.ndarray:
    """How dark a line is drawn at each pixel, 0 to 1, (H, W): difference of Gaussians (Winnemoeller et al. 2012)."""
    found = np.zeros(rgb.shape[:2], dtype=np.float32)
    for plane in (*np.moveaxis(rgb / np.float32(255), 2, 0), rgb @ GREY / 255):
        found = np.maximum(found, _blurred(plane, 2.0) - _blurred(plane, 0.8))
    return np.clip((found * strength - 0.25) * 2, 0, 1)


def painted_flat(rgb: np.ndarray, radius: int) -> np.ndarray:
    """Every pixel takes the mean of whichever of its four neighbouring squares is the most even (Kuwahara et al. 1976)."""
    pixels = rgb.astype(np.float32)
    side = radius + 1
    padded = np.pad(
        np.dstack([pixels, (pixels @ GREY)[..., None] ** 2]), ((radius,) * 2, (radius,) * 2, (0, 0)), "edge"
    )
    sums = np.pad(padded.cumsum(0).cumsum(1), ((1, 0), (1, 0), (0, 0)))
    means = (sums[side:, side:] - sums[:-side, side:] - sums[side:, :-side] + sums[:-side, :-side]) / side**2
    height, width = rgb.shape[:2]
    corners = [means[y : y + height, x : x + width] for y in (0, radius) for x in (0, radius)]
    spread = np.stack([each[..., 3] - (each[..., :3] @ GREY) ** 2 for each in corners])
    best = spread.argmin(0)[None, ..., None]
    return np.take_along_axis(np.stack([each[..., :3] for each in corners]), best, 0)[0]


def cartoon(rgb: np.ndarray, rng: random.Random) -> np.ndarray:
    """Few flat, strong colours with dark outlines."""
    flat = Image.fromarray(painted_flat(rgb, 4).astype(np.uint8))
    flat = ImageEnhance.Brightness(ImageEnhance.Color(flat).enhance(rng.uniform(1.5, 1.9))).enhance(1.15)
    hue, saturation, value = flat.convert("HSV").split()
    levels = rng.choice((4, 5))
    stepped = value.point([min(255, round((v / 255) * levels) * 255 // levels + 8) for v in range(256)])
    colours = np.asarray(Image.merge("HSV", (hue, saturation, stepped)).convert("RGB"), dtype=np.float32)
    ink = lines(rgb, rng.uniform(7, 9))[..., None]
    return (colours * (1 - 0.9 * ink)).astype(np.uint8)


def pencil(rgb: np.ndarray, rng: random.Random) -> np.ndarray:
    """Lines and hatching on paper, faintly coloured, as with colour pencils."""
    height, width = rgb.shape[:2]
    dark = 1 - painted_flat(rgb, 2) @ GREY / 255
    down, across = np.mgrid[:height, :width].astype(np.float32)
    angle, period = rng.uniform(0.6, 1.0), rng.uniform(4.0, 5.0)
    shade = np.zeros_like(dark)
    for turn, from_ in ((angle, 0.3), (angle + 1.4, 0.6)):
        stroke = 0.5 + 0.5 * np.cos(2 * np.pi * (across * np.cos(turn) + down * np.sin(turn)) / period)
        shade += np.clip((dark - from_) * 2, 0, 1) * stroke * 0.5
    ink = np.clip(shade + lines(rgb, rng.uniform(9, 12)), 0, 1)[..., None]
    paper = np.array([rng.uniform(244, 252), 246, rng.uniform(232, 246)], dtype=np.float32)
    hue = painted_flat(rgb, 2)
    crayon = paper * (0.55 + 0.45 * hue / np.maximum(hue.max(2, keepdims=True), 60))
    return (crayon * (1 - 0.7 * ink)).clip(0, 255).astype(np.uint8)


def oil(rgb: np.ndarray, rng: random.Random) -> np.ndarray:
    """Broad strokes of warm, strong colours that stand out of the canvas."""
    flat = painted_flat(painted_flat(rgb, 2).astype(np.uint8), rng.choice((2, 3))).astype(np.uint8)
    strong = ImageEnhance.Color(Image.fromarray(flat)).enhance(rng.uniform(1.4, 1.7))
    strokes = np.random.default_rng(rng.randrange(2**32)).normal(0, 1, rgb.shape[:2]).astype(np.float32)
    angle = rng.uniform(0, np.pi)
    for away in range(1, 5):  # bristles, all one way
        dy, dx = round(away * np.sin(angle)), round(away * np.cos(angle))
        strokes += np.roll(strokes, (dy, dx), (0, 1))
    warm = np.array([1.05, 1.0, 0.9], dtype=np.float32)
    lit = 1 + 0.08 * strokes / strokes.std()
    return (np.asarray(strong, dtype=np.float32) * warm * lit[..., None]).clip(0, 255).astype(np.uint8)


DRAW: dict[str, Callable[[np.ndarray, random.Random], np.ndarray]] = {
    "cartoon": cartoon,
    "pencil drawing": pencil,
    "oil painting": oil,
}
