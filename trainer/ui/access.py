"""Who is asking, and what they may do.

On one's own machine there is one person. Where strangers can come (a Space, a share link, an open port) each visitor
is a random cookie that scripts cannot read, or the account they are logged in with, and training is for the owner or
an allow-list alone: whoever cannot be told apart is refused.
"""

import os
import re
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass
from http.cookies import CookieError, SimpleCookie
from typing import Any

import gradio as gr
from starlette.datastructures import MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from trainer.errors import TrainerError

COOKIE = "studio_visitor"
HEADER = "x-studio-visitor"  # what a client without cookies sends: 32 hexadecimal digits of its own making
LOOPBACK = {"127.0.0.1", "localhost", "::1"}
YEAR = 365 * 24 * 3600
_KEY = re.compile(r"[0-9a-f]{32}")


class AccessError(TrainerError):
    """This visitor may not do that."""


@dataclass(frozen=True)
class Visitor:
    """`owner` keys what is theirs; None for a client that sends neither cookie nor header, and owns nothing."""

    owner: str | None
    name: str | None = None
    refusal: str | None = None  # why they may not train
    before: str | None = None  # the owner they were on this browser until they logged in

    def home(self) -> str:
        """Whose concepts these are. Raises AccessError for whoever cannot be told apart."""
        if self.owner is None:
            raise AccessError(
                f"Nobody can tell whose photos these would be: allow this page's cookie, or send the header {HEADER}"
                " with 32 hexadecimal digits of your own choosing."
            )
        return self.owner

    def trainer(self) -> str:
        """Whose training it is. Raises AccessError with the reason where they may not train."""
        if self.refusal:
            raise AccessError(self.refusal)
        return self.home()


@dataclass(frozen=True)
class Access:
    """`public`: strangers can come. `trainers`: the accounts that may train then. `login`: who can prove a name."""

    public: bool = False
    trainers: frozenset[str] = frozenset()
    login: str = ""  # "", "password" or "huggingface"
    space: bool = False

    def visitor(self, request: gr.Request) -> Visitor:
        """Who sent this request."""
        if not self.public:
            return Visitor("local")
        key = request.headers.get(HEADER) or request.cookies.get(COOKIE) or ""
        nameless = f"visitor {key}" if _KEY.fullmatch(key) else None
        name = self._account(request)
        if name is None:
            return Visitor(nameless, None, self._no_name())
        allowed = name.lower() in self.trainers
        return Visitor(f"account {name.lower()}", name, None if allowed else self._not_listed(name), nameless)

    def _account(self, request: gr.Request) -> str | None:
        if self.login == "password":
            return request.username or None
        if self.login == "huggingface":
            return _hugging_face_account(request)
        return None

    def _no_name(self) -> str:
        if self.login == "huggingface":
            return "Training here is for this Space's owner: sign in above, or duplicate the Space and train on your own."
        if self.space:
            return (
                "Training is off: this Space cannot tell who its owner is. Its owner adds hf_oauth: true to the header of"
                " the README; anybody may duplicate the Space and train on their own."
            )
        return (
            "Training is off where strangers can come: anybody could use this machine. Start the app for this machine"
            " alone (--host 127.0.0.1, no --share), or with --login NAME:PASSWORD."
        )

    def _not_listed(self, name: str) -> str:
        return f"{name} is not on this studio's list of trainers: duplicate the Space, or ask its owner to add you."


def _login(request: gr.Request) -> dict[str, Any]:
    """What Hugging Face has vouched for, in the session that gradio signs; empty without, or once it has expired."""
    raw = getattr(request, "request", None)
    session: Mapping[str, Any] = raw.scope.get("session", {}) if raw is not None else {}
    login: dict[str, Any] = session.get("oauth_info") or {}
    return login if float(login.get("expires_at", 0)) > time.time() else {}


def _hugging_face_account(request: gr.Request) -> str | None:
    name = _login(request).get("userinfo", {}).get("preferred_username")
    return str(name) if name else None


def hugging_face_token(request: gr.Request) -> str | None:
    """The access token of whoever is logged in with Hugging Face."""
    token = _login(request).get("access_token")
    return str(token) if token else None


def from_surroundings(host: str, share: bool, login: str | None, surroundings: Mapping[str, str]) -> Access:
    """The access that the command line and the environment ask for. `login` is NAME:PASSWORD."""
    space = "SPACE_ID" in surroundings
    public = space or share or host not in LOOPBACK
    names = [*surroundings.get("TRAINERS", "").split(","), surroundings.get("SPACE_AUTHOR_NAME", "")]
    if login:
        return Access(public, _names([*names, login.split(":")[0]]), "password", space)
    # Off a Space gradio's login is a mock that anybody can pass.
    proven = space and "OAUTH_CLIENT_ID" in surroundings
    return Access(public, _names(names), "huggingface" if proven else "", space)


def _names(names: list[str]) -> frozenset[str]:
    return frozenset(name.strip().lower() for name in names if name.strip())


class VisitorCookie:
    """ASGI middleware: gives every browser that has none a random cookie of 128 bits."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "GET" or _has_cookie(scope):
            return await self.app(scope, receive, send)
        headers = {name.lower(): value for name, value in scope["headers"]}
        secure = scope["scheme"] == "https" or headers.get(b"x-forwarded-proto", b"").startswith(b"https")
        # a Space is shown in a frame of huggingface.co, where only such a cookie comes back
        where = "SameSite=None; Secure; Partitioned" if secure else "SameSite=Lax"

        async def give(message: Message) -> None:
            if message["type"] == "http.response.start":
                cookie = f"{COOKIE}={secrets.token_hex(16)}; Path=/; Max-Age={YEAR}; HttpOnly; {where}"
                MutableHeaders(scope=message).append("set-cookie", cookie)
            await send(message)

        await self.app(scope, receive, give)


class NoDeepLinks:
    """ASGI middleware: gradio's links to the state of a session are not there.

    Whoever has a session's hash, which is no secret, would be given everything typed and shown in it."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and (
            scope["path"].rstrip("/").endswith("/deep_link") or b"deep_link=" in scope["query_string"]
        ):
            return await PlainTextResponse("There are no such links here.", 404)(scope, receive, send)
        await self.app(scope, receive, send)


def _has_cookie(scope: Scope) -> bool:
    sent = b"; ".join(value for name, value in scope["headers"] if name == b"cookie").decode("latin-1")
    try:
        found = SimpleCookie(sent).get(COOKIE)
    except CookieError:
        return False
    return found is not None and _KEY.fullmatch(found.value) is not None


def on_zero_gpu() -> bool:
    """Whether this is a Space that lends a GPU call by call."""
    return bool(os.environ.get("SPACES_ZERO_GPU"))
