"""What may be brought in at once, and photos out of a zip, which is hostile until it was read.

Nothing of a zip is believed: entries are streamed under a byte budget into files that we name, so that no path in it
matters, and the names it gives are only shown. Only stored and deflated entries are read: Python's zipfile unpacks the
other kinds without a bound on memory.
"""

import errno
import lzma
import os
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from io import FileIO
from pathlib import Path

from trainer.errors import PhotoError
from trainer.photos import MAX_CAPTION, Upload
from trainer.pixels import MAX_BYTES, safe_name, suffixes
from trainer.verdicts import Seen

# Everything there is a limit to, plain uploads (one file: pixels.MAX_BYTES) and zips together.
MAX_PHOTOS = 100  # in a concept; a style takes 80, a subject 24
MAX_TOTAL_BYTES = 500_000_000  # of all that is brought at once, unpacked
MAX_ENTRIES = 1000  # in a zip; macOS adds one of its own to each photo
MAX_RATIO = 100  # times an entry may grow; photos hardly grow at all, a bitmap of one colour up to 1000 times
MAX_DIRECTORY_BYTES = 1_000_000  # of a zip's list of contents

_CHUNK = 1 << 16
_SMALL = 1_000_000  # bytes that may have any ratio
_ARCHIVES = (".zip", ".7z", ".rar", ".tar", ".gz", ".tgz", ".bz2", ".xz", ".zst", ".cbz", ".jar")
_DAMAGED = (
    zipfile.BadZipFile, zlib.error, lzma.LZMAError, OSError, EOFError, LookupError, NotImplementedError,
    OverflowError, RuntimeError, ValueError, struct.error,
)  # fmt: skip


@dataclass(frozen=True)
class Brought:
    """What an upload holds: the photos, still to be read, and the entries of zips that were refused, with the reason."""

    photos: tuple[Upload, ...]
    refused: tuple[Seen, ...]


def collect(files: Iterable[Path | str | Upload], directory: Path | str, *, already: int = 0) -> Brought:
    """The photos of an upload, those in zips unpacked into `directory` (temporary, empty, the caller's).

    `already` photos are in the concept. One entry of a zip that cannot be used does not stop the others. Raises
    PhotoError, with nothing left in `directory`, for no files, more photos or bytes than the limits, and a zip that
    is damaged, locked, or a bomb.
    """
    uploads = [file if isinstance(file, Upload) else Upload(Path(file), Path(file).name) for file in files]
    if not uploads:
        raise PhotoError("no photos: bring 5 to 20 of a subject, 10 to 60 of a style, or a zip of them")
    _hold_count(len(uploads), already)
    packed, unpacked = _Budget(MAX_TOTAL_BYTES), _Budget(MAX_TOTAL_BYTES)
    for upload in uploads:
        if os.path.isfile(upload.path):
            packed.spend(upload.path.stat().st_size)
    photos: list[Upload] = []
    refused: list[Seen] = []
    try:
        for upload in uploads:
            if upload.name.lower().endswith(".zip"):
                found = _unpack(upload, Path(directory), unpacked, first=len(photos))
                photos += found.photos
                refused += found.refused
            else:
                photos.append(upload)
            _hold_count(len(photos), already)
    except PhotoError:
        for path in Path(directory).iterdir():
            path.unlink()
        raise
    return Brought(tuple(photos), tuple(refused))


def _hold_count(count: int, already: int) -> None:
    if count + already > MAX_PHOTOS:
        there = f" and {already} already there" if already else ""
        raise PhotoError(
            f"{count} files{there}: a concept takes {MAX_PHOTOS} photos at most: bring the best; "
            "nothing was added"
        )


class _Budget:
    """Bytes that may still be spent."""

    def __init__(self, most: int) -> None:
        self.left = most

    def spend(self, count: int) -> None:
        self.left -= count
        if self.left < 0:
            raise PhotoError(
                f"more than {MAX_TOTAL_BYTES / 1e6:.0f} MB at once: bring fewer photos, or smaller ones; "
                "nothing was added"
            )


class _Careful(FileIO):
    """A zip whose list of contents is not read into memory where it is absurdly long: zipfile asks for it at once."""

    def read(self, size: int | None = -1, /) -> bytes:
        if size is not None and size > MAX_DIRECTORY_BYTES:
            raise PhotoError(_too_many("far more"))
        return super().read(size) or b""


