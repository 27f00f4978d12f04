"""Bring photos in, upright and safe; one verdict per photo.

A photo comes from a stranger. Its header is read before its pixels, nothing but the formats named here is ever
parsed (Ghostscript never runs), and its name is shown only after `safe_name`.
"""

import json
import os
import struct
import unicodedata
import warnings
import zlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageCms, UnidentifiedImageError

from trainer.errors import PhotoError
from trainer.verdicts import PhotoReport, SetReport, judge, judge_set

MAX_PIXELS = 64_000_000  # phones reach 50 megapixels; each costs 3 bytes decoded and 3 to 16 while converted
MAX_BYTES = 100_000_000
MAX_STORED_SIDE = 2048  # px; twice the resolution of the largest Stable Diffusion
MAX_CAPTION = 10_000  # characters; the text encoder reads some 300
REPORT = "report.json"

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
_ORIENTATION_TAG = 0x0112
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
    faults: tuple[str, ...]
    notes: tuple[str, ...]


def list_photos(directory: Path | str) -> list[Path]:
    """The image files of a folder by their suffix, sorted by name; hidden files and sub-folders are left alone.

    Raises PhotoError where `directory` is not a folder.
    """
    directory = Path(directory)
    if not directory.is_dir():
        raise PhotoError(f"{directory}: no such folder: name the folder that holds the photos")
    suffixes = tuple(suffix for name in _formats() for suffix in _SUFFIXES[name])
    visible = (path for path in directory.iterdir() if not path.name.startswith("."))
    return sorted(path for path in visible if path.name.lower().endswith(suffixes) and path.is_file())


def open_photo(path: Path | str) -> Image.Image:
    """A photo's pixels, fully decoded: RGB, sRGB, upright by EXIF, transparency on white, the first frame.

    Raises PhotoError, naming the file and the way out, for what is no photo, is damaged, or is too large.
    """
    return _read(Path(path)).image


def check(photos: Path | str | Iterable[Path | str], resolution: int | None = None) -> SetReport:
    """One verdict per photo of a folder or of a list of files, and one on the set. Each photo is decoded once.

    `resolution` is the training resolution in px, None where it is not known. Nothing is written. Raises
    PhotoError only where the folder does not exist; a photo that cannot be read has its own verdict.
    """
    paths = list_photos(photos) if isinstance(photos, (str, Path)) else [Path(path) for path in photos]
    reports: list[PhotoReport] = []
    for path in paths:
        reports.append(_examine(path, resolution, reports)[0])
    return judge_set(reports)


def import_photos(
    paths: Iterable[Path | str], directory: Path | str, resolution: int | None = None
) -> list[PhotoReport]:
    """Store the usable photos as 000.png, 001.png, ... in `directory`; one report per path, in their order.

    Stored are upright sRGB pixels, the long side at most `MAX_STORED_SIDE` px, and the caption beside a photo
    (same name, .txt). A folder that has photos is continued. Its report.json holds every report so far, refused
    photos under their safe names. A file that cannot be used does not stop the others.
    """
    directory = Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    reports = _stored_reports(directory)
    known = len(reports)
    for path in map(Path, paths):
        report, image = _examine(path, resolution, reports)
        if image is not None:
            report = replace(report, stored=_store(path, image, directory))
        reports.append(report)
    text = json.dumps({"photos": [report.as_dict() for report in reports]}, indent=1)
    _write(directory / REPORT, lambda temporary: temporary.write_text(text, encoding="utf-8"))
    return reports[known:]


def safe_name(name: str) -> str:
    """A stranger's file name, fit for a page, a terminal or a log: no markup, no control or direction marks."""
    name = "".join("_" if unicodedata.category(c)[0] in "CZ" and c != " " else c for c in name)
    name = name.translate({ord(c): "_" for c in '<>&"`[]|\\/'} | {ord("'"): "\u2019"})
    return name if len(name) <= 80 else f"{name[:55]}...{name[-22:]}"


def _examine(
    path: Path, resolution: int | None, earlier: Sequence[PhotoReport]
) -> tuple[PhotoReport, Image.Image | None]:
    """The verdict, and the pixels where it is not "refused"."""
    name = safe_name(path.name)
    try:
        photo = _read(path)
    except PhotoError as error:
        return PhotoReport(name, "refused", (str(error).removeprefix(f"{name}: "),)), None
    report = judge(
        photo.image, name, faults=photo.faults, notes=photo.notes, resolution=resolution, earlier=earlier
    )
    return report, None if report.verdict == "refused" else photo.image


@cache
def _formats() -> tuple[str, ...]:
    """The formats Pillow may try, of those it was built with."""
    from pillow_heif import register_heif_opener  # not at import: it loads libheif

    register_heif_opener()
    Image.init()
    warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # our own, lower limit says it better
    return tuple(name for name in _SUFFIXES if name in Image.OPEN)


