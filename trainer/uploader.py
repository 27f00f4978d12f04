"""The process that speaks to the Hub. `hub.push` starts it, tells it on stdin what to do, and ends it when it must.

A process of its own, because the client cannot be interrupted, has no deadline, sleeps minutes between tries, and reads
its endpoint and its switches once, when imported. It answers in lines of JSON, and ends with whoever started it.
"""

import hashlib
import io
import json
import os
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from huggingface_hub import (
    CommitOperationAdd,
    CommitOperationDelete,
    HfApi,
    hf_hub_download,
    set_client_factory,
)
from huggingface_hub.errors import RepositoryNotFoundError
from tqdm import tqdm

from trainer import bundle, card
from trainer.refusals import Client, CutError, PushError, RefusedError, counted, is_passing, named

WAITS = (1, 3)  # seconds before the second and the third try, after a cut or an answer of 500 and above
TOLD_EVERY = 0.1  # seconds
OF_THE_HUB = ".gitattributes"  # in every repository from its first moment


@dataclass(frozen=True)
class Request:
    """What `hub.push` asks. `directory`: the concept; `files`: the folder to upload; `back`: where to download the
    result to, for comparing. `known`: the commit that an earlier push of this concept left, if any. Without `files` it
    only sees whether the token may push there."""

    repo_id: str
    token: str
    endpoint: str
    directory: str = ""
    files: str = ""
    back: str = ""
    private: bool = True
    overwrite: bool = False
    known: str | None = None
    title: str | None = None
    subject: card.Subject | None = None


class Told:
    """Lines of JSON for `hub.push`; the token is in none of them, whatever a server or a library put into a text."""

    def __init__(self, stream: IO[str], token: str) -> None:
        self.stream, self.token = stream, token
        self.last = 0.0

    def __call__(self, **line: Any) -> None:
        self.stream.write(json.dumps(line).replace(self.token, "[token]") + "\n")
        self.stream.flush()

    def progress(self, phase: str, done: int, total: int) -> None:
        """Bytes done, not more often than anyone looks."""
        if time.monotonic() - self.last >= TOLD_EVERY or done >= total:
            self.last = time.monotonic()
            self(phase=phase, done=done, total=total)


class _Counted(io.BufferedReader):
    """A file that tells how far it was read."""

    def __init__(self, raw: io.FileIO, on_read: Any) -> None:
        super().__init__(raw)
        self.on_read = on_read

    def read(self, size: int | None = -1) -> bytes:
        chunk = super().read(size)
        self.on_read(self.tell())
        return chunk


class Addition(CommitOperationAdd):
    """A file to commit, whose bytes are counted on their way out."""

    on_read: Any = None

    @contextmanager
    def as_file(self, with_tqdm: bool = False) -> Iterator[Any]:
        """`with_tqdm` is how the library asks for the file that it uploads, and not for one that it hashes."""
        if not with_tqdm or self.on_read is None:
            with super().as_file() as stream:
                yield stream
        else:
            with _Counted(io.FileIO(str(self.path_or_fileobj)), self.on_read) as stream:
                yield stream


def main() -> int:
    """One push, as the line on stdin asks."""
    request = Request(**json.loads(sys.stdin.readline()))
    threading.Thread(target=_end_with_parent, daemon=True).start()
    told = Told(sys.stdout, request.token)
    sys.stdout = sys.stderr  # whatever a library prints is no answer
    set_client_factory(lambda: Client(follow_redirects=True, timeout=None))
    try:
        for wait in (*WAITS, None):
            try:
                push(request, told)
                return 0
            except Exception as error:
                if wait is None or not is_passing(error):
                    raise
                told(phase="wait", done=0, total=0)
                time.sleep(wait)
    except Exception as error:
        failure = named(error, request.repo_id, request.endpoint)
        told(cause=failure.cause, message=failure.message)
    return 1


def _end_with_parent() -> None:
    sys.stdin.read()  # until whoever holds the other end is gone
    os._exit(1)


def push(request: Request, told: Told) -> None:
    """Upload, commit at once, download and compare. Done again after a failure, it does what is left to do."""
    api = HfApi(endpoint=request.endpoint, token=request.token)
    told(phase="login", done=0, total=0)
    check_namespace(api.whoami(), request)
    if not request.files:
        return
    folder = Path(request.files)
    _write_card(request, folder)
    additions = [Addition(path.relative_to(folder).as_posix(), path) for path in bundle.files_of(folder)]
    total = sum(addition.upload_info.size for addition in additions)

    head, leftovers = _repository(api, request, additions)
    told.progress("upload", 0, total)
    _count(additions, total, told)
    commit = api.create_commit(
        request.repo_id,
        [*additions, *(CommitOperationDelete(path) for path in leftovers)],
        commit_message="DreamBooth concept",
        parent_commit=head,
        num_threads=1,  # bytes are counted in order, and a refusal ends it at once
    )
    told.progress("upload", total, total)
    told(commit=commit.oid)
    _compare(request, commit.oid, additions, total, told)


