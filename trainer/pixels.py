"""Decode a stranger's file: its header before its pixels, upright, 8-bit sRGB, on white.

Nothing but the formats named here is ever parsed (Ghostscript never runs), and a name is shown only after `safe_name`.
"""

import os
import struct
import unicodedata
import warnings
import zlib
from dataclasses import dataclass
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image, ImageCms, UnidentifiedImageError

from trainer.errors import PhotoError

MAX_PIXELS = 64_000_000  # phones reach 50 megapixels; each costs 3 bytes decoded and 3 to 16 while converted
MAX_BYTES = 100_000_000
MAX_STORED_SIDE = 2048  # px; twice the resolution of the largest Stable Diffusion

Fault = Literal["animated", "transparent"]

_SUFFIXES = {
    "JPEG": (".jpg", ".jpeg"),
    "PNG": (".png",),
    "WEBP": (".webp",),
    "BMP": (".bmp",),
    "GIF": (".gif",),
    "TIFF": (".tif", ".tiff"),
    "HEIF": (".heic", ".heif"),
    "AVIF": (".avif",),
}
# Elsewhere (a phone's JPEG or HEIC) the further pictures are previews and depth maps, of no interest to anyone.
_FORMATS_WITH_FRAMES = ("GIF", "WEBP", "PNG", "AVIF", "TIFF")
_DEEP_MODES = ("I", "F", "I;16", "I;16L", "I;16B", "I;16N")
_ORIENTATION_TAG, _GPS_TAG = 0x0112, 0x8825
_TURNS = {  # EXIF 2.32, tag 0x0112
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
# What Pillow's decoders raise on damaged files.
_DECODER_ERRORS = (
    OSError, ArithmeticError, AttributeError, EOFError, LookupError, RuntimeError, SyntaxError, TypeError,
    ValueError, struct.error, zlib.error,
)  # fmt: skip
_TOO_LARGE = (
    f"too large, at most {MAX_PIXELS / 1e6:.0f} megapixels: scale it down, {MAX_STORED_SIDE} px are plenty"
)


@dataclass(frozen=True)
class Photo:
    """A decoded file: upright RGB pixels, what to hold against the file, and what is only worth saying."""

    image: Image.Image
    faults: tuple[Fault, ...]
    notes: tuple[str, ...]
    cutout: Image.Image | None = None  # the same in RGBA, where parts are transparent


def open_photo(path: Path | str) -> Image.Image:
    """A photo's pixels, fully decoded: RGB, sRGB, upright by EXIF, transparency on white, the first frame.

    Raises PhotoError, naming the file and the way out, for what is no photo, is damaged, or is too large.
    """
    return read(Path(path)).image


def read(path: Path, name: str | None = None) -> Photo:
    """Decode a file. `name` is what its owner calls it, where that is not the path's own name. Raises PhotoError."""
    name = safe_name(name or path.name)
    if not os.path.isfile(path):  # not Path.is_file, which raises on a name the disk cannot hold
        raise PhotoError(f"{name}: no such file: choose the photo again")
    if (size := path.stat().st_size) > MAX_BYTES:
        raise PhotoError(f"{name}: {size / 1e6:.0f} MB, at most {MAX_BYTES / 1e6:.0f}: save it as a JPEG")
    try:
        with Image.open(path, formats=formats()) as image:
            if image.width * image.height > MAX_PIXELS:  # known from the header: nothing was decoded yet
                raise PhotoError(f"{name}: {image.width} x {image.height} px is {_TOO_LARGE}")
            image.load()
            return _photo(image)
    except UnidentifiedImageError as error:
        known = ", ".join(formats())
        raise PhotoError(
            f"{name}: no photo in a format read here ({known}), or damaged: save it as JPEG or PNG"
        ) from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise PhotoError(f"{name}: {_TOO_LARGE}") from error
    except _DECODER_ERRORS as error:
        raise PhotoError(f"{name}: damaged or cut off: copy or download it again") from error


def safe_name(name: str) -> str:
    """A stranger's file name, fit for a page, a terminal or a log: no markup, no control or direction marks."""
    name = "".join("_" if unicodedata.category(c)[0] in "CZ" and c != " " else c for c in name)
    name = name.translate({ord(c): "_" for c in '<>&"`[]|\\/'} | {ord("'"): "\u2019"})
    return name if len(name) <= 80 else f"{name[:55]}...{name[-22:]}"


def suffixes() -> tuple[str, ...]:
    """How the names of photos end, in lower case."""
    return tuple(suffix for name in formats() for suffix in _SUFFIXES[name])


@cache
def formats() -> tuple[str, ...]:
    """The formats Pillow may try, of those it was built with."""
    from pillow_heif import register_heif_opener  # not at import: it loads libheif

    register_heif_opener()
    Image.init()
    warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # our own, lower limit says it better
    return tuple(name for name in _SUFFIXES if name in Image.OPEN)


def _photo(image: Image.Image) -> Photo:
    faults: list[Fault] = []
    notes = []
    if image.format in _FORMATS_WITH_FRAMES and getattr(image, "is_animated", False):
        faults.append("animated")
    alpha = _alpha(image)
    rgb = _srgb(_eight_bits(image) if image.mode in _DEEP_MODES else image)
    exif = _exif(image)
    turn = _TURNS.get(exif.get(_ORIENTATION_TAG, 1))
    if turn is not None:
        notes.append("turned upright, as its EXIF says")
        rgb = rgb.transpose(turn)
    if _GPS_TAG in exif:
        notes.append("its EXIF says where it was taken: not kept")
    rgb.info.clear()  # the profile is applied and the photo upright: whoever saves it must not say so again
    if alpha is None:
        return Photo(rgb, tuple(faults), tuple(notes))
    cutout = rgb.copy()
    cutout.putalpha(alpha if turn is None else alpha.transpose(turn))
    return Photo(flattened(cutout), (*faults, "transparent"), tuple(notes), cutout)


def flattened(cutout: Image.Image, colour: str = "white") -> Image.Image:
    """RGBA on one colour (a name, or #rrggbb), as RGB."""
    flat = Image.new("RGB", cutout.size, colour)
    flat.paste(cutout.convert("RGB"), mask=cutout.getchannel("A"))
    return flat


def _exif(image: Image.Image) -> Image.Exif:
    try:
        return image.getexif()
    except (SyntaxError, TypeError, ValueError, struct.error):
        return Image.Exif()  # EXIF that cannot be read says nothing, and the pixels are whole


def _alpha(image: Image.Image) -> Image.Image | None:
    """How opaque each pixel is (mode L), or None where all of them are."""
    if image.mode in _DEEP_MODES or not image.has_transparency_data:
        return None
    alpha = image.convert("RGBA").getchannel("A")
    return None if alpha.getextrema() == (255, 255) else alpha


def _eight_bits(image: Image.Image) -> Image.Image:
    """Grey of more than 8 bits, scaled; Pillow's own conversion clips at 255."""
    values = np.nan_to_num(np.asarray(image).astype(np.float32), posinf=0.0, neginf=0.0)
    top = 65535.0
    if not image.mode.startswith("I;16"):  # 32 bits hold any range: take the smallest usual one that fits
        peak = float(values.max())
        top = next((usual for usual in (1.0, 255.0, 65535.0) if peak <= usual), peak)
    return Image.fromarray(np.rint(values.clip(0, top) * (255 / top)).astype(np.uint8))


def _srgb(image: Image.Image) -> Image.Image:
    """RGB by the file's own colour profile, where it has one: phones write Display P3, printers their CMYK."""
    icc = image.info.get("icc_profile")
    if image.mode not in ("RGB", "CMYK", "LAB"):
        image = image.convert("RGB")
    if not icc and image.mode != "LAB":
        return image.convert("RGB")
    try:
        profile = ImageCms.ImageCmsProfile(BytesIO(icc)) if icc else ImageCms.createProfile("LAB")
        if image.mode == "RGB" and "sRGB" in ImageCms.getProfileDescription(profile):
            return image.copy()
        converted = ImageCms.profileToProfile(
            image, profile, ImageCms.createProfile("sRGB"), outputMode="RGB"
        )
    except (OSError, ImageCms.PyCMSError):
        return image.convert("RGB")  # the profile is broken, or for another mode; the pixels are whole
    return converted or image.convert("RGB")
