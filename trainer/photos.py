"""The folder of a concept's photos: bring them in, judge them, keep what was said about them.

The folder is the contract: training takes the photos that lie in it, whoever put them there. report.json beside them
holds what was found and dismissed; what is in it about a file that has changed since is found anew.
"""

import fcntl
import json
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from PIL import Image

from trainer import gate, variety
from trainer.errors import PhotoError
from trainer.gate import Kind, SetReport
from trainer.measures import Measures, measure
from trainer.pixels import MAX_STORED_SIDE, Photo, read, suffixes
from trainer.pixels import open_photo as open_photo
from trainer.pixels import safe_name as safe_name
from trainer.variety import Features, Variety
from trainer.verdicts import PhotoReport, Seen, judge_all
from trainer.words import read_words

MIN_STORED_SIDE = 1024  # px; the short side of a long photo is not made smaller than this
MAX_CAPTION = 10_000  # characters; the text encoder reads some 300
REPORT = "report.json"
ORIGINALS = ".originals"  # photos as they were before a remedy, or before they were dropped
LOCK = ".lock"

OnPhoto = Callable[[int, int], None]  # (done, total)


@dataclass(frozen=True)
class Upload:
    """A file, and what its owner calls it."""

    path: Path
    name: str


@dataclass
class Record:
    """report.json: what was seen of each photo, and the dismissed findings, id to text."""

    seen: list[Seen] = field(default_factory=list)
    dismissed: dict[str, str] = field(default_factory=dict)
    findings: dict[str, str] = field(default_factory=dict)  # those of the last review that can be dismissed


def list_photos(directory: Path | str) -> list[Path]:
    """The image files of a folder by their suffix, sorted by name; hidden files and sub-folders are left alone.

    Raises PhotoError where `directory` is not a folder.
    """
    directory = Path(directory)
    if not directory.is_dir():
        raise PhotoError(f"{directory}: no such folder: name the folder that holds the photos")
    visible = (path for path in directory.iterdir() if not path.name.startswith("."))
    return sorted(path for path in visible if path.name.lower().endswith(suffixes()) and path.is_file())


def check(
    photos: Path | str | Iterable[Path | str],
    resolution: int | None = None,
    kind: Kind = "object",
    *,
    words: bool = False,
    on_photo: OnPhoto | None = None,
) -> SetReport:
    """One verdict per photo of a folder or of a list of files, and one on the set. Each photo is decoded once.

    `resolution` is the training resolution in px, None where it is not known; `words` reads the text in each, which
    takes seconds. Nothing is written. Raises PhotoError only where the folder does not exist; a photo that cannot
    be read has its own verdict.
    """
    paths = list_photos(photos) if isinstance(photos, (str, Path)) else [Path(path) for path in photos]
    seen: list[Seen] = []
    features: dict[str, Features] = {}
    for done, path in enumerate(paths, 1):
        found, photo = _examine(path, path.name)
        same = sum(each.name.partition(" (")[0] == found.name for each in seen)  # from another folder
        found = replace(found, name=f"{found.name} ({same + 1})") if same else found
        if photo is not None:
            features[found.key] = variety.features(photo.image)
            found = replace(found, words=read_words(photo.image) if words else None)
        seen.append(found)
        if on_photo:
            on_photo(done, len(paths))
    reports = judge_all(seen, resolution=resolution)
    variety_found = variety.compare({key: features[key] for key in _compared(reports)})
    return gate.judge_set(reports, kind=kind, resolution=resolution, variety=variety_found)


def import_photos(
    files: Iterable[Path | str | Upload],
    directory: Path | str,
    resolution: int | None = None,
    *,
    refused: Sequence[Seen] = (),
    on_photo: OnPhoto | None = None,
) -> list[PhotoReport]:
    """Store the usable photos as 000.png, 001.png, ... in `directory`; one report per file, in their order.

    Stored are upright sRGB pixels, the long side at most `MAX_STORED_SIDE` px (unless the short side would fall
    under `MIN_STORED_SIDE`), and the caption beside a photo (same name, .txt). A folder that has photos is
    continued. Its report.json holds every report so far, refused photos under their safe names, also those that
    never came to be files (`refused`, of a zip). A file that cannot be used does not stop the others.
    """
    directory = Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    uploads = [file if isinstance(file, Upload) else Upload(Path(file), Path(file).name) for file in files]
    with editing(directory) as record:
        known = len(record.seen)
        for done, upload in enumerate(uploads, 1):
            seen, photo = _examine(upload.path, upload.name)
            usable = photo is not None and judge_all([seen])[0].verdict != "refused"
            if photo is not None and usable:
                stored = _store(upload.path, photo, directory)
                seen = replace(seen, stored=stored, version=_version(directory / stored))
            record.seen.append(seen)
            if on_photo:
                on_photo(done, len(uploads))
        reports = judge_all(record.seen, resolution=resolution, dismissed=record.dismissed)[known:]
        record.seen += refused
        return reports


