"""Who may train where strangers can come: the owner and a list of names, and nobody whose name is not proven."""

import time
from pathlib import Path
from typing import Any

import gradio as gr
import pytest
import yaml
from starlette.requests import Request

import app
from trainer.ui.access import COOKIE, HEADER, Access, AccessError, from_surroundings, hugging_face_token

ROOT = Path(__file__).parent.parent
SPACE = {
    "SPACE_ID": "ann/studio",
    "SPACE_AUTHOR_NAME": "Ann",
    "OAUTH_CLIENT_ID": "1234",
    "TRAINERS": " bob, Carol ,",
}


def request(*, login: dict[str, Any] | None = None, name: str | None = None, **headers: str) -> gr.Request:
    """One as gradio gives it to a handler. `login` is what is in the session that gradio signs."""
    raw = [(key.replace("_", "-").encode(), value.encode()) for key, value in headers.items()]
    scope = {"type": "http", "method": "GET", "path": "/", "headers": raw, "query_string": b""}
    return gr.Request(
        Request(scope | {"session": {} if login is None else {"oauth_info": login}}), username=name
    )


def vouched(name: str, *, seconds: float = 3600) -> dict[str, Any]:
    """What Hugging Face says of whoever logged in, good for so many seconds."""
    return {
        "userinfo": {"preferred_username": name},
        "access_token": f"token of {name}",
        "expires_at": time.time() + seconds,
    }


def may_train(access: Access, asking: gr.Request) -> bool:
    visitor = access.visitor(asking)
    if visitor.refusal is None:
        return bool(visitor.trainer())
    with pytest.raises(AccessError) as refused:
        visitor.trainer()
    assert str(refused.value) == visitor.refusal
    return False


def test_on_ones_own_machine_there_is_one_person() -> None:
    access = from_surroundings("127.0.0.1", False, None, {})
    assert not access.public and may_train(access, request())
    assert access.visitor(request()).owner == access.visitor(request(**{HEADER: "a" * 32})).owner


@pytest.mark.parametrize(
    ("host", "share", "surroundings"),
    [("0.0.0.0", False, {}), ("127.0.0.1", True, {}), ("127.0.0.1", False, {"SPACE_ID": "ann/studio"})],
)
def test_where_strangers_can_come_nobody_may_train_unasked(
    host: str, share: bool, surroundings: dict[str, str]
) -> None:
    access = from_surroundings(host, share, None, surroundings)
    assert access.public
    for asking in (
        request(),
        request(**{HEADER: "a" * 32}),
        request(name="ann"),
        request(login=vouched("ann")),
    ):
        assert not may_train(access, asking)


def test_on_a_space_its_owner_and_the_list_may_train() -> None:
    access = from_surroundings("0.0.0.0", False, None, SPACE)
    for name in ("ann", "Ann", "bob", "carol"):
        assert may_train(access, request(login=vouched(name)))
    assert not may_train(access, request(login=vouched("mallory")))
    assert "mallory is not on this studio's list" in str(
        access.visitor(request(login=vouched("mallory"))).refusal
    )
    assert not may_train(
        access, request(name="ann")
    )  # the name of gradio's own password login proves nothing here
    assert not may_train(access, request(login={"userinfo": {}, "expires_at": time.time() + 9}))


def test_the_readme_asks_for_the_login_that_a_space_needs() -> None:
    header = yaml.safe_load((ROOT / "README.md").read_text().split("---")[1])
    assert header["hf_oauth"] is True
    assert {"write-repos", "manage-repos"} <= set(header["hf_oauth_scopes"])
    unasked = from_surroundings(
        "0.0.0.0", False, None, {"SPACE_ID": "ann/studio", "SPACE_AUTHOR_NAME": "ann"}
    )
    assert "hf_oauth: true" in str(unasked.visitor(request()).refusal)


@pytest.mark.parametrize("login", ["me", "me:", ":secret", ""])
def test_a_login_without_a_password_is_refused(login: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert app.main(["--login", login]) == 2
    assert "NAME:PASSWORD" in capsys.readouterr().err


def test_an_expired_login_is_none() -> None:
    access, late = from_surroundings("0.0.0.0", False, None, SPACE), request(login=vouched("ann", seconds=-1))
    assert not may_train(access, late)
    assert hugging_face_token(late) is None
    assert hugging_face_token(request(login=vouched("ann"))) == "token of ann"


def test_a_space_without_a_list_or_login_trains_for_nobody() -> None:
    nameless = from_surroundings("0.0.0.0", False, None, {"SPACE_ID": "x/y", "OAUTH_CLIENT_ID": "1"})
    assert nameless.trainers == frozenset()
    assert not may_train(nameless, request(login=vouched("ann")))
    assert not may_train(nameless, request(login=vouched("")))


def test_a_password_lets_its_owner_train() -> None:
    access = from_surroundings("127.0.0.1", True, "me:secret:with:colons", {})
    assert may_train(access, request(name="me"))
    assert not may_train(access, request())
    assert not may_train(access, request(name="other"))


@pytest.mark.parametrize("key", ["", "x" * 32, "A" * 32, "a" * 31, "a" * 33, "../../etc/passwd"])
def test_a_forged_cookie_owns_nothing(key: str) -> None:
    access = from_surroundings("0.0.0.0", False, None, {})
    for asking in (request(cookie=f"{COOKIE}={key}"), request(**{HEADER.replace("-", "_"): key})):
        visitor = access.visitor(asking)
        assert visitor.owner is None
        with pytest.raises(AccessError, match="Nobody can tell whose photos"):
            visitor.home()


def test_a_visitor_is_known_by_the_cookie_and_apart_from_accounts() -> None:
    access = from_surroundings("0.0.0.0", False, None, SPACE)
    owner = access.visitor(request(cookie=f"{COOKIE}={'a' * 32}")).owner
    assert owner == access.visitor(request(**{HEADER.replace("-", "_"): "a" * 32})).owner
    assert owner not in (access.visitor(request(login=vouched("a" * 32))).owner, None)
    both = request(login=vouched("ann"), cookie=f"{COOKIE}={'a' * 32}")
    assert (access.visitor(both).owner, access.visitor(both).before) == ("account ann", owner)
