"""The concept folder: settings, events, status, and how finished weights get into it.

The folder is the state: what is known about a concept is read back from these files, whoever reads, after any kill.
"""

import fcntl
import json
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from typing import Any, Literal

from trainer import choice
from trainer.config import TrainingConfig
from trainer.errors import ConceptError

SETTINGS_FILE = "dreambooth.json"
RUN_FILE = "training.json"  # as SETTINGS_FILE, of a training that has not replaced what is there
EVENTS_FILE = "events.jsonl"
LOCK_FILE = ".lock"
PIPELINE_FILE = "model_index.json"
LORA_FILE = "pytorch_lora_weights.safetensors"
STAGING = ".tmp-finished"
REPLACED = ".tmp-replaced"
PACKAGES = ("torch", "diffusers", "transformers", "accelerate", "peft", "safetensors", "bitsandbytes")

LOCK_TRIES = 10
TELLING = {"finished", "error", "phase"}  # the events that say how far a run came

OnEvent = Callable[[dict[str, Any]], None]
Status = Literal["new", "running", "interrupted", "stopped", "failed", "finished"]


def begin_settings(directory: Path, config: TrainingConfig) -> None:
    """For a training that begins: beside weights of another run its settings wait, for theirs are still told of them."""
    if has_weights(directory):
        write_settings(directory, config, RUN_FILE)
    else:
        write_settings(directory, config)
        (directory / RUN_FILE).unlink(missing_ok=True)


def write_settings(directory: Path, config: TrainingConfig, name: str = SETTINGS_FILE) -> None:
    """Write dreambooth.json: the whole config, what it makes, its subject, and the versions it ran with."""
    directory.mkdir(parents=True, exist_ok=True)
    identifier, class_noun = subject(config)
    settings = {
        "config": config.model_dump(mode="json"),
        "kind": config.method,
        "base": config.pretrained_model_name_or_path,
        "identifier": identifier,
        "class_noun": class_noun,
        "seed": config.seed,
        "versions": versions(),
    }
    replace_text(directory / name, json.dumps(settings, indent=2, ensure_ascii=False) + "\n")


def read_run_settings(directory: Path) -> dict[str, Any]:
    """The settings of the newest training, whether it has published its weights or not. Raises as `read_settings`."""
    return read_settings(directory, RUN_FILE if (directory / RUN_FILE).is_file() else SETTINGS_FILE)


def read_settings(directory: Path, name: str = SETTINGS_FILE) -> dict[str, Any]:
    """What `write_settings` wrote. Raises ConceptError where there is no concept, or its settings are unreadable."""
    file = Path(directory) / name
    if not file.is_file():
        raise ConceptError(f"{directory} is no concept folder: it has no {name}")
    try:
        settings = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ConceptError(f"{file} is not valid JSON: {error}") from error
    if not isinstance(settings, dict) or not {"config", "kind", "base"} <= settings.keys():
        raise ConceptError(f"{file} lacks config, kind or base: it was not written by this trainer")
    return settings


def subject(config: TrainingConfig) -> tuple[str | None, str | None]:
    """(identifier, class noun): what the first instance prompt has over its class prompt, and the end they share.

    ("a photo of sks dog", "a photo of a dog") gives ("sks", "dog"); without a class prompt both are None.
    """
    first = config.concepts[0]
    if not first.class_prompt:
        return None, None
    instance_words, class_words = first.instance_prompt.split(), first.class_prompt.split()
    noun: list[str] = []
    for ours, theirs in zip(reversed(instance_words), reversed(class_words), strict=False):
        if ours != theirs:
            break
        noun.insert(0, ours)
    own = [word for word in instance_words if word not in class_words]
    return " ".join(own) or None, " ".join(noun) or None


def versions() -> dict[str, str]:
    """The installed versions of what the numbers depend on."""
    found = {}
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue  # bitsandbytes is optional
    return found


class Events:
    """Appends events to events.jsonl, with their time, and passes them on.

    A line is written in one call, so a kill can tear only the last one; `read_events` leaves a torn line out.
    """

    def __init__(self, directory: Path, on_event: OnEvent | None = None) -> None:
        self.file = directory / EVENTS_FILE
        self.on_event = on_event
        directory.mkdir(parents=True, exist_ok=True)
        if self.file.exists() and self.file.read_bytes()[-1:] not in (b"", b"\n"):
            self._append(b"\n")

    def __call__(self, event: dict[str, Any]) -> None:
        event = {"event": event["event"], "time": time.time()} | event
        try:
            self._append((json.dumps(event, ensure_ascii=False) + "\n").encode())
        finally:  # told even where the disk is full
            if self.on_event is not None:
                self.on_event(event)

    def _append(self, line: bytes) -> None:
        with self.file.open("ab", buffering=0) as stream:
            stream.write(line)


