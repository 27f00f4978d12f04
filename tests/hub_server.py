"""A Hub on loopback: the real HTTP protocol of create, upload, commit and download, with faults on demand.

    with HubServer({"hf_secret": User("me")}) as hub:
        hub.fail("commit", 409)                 # or stall("put"), cut("put", after=1000); times=1 by default
        ... HfApi(endpoint=hub.endpoint, token="hf_secret") ...
        hub.repos["me/bear"].files              # path -> bytes at the last commit

Repositories live in memory. A commit counts as a whole or not at all, as on the real one.
"""

import base64
import hashlib
import json
import re
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import parse_qs, unquote, urlsplit

LFS_SUFFIXES = (".safetensors", ".png", ".jpg", ".bin")
REPO = r"(?P<repo>[^/]+/[^/]+)"
# name, method, path: the routes that a fault can be put on
ROUTES = [
    (name, method, re.compile(path))
    for name, method, path in (
        ("whoami", "GET", r"/api/whoami-v2"),
        ("create", "POST", r"/api/repos/create"),
        ("validate", "POST", r"/api/validate-yaml"),
        ("preupload", "POST", rf"/api/models/{REPO}/preupload/(?P<revision>[^/]+)"),
        ("batch", "POST", rf"/{REPO}\.git/info/lfs/objects/batch"),
        ("put", "PUT", r"/lfs/(?P<oid>[0-9a-f]{64})(/(?P<part>\d+))?"),
        ("complete", "POST", r"/lfs/(?P<oid>[0-9a-f]{64})/complete"),
        ("verify", "POST", rf"/{REPO}\.git/info/lfs/objects/verify"),
        ("commit", "POST", rf"/api/models/{REPO}/commit/(?P<revision>[^/]+)"),
        ("info", "GET", rf"/api/models/{REPO}(/revision/(?P<revision>[^/]+))?"),
        ("tree", "GET", rf"/api/models/{REPO}/tree/(?P<revision>[^/]+)"),
        ("head", "HEAD", rf"/{REPO}/resolve/(?P<revision>[^/]+)/(?P<path>.+)"),
        ("get", "GET", rf"/{REPO}/resolve/(?P<revision>[^/]+)/(?P<path>.+)"),
    )
]


@dataclass(frozen=True)
class User:
    """Whom a token stands for. `role`: what the token may do, "write" or "read"."""

    name: str
    orgs: tuple[str, ...] = ()
    role: str = "write"


@dataclass
class Repo:
    private: bool
    commits: list[tuple[str, dict[str, bytes]]] = field(default_factory=list)  # (sha, path -> content)

    @property
    def head(self) -> str:
        return self.commits[-1][0]

    @property
    def files(self) -> dict[str, bytes]:
        return self.commits[-1][1]

    def add(self, files: dict[str, bytes]) -> str:
        sha = hashlib.sha1(f"{len(self.commits)} {sorted(files)} {id(self)}".encode()).hexdigest()
        self.commits.append((sha, files))
        return sha

    def at(self, revision: str) -> tuple[str, dict[str, bytes]] | None:
        if revision == "main":
            return self.commits[-1]
        return next((commit for commit in self.commits if commit[0] == revision), None)


@dataclass
class Fault:
    """What happens at a route instead of an answer: a status, or silence, or a closed connection after some bytes."""

    route: str
    kind: str
    times: float
    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    message: str = ""
    after: int = 0


@dataclass(frozen=True)
class Seen:
    """One request as it came."""

    route: str
    method: str
    path: str
    token: str | None
    size: int