def review(directory: Path | str, resolution: int | None = None, kind: Kind = "object") -> SetReport:
    """The verdicts on a concept's photos as they lie in `directory` now, dismissals counted, uploads refused beside.

    A photo that somebody else put there, or changed, is looked at (again). Raises PhotoError for a folder that does
    not exist and for a report.json that is none.
    """
    directory = Path(directory)
    with editing(directory) as record:
        stored, dropped, refused = _refresh(directory, record)
        reports = judge_all(stored, resolution=resolution, dismissed=record.dismissed)
        found = gate.judge_set(
            reports,
            kind=kind,
            resolution=resolution,
            variety=_variety(directory, reports),
            dismissed=record.dismissed,
        )
        open_findings = [
            *found.findings,
            *(finding for photo in reports if photo.verdict != "refused" for finding in photo.findings),
        ]
        record.findings = {finding.id: finding.text for finding in open_findings if finding.code != "none"}
        return replace(found, refused_uploads=tuple(judge_all(refused)), dropped=tuple(dropped))


def dismiss(directory: Path | str, finding_id: str) -> None:
    """Say that a warning of the last review is all right. Raises PhotoError for one that there is not."""
    with editing(Path(directory)) as record:
        if finding_id not in record.findings:
            raise PhotoError(
                f"{safe_name(finding_id)}: there is no such warning, or it cannot be dismissed: check again"
            )
        record.dismissed[finding_id] = record.findings[finding_id]


def undismiss(directory: Path | str, finding_id: str) -> None:
    """Let a dismissed warning count again."""
    with editing(Path(directory)) as record:
        record.dismissed.pop(finding_id, None)


def clear_refused(directory: Path | str) -> None:
    """Forget the uploads that were refused."""
    with editing(Path(directory)) as record:
        record.seen = [seen for seen in record.seen if seen.stored is not None]


def check_words(
    directory: Path | str, on_photo: OnPhoto | None = None, should_stop: Callable[[], bool] | None = None
) -> None:
    """Read the text in each stored photo where that was not done; the slow pass, seconds a photo.

    What was read is kept photo by photo. Once `should_stop()` is true, the rest stays "not checked".
    """
    directory = Path(directory)
    with editing(directory) as record:
        stored, _, _ = _refresh(directory, record)
    for done, seen in enumerate(stored, 1):
        if should_stop and should_stop():
            return
        if seen.words is None and seen.measures is not None:
            with suppress(PhotoError):  # dropped meanwhile
                _keep_words(directory, seen, read_words(open_photo(directory / seen.key)))
        if on_photo:
            on_photo(done, len(stored))


def _keep_words(directory: Path, seen: Seen, words: tuple[str, ...]) -> None:
    """Unless the file has changed since it was read, which was done without the lock."""
    with editing(directory) as record:
        for index, current in enumerate(record.seen):
            if (current.stored, current.version) == (seen.stored, seen.version):
                record.seen[index] = replace(current, words=words)


@contextmanager
def editing(directory: Path) -> Iterator[Record]:
    """The folder's record, alone; written back at the end unless something was raised."""
    if not directory.is_dir():
        raise PhotoError(f"{directory}: no such folder: bring photos first")
    with (directory / LOCK).open("a") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        record = _read_record(directory / REPORT)
        before = _as_text(record)
        yield record
        text = _as_text(record)
        if text != before or not (directory / REPORT).exists():
            write(directory / REPORT, lambda temporary: temporary.write_text(text, encoding="utf-8"))


def write(path: Path, write_to: Callable[[Path], object]) -> None:
    """All of the file or nothing: written aside under a hidden name, then renamed."""
    temporary = path.with_name(f".{path.name}.tmp")
    write_to(temporary)
    os.replace(temporary, path)


def save_png(image: Image.Image, path: Path) -> None:
    """A photograph gains nothing from more compression, which takes up to four times as long."""
    write(path, lambda temporary: image.save(temporary, "PNG", compress_level=1))


def seen_again(seen: Seen, path: Path) -> Seen:
    """What was known of a photo, with its changed file measured anew and its text not read yet."""
    found, _ = _examine(path, seen.name)
    return replace(
        seen,
        measures=found.measures,
        refusal=found.refusal,
        words=None,
        version=_version(path),
        stored=path.name,
    )


