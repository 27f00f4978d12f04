"""Mend a stored photo, and take it back: drop it, cut a square, put a colour behind it.

A remedy changes the file in the concept's folder, which is what training reads. The photo as it was lies in a hidden
sub-folder, and the file is always made anew from it: remedies do not add up, and each can be taken back.
"""

import os
from dataclasses import replace
from pathlib import Path

from PIL import ImageColor

from trainer import crops
from trainer.errors import PhotoError
from trainer.photos import ORIGINALS, Record, editing, save_png, seen_again
from trainer.pixels import flattened, read
from trainer.verdicts import Seen

DEFAULT_COLOUR = "white"


def drop(directory: Path | str, stored: str) -> None:
    """Take a photo out of the set; `restore` brings it back as it was brought."""
    folder = Path(directory)
    with editing(folder) as record:
        _find(record, folder, stored)
        _keep_original(folder, stored)
        (folder / stored).unlink()


def center_crop(directory: Path | str, stored: str) -> None:
    """Cut the photo to the square in its middle."""
    _add(Path(directory), stored, "center_crop")


def smart_crop(directory: Path | str, stored: str) -> None:
    """Cut the photo to the square around what stands out in it."""
    _add(Path(directory), stored, "smart_crop")


def flatten(directory: Path | str, stored: str, colour: str = DEFAULT_COLOUR) -> None:
    """Put one colour (a name, or #rrggbb) behind a photo that is transparent in parts."""
    try:
        red, green, blue = ImageColor.getrgb(colour)[:3]
    except ValueError as error:
        raise PhotoError("that is no colour: give a name, or #rrggbb") from error
    _add(Path(directory), stored, f"flatten #{red:02x}{green:02x}{blue:02x}")


def restore(directory: Path | str, stored: str) -> None:
    """The photo as it was brought: every remedy taken back, a dropped one in the set again."""
    folder = Path(directory)
    with editing(folder) as record:
        seen = _find(record, folder, stored, dropped_too=True)
        original = folder / ORIGINALS / stored
        if not original.exists():
            return
        if "transparent" not in seen.faults:  # of those the original stays, the one in the set lies on white
            os.replace(original, folder / stored)
        _make(record, folder, seen, ())


def _add(folder: Path, stored: str, remedy: str) -> None:
    with editing(folder) as record:
        seen = _find(record, folder, stored)
        _keep_original(folder, stored)
        kind = _kind(remedy)
        others = tuple(done for done in seen.remedies if _kind(done) != kind)
        _make(record, folder, seen, tuple(sorted((*others, remedy), key=_kind, reverse=True)))


def _kind(remedy: str) -> str:
    """A second crop, or a second colour, takes the place of the first."""
    return "flatten" if remedy.startswith("flatten") else "crop"


def _make(record: Record, folder: Path, seen: Seen, remedies: tuple[str, ...]) -> None:
    """Write the stored file from the original, and look at it again."""
    path = folder / seen.key
    if (folder / ORIGINALS / seen.key).exists():
        photo = read(folder / ORIGINALS / seen.key)
        colour = next((done.split()[1] for done in remedies if done.startswith("flatten")), DEFAULT_COLOUR)
        image = photo.image if photo.cutout is None else flattened(photo.cutout, colour)
        if "center_crop" in remedies:
            image = image.crop(crops.center_square(image))
        if "smart_crop" in remedies:
            image = image.crop(crops.smart_square(image))
        save_png(image, path)
    index = next(index for index, each in enumerate(record.seen) if each.stored == seen.stored)
    record.seen[index] = replace(seen_again(seen, path), remedies=remedies)


def _keep_original(folder: Path, stored: str) -> None:
    original = folder / ORIGINALS / stored
    original.parent.mkdir(exist_ok=True)
    if not original.exists():
        temporary = original.with_name(f".{stored}.tmp")
        temporary.write_bytes((folder / stored).read_bytes())
        os.replace(temporary, original)


def _find(record: Record, folder: Path, stored: str, *, dropped_too: bool = False) -> Seen:
    """The stored photo of that name. Raises PhotoError for any other text, and for one that is not in the set."""
    seen = next((each for each in record.seen if each.stored == stored), None)
    if seen is not None:
        there = (folder / stored).is_file() or (dropped_too and (folder / ORIGINALS / stored).is_file())
        if there:
            return seen
    raise PhotoError("there is no such photo in this concept: load the page again")