class HubServer:
    """Started by `with`; `endpoint` is its address. `part_size` makes larger files come in parts, as the Hub's do."""

    def __init__(self, tokens: dict[str, User] | None = None, *, part_size: int | None = None) -> None:
        self.tokens = tokens or {}
        self.part_size = part_size
        self.repos: dict[str, Repo] = {}
        self.blobs: dict[str, bytes] = {}
        self.parts: dict[tuple[str, int], bytes] = {}
        self.before: dict[str, Callable[[], Any]] = {}  # route -> what happens just before its answer
        self.faults: list[Fault] = []
        self.tamper: Callable[[str, bytes], bytes] = lambda path, content: content  # of what is downloaded
        self.seen: list[Seen] = []
        self.lock = threading.RLock()
        self.closing = threading.Event()
        self.stalled = threading.Event()
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self.server.daemon_threads = True
        self.endpoint = f"http://127.0.0.1:{self.server.server_port}"

    def __enter__(self) -> Self:
        serve = threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True)
        serve.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.closing.set()  # lets go of whoever is stalled
        self.server.shutdown()
        self.server.server_close()

    def fail(
        self,
        route: str,
        status: int,
        *,
        times: float = 1,
        headers: dict[str, str] | None = None,
        message: str = "",
    ) -> None:
        """Answer the next `times` requests at a route with this status."""
        self._fault(Fault(route, "fail", times, status, headers or {}, message))

    def stall(self, route: str, *, times: float = 1, after: int = 0) -> None:
        """Say nothing more once `after` bytes of the request's body were read, until the server ends."""
        self._fault(Fault(route, "stall", times, after=after))

    def cut(self, route: str, *, times: float = 1, after: int = 0) -> None:
        """Close the connection once `after` bytes of the body were read (of a GET: sent)."""
        self._fault(Fault(route, "cut", times, after=after))

    def _fault(self, fault: Fault) -> None:
        assert fault.route in {name for name, _, _ in ROUTES}, f"there is no route {fault.route}"
        with self.lock:
            self.faults.append(fault)

    def heal(self) -> None:
        """No more faults."""
        with self.lock:
            self.faults.clear()

    def put_repo(self, repo_id: str, files: dict[str, bytes], *, private: bool = False) -> Repo:
        """A repository that is there already."""
        repo = Repo(private)
        repo.add({".gitattributes": b"*.safetensors filter=lfs\n"} | files)
        self.repos[repo_id] = repo
        return repo

    def requests(self, route: str) -> list[Seen]:
        return [request for request in self.seen if request.route == route]


def _handler(hub: HubServer) -> type[BaseHTTPRequestHandler]:
    class Bound(_Handler):
        pass

    Bound.hub = hub
    return Bound


def _is_lfs(path: str) -> bool:
    return path.endswith(LFS_SUFFIXES)


