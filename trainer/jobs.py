"""One device, one training at a time, the others in a queue; one background thread.

What was asked and has not begun lies in the concept's folder as job.json; what has begun tells itself in events.jsonl.
So after a kill: a job that waited waits again, in its old place, for nobody has had what they asked for yet. The one
that ran is "interrupted" and waits for its owner: were it started again by itself, a training that takes the machine
down would do so for ever.
"""

import json
import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import lru_cache
from pathlib import Path
from typing import Any

from trainer import concept, workspace
from trainer.config import TrainingConfig, check_instance_data, training_config
from trainer.errors import BusyError, ConceptError, OutOfMemoryError, TrainerError, TrainingError
from trainer.snapshots import Follower, Snapshot, State, failure_text
from trainer.workspace import Workspace

JOB_FILE = "job.json"

logger = logging.getLogger(__name__)


class Jobs:
    """The queue of a workspace. Raises ConceptError where another process has the workspace.

    `make_room` is called before each training, with the device held: let go there of what pictures are made with.
    """

    def __init__(self, root: Path | str, make_room: Callable[[], None] | None = None) -> None:
        self._make_room = make_room
        self.root = Path(root).resolve()
        self._held = ExitStack()
        try:
            self._held.enter_context(concept.lock(self.root))
        except ConceptError:
            raise ConceptError(
                f"{self.root}: another studio is running on this folder; close it, or give this one another"
            ) from None
        Workspace(self.root).sweep()
        self._changed = threading.Condition()  # guards all below
        self._device = threading.Lock()
        self._failures: dict[Path, str] = {}  # also what a full disk would not let be written down
        self._followers: dict[Path, Follower] = {}
        self._queue = self._left_waiting()
        self._current: Path | None = None
        self._stop = threading.Event()
        self._closed = False
        self._thread = threading.Thread(target=self._work, name="training", daemon=True)
        self._thread.start()

    def submit(self, config: TrainingConfig) -> None:
        """Queue a training of the folder `config.output_dir`; nothing where it waits or runs already.

        Raises ConfigError without photos, ConceptError for a folder outside the workspace or one that is stopping,
        TrainingError where the disk will not take the job.
        """
        directory = _resolved(Path(config.output_dir))
        if directory.parent.parent != self.root or not directory.is_dir():
            raise ConceptError(f"{config.output_dir}: no concept of this studio; create it first")
        check_instance_data(config)
        with self._changed:
            if directory == self._current and self._stop.is_set():
                raise ConceptError("It is being stopped; start it again once it has stopped.")
            if directory == self._current or directory in self._queue:
                return
            job = {"submitted": time.time_ns(), "config": config.model_dump(mode="json")}
            try:
                concept.replace_text(directory / JOB_FILE, json.dumps(job, indent=1))
            except OSError as error:
                raise TrainingError(
                    f"The job could not be written down ({error.strerror}); free some space, then start again."
                ) from error
            self._failures.pop(directory, None)
            self._queue.append(directory)
            self._changed.notify_all()

    def resume(self, directory: Path) -> None:
        """Queue the folder again with the settings it ran with last, from its newest checkpoint, or from the start.

        Raises ConceptError where it never began.
        """
        settings = concept.read_run_settings(directory)["config"]
        there = self.snapshot(directory).checkpoint is not None
        own = {"output_dir": str(directory), "resume_from_checkpoint": "latest" if there else None}
        self.submit(training_config(**(settings | own)))

    def stop(self, directory: Path) -> None:
        """Take a waiting job off the queue; have a running one keep what it learnt and end. Else nothing."""
        directory = _resolved(directory)
        with self._changed:
            if directory == self._current:
                self._stop.set()
            elif directory in self._queue:
                self._queue.remove(directory)
                (directory / JOB_FILE).unlink(missing_ok=True)
            self._changed.notify_all()

    def delete(self, directory: Path) -> None:
        """Delete a concept. Raises ConceptError while it waits or runs."""
        directory = _resolved(directory)
        with self._changed:
            if directory == self._current or directory in self._queue:
                raise ConceptError("It is being trained or waits for it; stop it, then delete it.")
            aside = workspace.put_aside(directory)
            self._failures.pop(directory, None)
            self._followers.pop(directory, None)
        concept.remove(aside)

    def snapshot(self, directory: Path) -> Snapshot:
        """Where a concept's training stands. Cheap: the same object for all pages while nothing changes."""
        directory = _resolved(directory)
        with self._changed:
            state, place = self._standing(directory)
            failure = self._failures.get(directory)
            follower = self._followers.setdefault(directory, Follower(directory))
        return follower.snapshot(state, place, failure)

    def wait(self, directory: Path, timeout: float | None = None) -> Snapshot:
        """The snapshot once the folder neither waits nor runs, or after `timeout` seconds."""
        directory = _resolved(directory)
        with self._changed:
            self._changed.wait_for(lambda: self._standing(directory)[0] is None, timeout)
        return self.snapshot(directory)

    def busy(self) -> str | None:
        """Why the device cannot be had just now, None where it can. Says nothing of whose training it is."""
        with self._changed:
            current, waiting = self._current, len(self._queue)
        if current is not None:
            seen = self.snapshot(current)
            how_far = f", step {seen.step} of {seen.total}" if seen.phase == "train" else ""
            left = f", {_duration(seen.eta_seconds)} left" if seen.eta_seconds is not None else ""
            return f"A training has the device{how_far}{left}. Pictures can be made when it is done."
        return "A training is about to begin. Pictures can be made when it is done." if waiting else None

    @contextmanager
    def device(self) -> Iterator[None]:
        """Hold the device for something short: pictures, a measurement. Trainings that come wait for its end.

        Raises BusyError, saying why, where the device is taken; never waits.
        """
        reason = self.busy()
        if reason or not self._device.acquire(blocking=False):
            raise BusyError(reason or "Others are using the device just now; try again in a moment.")
        try:
            yield
        finally:
            self._device.release()

    def close(self) -> None:
        """Have the running training keep what it learnt and end; what waits will wait again next time."""
        with self._changed:
            self._closed = True
            self._stop.set()
            self._changed.notify_all()
        self._thread.join()
        self._held.close()

    def _standing(self, directory: Path) -> tuple[State | None, int | None]:
        """(state, place in the queue), None where it neither runs nor waits."""
        if directory == self._current:
            return ("stopping" if self._stop.is_set() else "running"), None
        if directory in self._queue:
            return "queued", self._queue.index(directory) + 1
        return None, None

    def _left_waiting(self) -> list[Path]:
        """What waited when the app ended, in its old order."""
        found = []
        for file in self.root.glob(f"*/*/{JOB_FILE}"):
            try:
                found.append((int(_read_job(file.parent)["submitted"]), file.parent))
            except (ValueError, KeyError, TypeError):
                self._failures[file.parent] = "What was asked cannot be read any more; start it again."
                file.unlink()
        return [directory for _, directory in sorted(found)]

    def _work(self) -> None:
        """The thread: take the next, train it, until closed."""
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._queue or self._closed)
            with self._device:
                with self._changed:
                    if self._closed:
                        return
                    if not self._queue:  # it was stopped while pictures were made
                        continue
                    directory = self._current = self._queue.pop(0)
                    self._stop.clear()
                failure = self._train(directory)
                with self._changed:
                    if failure is not None:
                        self._failures[directory] = failure
                    self._current = None
                    self._changed.notify_all()

    def _train(self, directory: Path) -> str | None:
        """A whole job; returns what went wrong. Nothing of the training is referenced any more afterwards."""
        from trainer import models  # here, not above: torch takes seconds; looking must not

        try:
            if self._make_room is not None:
                self._make_room()
            Job(directory, self._stop).run()
            failure = None
        except Exception as error:  # the thread must live on for the other jobs
            if not isinstance(error, TrainerError):
                logger.exception("training %s failed", directory)
            failure = failure_text(type(error).__name__, str(error))
        (directory / JOB_FILE).unlink(missing_ok=True)
        models.free()  # the exception held the models until here
        return failure


