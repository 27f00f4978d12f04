"""What of a concept is passed on: its weights, card, settings and pictures; its photos only when asked for.

Never checkpoints, optimizer states, logs, locks or events, and nothing that tells where things lay on the maker's disk.
"""

import json
import os
import re
import shutil
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePath
from typing import IO, Any

from trainer import card, choice, concept
from trainer.config import training_config
from trainer.errors import ConceptError

WORK = ".share-"  # folders for the time of one upload or zip, inside the concept's: weights are linked, not copied
STALE_SECONDS = 60
# of a pipeline's folders; a pickle is none of them
PASSED_ON = (".safetensors", ".json", ".txt", ".model")
# settings that name a place on a disk
PLACES = (
    "pretrained_model_name_or_path",
    "pretrained_vae_name_or_path",
    "tokenizer_name",
    "instance_data_dir",
    "class_data_dir",
    "output_dir",
    "logging_dir",
)
CHUNK = 1 << 20  # bytes

OnProgress = Callable[[str, int, int], None]  # phase, bytes done, bytes in all
ShouldStop = Callable[[], bool]


@contextmanager
def staged(directory: Path, *, include_photos: bool = False) -> Iterator[Path]:
    """A working folder whose "files" are those to pass on, all but the card; removed at the end.

    A training that publishes new weights meanwhile does not change them. Raises ConceptError where there is nothing
    finished, or a training is writing.
    """
    directory = Path(directory)
    settings = concept.read_settings(directory)
    before = _state(directory)
    sweep(directory)
    with tempfile.TemporaryDirectory(prefix=WORK, dir=directory) as name:
        work = Path(name)
        with concept.lock(work):  # so that nobody sweeps it
            files = work / "files"
            files.mkdir()
            _gather_weights(directory, files)
            _write_json(files / concept.SETTINGS_FILE, _without_places(settings))
            _gather_pictures(directory, files)
            if choice.read(directory):
                _link(directory / choice.FILE, files / choice.FILE)
            if include_photos:
                _gather_photos(settings, files)
            if _state(directory) != before:
                raise ConceptError(
                    f"{directory.name} was trained anew just now; share it once that has finished"
                )
            yield work


def export_zip(
    directory: Path | str,
    target: Path | str | IO[bytes],
    *,
    include_photos: bool = False,
    title: str | None = None,
    subject: card.Subject | None = None,
    on_progress: OnProgress | None = None,
    should_stop: ShouldStop | None = None,
) -> bool:
    """Write the concept as a zip to a path (whole or not at all) or to a stream, which need not be seekable.

    All names in it are under one folder named after the concept. False where `should_stop` ended it early.
    Raises ConceptError where nothing is finished.
    """
    directory = Path(directory)
    name = safe_name(directory.resolve().name)
    with staged(directory, include_photos=include_photos) as work:
        base_card = read_base_card(directory, local_files_only=True)
        card.write(work / "files", name, base_card=base_card, title=title, subject=subject)
        if not isinstance(target, (str, Path)):
            return _write_zip(work / "files", name, target, on_progress, should_stop)
        aside = Path(target).with_name(f".{Path(target).name}.{os.getpid()}.part")
        try:
            with aside.open("wb") as stream:
                done = _write_zip(work / "files", name, stream, on_progress, should_stop)
            if done:
                aside.replace(target)
        finally:
            aside.unlink(missing_ok=True)
    return done


def files_of(folder: Path) -> list[Path]:
    """The files under a folder, the small ones first, so that a card is never what is missing."""
    return sorted(
        (path for path in folder.rglob("*") if path.is_file()),
        key=lambda path: (path.suffix == ".safetensors", path),
    )


def read_base_card(directory: Path, **options: Any) -> str | None:
    """The README.md of a concept's base, from its folder, or from the Hub with `hf_hub_download`'s options; or None."""
    config = training_config(**concept.read_settings(directory)["config"])
    base = config.pretrained_model_name_or_path
    file = Path(base) / card.CARD_FILE
    if not Path(base).is_dir():
        from huggingface_hub import hf_hub_download
        from huggingface_hub.errors import HFValidationError

        try:
            file = Path(hf_hub_download(base, card.CARD_FILE, revision=config.revision, **options))
        except (HFValidationError, OSError):  # the Hub's errors are OSErrors
            return None
    return file.read_text(encoding="utf-8", errors="replace") if file.is_file() else None


def has_current_pictures(directory: Path) -> bool:
    """Whether the card's pictures are there, and of these very weights."""
    grid = directory / card.SHOWCASE / card.GRID_FILE
    return grid.is_file() and grid.stat().st_mtime >= _weights(directory).stat().st_mtime


def version(directory: Path) -> int:
    """Another number for other weights."""
    return _weights(directory).stat().st_mtime_ns


def safe_name(name: str) -> str:
    """A folder's name that every system takes."""
    return re.sub(r"[^A-Za-z0-9_.-]+", "-", name).strip("-.")[:60].strip("-.") or "concept"


