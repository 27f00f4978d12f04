"""Push a finished concept to the Hub: private unless asked otherwise, in one commit, checked by loading it back.

The one door to the Hub for the app and the command line. The token is handed on through a pipe and kept nowhere.
"""

import json
import os
import queue
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trainer import bundle, concept
from trainer.card import Subject
from trainer.errors import HubError, RepositoryExistsError, TrainerError

ENDPOINT = "https://huggingface.co"
RECORD = "hub.json"  # in the concept's folder: where it was pushed to, and the commit that left
STALL_SECONDS = 120  # without a byte; a commit of many files takes the Hub half a minute
DEADLINE_SECONDS = 2 * 60 * 60
LOOK_SECONDS = 0.2  # how soon a stop is seen
ROOT = Path(__file__).parent.parent

OnProgress = Callable[
    [str, int, int], None
]  # phase (login, upload, check, wait, load), bytes done, bytes in all
ShouldStop = Callable[[], bool]


@dataclass(frozen=True)
class Pushed:
    """Where the concept is now."""

    repo_id: str
    url: str
    commit: str
    private: bool


def push(
    directory: Path | str,
    repo_id: str,
    token: str,
    *,
    private: bool = True,
    include_photos: bool = False,
    overwrite: bool = False,
    title: str | None = None,
    subject: Subject | None = None,
    endpoint: str | None = None,
    stall_seconds: float = STALL_SECONDS,
    deadline_seconds: float = DEADLINE_SECONDS,
    on_progress: OnProgress | None = None,
    should_stop: ShouldStop | None = None,
) -> Pushed:
    """Upload a finished concept as the model repository `repo_id`, and load it back from there.

    The repository is made where it is not there; it changes in one commit or not at all. After a failure the same call
    goes on: what has arrived is not sent again. Pictures made by `showcase.paint` come into the card.
    Raises RepositoryExistsError where something else is in the repository (ask, then `overwrite`), HubError with its
    `cause` for all else that goes wrong, ConceptError where there is nothing finished.
    """
    directory = Path(directory)
    to = _destination(repo_id, token, endpoint)
    url = f"{to['endpoint']}/{repo_id}"
    tell = on_progress or (lambda phase, done, total: None)
    with bundle.staged(directory, include_photos=include_photos) as work:
        asked = to | {
            "directory": str(directory),
            "files": str(work / "files"),
            "back": str(work / "back"),
            "private": private,
            "overwrite": overwrite,
            "known": _record(directory).get(url),
            "title": title,
            "subject": subject,
        }
        watch = _Watch(stall_seconds, deadline_seconds, should_stop or (lambda: False), tell)
        commit = _upload(asked, work, watch, lambda commit: _note(directory, url, commit))
        tell("load", 0, 0)
        _load_back(directory, work / "back")
    return Pushed(repo_id, url, commit, private)


def check_login(
    repo_id: str,
    token: str,
    *,
    endpoint: str | None = None,
    stall_seconds: float = STALL_SECONDS,
    deadline_seconds: float = DEADLINE_SECONDS,
    should_stop: ShouldStop | None = None,
) -> None:
    """Raises HubError where this token may not push to `repo_id`'s namespace, before anything is made for the push."""
    watch = _Watch(
        stall_seconds, deadline_seconds, should_stop or (lambda: False), lambda phase, done, total: None
    )
    with tempfile.TemporaryDirectory() as work:
        _upload(_destination(repo_id, token, endpoint), Path(work), watch, lambda commit: None)


def _destination(repo_id: str, token: str, endpoint: str | None) -> dict[str, Any]:
    check_repo_id(repo_id)
    token = checked_token(token)
    if os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE"):
        raise HubError("offline", "HF_HUB_OFFLINE is set, so nothing is uploaded. Unset it and push again.")
    endpoint = (endpoint or os.environ.get("HF_ENDPOINT") or ENDPOINT).rstrip("/")
    return {"repo_id": repo_id, "token": token, "endpoint": endpoint}


def check_repo_id(repo_id: str) -> None:
    """Raises HubError unless it is namespace/name as the Hub takes it."""
    part = r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,94}[A-Za-z0-9_])?"
    fits = re.fullmatch(f"{part}/{part}", repo_id)
    if not fits or len(repo_id) > 96 or "--" in repo_id or ".." in repo_id or repo_id.endswith(".git"):
        shown = repo_id if len(repo_id) <= 60 else repo_id[:60] + "..."
        raise HubError(
            "name",
            f"{shown!r} is no name for a repository. It takes your name on the Hub, a slash and a name of letters,"
            " digits, dots and dashes, as in my-name/teddy-bear.",
        )


def checked_token(token: str) -> str:
    """The token without the space around it. Raises HubError, which does not show it, where it cannot be one."""
    token = token.strip()
    if not token:
        raise HubError(
            "token", "Pushing needs a token with write access, from huggingface.co/settings/tokens."
        )
    if not re.fullmatch(r"[A-Za-z0-9._~+/=:-]{4,8192}", token):
        raise HubError(
            "token", "This is no token of the Hub: one is of letters, digits and underscores, as in hf_..."
        )
    return token