def _blob_id(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


class _RefusalError(Exception):
    def __init__(self, status: int, code: str = "", message: str = "") -> None:
        super().__init__(status)
        self.status, self.code, self.message = status, code, message


class _ClosedError(Exception):
    """The connection is to be closed without an answer."""


class _Handler(BaseHTTPRequestHandler):
    hub: HubServer
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # one write for headers and body

    def do_GET(self) -> None:
        self._answer()

    do_HEAD = do_POST = do_PUT = do_GET  # noqa: N815

    def log_message(self, format: str, *arguments: object) -> None:
        pass

    def _answer(self) -> None:
        url = urlsplit(self.path)
        self.query = parse_qs(url.query)
        path = unquote(url.path)
        found = next(
            ((name, match) for name, method, pattern in ROUTES
             if method == self.command and (match := pattern.fullmatch(path))),
            None,
        )  # fmt: skip
        route = found[0] if found else "unknown"
        size = int(self.headers.get("Content-Length", 0))
        with self.hub.lock:
            self.hub.seen.append(Seen(route, self.command, path, self._token(), size))
        try:
            self.fault = self._next_fault(route)
            body = self._body(size)
            if found is None:
                raise _RefusalError(404)
            if route in self.hub.before:
                self.hub.before[route]()
            handle: Callable[..., None] = getattr(self, f"_{route}")
            handle(body, **{name: value for name, value in found[1].groupdict().items() if value is not None})
        except _RefusalError as refusal:
            self._refuse(refusal)
        except (_ClosedError, ConnectionError):
            self.close_connection = True

    def _token(self) -> str | None:
        return (self.headers.get("Authorization") or "").removeprefix("Bearer ") or None

    def _next_fault(self, route: str) -> Fault | None:
        with self.hub.lock:
            fault = next((each for each in self.hub.faults if each.route == route and each.times > 0), None)
            if fault is not None:
                fault.times -= 1
        return fault

    def _body(self, size: int) -> bytes:
        """The request's body; meets the fault of the route on the way."""
        fault = self.fault
        if fault is None:
            return self.rfile.read(size)
        if fault.kind == "fail":
            self.rfile.read(size)
            raise _RefusalError(fault.status, message=fault.message)
        if self.command in ("GET", "HEAD") and fault.after:
            return b""  # met while sending
        self.rfile.read(min(fault.after, size))
        self._stall_or_cut(fault)
        return b""

    def _stall_or_cut(self, fault: Fault) -> None:
        if fault.kind == "stall":
            self.hub.stalled.set()
            self.hub.closing.wait()
        else:
            self.connection.shutdown(socket.SHUT_RDWR)
        raise _ClosedError

    def _refuse(self, refusal: _RefusalError) -> None:
        headers = {"X-Error-Code": refusal.code, "X-Error-Message": refusal.message}
        if self.fault is not None:
            headers |= self.fault.headers
        body = json.dumps({"error": refusal.message or f"status {refusal.status}"}).encode()
        self._send(
            refusal.status,
            body,
            {name: value for name, value in headers.items() if value},
            "application/json",
        )

    def _json(self, value: Any) -> None:
        self._send(200, json.dumps(value).encode(), {}, "application/json")

    def _send(self, status: int, body: bytes, headers: dict[str, str], kind: str) -> None:
        self.send_response(status)
        for name, value in (headers | {"Content-Type": kind, "Content-Length": str(len(body))}).items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            cut = self.fault if self.fault is not None and self.fault.after and status < 400 else None
            self.wfile.write(body[: cut.after] if cut and self.command == "GET" else body)
            self.wfile.flush()
            if cut and self.command == "GET":
                self._stall_or_cut(cut)

    # who may what

    def _user(self) -> User:
        user = self.hub.tokens.get(self._token() or "")
        if user is None:
            raise _RefusalError(401, message="Invalid credentials in Authorization header")
        return user

    def _writer(self, namespace: str) -> User:
        user = self._user()
        if namespace not in (user.name, *user.orgs):
            raise _RefusalError(403, message=f"You don't have the rights to create a model under {namespace}")
        if user.role != "write":
            raise _RefusalError(403, message="This token has no write access")
        return user

    def _readable(self, repo_id: str) -> Repo:
        repo = self.hub.repos.get(repo_id)
        user = self.hub.tokens.get(self._token() or "")
        mine = user is not None and repo_id.split("/")[0] in (user.name, *user.orgs)
        if repo is None or (repo.private and not mine):
            raise _RefusalError(404 if user else 401, "RepoNotFound", "Repository not found")
        return repo

    def _writable(self, repo_id: str) -> Repo:
        self._writer(repo_id.split("/")[0])
        return self._readable(repo_id)

    # the routes

    def _whoami(self, body: bytes) -> None:
        user = self._user()
        self._json(
            {
                "type": "user",
                "name": user.name,
                "orgs": [{"name": name, "roleInOrg": "write"} for name in user.orgs],
                "auth": {"type": "access_token", "accessToken": {"displayName": "t", "role": user.role}},
            }
        )

    def _create(self, body: bytes) -> None:
        asked = json.loads(body)
        user = self._user()
        namespace = asked.get("organization") or user.name
        self._writer(namespace)
        repo_id = f"{namespace}/{asked['name']}"
        with self.hub.lock:
            if repo_id in self.hub.repos:
                raise _RefusalError(409, message="You already created this model repo")
            self.hub.put_repo(repo_id, {}, private=asked.get("visibility") == "private")
        self._json({"url": f"{self.hub.endpoint}/{repo_id}", "name": repo_id, "id": repo_id})

    def _validate(self, body: bytes) -> None:
        self._json({"errors": [], "warnings": []})

    def _preupload(self, body: bytes, repo: str, revision: str) -> None:
        files = self._writable(repo).files
        told = []
        for file in json.loads(body)["files"]:
            path = file["path"]
            one: dict[str, Any] = {"path": path, "shouldIgnore": False}
            one["uploadMode"] = "lfs" if _is_lfs(path) else "regular"
            if path in files:
                content = files[path]
                one["oid"] = hashlib.sha256(content).hexdigest() if _is_lfs(path) else _blob_id(content)
            told.append(one)
        self._json({"files": told})

    def _batch(self, body: bytes, repo: str) -> None:
        self._writable(repo)
        objects = []
        for asked in json.loads(body)["objects"]:
            oid, size = asked["oid"], asked["size"]
            told: dict[str, Any] = {"oid": oid, "size": size}
            if oid not in self.hub.blobs:
                told["actions"] = {
                    "upload": self._where_to(oid, size),
                    "verify": {"href": f"{self.hub.endpoint}/{repo}.git/info/lfs/objects/verify"},
                }
            objects.append(told)
        self._json({"transfer": "basic", "objects": objects})

    def _where_to(self, oid: str, size: int) -> dict[str, Any]:
        href = f"{self.hub.endpoint}/lfs/{oid}"
        part_size = self.hub.part_size
        if part_size is None or size <= part_size:
            return {"href": href}
        count = -(-size // part_size)
        parts = {str(number): f"{href}/{number}" for number in range(1, count + 1)}
        return {"href": f"{href}/complete", "header": {"chunk_size": str(part_size)} | parts}

    def _put(self, body: bytes, oid: str, part: str | None = None) -> None:
        if part is not None:
            self.hub.parts[oid, int(part)] = body
        else:
            self._keep(oid, body)
        self._send(200, b"", {"ETag": f'"{hashlib.md5(body).hexdigest()}"'}, "text/plain")

    def _complete(self, body: bytes, oid: str) -> None:
        numbers = [part["partNumber"] for part in json.loads(body)["parts"]]
        self._keep(oid, b"".join(self.hub.parts.pop((oid, number)) for number in numbers))
        self._json({})

    def _keep(self, oid: str, content: bytes) -> None:
        if hashlib.sha256(content).hexdigest() != oid:
            raise _RefusalError(400, message="the content does not have this hash")
        self.hub.blobs[oid] = content

    def _verify(self, body: bytes, repo: str) -> None:
        self._writable(repo)
        asked = json.loads(body)
        if len(self.hub.blobs.get(asked["oid"], b"")) != asked["size"]:
            raise _RefusalError(404, message="no such object")
        self._json({})

    def _commit(self, body: bytes, repo: str, revision: str) -> None:
        kept = self._writable(repo)
        lines = [json.loads(line) for line in body.splitlines()]
        with self.hub.lock:
            if lines[0]["value"].get("parentCommit", kept.head) != kept.head:
                raise _RefusalError(412, message="A commit has happened since. Please refresh and try again.")
            files = dict(kept.files)
            for line in lines[1:]:
                self._apply(files, line["key"], line["value"])
            sha = kept.add(files)
        url = f"{self.hub.endpoint}/{repo}/commit/{sha}"
        self._json({"success": True, "commitOid": sha, "commitUrl": url, "hookOutput": ""})

    def _apply(self, files: dict[str, bytes], key: str, value: dict[str, Any]) -> None:
        if key == "file":
            files[value["path"]] = base64.b64decode(value["content"])
        elif key == "lfsFile":
            if value["oid"] not in self.hub.blobs:
                raise _RefusalError(400, message=f"{value['path']}: its content was not uploaded")
            files[value["path"]] = self.hub.blobs[value["oid"]]
        elif key == "deletedFile" and value["path"] in files:
            del files[value["path"]]
        else:
            raise _RefusalError(400, message=f"{key} {value.get('path')}: cannot be done")

    def _info(self, body: bytes, repo: str, revision: str = "main") -> None:
        kept = self._readable(repo)
        sha, files = self._at(kept, revision)
        siblings = [{"rfilename": path} | self._entry(content, path) for path, content in files.items()]
        told = {"id": repo, "modelId": repo, "sha": sha, "private": kept.private, "siblings": siblings}
        self._json(told | {"tags": [], "downloads": 0, "gated": False, "disabled": False})

    def _tree(self, body: bytes, repo: str, revision: str) -> None:
        _, files = self._at(self._readable(repo), revision)
        told = []
        for path, content in files.items():
            entry = self._entry(content, path)
            told.append({"type": "file", "path": path, "oid": entry.pop("blobId")} | entry)
        self._json(told)

    def _entry(self, content: bytes, path: str) -> dict[str, Any]:
        entry: dict[str, Any] = {"size": len(content), "blobId": _blob_id(content)}
        if _is_lfs(path):
            sha256 = hashlib.sha256(content).hexdigest()
            entry["lfs"] = {"oid": sha256, "sha256": sha256, "size": len(content), "pointerSize": 130}
        return entry

    def _get(self, body: bytes, repo: str, revision: str, path: str) -> None:
        sha, files = self._at(self._readable(repo), revision)
        if path not in files:
            raise _RefusalError(404, "EntryNotFound", "Entry not found")
        content = files[path]
        etag = hashlib.sha256(content).hexdigest() if _is_lfs(path) else _blob_id(content)
        headers = {"ETag": f'"{etag}"', "X-Repo-Commit": sha, "Accept-Ranges": "bytes"}
        content = self.hub.tamper(path, content)
        wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        if wanted is None:
            self._send(200, content, headers, "application/octet-stream")
            return
        start, end = int(wanted[1]), int(wanted[2] or len(content) - 1)
        headers["Content-Range"] = f"bytes {start}-{end}/{len(content)}"
        self._send(206, content[start : end + 1], headers, "application/octet-stream")

    _head = _get

    def _at(self, repo: Repo, revision: str) -> tuple[str, dict[str, bytes]]:
        found = repo.at(revision)
        if found is None:
            raise _RefusalError(404, "RevisionNotFound", "Invalid rev id")
        return found
