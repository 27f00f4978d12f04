"""Pushing to a Hub on loopback over real HTTP: what is there afterwards, and what is said when it goes wrong."""

import io
import json
import logging
import os
import subprocess
import sys
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from hub_server import HubServer, User
from PIL import Image
from safetensors.torch import load_file, save_file

from trainer import concept, hub, metadata, showcase
from trainer.__main__ import main
from trainer.errors import ConceptError, HubError, RepositoryExistsError

ROOT = Path(__file__).parent.parent
TOKEN = "hf_DoNotTellAnyone0123456789"
REPO = "me/bear"
PROMPT = "a photo of sks dog"
PIPELINE = {
    "model_index.json",
    "scheduler/scheduler_config.json",
    "text_encoder/config.json",
    "text_encoder/model.safetensors",
    "tokenizer/tokenizer.json",
    "tokenizer/tokenizer_config.json",
    "unet/config.json",
    "unet/diffusion_pytorch_model.safetensors",
    "vae/config.json",
    "vae/diffusion_pytorch_model.safetensors",
}
EVERY_PUSH = {".gitattributes", "README.md", "dreambooth.json"}
FOREIGN = {"README.md": b"mine", "config.json": b"{}"}

Push = Callable[..., hub.Pushed]
Line = tuple[str, int, int]


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    monkeypatch.delenv("HF_HUB_OFFLINE")
    with HubServer({TOKEN: User("me", orgs=("toys",)), "hf_reader": User("me", role="read")}) as running:
        yield running


@pytest.fixture
def push(server: HubServer) -> Push:
    def run(directory: Path, repo_id: str = REPO, token: str = TOKEN, **options: Any) -> hub.Pushed:
        return hub.push(directory, repo_id, token, endpoint=server.endpoint, **options)

    return run


def refusal(push: Push, *arguments: Any, **options: Any) -> HubError:
    with pytest.raises(HubError) as caught:
        push(*arguments, **options)
    return caught.value


def run_python(code: str, server: HubServer, home: Path) -> str:
    """A fresh Python in `home`, whose Hub is the server and whose token comes from HF_TOKEN; what it prints."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
    environment |= {
        "HF_ENDPOINT": server.endpoint,
        "HF_HOME": str(home),
        "HF_HUB_DISABLE_XET": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "HF_TOKEN": TOKEN,
    }
    ended = subprocess.run(
        [sys.executable, "-c", code], env=environment, cwd=home, capture_output=True, text=True
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def snippet(server: HubServer, repo_id: str) -> str:
    """The Python of a card."""
    card = server.repos[repo_id].files["README.md"].decode()
    return card.split("```python\n")[1].split("\n```")[0]


def change_weights(directory: Path) -> None:
    """As another training would."""
    file = directory / "unet/diffusion_pytorch_model.safetensors"
    state = load_file(file)
    save_file({name: tensor + 1 for name, tensor in state.items()}, file)


# what is there afterwards


def test_a_push_is_private_whole_and_loads_back(server: HubServer, push: Push, full: Path) -> None:
    told: list[Line] = []
    pushed = push(full, on_progress=lambda *line: told.append(line))
    repo = server.repos[REPO]
    assert pushed == hub.Pushed(REPO, f"{server.endpoint}/{REPO}", repo.head, private=True)
    assert repo.private
    assert len(repo.commits) == 2  # the empty one that made it, and ours
    assert set(repo.files) == EVERY_PUSH | PIPELINE
    for name in PIPELINE:
        if name.endswith(".safetensors"):
            assert repo.files[name] == (full / name).read_bytes()
    assert not list(full.glob(".share-*"))
    assert json.loads((full / hub.RECORD).read_text()) == {pushed.url: pushed.commit}


def test_progress_is_in_bytes_of_all(push: Push, server: HubServer, full: Path) -> None:
    told: list[Line] = []
    push(full, on_progress=lambda *line: told.append(line))
    assert list(dict.fromkeys(phase for phase, _, _ in told)) == ["login", "upload", "check", "load"]
    size = sum(len(content) for name, content in server.repos[REPO].files.items() if name != ".gitattributes")
    for phase in ("upload", "check"):
        done = [line[1] for line in told if line[0] == phase]
        assert done == sorted(done)
        assert done[-1] == size
        assert {line[2] for line in told if line[0] == phase} == {size}


def test_the_command_pushes_and_the_cards_snippets_load_with_plain_diffusers(
    server: HubServer, push: Push, full: Path, lora: Path, sd1: Path, tmp_path: Path
) -> None:
    """A LoRA on a base of the Hub, from HF_TOKEN, with pictures; and a full concept. They paint what they paint here."""
    base = {path.relative_to(sd1).as_posix(): path.read_bytes() for path in sd1.rglob("*") if path.is_file()}
    base["README.md"] = b"---\nlicense: creativeml-openrail-m\n---\n"
    server.put_repo("studio/tiny", base)
    settings = concept.read_settings(lora)
    settings["config"]["pretrained_model_name_or_path"] = settings["base"] = "studio/tiny"
    (lora / concept.SETTINGS_FILE).write_text(json.dumps(settings))
    push(full, "me/full")
    (tmp_path / "full.py").write_text(snippet(server, "me/full"))

    output = run_python(
        f"""