def sweep(directory: Path) -> None:
    """Remove the working folders of processes that were killed."""
    for leftover in directory.glob(f"{WORK}*"):
        if time.time() - leftover.stat().st_mtime > STALE_SECONDS and not concept.is_locked(leftover):
            shutil.rmtree(leftover, ignore_errors=True)


def _weights(directory: Path) -> Path:
    """The file that makes the concept loadable, as `concept.publish` moves it in last."""
    lora = directory / concept.LORA_FILE
    return lora if lora.is_file() else directory / concept.PIPELINE_FILE


def _state(directory: Path) -> tuple[int, int]:
    """Another one for other weights."""
    if not concept.has_weights(directory):
        raise ConceptError(f"{directory.name} has nothing finished to share yet; train it to the end first")
    if concept.is_locked(directory):
        raise ConceptError(f"{directory.name} is being trained; share it once that has finished")
    weights = _weights(directory).stat()
    return weights.st_ino, weights.st_mtime_ns


def _gather_weights(directory: Path, files: Path) -> None:
    lora = directory / concept.LORA_FILE
    if lora.is_file():
        _link(lora, files / lora.name)
        return
    sources = [directory / concept.PIPELINE_FILE]
    for part in concept.parts(directory):
        sources += sorted(path for path in (directory / part).rglob("*") if path.suffix in PASSED_ON)
    for source in sources:
        if source.is_symlink() or not source.is_file():
            raise ConceptError(f"{source} is no plain file; save the concept again")
        copy = files / source.relative_to(directory)
        copy.parent.mkdir(parents=True, exist_ok=True)
        if source.suffix == ".json":
            _write_json(copy, _without_origin(json.loads(source.read_text(encoding="utf-8"))))
        else:
            _link(source, copy)


def _link(source: Path, copy: Path) -> None:
    try:
        os.link(source, copy)
    except OSError:  # a file system without links
        shutil.copyfile(source, copy)


def _without_origin(content: Any) -> Any:
    """A model's JSON without the folder it was loaded from, which diffusers and transformers note down."""
    if not isinstance(content, dict):
        return content
    return {
        key: _place(value) if key in ("_name_or_path", "name_or_path") and isinstance(value, str) else value
        for key, value in content.items()
    }


def _without_places(settings: dict[str, Any]) -> dict[str, Any]:
    """dreambooth.json as others may read it: folders by name, except those given relative to the program's own."""
    config = {name: _place(value) if name in PLACES else value for name, value in settings["config"].items()}
    config["resume_from_checkpoint"] = None
    config["concepts_list"] = [
        {name: _place(value) if name in PLACES else value for name, value in each.items()}
        for each in config.get("concepts_list") or ()
    ]
    return settings | {"config": config, "base": _place(settings["base"])}


def _place(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    path = PurePath(value)
    return path.name if path.is_absolute() or ".." in path.parts or value.startswith("~") else value


def _gather_pictures(directory: Path, files: Path) -> None:
    if has_current_pictures(directory):
        (files / card.SHOWCASE).mkdir()
        for picture in sorted((directory / card.SHOWCASE).glob("*.png")):
            _link(picture, files / card.SHOWCASE / picture.name)


def _gather_photos(settings: dict[str, Any], files: Path) -> None:
    """The photos as pixels alone, under our names: what a camera wrote beside them (the place, the owner) stays here."""
    from trainer import photos, pixels  # here, not above: numpy takes a while, and most are shared without

    folder = files / card.PHOTOS
    folder.mkdir()
    paths: list[Path] = []
    for each in training_config(**settings["config"]).concepts:
        paths += photos.list_photos(each.instance_data_dir)
    for index, path in enumerate(paths):
        image = photos.open_photo(path)
        image.thumbnail((pixels.MAX_STORED_SIDE, pixels.MAX_STORED_SIDE))
        image.info.clear()
        image.save(folder / f"{index:03d}.png")


def _write_json(file: Path, content: Any) -> None:
    file.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def _write_zip(
    folder: Path, name: str, stream: IO[bytes], on_progress: OnProgress | None, should_stop: ShouldStop | None
) -> bool:
    """Copy chunk by chunk, uncompressed: weights are as good as random."""
    files = files_of(folder)
    total, done = sum(file.stat().st_size for file in files), 0
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED) as archive:
        for file in files:
            entry = zipfile.ZipInfo.from_file(
                file, f"{name}/{file.relative_to(folder).as_posix()}", strict_timestamps=False
            )
            entry.external_attr = 0o644 << 16
            with file.open("rb") as source, archive.open(entry, "w") as copy:
                while chunk := source.read(CHUNK):
                    if should_stop is not None and should_stop():
                        return False
                    copy.write(chunk)
                    done += len(chunk)
                    if on_progress is not None:
                        on_progress("zip", done, total)
    return True