def _too_many(count: object) -> str:
    return f"{count} entries, at most {MAX_ENTRIES}: zip the photos alone"


def _unpack(upload: Upload, directory: Path, budget: _Budget, first: int) -> Brought:
    """Read a zip's entries one by one. Raises PhotoError for the zip as a whole."""
    shown = safe_name(upload.name)
    try:
        with _Careful(upload.path) as stream, zipfile.ZipFile(stream) as archive:
            entries = archive.infolist()
            if len(entries) > MAX_ENTRIES:
                raise PhotoError(_too_many(len(entries)))
            if any(entry.flag_bits & 0x1 for entry in entries):
                raise PhotoError("locked with a password: zip the photos again without one")
            return _read_entries(archive, entries, directory, budget, first)
    except PhotoError as error:
        raise PhotoError(f"{shown}: {error}") from error
    except _DAMAGED as error:
        raise PhotoError(f"{shown}: no zip, or damaged: zip the photos again") from error


def _read_entries(
    archive: zipfile.ZipFile, entries: list[zipfile.ZipInfo], directory: Path, budget: _Budget, first: int
) -> Brought:
    captions = {
        _path(entry).rpartition(".")[0]: entry
        for entry in entries
        if _path(entry).lower().endswith(".txt") and _why_not(entry) is None
    }
    photos: list[Upload] = []
    refused: list[Seen] = []
    for entry in filter(_visible, entries):
        stem, _, ending = _path(entry).rpartition(".")
        target = directory / f"{first + len(photos):04d}.{ending.lower()}"
        reason = _why_not(entry) or _write(archive, entry, target, budget)
        if reason is not None:
            refused.append(Seen(safe_name(entry.filename), refusal=reason))
            continue
        if stem in captions and captions[stem].file_size <= 4 * MAX_CAPTION:
            _write(archive, captions[stem], target.with_suffix(".txt"), budget)
        photos.append(Upload(target, _path(entry).rpartition("/")[2]))
        _hold_count(first + len(photos), 0)
    if not photos and not refused:
        raise PhotoError("no photos in it: zip the photos themselves")
    return Brought(tuple(photos), tuple(refused))


def _path(entry: zipfile.ZipInfo) -> str:
    """Some systems write backslashes."""
    return entry.filename.replace("\\", "/")


def _visible(entry: zipfile.ZipInfo) -> bool:
    """No folder, no caption, and nothing that systems put beside photos."""
    parts = _path(entry).split("/")
    hidden = any(part.startswith(".") and part != ".." for part in parts) or "__MACOSX" in parts
    return not hidden and bool(parts[-1]) and not parts[-1].lower().endswith((".txt", "thumbs.db"))


def _why_not(entry: zipfile.ZipInfo) -> str | None:
    """Why an entry is not read, as far as the zip's own list says."""
    path = _path(entry)
    mode = entry.external_attr >> 16
    if path.startswith("/") or ".." in path.split("/") or path[1:2] == ":":
        return "points outside the zip: not read"
    if stat.S_IFMT(mode) not in (0, stat.S_IFREG, stat.S_IFDIR):
        return "a link, no file: not read"
    if path.lower().endswith(_ARCHIVES):
        return "an archive inside the zip: put the photos in one zip, or bring them one by one"
    if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        return "packed in an unusual way: zip the photos again, the usual way"
    if entry.file_size > MAX_BYTES:
        return f"{entry.file_size / 1e6:.0f} MB, at most {MAX_BYTES / 1e6:.0f}: save it as a JPEG"
    if entry.file_size > _SMALL and entry.file_size > MAX_RATIO * max(entry.compress_size, 1):
        return f"grows {entry.file_size // max(entry.compress_size, 1)} times when unpacked, no photo does: not read"
    if not path.lower().endswith((*suffixes(), ".txt")):
        return "no photo by its name: bring JPEG or PNG files"
    return None


def _write(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, target: Path, budget: _Budget) -> str | None:
    """Stream an entry into `target`; why it could not be, with nothing left of it. Raises PhotoError over budget."""
    try:
        with archive.open(entry) as source, target.open("xb") as file:
            while chunk := source.read(_CHUNK):
                budget.spend(len(chunk))
                file.write(chunk)
    except _DAMAGED as error:
        target.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.errno == errno.ENOSPC:
            raise PhotoError("the disk is full: free some space, then bring it again") from error
        return "damaged in the zip: zip it again"
    return None
