"""The Hub's refusals: an HTTP client that ends at the first one, and what a user is told of each."""

import errno
import re
from collections.abc import Iterator
from typing import Any

import httpx2
from huggingface_hub.errors import HfHubHTTPError


class PushError(Exception):
    """An end with a named cause and a sentence for the user."""

    def __init__(self, cause: str, message: str) -> None:
        super().__init__(message)
        self.cause, self.message = cause, message


class RefusedError(Exception):
    """The Hub answered with an error status that no second look at the answer can mend."""

    def __init__(self, response: httpx2.Response) -> None:
        self.status = response.status_code
        super().__init__(f"{self.status} at {response.request.method} {response.request.url.path}")
        self.reason = _reason(response)
        self.by_storage = "Authorization" not in response.request.headers  # its links are signed, and expire
        # seconds: Retry-After: 30, or the Hub's own RateLimit: "api";r=0;t=30
        after = re.search(
            r"\d+$", str(response.headers.get("Retry-After") or response.headers.get("RateLimit"))
        )
        self.wait = int(after[0]) if after else None


class CutError(Exception):
    """No connection, or it ended before the answer."""


class Client(httpx2.Client):
    """Ends a call at once where the library would sleep and try again: trying again is done in one place, here."""

    def send(self, request: httpx2.Request, **options: Any) -> httpx2.Response:
        try:
            response = super().send(request, **options)
        except httpx2.TransportError as error:
            raise CutError(f"{type(error).__name__} at {request.method} {request.url.path}") from error
        if response.status_code in (401, 403, 409, 412, 413, 429) or response.status_code >= 500:
            response.read()
            raise RefusedError(response)
        return response


def named(error: BaseException, repo_id: str, endpoint: str) -> PushError:
    """What a user is told of an error: its cause, and the way out."""
    for each in _chain(error):
        if isinstance(each, PushError):
            return each
        if isinstance(each, RefusedError):
            if each.status == 403 and each.by_storage:
                return PushError(
                    "server",
                    "The Hub's storage did not take the upload (403). Push again: what has arrived stays.",
                )
            return _of_status(each.status, each.reason, each.wait, repo_id, endpoint)
        if isinstance(each, HfHubHTTPError):
            return _of_status(each.response.status_code, each.server_message or "", None, repo_id, endpoint)
        if isinstance(each, httpx2.ConnectError):
            return PushError(
                "unreachable", f"{endpoint} cannot be reached. Check the connection and push again."
            )
        if isinstance(each, httpx2.TransportError):
            return PushError(
                "cut", "The connection to the Hub was cut. Push again: what has arrived is not sent twice."
            )
        if isinstance(each, OSError) and each.errno == errno.ENOSPC:
            return PushError(
                "disk_full",
                "The disk here is full: checking takes as much space as the concept. Free some and push again.",
            )
    return PushError(
        "unexpected", f"The upload failed ({type(error).__name__}: {_short(str(error))}). Push again."
    )


def _of_status(status: int, reason: str, wait: int | None, repo_id: str, endpoint: str) -> PushError:
    namespace = repo_id.split("/")[0]
    because = f": {reason}" if reason else ""
    tokens = f"{endpoint}/settings/tokens"
    if status == 401:
        return PushError(
            "unauthorized",
            f"The Hub does not accept this token (401). It may have expired: make a new one with write access at {tokens}"
            " and push again.",
        )
    if status == 403:
        return PushError(
            "forbidden",
            f"The Hub does not let this token write to {repo_id} (403{because}). Use a token with write access to"
            f" {namespace}, from {tokens}, or another name.",
        )
    if status in (409, 412):
        return PushError(
            "conflict",
            f"{repo_id} was changed on the Hub while this push was under way ({status}). Nothing was overwritten; push again.",
        )
    if status == 429:
        when = f"in {counted(wait, 'second')}" if wait else "in a few minutes"
        return PushError("rate_limited", f"The Hub asks for fewer requests (429). Push again {when}.")
    if status >= 500:
        return PushError(
            "server",
            f"The Hub has trouble of its own ({status}{because}). The concept is safe here; push again later.",
        )
    return PushError("refused", f"The Hub refused this upload ({status}{because}).")


def is_passing(error: BaseException) -> bool:
    """Whether trying again may help: a cut, trouble on the other side, a storage link that has expired."""
    return any(
        isinstance(each, (CutError, httpx2.TransportError))
        or (
            isinstance(each, RefusedError)
            and (each.status >= 500 or (each.status == 403 and each.by_storage))
        )
        for each in _chain(error)
    )


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__


def _reason(response: httpx2.Response) -> str:
    """The Hub's own words, if it gave any."""
    return _short(response.headers.get("X-Error-Message", ""))


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= 200 else line[:200] + "..."


def counted(number: int, noun: str) -> str:
    return f"{number:,} {noun}" + ("" if number == 1 else "s")
