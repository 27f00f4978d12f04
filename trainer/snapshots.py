"""What a page shows of a training: read off events.jsonl, only the new bytes of it, once for all pages."""

import os
import threading
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from trainer import concept, errors

State = Literal["new", "queued", "running", "stopping", "stopped", "finished", "failed", "interrupted"]
LOG_LINES = 200
PHASES = {
    "load": "Loading the base model",
    "class_images": "Making class images",
    "encode": "Reading the photos",
    "build": "Setting up the training",
    "train": "Training",
    "save": "Saving",
    "verify": "Loading the result back, to compare it with the base",
    "leaner": "Out of memory: trying leaner settings",
}


@dataclass(frozen=True)
class Snapshot:
    """One moment of a training. Nothing of it is computed anew while nothing changes."""

    state: State = "new"
    place: int | None = None  # in the queue; 1 is next
    phase: str | None = None  # a key of PHASES
    step: int = 0  # of the phase: optimizer steps, or class images
    total: int | None = None
    eta_seconds: float | None = None  # of the phase, as of its last event
    steps_per_second: float | None = None
    losses: tuple[tuple[int, float], ...] = ()
    memory: int | None = None  # bytes, the most so far
    previews: tuple[tuple[int, Path], ...] = ()
    log: tuple[str, ...] = ()
    message: str = ""  # where it stands and what can be done, for the user
    changes: tuple[str, ...] = ()  # leaner settings tried, a sentence each
    checkpoint: int | None = None  # the step that can be gone on from
    verdict: str = ""  # which checkpoint became the concept, and why, where they were judged

    @property
    def can_go_on(self) -> bool:
        """Whether it ended before its end and left a checkpoint, which needs the very pictures it began with."""
        return self.state in ("stopped", "interrupted", "failed") and self.checkpoint is not None


@dataclass
class Progress:
    """The sum of a folder's events so far."""

    directory: Path
    phase: str | None = None
    step: int = 0
    total: int | None = None
    eta_seconds: float | None = None
    steps_per_second: float | None = None
    memory: int | None = None
    checkpoint: int | None = None
    last: dict[str, Any] | None = None  # of concept.TELLING
    began: tuple[float, int] | None = None  # when the first class image of this phase was there, and which
    losses: list[tuple[int, float]] = field(default_factory=list)
    previews: list[tuple[int, Path]] = field(default_factory=list)
    # of the runs before, until it is known what this one goes on from
    earlier_losses: list[tuple[int, float]] = field(default_factory=list)
    earlier_previews: list[tuple[int, Path]] = field(default_factory=list)
    changes: list[str] = field(default_factory=list)
    log: deque[str] = field(default_factory=lambda: deque(maxlen=LOG_LINES))

    def add(self, event: dict[str, Any]) -> None:
        """Take one event in."""
        if event["event"] in concept.TELLING:
            self.last = event
        match event:
            case {"event": "phase", "phase": "load"}:
                self._begin(event.get("resumed"))
            case {"event": "phase", "phase": "leaner", "message": message}:
                self.phase = "leaner"
                self.changes.append(message)
                self.log.append(f"Out of memory. Trying again: {message}")
            case {"event": "phase", "phase": "train", "step": step, "total": total}:
                self._enter("train", step, total)
                self._go_on_from(step)
            case {"event": "phase", "phase": "class_images", "total": total}:
                self._enter("class_images", event.get("done", 0), total)
                if "done" in event:
                    self._pace(event["time"])
            case {"event": "phase", "phase": "encode" | "build" as phase}:
                self._enter(phase, 0, None)
            case {"event": "phase", "phase": phase}:  # save, verify: the steps stay in view
                self._enter(phase, self.step, self.total)
            case {"event": "step", "step": step, "total": total, "loss": loss, "steps_per_second": rate}:
                self.step, self.total, self.steps_per_second = step, total, rate
                self.memory = event["memory"]
                self.losses.append((step, loss))
                self.eta_seconds = (total - step) / rate
            case {"event": "sample", "step": step, "path": path}:
                self.previews.append((step, self.directory / path))
            case {"event": "checkpoint", "step": step}:
                self.checkpoint = step
                self.log.append(f"Checkpoint at step {step}")
            case {"event": "evaluation", "step": step, "balance": balance}:
                self.log.append(f"Judged at step {step}: balance {balance:.2f}")
            case {"event": "finished", "step": step}:
                self.step, self.eta_seconds = step, None
                self.log.append("Stopped" if event["stopped"] else "Finished")
            case {"event": "error", "message": message}:
                self.eta_seconds = None
                self.log.append(without_paths(self.directory, message))
            case {"event": "log", "message": message}:
                self.log.append(without_paths(self.directory, message))

    def _begin(self, resumed: int | None) -> None:
        self.checkpoint = resumed  # those of a run that this one does not go on from are another's
        if self.phase != "leaner":  # changed settings are shown with the run that they are for
            self.changes = []
        self._enter("load", 0, None)
        self.steps_per_second = self.memory = None
        self.earlier_losses, self.losses = self.earlier_losses + self.losses, []
        self.earlier_previews, self.previews = self.earlier_previews + self.previews, []

    def _go_on_from(self, step: int) -> None:
        """Show again what the runs before had done by `step`; 0 is a fresh start."""
        self.checkpoint = step or None
        self.losses = [told for told in self.earlier_losses if told[0] <= step]
        self.previews = [told for told in self.earlier_previews if told[0] <= step]
        self.earlier_losses, self.earlier_previews = [], []

    def _enter(self, phase: str, step: int, total: int | None) -> None:
        if phase != self.phase:
            self.log.append(PHASES.get(phase, phase))
            self.began = self.eta_seconds = None
        self.phase, self.step, self.total = phase, step, total

    def _pace(self, time: float) -> None:
        """Time left for class images, by when each of this phase was there."""
        if self.began is None or self.total is None:
            self.began = (time, self.step)
        elif self.step > self.began[1]:
            each = (time - self.began[0]) / (self.step - self.began[1])
            self.eta_seconds = (self.total - self.step) * each