def _refresh(directory: Path, record: Record) -> tuple[list[Seen], list[Seen], list[Seen]]:
    """Bring the record up to what lies in the folder: what is stored, what was dropped, what was never stored."""
    stored = [_up_to_date(path, record.seen) for path in list_photos(directory)]
    names = {seen.stored for seen in stored}
    originals = directory / ORIGINALS
    dropped = [
        seen
        for seen in record.seen
        if seen.stored and seen.stored not in names and (originals / seen.stored).exists()
    ]
    refused = [seen for seen in record.seen if seen.stored is None]
    record.seen = [*stored, *dropped, *refused]
    return stored, dropped, refused


def _up_to_date(path: Path, known: Sequence[Seen]) -> Seen:
    """What is known of a stored photo, looked at now where it is new or has changed."""
    seen = next((each for each in known if each.stored == path.name), None)
    if seen is None:
        found, _ = _examine(path, path.name)
        return replace(found, stored=path.name, version=_version(path))
    return seen if seen.version == _version(path) else seen_again(seen, path)


def _examine(path: Path, name: str) -> tuple[Seen, Photo | None]:
    """What reading a file found, and the pixels where it could be read."""
    shown = safe_name(name)
    try:
        photo = read(path, name)
    except PhotoError as error:
        return Seen(shown, refusal=str(error).removeprefix(f"{shown}: ")), None
    return Seen(shown, faults=photo.faults, notes=photo.notes, measures=measure(photo.image)), photo


def _compared(reports: Sequence[PhotoReport]) -> list[str]:
    """The keys of the photos that are held against one another: near-duplicates were said already."""
    return [report.key for report in reports if report.verdict != "refused" and report.duplicate_of is None]


def _variety(directory: Path, reports: Sequence[PhotoReport]) -> Variety:
    return variety.compare(
        {key: _features(directory / key, _version(directory / key)) for key in _compared(reports)}
    )


@lru_cache(maxsize=256)
def _features(path: Path, version: tuple[int, int]) -> Features:
    """Kept in memory, 200 KB a photo: a page asks after every click."""
    return variety.features(open_photo(path))


def _version(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_size, status.st_mtime_ns


def _read_record(path: Path) -> Record:
    if not path.exists():
        return Record()
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        seen = [_seen(item) for item in content["photos"]]
        return Record(seen, dict(content.get("dismissed", {})), dict(content.get("findings", {})))
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise PhotoError(f"{path}: not a report of imported photos: delete it and import again") from error


def _seen(item: dict[str, Any]) -> Seen:
    fields: dict[str, Any] = {key: tuple(v) if isinstance(v, list) else v for key, v in item.items()}
    if measures := fields.pop("measures", None):
        fields["measures"] = Measures(**measures | {"hashes": tuple(measures["hashes"])})
    known = {key: value for key, value in fields.items() if key in Seen.__dataclass_fields__}
    return Seen(**known)


def _as_text(record: Record) -> str:
    """With each photo's verdict, for whoever reads the file; the training resolution is not known here."""
    photos = [report.as_dict() for report in judge_all(record.seen, dismissed=record.dismissed)]
    content = {"photos": photos, "findings": record.findings, "dismissed": record.dismissed}
    return json.dumps(content, indent=1, ensure_ascii=False)


def _store(source: Path, photo: Photo, directory: Path) -> str:
    folders = (directory, directory / ORIGINALS)
    taken = [path.stem for folder in folders if folder.is_dir() for path in folder.iterdir()]
    stem = f"{max((int(name) for name in taken if name.isdecimal()), default=-1) + 1:03d}"
    caption = source.with_suffix(".txt")
    if caption.is_file():
        with caption.open(encoding="utf-8-sig", errors="replace") as file:
            text = file.read(MAX_CAPTION).strip()
        write(directory / f"{stem}.txt", lambda temporary: temporary.write_text(text, encoding="utf-8"))
    name = f"{stem}.png"
    if photo.cutout is not None:
        (directory / ORIGINALS).mkdir(exist_ok=True)
        save_png(_shrunk(photo.cutout), directory / ORIGINALS / name)
    save_png(_shrunk(photo.image), directory / name)
    return name


def _shrunk(image: Image.Image) -> Image.Image:
    scale = min(1, max(MAX_STORED_SIDE / max(image.size), MIN_STORED_SIDE / min(image.size)))
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    return image if scale == 1 else image.resize(size, Image.Resampling.LANCZOS)