def read_events(directory: Path) -> list[dict[str, Any]]:
    """All whole events, oldest first."""
    file = Path(directory) / EVENTS_FILE
    if not file.exists():
        return []
    return [event for line in file.read_bytes().splitlines() if (event := parsed(line)) is not None]


def parsed(line: bytes) -> dict[str, Any] | None:
    try:
        event = json.loads(line)
    except ValueError:  # torn by a kill
        return None
    return event if isinstance(event, dict) else None


@contextmanager
def lock(directory: Path) -> Iterator[None]:
    """Hold the folder for one training. The system lets go of it when the process ends, however it ends.

    Raises ConceptError where another process trains into it.
    """
    directory.mkdir(parents=True, exist_ok=True)
    with (directory / LOCK_FILE).open("a") as stream:
        for attempt in range(LOCK_TRIES):
            try:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError as error:
                if attempt == LOCK_TRIES - 1:
                    raise ConceptError(
                        f"{directory}: another training is writing here; wait, or use another output_dir"
                    ) from error
                time.sleep(0.05)  # `is_locked` holds the file too, for an instant
        yield


def is_locked(directory: Path) -> bool:
    """Whether a process is training into this folder now."""
    file = Path(directory) / LOCK_FILE
    if not file.exists():
        return False
    with file.open("a") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def has_weights(directory: Path) -> bool:
    """Whether something finished can be loaded from the folder: a pipeline or a LoRA."""
    return any((Path(directory) / name).is_file() for name in (PIPELINE_FILE, LORA_FILE))


def status(directory: Path) -> Status:
    """Read off the files: the lock, the weights, the last event that tells how a run ended."""
    if is_locked(directory):
        return "running"
    return status_after(
        directory,
        next((event for event in reversed(read_events(directory)) if event["event"] in TELLING), None),
    )


def status_after(directory: Path, last: dict[str, Any] | None) -> Status:
    """What a folder that nobody trains is, by the last of its events that is in TELLING."""
    if last is None:
        return "finished" if has_weights(directory) else "new"
    if last["event"] == "phase":
        return "interrupted"
    if last["event"] == "error":
        return "failed"
    return "stopped" if last.get("stopped") else "finished"


def list_concepts(root: Path) -> list[Path]:
    """The concept folders directly under `root`, sorted by name."""
    return sorted(file.parent for file in Path(root).glob(f"*/{SETTINGS_FILE}"))


def publish(staged: Path, directory: Path) -> None:
    """Move a finished, verified folder's entries into `directory`, the one that makes it loadable last; a report goes with
    the weights that it is of.

    What they replace loses that entry first: whenever this is cut short, `directory` holds the old whole, the new
    whole, or nothing loadable, and never a mixture. `staged` must lie on the same file system, and is removed.
    """
    replaced = directory / REPLACED
    remove(replaced)
    replaced.mkdir()
    for name in [PIPELINE_FILE, LORA_FILE, *parts(directory), choice.FILE, choice.IMAGES]:
        if (directory / name).exists():
            (directory / name).rename(replaced / name)
    sync_directory(directory)
    names = sorted(
        (entry.name for entry in staged.iterdir()),
        key=lambda name: (name in (PIPELINE_FILE, LORA_FILE), name),
    )
    for name in names:
        if (directory / name).is_dir():
            (directory / name).rename(replaced / name)
        (staged / name).replace(directory / name)
    (directory / RUN_FILE).unlink(missing_ok=True)
    remove(directory / choice.WAITING)
    sync_directory(directory)
    remove(replaced)
    remove(staged)


def parts(directory: Path) -> list[str]:
    """The folders of a pipeline that is there, as its model_index.json names them."""
    file = directory / PIPELINE_FILE
    index = json.loads(file.read_text()) if file.is_file() else {}
    return [name for name, value in index.items() if isinstance(value, list) and (directory / name).is_dir()]


def sync_tree(directory: Path) -> None:
    """Force every file and folder under `directory` to the disk."""
    for folder, _, names in os.walk(directory):
        for name in names:
            with open(os.path.join(folder, name), "rb") as stream:
                os.fsync(stream.fileno())
        sync_directory(Path(folder))


def sync_directory(directory: Path) -> None:
    """Force a folder's own entries (renames in it) to the disk."""
    handle = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def replace_text(file: Path, text: str) -> None:
    """Write a small file so that a kill leaves the old one or the new one, whole."""
    aside = file.with_name(f".tmp-{file.name}")
    with aside.open("w", encoding="utf-8") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())
    aside.replace(file)
    sync_directory(file.parent)


def remove(path: Path) -> None:
    """Delete a folder with all in it, if it is there."""
    if path.exists():
        shutil.rmtree(path)