import sys, urllib.request
import torch
sys.path.insert(0, {str(ROOT)!r})
from trainer.__main__ import main
assert main(["push", "--concept", {str(lora)!r}, "--repo_id", "me/lora", "--public"]) == 0

from diffusers import DiffusionPipeline
def paint(code, **names):
    torch.manual_seed(3)
    exec(code, names)
    return names["image"].tobytes()
here = "image = pipe({PROMPT!r}).images[0]"
pipe = DiffusionPipeline.from_pretrained({str(full)!r}, use_safetensors=True)
assert paint(open("full.py").read()) == paint(here, pipe=pipe)

card = urllib.request.urlopen("{server.endpoint}/me/lora/resolve/main/README.md").read().decode()
pipe = DiffusionPipeline.from_pretrained({str(sd1)!r}, use_safetensors=True)
plain = paint(here, pipe=pipe)
pipe.load_lora_weights({str(lora)!r})
assert paint(card.split("```python\\n")[1].split("\\n```")[0]) == paint(here, pipe=pipe) != plain
""",
        server,
        tmp_path,
    )
    assert output.splitlines()[0] == f"{server.endpoint}/me/lora"
    repo = server.repos["me/lora"]
    assert not repo.private
    pictures = {f"showcase/{name}.png" for name in ("00000", "00001", "00002", "00003", "grid")}
    assert set(repo.files) == EVERY_PUSH | {concept.LORA_FILE} | pictures
    card = repo.files["README.md"].decode()
    assert "license: creativeml-openrail-m" in card
    assert "base_model: studio/tiny" in card
    assert (tmp_path / "image.png").is_file()


def test_a_lora_on_a_base_of_this_machine_is_loaded_back_too(
    push: Push, server: HubServer, lora: Path
) -> None:
    push(lora)
    assert set(server.repos[REPO].files) == EVERY_PUSH | {concept.LORA_FILE}


def test_large_files_go_in_parts(push: Push, server: HubServer, full: Path) -> None:
    server.part_size = 10_000
    push(full)
    assert len(server.requests("complete")) > 0
    for name in PIPELINE:
        if name.endswith(".safetensors"):
            assert server.repos[REPO].files[name] == (full / name).read_bytes()


def test_photos_are_pushed_only_when_asked_for_and_as_pixels(
    push: Push, server: HubServer, full: Path
) -> None:
    push(full)
    assert not any(name.startswith("instance_images/") for name in server.repos[REPO].files)
    push(full, include_photos=True)
    files = server.repos[REPO].files
    names = [name for name in files if name.startswith("instance_images/")]
    assert names == [f"instance_images/{index:03d}.png" for index in range(3)]
    for name in names:
        assert b"Alice" not in files[name]
        assert Image.open(io.BytesIO(files[name])).size == (40, 40)


def test_nothing_tells_where_things_lay_here(
    push: Push, server: HubServer, full: Path, finished: Path
) -> None:
    push(full)
    for name, content in server.repos[REPO].files.items():
        assert str(finished.parent).encode() not in content, name
        assert str(full.parent).encode() not in content, name
    config = json.loads(server.repos[REPO].files["dreambooth.json"])["config"]
    assert (config["output_dir"], config["instance_data_dir"]) == ("full", "photos")


def test_the_command_takes_no_token_and_shows_none(capsys: pytest.CaptureFixture[str]) -> None:
    for words in (["--token", TOKEN], [f"--token={TOKEN}"], [f"--hub_token={TOKEN}"], [TOKEN]):
        assert main(["push", "--concept", "x", "--repo_id", REPO, *words]) == 2
        assert TOKEN[:20] not in "".join(capsys.readouterr())


def test_the_command_says_how_to_overwrite(
    server: HubServer, full: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", server.endpoint)
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    (full / "showcase").mkdir()
    Image.new("RGB", (8, 8)).save(full / "showcase/grid.png")  # pictures are there, so none are painted
    server.put_repo(REPO, FOREIGN, private=True)
    assert main(["push", "--concept", str(full), "--repo_id", REPO]) == 1
    assert capsys.readouterr().err.strip().endswith("choose another name. --overwrite does it.")


# names and namespaces


@pytest.mark.parametrize(
    "name",
    ["", "bear", "../x", "me/../x", "me/..", "/bear", "me/", "me/a/b", "me/be ar", "me/bear\n", "me/b--r",
     "me/bear.git", "me/\u0431ear", "me/" + "a" * 97, "me/.bear", "me/bear?x=1", "me/%2e%2e"],
)  # fmt: skip
def test_what_is_no_name_is_refused_before_anything_is_sent(
    push: Push, server: HubServer, full: Path, name: str
) -> None:
    error = refusal(push, full, name)
    assert error.cause == "name"
    assert "my-name/teddy-bear" in str(error)
    assert server.seen == []


def test_another_s_namespace_is_refused_and_an_organisation_s_is_not(
    push: Push, server: HubServer, full: Path
) -> None:
    error = refusal(push, full, "you/bear")
    assert error.cause == "namespace"
    assert (
        str(error) == "you is not yours on the Hub: this token is me's. Push to me/bear, or to one of toys."
    )
    assert {request.route for request in server.seen} == {"whoami"}
    assert push(full, "toys/bear").repo_id == "toys/bear"


def test_a_token_that_may_only_read_is_named_before_anything_is_sent(
    push: Push, server: HubServer, full: Path
) -> None:
    error = refusal(push, full, token="hf_reader")
    assert error.cause == "forbidden"
    assert "write access" in str(error)
    assert server.repos == {}


@pytest.mark.parametrize("token", ["", "  ", "hf_two words", "hf_line\nbreak", "gehe\u00edm"])
def test_what_cannot_be_a_token_is_not_shown(push: Push, server: HubServer, full: Path, token: str) -> None:
    error = refusal(push, full, token=token)
    assert error.cause == "token"
    assert not token.strip() or token not in str(error)
    assert server.seen == []


# what is in the repository already


def test_something_else_in_the_repository_is_asked_about(push: Push, server: HubServer, full: Path) -> None:
    server.put_repo(REPO, FOREIGN, private=True)
    error = refusal(push, full)
    assert isinstance(error, RepositoryExistsError)
    assert "already on the Hub with 2 files" in str(error)
    assert len(server.repos[REPO].commits) == 1

    push(full, overwrite=True)
    repo = server.repos[REPO]
    assert set(repo.files) == EVERY_PUSH | PIPELINE  # and not config.json
    assert len(repo.commits) == 2  # what was there is in the history


def test_our_own_earlier_push_is_replaced_without_a_question(
    push: Push, server: HubServer, full: Path
) -> None:
    first = push(full)
    again = push(full)
    assert again.commit == first.commit  # nothing new, no commit
    change_weights(full)
    push(full)
    assert len(server.repos[REPO].commits) == 3

    (full / hub.RECORD).unlink()  # as where the answer to the commit was lost
    push(full)
    assert len(server.repos[REPO].commits) == 3

    server.repos[REPO].add(server.repos[REPO].files | {"README.md": b"my own words"})
    assert isinstance(refusal(push, full), RepositoryExistsError)


def test_a_public_repository_is_not_taken_for_a_private_one(
    push: Push, server: HubServer, full: Path
) -> None:
    server.put_repo(REPO, {}, private=False)
    error = refusal(push, full)
    assert error.cause == "visibility"
    assert "already there and public" in str(error)
    assert len(server.repos[REPO].commits) == 1


def test_a_commit_by_somebody_else_meanwhile_is_not_overwritten(
    push: Push, server: HubServer, full: Path
) -> None:
    server.before["commit"] = lambda: server.repos[REPO].add(FOREIGN)
    error = refusal(push, full)
    assert error.cause == "conflict"
    assert "Nothing was overwritten" in str(error)
    assert server.repos[REPO].files == FOREIGN


# a Hub that refuses, stalls and cuts


@pytest.mark.parametrize(
    ("route", "status", "cause", "says"),
    [
        ("whoami", 401, "unauthorized", "does not accept this token (401)"),
        ("whoami", 429, "rate_limited", "Push again in 42 seconds"),
        ("create", 403, "forbidden", "403: no room here"),
        ("create", 409, "conflict", "changed on the Hub while this push was under way (409)"),
        ("preupload", 403, "forbidden", "403: no room here"),
        ("batch", 401, "unauthorized", "does not accept this token (401)"),
        ("put", 403, "server", "storage did not take the upload (403)"),
        ("put", 500, "server", "trouble of its own (500: no room here)"),
        ("commit", 400, "refused", "refused this upload (400"),
        ("commit", 409, "conflict", "(409). Nothing was overwritten"),
        ("commit", 429, "rate_limited", "(429). Push again in 42 seconds"),
        ("commit", 500, "server", "trouble of its own (500: no room here)"),
        ("head", 401, "unauthorized", "does not accept this token (401)"),
    ],
)  # fmt: skip
def test_every_refusal_has_its_words_and_shows_nothing_half(
    push: Push, server: HubServer, full: Path, route: str, status: int, cause: str, says: str
) -> None:
    server.fail(route, status, times=float("inf"), headers={"Retry-After": "42"}, message="no room here")
    error = refusal(push, full)
    assert error.cause == cause
    assert says in str(error)
    visible = set(server.repos[REPO].files) if REPO in server.repos else set()
    assert visible <= {".gitattributes"} or (route == "head" and visible == EVERY_PUSH | PIPELINE)


def test_a_push_after_a_refusal_goes_on_without_training(push: Push, server: HubServer, full: Path) -> None:
    server.fail("commit", 429)
    assert refusal(push, full).cause == "rate_limited"
    server.seen.clear()
    events = (full / concept.EVENTS_FILE).read_bytes()
    assert push(full).commit == server.repos[REPO].head
    assert (full / concept.EVENTS_FILE).read_bytes() == events
    assert server.requests("put") == []  # what had arrived was not sent again


def test_trouble_that_passes_is_not_told(push: Push, server: HubServer, full: Path) -> None:
    server.fail("validate", 502)
    server.fail("commit", 500)
    push(full)
    assert set(server.repos[REPO].files) == EVERY_PUSH | PIPELINE


@pytest.mark.parametrize("route", ["whoami", "put", "commit", "get"])
def test_a_silent_hub_is_given_up_after_a_while(
    push: Push, server: HubServer, full: Path, route: str
) -> None:
    server.stall(route, after=1000 if route == "put" else 0)
    for seconds in (1, 10, 100, 1000):  # a busy machine may be silent on its own before it gets that far
        error = refusal(push, full, stall_seconds=seconds)
        assert error.cause == "stalled"
        assert f"silent for {seconds} s" in str(error)
        if server.stalled.is_set():
            break
    if route == "get":
        assert "It is on the Hub, but was not checked" in str(error)
    else:
        assert "Nothing of it shows on the Hub" in str(error)
        assert REPO not in server.repos or set(server.repos[REPO].files) == {".gitattributes"}


def test_a_push_has_a_deadline(push: Push, server: HubServer, full: Path) -> None:
    server.stall("put")
    error = refusal(push, full, deadline_seconds=0)
    assert error.cause == "deadline"


def running_children() -> set[psutil.Process]:
    """Of this process; one that has ended and was not waited for yet is none."""
    return {child for child in psutil.Process().children() if child.status() != psutil.STATUS_ZOMBIE}


def test_a_push_can_be_stopped_and_its_process_is_gone(push: Push, server: HubServer, full: Path) -> None:
    server.stall("put", after=1000)
    before = running_children()
    error = refusal(push, full, should_stop=server.stalled.is_set)
    assert error.cause == "stopped"
    assert running_children() <= before
    assert not list(full.glob(".share-*"))
    assert set(server.repos[REPO].files) == {".gitattributes"}


def test_a_cut_upload_goes_on_where_it_was(push: Push, server: HubServer, full: Path) -> None:
    server.cut("put", times=float("inf"), after=1000)
    error = refusal(push, full)
    assert error.cause == "cut"
    assert set(server.repos[REPO].files) == {".gitattributes"}

    server.heal()
    server.fail("commit", 400)
    refusal(push, full)
    server.seen.clear()
    server.cut("commit")
    push(full)
    assert server.requests("put") == []
    assert len(server.requests("commit")) == 2
    assert set(server.repos[REPO].files) == EVERY_PUSH | PIPELINE


def test_a_hub_that_is_not_there(full: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HF_HUB_OFFLINE")
    with HubServer() as gone:
        endpoint = gone.endpoint
    error = refusal(hub.push, full, REPO, TOKEN, endpoint=endpoint)
    assert error.cause == "unreachable"
    assert endpoint in str(error)


def test_offline_is_offline(full: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert refusal(hub.push, full, REPO, TOKEN).cause == "offline"


def test_a_hub_that_gives_back_something_else_is_found_out(push: Push, server: HubServer, full: Path) -> None:
    server.tamper = lambda path, content: content[:-1] + b"?" if path.startswith("unet/diff") else content
    error = refusal(push, full)
    assert error.cause == "differs"
    assert "unet/diffusion_pytorch_model.safetensors" in str(error)


def test_the_uploader_ends_with_whoever_started_it(server: HubServer, full: Path, tmp_path: Path) -> None:
    server.stall("whoami")
    asked = {
        "repo_id": REPO, "token": TOKEN, "endpoint": server.endpoint, "directory": str(full), "files": str(full),
        "back": str(tmp_path), "private": True, "overwrite": False, "known": None, "title": None, "subject": None,
    }  # fmt: skip
    process = subprocess.Popen(
        [sys.executable, "-m", "trainer.uploader"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, cwd=ROOT
    )
    assert process.stdin is not None
    process.stdin.write(json.dumps(asked).encode() + b"\n")
    process.stdin.flush()
    assert server.stalled.wait(60)
    process.stdin.close()
    assert process.wait(60) == 1


# what cannot be pushed


def test_what_is_unfinished_or_being_trained_is_refused(push: Push, server: HubServer, full: Path) -> None:
    with concept.lock(full), pytest.raises(ConceptError, match="being trained"):
        push(full)
    (full / "model_index.json").unlink()
    with pytest.raises(ConceptError, match="train it to the end first"):
        push(full)
    with pytest.raises(ConceptError, match="no concept folder"):
        push(full / "unet")
    assert server.seen == []


# the token


def test_the_token_is_found_nowhere_afterwards(
    server: HubServer,
    push: Push,
    full: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf_home"))
    monkeypatch.setenv("HF_DEBUG", "1")
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    caplog.set_level(logging.DEBUG)
    seen_of_processes: list[str] = []

    def look(*line: object) -> None:
        for process in psutil.Process().children(recursive=True):
            seen_of_processes.append(f"{process.cmdline()} {process.environ()}")

    texts = []
    server.fail("commit", 403, message=f"the token {TOKEN} may not", headers={"X-Error-Message": f"{TOKEN}!"})
    for attempt in ("refused", "done", "done again"):
        try:
            texts.append(repr(push(full, on_progress=look)))
        except HubError as error:
            assert attempt == "refused"
            assert "[token]" in str(error)
            texts.append("".join(traceback.format_exception(error)) + repr(error) + repr(vars(error)))
    texts += [caplog.text, *capfd.readouterr(), *seen_of_processes]
    assert seen_of_processes
    assert not any(TOKEN in text for text in texts)
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(files) > 10
    assert [path for path in files if TOKEN.encode() in path.read_bytes()] == []
    for _, stored in server.repos[REPO].commits:
        assert not any(TOKEN.encode() in content for content in stored.values())
    assert all(TOKEN not in request.path for request in server.seen)
    assert all(request.token is None for request in server.requests("put"))  # storage is another's


# the pictures of the card


def test_pictures_are_pushed_while_they_are_of_these_weights(
    push: Push, server: HubServer, full: Path
) -> None:
    grid = showcase.paint(full, ["a dog", "sks dog"], num_inference_steps=2)
    assert grid is not None
    push(full)
    files = server.repos[REPO].files
    assert {name for name in files if name.startswith("showcase/")} == {
        "showcase/00000.png",
        "showcase/00001.png",
        "showcase/grid.png",
    }
    with Image.open(full / "showcase/00001.png") as image:
        made = metadata.read_settings(full / "showcase/00001.png")["settings"]
        assert (made["prompt"], made["seed"], image.size) == ("sks dog", 1, (16, 16))

    later = grid.stat().st_mtime + 10
    os.utime(full / "model_index.json", (later, later))
    push(full)
    assert not any(name.startswith("showcase/") for name in server.repos[REPO].files)


def test_painting_can_be_stopped(full: Path) -> None:
    assert showcase.paint(full, ["a dog"], num_inference_steps=2, should_stop=lambda: True) is None
    assert not (full / "showcase").exists()