class Job:
    """One folder's turn: a training, tried again with leaner settings where memory runs out."""

    def __init__(self, directory: Path, stop: threading.Event) -> None:
        self.directory, self.stop = directory, stop
        self.phase = ""
        self.saved = False  # whether this job has written a checkpoint
        self.told = False  # whether events.jsonl says how it ended

    def run(self) -> None:
        """Raises what the last try raised, after events.jsonl says so too."""
        try:
            config: TrainingConfig | None = training_config(**_read_job(self.directory)["config"])
            while config is not None:
                config = self._try(config)
        except Exception as error:
            if not self.told:
                with suppress(OSError):  # a full disk must not hide the error that told of it
                    self._tell({"event": "error", "kind": type(error).__name__, "message": str(error)})
            raise

    def _try(self, config: TrainingConfig) -> TrainingConfig | None:
        """Train; returns the settings to try next where memory ran out, None where it is done."""
        from trainer import ladder, loop, models  # here, as above

        try:
            loop.train(config, self._see, self.stop.is_set)
            return None
        except OutOfMemoryError as error:
            rung = ladder.next_rung(config, self.phase)
            if rung is None or self.stop.is_set():
                raise
            going_on = self.saved or config.resume_from_checkpoint is not None
            if going_on and not rung.resumable():
                self.told = False
                raise OutOfMemoryError(
                    f"{error} What was learnt so far cannot go on with them: go on when there is more memory, or"
                    " start again with leaner settings."
                ) from error
        models.free()  # now that the error, and with it the models, is gone
        self.told = False
        self._tell({"event": "phase", "phase": "leaner", "message": rung.sentence, "changes": rung.changes})
        newest = {"resume_from_checkpoint": "latest"} if self.saved else {}
        return config.model_copy(update=rung.changes | newest)

    def _see(self, event: dict[str, Any]) -> None:
        match event:
            case {"event": "phase", "phase": phase}:
                self.phase = phase
                # begun: the settings are in dreambooth.json
                (self.directory / JOB_FILE).unlink(missing_ok=True)
            case {"event": "checkpoint"}:
                self.saved = True
            case {"event": "error"}:
                self.told = True

    def _tell(self, event: dict[str, Any]) -> None:
        concept.Events(self.directory)(event)


@lru_cache(maxsize=4096)
def _resolved(directory: Path) -> Path:
    """Asked for at each look of each page, and slow: the system is asked about every folder on the way."""
    return Path(directory).resolve()


def _read_job(directory: Path) -> dict[str, Any]:
    job: dict[str, Any] = json.loads((directory / JOB_FILE).read_text(encoding="utf-8"))
    return job


def _duration(seconds: float) -> str:
    return f"about {max(1, round(seconds))} s" if seconds < 90 else f"about {round(seconds / 60)} min"