def check_namespace(whoami: dict[str, Any], request: Request) -> None:
    """Raises PushError unless the repository's namespace is the token's own or one of its organisations'."""
    name = str(whoami.get("name", ""))
    mine = [name, *(str(each.get("name", "")) for each in whoami.get("orgs", []))]
    namespace = request.repo_id.split("/")[0]
    if namespace not in mine:
        raise PushError(
            "namespace",
            f"{namespace} is not yours on the Hub: this token is {name}'s. Push to {name}/{request.repo_id.split('/')[1]}"
            + (f", or to one of {', '.join(mine[1:])}." if mine[1:] else "."),
        )
    role = ((whoami.get("auth") or {}).get("accessToken") or {}).get("role")
    if role == "read":
        raise PushError(
            "forbidden",
            f"This token may only read. Make one with write access at {request.endpoint}/settings/tokens and push again.",
        )


def _write_card(request: Request, folder: Path) -> None:
    base_card = None
    with tempfile.TemporaryDirectory() as cache, suppress(RefusedError, CutError):
        options = {"endpoint": request.endpoint, "token": request.token, "cache_dir": cache}
        base_card = bundle.read_base_card(Path(request.directory), **options)
    card.write(
        folder,
        request.repo_id,
        base_card=base_card,
        private=request.private,
        title=request.title,
        subject=request.subject,
    )


def _repository(api: HfApi, request: Request, additions: list[Addition]) -> tuple[str, list[str]]:
    """Its head, on which the commit is to stand, and the files in it that are not ours. Made where it is not there.

    Raises PushError "exists" where something else is in it: neither what the last push left, nor these very files.
    """
    repo_id = request.repo_id
    try:
        info = api.model_info(repo_id, files_metadata=True)
    except RepositoryNotFoundError:
        api.create_repo(repo_id, private=request.private)
        info = api.model_info(repo_id, files_metadata=True)
    if info.id != repo_id:
        raise PushError("renamed", f"{repo_id} is called {info.id} on the Hub. Push to {info.id}.")
    if info.private != request.private:
        is_now, other = ("private", "public") if info.private else ("public", "private")
        raise PushError(
            "visibility",
            f"{repo_id} is already there and {is_now}. Push it as {is_now}, make it {other} in its settings on the"
            " Hub, or choose another name.",
        )
    there = {
        file.rfilename: file.lfs.sha256 if file.lfs else file.blob_id
        for file in info.siblings or []
        if file.rfilename != OF_THE_HUB
    }
    if there and info.sha != request.known and not request.overwrite and there != _hashes(additions, there):
        raise PushError(
            "exists",
            f"{repo_id} is already on the Hub with {counted(len(there), 'file')}, not as this concept's last push left"
            " it. Overwrite it (its history is kept), or choose another name.",
        )
    assert info.sha is not None  # a repository has a first commit from the start
    return info.sha, sorted(there.keys() - {addition.path_in_repo for addition in additions})


def _hashes(additions: list[Addition], there: dict[str, str | None]) -> dict[str, str]:
    """Each file's hash, of the kind that the Hub has of it: SHA-256 of large files, git's SHA-1 of the others."""
    found = {}
    for addition in additions:
        known = there.get(addition.path_in_repo)
        if known is not None and len(known) == 40:
            content = Path(str(addition.path_or_fileobj)).read_bytes()
            found[addition.path_in_repo] = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
        else:
            found[addition.path_in_repo] = addition.upload_info.sha256.hex()
    return found


def _count(additions: list[Addition], total: int, told: Told) -> None:
    start = 0
    for addition in additions:

        def on_read(position: int, start: int = start) -> None:
            told.progress("upload", start + position, total)

        addition.on_read = on_read
        start += addition.upload_info.size


def _compare(request: Request, commit: str, additions: list[Addition], total: int, told: Told) -> None:
    """Download every file of the commit and compare it with what was to be sent. Raises PushError where one differs."""
    before = 0
    for addition in additions:

        class Bar(tqdm):  # type: ignore[misc]  # tqdm ships no types
            """Counts and shows nothing."""

            done = before

            def __init__(self, *arguments: Any, **options: Any) -> None:
                super().__init__(*arguments, **(options | {"disable": True}))

            def update(self, n: float | None = 1) -> None:
                self.done += int(n or 0)
                told.progress("check", self.done, total)

        name = addition.path_in_repo
        copy = hf_hub_download(
            request.repo_id,
            name,
            revision=commit,
            endpoint=request.endpoint,
            token=request.token,
            local_dir=request.back,
            tqdm_class=Bar,
        )
        with open(copy, "rb") as stream:
            if hashlib.file_digest(stream, "sha256").digest() != addition.upload_info.sha256:
                raise PushError(
                    "differs", f"{name} came back from the Hub other than it was sent. Push again."
                )
        before += addition.upload_info.size
        told.progress("check", before, total)


if __name__ == "__main__":
    sys.exit(main())