class Follower:
    """Reads what a folder's events.jsonl grew by since it last looked."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.file = directory / concept.EVENTS_FILE
        self.turn = threading.Lock()
        self.read, self.inode = 0, 0
        self.progress = Progress(directory)
        self.shown: tuple[Any, Snapshot] | None = None

    def snapshot(self, state: State | None, place: int | None, failure: str | None) -> Snapshot:
        """`state` is what the queue knows, None where nothing runs or waits; `failure` is what could not be written."""
        with self.turn:
            self._read()
            if state is None:
                state = "failed" if failure else concept.status_after(self.directory, self.progress.last)
            key = (self.inode, self.read, state, place, failure)
            if self.shown is None or self.shown[0] != key:
                self.shown = key, _snapshot(self.progress, state, place, failure)
            return self.shown[1]

    def _read(self) -> None:
        try:
            stat = os.stat(self.file)
        except FileNotFoundError:
            stat = None
        if stat is None or stat.st_ino != self.inode or stat.st_size < self.read:
            self.progress, self.read = Progress(self.directory), 0
            self.inode = stat.st_ino if stat else 0
        if stat is None or stat.st_size == self.read:
            return
        with self.file.open("rb") as stream:
            stream.seek(self.read)
            new = stream.read()
        whole = new[: new.rfind(b"\n") + 1]  # a line being written is read when it is whole
        self.read += len(whole)
        for line in whole.splitlines():
            event = concept.parsed(line)
            if event is not None:
                self.progress.add(event)


def failure_text(kind: str, message: str) -> str:
    """What ended a training: an error of ours says what to do; any other is a bug, and is called one."""
    if hasattr(errors, kind):
        return message
    return f"Something went wrong that should not ({kind}: {message})."


def without_paths(directory: Path, text: str) -> str:
    """A message as a page may show it: of the concept's folder its name, and nothing of where it lies."""
    return text.replace(f"{directory}/", "").replace(f"{directory.parent}/", "")


def _snapshot(progress: Progress, state: State, place: int | None, failure: str | None) -> Snapshot:
    return Snapshot(
        state=state,
        place=place,
        phase=progress.phase,
        step=progress.step,
        total=progress.total,
        eta_seconds=progress.eta_seconds if state in ("running", "stopping") else None,
        steps_per_second=progress.steps_per_second,
        losses=tuple(progress.losses),
        memory=progress.memory,
        previews=tuple(progress.previews),
        log=tuple(progress.log),
        message=without_paths(progress.directory, failure or _message(progress, state, place)),
        changes=tuple(progress.changes),
        checkpoint=progress.checkpoint,
        verdict=(progress.last or {}).get("verdict", ""),
    )


def _message(progress: Progress, state: State, place: int | None) -> str:
    last = progress.last or {}
    go_on = "" if progress.checkpoint is None else f" It can go on from step {progress.checkpoint}."
    match state:
        case "queued":
            return f"Waiting for its turn: number {place} in the queue."
        case "running":
            return PHASES.get(progress.phase or "load", "Training") + "."
        case "stopping":
            return "Stopping; what was learnt so far is kept."
        case "stopped" if last.get("published"):
            return f"Stopped at step {progress.step}. What it learnt by then can be used.{go_on}"
        case "stopped":
            return f"Stopped before there was anything to use.{go_on or ' Start it again.'}"
        case "interrupted":
            return f"The app was closed in the middle of this training.{go_on or ' Start it again.'}"
        case "failed":
            return failure_text(last.get("kind", ""), last.get("message", ""))
        case "finished":
            return "Finished: it was loaded back from disk, and differs from the base."
    return ""