@dataclass
class _Watch:
    """When an upload is to be ended."""

    stall_seconds: float
    deadline_seconds: float
    should_stop: ShouldStop
    on_progress: OnProgress

    def __post_init__(self) -> None:
        self.started = time.monotonic()
        self.moved: float | None = None  # when the last line came; starting up is no silence of the Hub's
        self.sent, self.total, self.committed = 0, 0, False

    def note(self, line: dict[str, Any]) -> None:
        self.moved = time.monotonic()
        if "commit" in line:
            self.committed = True
        if "phase" in line:
            if line["phase"] == "upload":
                self.sent, self.total = line["done"], line["total"]
            self.on_progress(line["phase"], line["done"], line["total"])

    def check(self) -> None:
        """Raises HubError where it is to end now."""
        now = time.monotonic()
        state = "It is on the Hub, but was not checked; push again to check it."
        if not self.committed:
            state = "Nothing of it shows on the Hub. Push again: what has arrived is not sent twice."
        if self.should_stop():
            raise HubError("stopped", f"The push was stopped. {state}")
        sent = f"after {self.sent / 1e6:,.1f} of {self.total / 1e6:,.1f} MB" if self.total else "at the start"
        if self.moved is not None and now - self.moved > self.stall_seconds:
            raise HubError(
                "stalled", f"The Hub has been silent for {self.stall_seconds:.0f} s, {sent}. {state}"
            )
        if now - self.started > self.deadline_seconds:
            limit = f"{self.deadline_seconds / 60:.0f} minutes"
            raise HubError("deadline", f"The push was not done within {limit}, {sent}. {state}")


def _upload(asked: dict[str, Any], work: Path, watch: _Watch, on_commit: Callable[[str], None]) -> str:
    """Let trainer.uploader do what is asked, under watch; the commit it made."""
    commit = ""
    with (work / "log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "trainer.uploader"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            env=_environment(asked["endpoint"], work, watch.stall_seconds),
            text=True,
            encoding="utf-8",
            start_new_session=True,  # Ctrl-C is for this process, which then ends that one
        )
    assert process.stdin is not None and process.stdout is not None
    try:
        process.stdin.write(json.dumps(asked) + "\n")
        process.stdin.flush()  # and left open: its end tells the process that nobody waits any more
        lines = _lines(process.stdout)
        while (line := _next(lines, watch)) is not None:
            if "cause" in line:
                kind = RepositoryExistsError if line["cause"] == "exists" else HubError
                raise kind(line["cause"], line["message"])
            watch.note(line)
            if "commit" in line:
                commit = line["commit"]
                on_commit(commit)
        code = process.wait()
    except BrokenPipeError:  # it ended before it read
        code = process.wait()
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
        with suppress(BrokenPipeError):
            process.stdin.close()
    if code != 0:
        tail = (work / "log").read_text(encoding="utf-8", errors="replace").strip().splitlines()[-1:]
        reason = "".join(tail).replace(asked["token"], "[token]")[:200]
        raise HubError("unexpected", f"The upload ended unexpectedly ({code}: {reason}). Push again.")
    return commit


def _environment(endpoint: str, work: Path, stall_seconds: float) -> dict[str, str]:
    """What the process sees: no token, no cache and no login of the user's; nothing outlives its working folder."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "HUGGING"))}
    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    patience = str(max(10, round(2 * stall_seconds)))  # the watch ends it first
    return kept | {
        "PYTHONPATH": os.pathsep.join(paths),
        "PYTHONIOENCODING": "utf-8",
        "TMPDIR": str(work),
        "HF_ENDPOINT": endpoint,
        "HF_HOME": str(work / "home"),
        "HF_HUB_DISABLE_XET": "1",  # plain HTTP, whose bytes can be counted and which ends with the process
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        "HF_HUB_DISABLE_IMPLICIT_TOKEN": "1",
        "HF_HUB_DOWNLOAD_TIMEOUT": patience,
        "HF_HUB_ETAG_TIMEOUT": patience,
    }


def _lines(stream: Any) -> "queue.Queue[str | None]":
    """The stream's lines as they come, and None at its end: a queue can be waited for with a limit."""
    lines: queue.Queue[str | None] = queue.Queue()

    def read() -> None:
        try:
            for line in stream:
                lines.put(line)
        except ValueError:  # closed, as nobody waits any more
            pass
        lines.put(None)

    threading.Thread(target=read, daemon=True).start()
    return lines


def _next(lines: "queue.Queue[str | None]", watch: _Watch) -> dict[str, Any] | None:
    """The next line, parsed; None at the end. Raises HubError where the watch ends the wait."""
    while True:
        watch.check()
        try:
            line = lines.get(timeout=LOOK_SECONDS)
        except queue.Empty:
            continue
        parsed: dict[str, Any] | None = json.loads(line) if line else None
        return parsed


def _load_back(directory: Path, back: Path) -> None:
    """Load what came back with diffusers. A LoRA's base is found by the settings here, where it need not be a name."""
    from trainer import (
        generation,
    )  # here, not above: torch takes seconds, and a wrong name need not wait for them

    shutil.copyfile(directory / concept.SETTINGS_FILE, back / concept.SETTINGS_FILE)
    try:
        generation.load_concept(back, device="cpu")
    except TrainerError as error:
        raise HubError(
            "load", f"The concept is on the Hub as it was sent, but does not load from there: {error}"
        ) from error


def _record(directory: Path) -> dict[str, str]:
    """The commit of the last push to each address."""
    try:
        record = json.loads((directory / RECORD).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return record if isinstance(record, dict) else {}


def _note(directory: Path, url: str, commit: str) -> None:
    concept.replace_text(directory / RECORD, json.dumps(_record(directory) | {url: commit}, indent=2) + "\n")