def _read(path: Path) -> Photo:
    name = safe_name(path.name)
    if not os.path.isfile(path):  # not Path.is_file, which raises on a name the disk cannot hold
        raise PhotoError(f"{name}: no such file: choose the photo again")
    if (size := path.stat().st_size) > MAX_BYTES:
        raise PhotoError(f"{name}: {size / 1e6:.0f} MB, at most {MAX_BYTES / 1e6:.0f}: save it as a JPEG")
    try:
        with Image.open(path, formats=_formats()) as image:
            if image.width * image.height > MAX_PIXELS:  # known from the header: nothing was decoded yet
                raise PhotoError(f"{name}: {image.width} x {image.height} px is {_TOO_LARGE}")
            image.load()
            return _photo(image)
    except UnidentifiedImageError as error:
        read = ", ".join(_formats())
        raise PhotoError(
            f"{name}: no photo in a format read here ({read}), or damaged: save it as JPEG or PNG"
        ) from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise PhotoError(f"{name}: {_TOO_LARGE}") from error
    except _DECODER_ERRORS as error:
        raise PhotoError(f"{name}: damaged or cut off: copy or download it again") from error


def _photo(image: Image.Image) -> Photo:
    faults, notes = [], []
    if image.format in _FORMATS_WITH_FRAMES and getattr(image, "is_animated", False):
        faults.append("has several frames, only the first is used: save the best one as a photo of its own")
    alpha = _alpha(image)
    if alpha is not None:
        faults.append(
            "transparent in parts, which become white: put a background behind it if white is wrong"
        )
    rgb = _rgb(image, alpha)
    turn = _turn(image)
    if turn is not None:
        notes.append("turned upright, as its EXIF says")
        rgb = rgb.transpose(turn)
    rgb.info.clear()  # the profile is applied and the photo upright: whoever saves it must not say so again
    return Photo(rgb, tuple(faults), tuple(notes))


def _turn(image: Image.Image) -> Image.Transpose | None:
    try:
        return _TURNS.get(image.getexif().get(_ORIENTATION_TAG, 1))
    except (SyntaxError, TypeError, ValueError, struct.error):
        return None  # EXIF that cannot be read says nothing of orientation, and the pixels are whole


def _alpha(image: Image.Image) -> Image.Image | None:
    """How opaque each pixel is (mode L), or None where all of them are."""
    if image.mode in _DEEP_MODES or not image.has_transparency_data:
        return None
    alpha = image.convert("RGBA").getchannel("A")
    return None if alpha.getextrema() == (255, 255) else alpha


def _rgb(image: Image.Image, alpha: Image.Image | None) -> Image.Image:
    """8-bit sRGB, on white."""
    rgb = _srgb(_eight_bits(image) if image.mode in _DEEP_MODES else image)
    if alpha is None:
        return rgb
    flat = Image.new("RGB", rgb.size, "white")
    flat.paste(rgb, mask=alpha)
    return flat


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


def _stored_reports(directory: Path) -> list[PhotoReport]:
    path = directory / REPORT
    if not path.exists():
        return []
    try:
        return [_report(item) for item in json.loads(path.read_text(encoding="utf-8"))["photos"]]
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise PhotoError(f"{path}: not a report of imported photos: delete it and import again") from error


def _report(item: dict[str, Any]) -> PhotoReport:
    fields: dict[str, Any] = {key: tuple(v) if isinstance(v, list) else v for key, v in item.items()}
    return PhotoReport(**fields)


def _store(source: Path, image: Image.Image, directory: Path) -> str:
    numbers = [int(path.stem) for path in directory.iterdir() if path.stem.isdecimal()]
    stem = f"{max(numbers, default=-1) + 1:03d}"
    caption = source.with_suffix(".txt")
    if caption.is_file():
        with caption.open(encoding="utf-8-sig", errors="replace") as file:
            text = file.read(MAX_CAPTION).strip()
        _write(directory / f"{stem}.txt", lambda temporary: temporary.write_text(text, encoding="utf-8"))
    image.thumbnail((MAX_STORED_SIDE, MAX_STORED_SIDE), Image.Resampling.LANCZOS)
    # A photograph gains nothing from more compression, which takes up to four times as long.
    _write(directory / f"{stem}.png", lambda temporary: image.save(temporary, "PNG", compress_level=1))
    return f"{stem}.png"


def _write(path: Path, write: Callable[[Path], object]) -> None:
    """All of the file or nothing: written aside under a hidden name, then renamed."""
    temporary = path.with_name(f".{path.name}.tmp")
    write(temporary)
    os.replace(temporary, path)
