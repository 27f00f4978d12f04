"""The whole app: through a real Chromium, through gradio_client, over real HTTP, killed and started again."""

import json
import re
import shutil
import threading
import time
import urllib.error
import urllib.request
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from axe_playwright_python.sync_playwright import Axe
from conftest import draw_photo
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
from hub_server import HubServer, User
from PIL import Image
from playwright.sync_api import Browser, Locator, Page, expect
from studio import EXAMPLE, HEADER, PATIENCE, App, choose, chromium, opened, running, tab

TOKEN = "hf_DoNotTellAnyone0123456789"
SHORT = {"max_train_steps": 6, "num_class_images": 2, "num_validation_images": 1, "validation_steps": 3,
         "learning_rate": 0.01, "validation_num_inference_steps": 2, "checkpointing_steps": 2, "log_interval": 1}  # fmt: skip
LONG = SHORT | {"max_train_steps": 100_000, "validation_steps": 100_000, "checkpointing_steps": 5,
                "checkpoints_total_limit": 1}  # fmt: skip
DONE = ("finished", "failed", "stopped", "interrupted")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as running_browser:
        yield running_browser


@pytest.fixture(scope="module")
def hub() -> Iterator[HubServer]:
    with HubServer({TOKEN: User("me")}) as server:
        yield server


@pytest.fixture(scope="module")
def app(sd1: Path, judge: Path, hub: HubServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[App]:
    """The app on one's own machine, with a tiny base that has a judge of its own, and a Hub on loopback."""
    root = tmp_path_factory.mktemp("studio") / "root"
    base = tmp_path_factory.mktemp("judged") / "pipeline"
    shutil.copytree(sd1, base)
    shutil.copytree(judge, base / "clip")
    hub_at = {"HF_ENDPOINT": hub.endpoint, "HF_HUB_DISABLE_XET": "1", "HF_HUB_OFFLINE": "0"}
    with running(root, base, HF_HOME=str(root) + ".home", **hub_at) as started:
        yield started


@pytest.fixture(scope="module")
def public(sd1: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[App]:
    """The app where strangers can come, and nobody can log in."""
    with running(tmp_path_factory.mktemp("public") / "root", sd1, "--host", "0.0.0.0") as started:
        yield started


@pytest.fixture
def page(app: App, browser: Browser) -> Iterator[Page]:
    with opened(browser, app.url) as fresh:
        yield fresh


def bring(client: Client, files: list[Path] | None = None, **said: Any) -> dict[str, Any]:
    """Photos into a new concept; the report."""
    files = EXAMPLE if files is None else files
    words = {
        "kind": "object",
        "title": "Bear",
        "class_noun": "dog",
        "identifier": "sks",
        "concept": "",
        "words": False,
    }
    report: dict[str, Any] = client.predict(
        [handle_file(file) for file in files], *(words | said).values(), api_name="/check_photos"
    )
    return report


def finish(client: Client, name: str) -> dict[str, Any]:
    """The status once the training has ended."""
    end = time.monotonic() + PATIENCE / 1000
    while (status := client.predict(name, api_name="/job_status"))["state"] not in DONE:
        assert time.monotonic() < end, status
        time.sleep(0.2)
    return dict(status)


def reach(client: Client, name: str, step: int) -> dict[str, Any]:
    """The status once the training has come to `step`."""
    end = time.monotonic() + PATIENCE / 1000
    while True:
        status = client.predict(name, api_name="/job_status")
        if status["phase"] == "train" and status["step"] >= step:
            return dict(status)
        assert status["state"] not in DONE and time.monotonic() < end, status
        time.sleep(0.1)


def refusal(client: Client, *arguments: Any, api_name: str) -> str:
    """What the user is told."""
    with pytest.raises(AppError) as caught:
        client.predict(*arguments, api_name=api_name)
    return str(caught.value)


def asked(client: Client, **changes: Any) -> list[tuple[str, str]]:
    """(file, caption) of pictures from /generate."""
    settings: dict[str, Any] = {
        "prompt": "photo of dog", "concept": "pipeline", "negative_prompt": "", "num_samples": 1, "guidance_scale": 7.5,
        "num_inference_steps": 2, "seed": 5, "width": None, "height": None, "scheduler": "dpm++", "beside_the_base": False,
    }  # fmt: skip
    shown = client.predict(*(settings | changes).values(), api_name="/generate")
    return [(each["image"], each["caption"]) for each in shown]


def pixels(path: str | Path) -> np.ndarray:
    return np.asarray(Image.open(path).convert("RGB")).astype(int)


# What it must show, 1: the whole way


def test_the_whole_way_in_a_browser(app: App, browser: Browser, hub: HubServer, tmp_path: Path) -> None:
    with opened(browser, app.url) as page:
        tab(page, "Dataset")
        page.locator("#example").click()
        expect(page.locator(".card")).to_have_count(len(EXAMPLE))
        expect(page.locator(".card .verdict").first).to_have_text("Ready")
        expect(page.locator("#gate .gate h2")).to_have_text("Ready")

        tab(page, "Train")
        expect(page.locator("#subject")).to_contain_text("a photo of a sks teddy bear")
        for name in ("max_train_steps", "num_class_images", "learning_rate"):
            page.locator(f"#train-{name} input").fill(str(SHORT[name] if name != "max_train_steps" else 400))
        page.locator("#start").click()
        expect(page.locator("#status .job")).to_contain_text("Training")
        page.wait_for_function("parseInt(document.querySelector('#status .bar')?.ariaValueNow) > 2")
        page.reload()
        tab(page, "Train")
        expect(page.locator("#status .job h2")).to_have_text(re.compile("Training|Finished"))
        page.wait_for_function("document.querySelector('#status .job h2')?.innerText === 'Finished'")
        expect(page.locator("#status .plot")).to_be_visible()
        expect(page.locator("#report h3")).to_have_text("Did it learn?")
        expect(page.locator("#report p")).to_contain_text(" is kept: it is ")
        expect(page.locator("#report .kept strong")).to_have_text("kept")
        places = page.locator("#report thead th").count() - 1
        assert page.locator("#report tbody tr").count() * places == page.locator("#report td img").count() > 0
        page.locator("#use").click()

        page.locator("#generate-num_samples input[type=number]").fill("1")
        page.locator("#generate").click()
        expect(page.locator("#pictures img")).to_have_count(2)
        sources = [image.get_attribute("src") or "" for image in page.locator("#pictures img").all()]
        ours, theirs = (page.request.get(source).body() for source in sources)
        (tmp_path / "ours.png").write_bytes(ours)
        (tmp_path / "theirs.png").write_bytes(theirs)
        assert np.abs(pixels(tmp_path / "ours.png") - pixels(tmp_path / "theirs.png")).max() > 8

        tab(page, "Share")
        page.locator("#repository input, #repository textarea").fill("me/bear")
        page.locator("#token input").fill(TOKEN)
        page.locator("#push").click()
        expect(page.locator("#share-stage")).to_contain_text("It is on the Hub")
        assert page.locator("#token input").input_value() == ""
        assert TOKEN not in page.content()
        tab(page, "Train")
        tab(page, "Share")
        expect(page.locator("#share-stage")).to_contain_text("It is on the Hub")
    assert hub.repos["me/bear"].private
    assert b"## Did it learn?" in hub.repos["me/bear"].files["README.md"]
    assert same_pictures(hub, "me/bear", tmp_path / "pulled", tmp_path / "ours.png")
    assert nowhere(TOKEN, app)


def same_pictures(hub: HubServer, repository: str, directory: Path, picture: Path) -> bool:
    """Whether the pushed concept, loaded by plain diffusers, makes the very picture again."""
    import torch
    from diffusers import DiffusionPipeline, DPMSolverMultistepScheduler

    for name, content in hub.repos[repository].files.items():
        (directory / name).parent.mkdir(parents=True, exist_ok=True)
        (directory / name).write_bytes(content)
    settings = json.loads(Image.open(picture).info["dreambooth"])["settings"]
    pipeline = DiffusionPipeline.from_pretrained(directory, use_safetensors=True, safety_checker=None)
    pipeline.scheduler = DPMSolverMultistepScheduler.from_config(pipeline.scheduler.config)
    made = pipeline(
        settings["prompt"],
        negative_prompt=settings["negative_prompt"],
        guidance_scale=settings["guidance_scale"],
        num_inference_steps=settings["num_inference_steps"],
        height=settings["height"],
        width=settings["width"],
        generator=torch.Generator("cpu").manual_seed(settings["seed"]),
    ).images[0]
    return bool(np.abs(np.asarray(made).astype(int) - pixels(picture)).max() <= 1)


def nowhere(secret: str, app: App) -> bool:
    """Whether no file of the app's, its log included, holds the secret."""
    places = [
        app.log,
        *app.root.rglob("*"),
        *Path(f"{app.root}.uploads").rglob("*"),
        *Path(f"{app.root}.home").rglob("*"),
    ]
    return not any(secret.encode() in file.read_bytes() for file in places if file.is_file())


def test_the_same_through_the_client(app: App, hub: HubServer, tmp_path: Path) -> None:
    client = app.client()
    report = bring(client)
    assert report["gate"] == "unchecked" and [photo["verdict"] for photo in report["photos"]] == ["ok"] * len(
        EXAMPLE
    )
    name = report["concept"]
    assert client.predict(name, SHORT, api_name="/start_training")["state"] in ("queued", "running")
    status = finish(client, name)
    assert status["state"] == "finished" and status["step"] == SHORT["max_train_steps"], status
    (ours, said), (theirs, base) = asked(client, concept=name, beside_the_base=True)
    assert said == "Bear \u00b7 seed 5" and "untrained" in base
    assert np.abs(pixels(ours) - pixels(theirs)).max() > 8
    done = client.predict(name, "me/by-client", TOKEN, True, False, False, api_name="/push_to_hub")
    assert done["commit"] == hub.repos["me/by-client"].head
    files = hub.repos["me/by-client"].files
    assert not any(file.startswith("instance_images/") for file in files) and "showcase/grid.png" in files
    assert same_pictures(hub, "me/by-client", tmp_path / "pulled", Path(ours))


# 2: killed


def test_31_32_killed_in_a_save_and_resumed_from_the_page(
    sd1: Path, tmp_path: Path, browser: Browser
) -> None:
    root = tmp_path / "root"
    with running(root, sd1) as first:
        client = first.client()
        name = bring(client)["concept"]
        client.predict(name, LONG | {"max_train_steps": 150}, api_name="/start_training")
        reach(client, name, 10)
        first.kill()
    torn = next(root.glob(f"*/{name}")) / ".tmp-checkpoint-150"  # as a kill in the middle of a save leaves it
    torn.mkdir()
    (torn / "state.safetensors").write_bytes(b"half")
    with running(root, sd1) as second, opened(browser, second.url) as page:
        tab(page, "Train")
        expect(page.locator("#status .job h2")).to_have_text("Interrupted")
        page.locator("#resume").click()
        expect(page.locator("#status .job h2")).to_have_text("Training")
        status = reach(second.client(), name, 15)
        assert status["losses"][0][0] <= 10  # what the first run had told is still there
        expect(page.locator("#status .job h2")).to_have_text("Finished")
        expect(page.locator("#use")).to_be_visible()
    assert not torn.exists()


# 4: two visitors


def test_visitors_see_nothing_of_each_other(public: App, browser: Browser) -> None:
    one, other = public.client("1" * 32), public.client("2" * 32)
    name = bring(one)["concept"]
    assert one.predict(name, api_name="/job_status")["state"] == "new"
    for arguments, api_name in (
        ((name,), "/job_status"),
        ((name, "me/x", TOKEN, True, False, False), "/push_to_hub"),
    ):
        assert refusal(other, *arguments, api_name=api_name) == f"There is no concept called {name}."
    with opened(browser, public.url, extra_http_headers={"x-studio-visitor": "1" * 32}) as page:
        tab(page, "Dataset")
        expect(page.locator(".card")).to_have_count(len(EXAMPLE))
    with opened(browser, public.url) as page:
        tab(page, "Dataset")
        expect(page.locator("#gate .empty")).to_be_visible()
        cookie = next(each for each in page.context.cookies() if each["name"] == "studio_visitor")
        assert cookie["httpOnly"] and len(cookie["value"]) == 32
    stored = next(public.root.rglob("000.png"))
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(f"{public.url}/gradio_api/file={stored}")
    assert caught.value.code == 403


def test_strangers_may_paint_but_not_train(public: App, browser: Browser) -> None:
    client = public.client("3" * 32)
    name = bring(client)["concept"]
    assert "Training is off where strangers can come" in refusal(
        client, name, SHORT, api_name="/start_training"
    )
    assert "Training is off where strangers can come" in refusal(client, name, api_name="/stop_training")
    assert len(asked(client)) == 1
    for forged in ("x" * 32, "../../etc/passwd"):
        nobody = public.client(forged)
        assert "Nobody can tell whose photos" in refusal(nobody, name, api_name="/job_status")
    with opened(browser, public.url) as page:
        tab(page, "Train")
        expect(page.locator("#why")).to_contain_text("Training is off where strangers can come")
        expect(page.locator("#start")).to_be_disabled()


def test_on_a_space_one_signs_in(sd1: Path, tmp_path: Path, browser: Browser) -> None:
    space = {
        "SYSTEM": "spaces",  # gradio's own sign of a Space
        "SPACE_ID": "ann/studio",
        "SPACE_AUTHOR_NAME": "ann",
        "OAUTH_CLIENT_ID": "1",
        "OAUTH_CLIENT_SECRET": "2",
        "OAUTH_SCOPES": "openid profile write-repos",
        "OPENID_PROVIDER_URL": "http://127.0.0.1:9",
    }
    with running(tmp_path / "root", sd1, "--host", "127.0.0.1", **space) as started:
        client = started.client("4" * 32)
        name = bring(client)["concept"]
        assert "sign in above" in refusal(client, name, SHORT, api_name="/start_training")
        with opened(browser, started.url) as page:
            expect(page.locator("#sign-in")).to_be_visible()
            tab(page, "Train")
            expect(page.locator("#why")).to_contain_text("sign in above")
            tab(page, "Share")
            expect(page.locator("#token")).not_to_be_visible()


# a base on the Hub


def test_a_base_by_its_name_on_the_hub_is_fetched_in_view(
    sd1: Path, hub: HubServer, tmp_path: Path, browser: Browser
) -> None:
    files = {path.relative_to(sd1).as_posix(): path.read_bytes() for path in sd1.rglob("*") if path.is_file()}
    hub.put_repo("studio/tiny", files)
    going_on = threading.Event()
    weights = iter(range(100))

    def hold(*_: Any) -> None:
        if next(weights) > 3:  # some have come, then the line is slow
            going_on.wait(PATIENCE / 1000)

    hub.before["get"] = hold
    at_hub = {"HF_ENDPOINT": hub.endpoint, "HF_HUB_DISABLE_XET": "1", "HF_HUB_OFFLINE": "0"}
    try:
        with (
            running(tmp_path / "root", "studio/tiny", HF_HOME=str(tmp_path / "home"), **at_hub) as started,
            opened(browser, f"{started.url}/?concept=studio/tiny&num_inference_steps=2") as page,
        ):
            expect(page.locator("#concept input")).to_have_value("tiny, the base itself")
            page.locator("#generate").click()
            expect(page.locator("#stage .progress")).to_contain_text("Downloading the model, 0.0 GB so far")
            page.locator("#cancel").click()
            expect(page.locator("#stage .notice").last).to_contain_text("Cancelled; nothing was finished yet")
            going_on.set()
            page.locator("#generate").click()
            expect(page.locator("#pictures img").first).to_be_visible()
            missing = refusal(started.client(), "photo of dog", "studio/none", api_name="/generate")
            assert missing == "There is no concept called studio/none."
    finally:
        going_on.set()
        del hub.before["get"]


# 7: cold start


def test_nothing_heavy_is_loaded_for_a_page(sd1: Path, tmp_path: Path, browser: Browser) -> None:
    with running(tmp_path / "root", sd1) as fresh, opened(browser, fresh.url) as page:
        for name in ("Dataset", "Train", "Share", "Generate"):
            tab(page, name)
            expect(page.get_by_role("tab", name=name)).to_have_attribute("aria-selected", "true")
        assert not fresh.mapped("libtorch")


# How it feels


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_nothing_serious(app: App, browser: Browser, theme: str) -> None:
    with opened(browser, f"{app.url}/?__theme={theme}") as page:
        for name in ("Generate", "Dataset", "Train", "Share"):
            tab(page, name)
            expect(page.get_by_role("tab", name=name)).to_have_attribute("aria-selected", "true")
            found = Axe().run(page).response["violations"]
            serious = [
                (each["id"], each["nodes"][0]["html"][:200])
                for each in found
                if each["impact"] in ("serious", "critical")
            ]
            assert serious == [], name


@pytest.mark.parametrize("width", [390, 1280])
def test_no_page_is_wider_than_its_window(app: App, browser: Browser, width: int) -> None:
    with opened(browser, app.url, viewport={"width": width, "height": 844}) as page:
        for name in ("Generate", "Dataset", "Train", "Share"):
            tab(page, name)
            assert page.evaluate("document.documentElement.scrollWidth") <= width, name


def test_a_picture_brings_its_settings_back_and_so_does_its_link(
    app: App, trained: str, browser: Browser
) -> None:
    client = app.client()
    ((picture, _),) = asked(client, prompt="photo of bear", seed=77, guidance_scale=3, num_inference_steps=3)
    with opened(browser, app.url) as page:
        expect(page.locator("#chip")).to_have_text("sks dog")  # the newest concept's, no longer the example's
        page.get_by_role("button", name="Bring a picture back").click()
        page.locator("#restore input[type=file]").set_input_files(picture)
        expect(page.locator("#stage .notice")).to_contain_text("settings are back")
        expect(page.locator("#prompt textarea")).to_have_value("photo of bear")
        expect(page.locator("#chip")).to_be_hidden()  # the base answers to no word of its own
        page.locator("#beside input").uncheck()
        page.locator("#generate").click()
        expect(page.locator("#pictures img")).to_have_count(1)
        link = page.locator("#link input, #link textarea").input_value()
        body = page.request.get(page.locator("#pictures img").get_attribute("src") or "").body()
    assert body == Path(picture).read_bytes()
    assert "seed=77" in link and "concept=pipeline" in link
    with opened(browser, link) as page:
        expect(page.locator("#prompt textarea")).to_have_value("photo of bear")


# FAULTS.md, by row


def test_1_no_photos(app: App, tmp_path: Path) -> None:
    assert "no photos: bring 5 to 20 of a subject" in refusal(
        app.client(), [], "object", "", "dog", "sks", "", False, api_name="/check_photos"
    )


def test_2_3_6_16_bad_files_are_named_and_the_others_kept(
    public: App, browser: Browser, tmp_path: Path
) -> None:
    good = [tmp_path / f"good{index}.png" for index in range(5)]
    for index, path in enumerate(good):
        draw_photo(index, (96, 96)).save(path)
    (tmp_path / "notes.png").write_text("dear diary")
    cut = tmp_path / "cut.jpg"
    draw_photo(9, (200, 200)).save(cut)
    cut.write_bytes(cut.read_bytes()[:2000])
    tiny = tmp_path / "<b>tiny.png"
    draw_photo(3, (200, 200)).resize((1, 1)).save(tiny)
    with opened(browser, public.url) as page:
        tab(page, "Dataset")
        page.locator("#photos input[type=file]").set_input_files([*good, tmp_path / "notes.png", cut, tiny])
        expect(page.locator(".card")).to_have_count(5)
        refused = page.locator("#cards .aside")
        for words in ("notes.png", "cut.jpg", "cut off", "tiny.png", "too small"):
            expect(refused).to_contain_text(words)
        assert page.locator("#cards b").count() == 0


def test_19_uploads_name_no_file_of_the_machine(app: App) -> None:
    named = ("/etc/passwd", str(Path(__file__).parent.parent / "app.py"), "https://example.com/a.png")
    for path in named:
        data = {"path": path, "meta": {"_type": "gradio.FileData"}}
        body = json.dumps({"data": [[data], "object", "", "dog", "sks", "", False]}).encode()
        request = urllib.request.Request(
            f"{app.url}/gradio_api/call/check_photos", body, {"content-type": "application/json"}
        )
        with urllib.request.urlopen(request) as response:
            event = json.load(response)["event_id"]
        with urllib.request.urlopen(f"{app.url}/gradio_api/call/check_photos/{event}") as stream:
            said = stream.read()
            assert b"event: error" in said
            assert (b"A web address is not fetched" in said) == path.startswith("https:")


def test_21_prompts_are_capped_and_said(app: App, page: Page) -> None:
    client = app.client()
    assert "at most 2,000 characters" in refusal(client, "a" * 100_000, "pipeline", api_name="/generate")
    assert "NUL" in refusal(client, "a\0b", "pipeline", api_name="/generate")
    assert len(asked(client, prompt="photo of dog \U0001f9f8")) == 1
    page.locator("#prompt textarea").fill("photo of dog " * 30)
    page.locator("#generate").click()
    expect(page.locator("#stage")).to_contain_text("It left out")


def test_22_a_prompt_without_the_identifier_is_said(app: App, trained: str, page: Page) -> None:
    page.goto(f"{app.url}/?concept={trained}&num_samples=2")
    expect(page.locator("#stage")).to_contain_text("The link's settings are filled in")
    expect(page.locator("#chip")).to_have_text("sks dog")
    page.locator("#prompt textarea").fill("photo of dog")
    page.locator("#generate").click()
    expect(page.locator("#pictures img")).to_have_count(4)
    expect(page.locator("#stage .notice")).to_contain_text(
        "does not say \u201csks\u201d, the word that Trained"
    )


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        (
            "num_inference_steps",
            0,
            "num_inference_steps: 0 is refused; it takes a whole number (steps), from 1",
        ),
        ("num_inference_steps", -1, "num_inference_steps: -1 is refused"),
        ("num_inference_steps", 1e9, "num_inference_steps"),
        ("num_samples", 100, "num_samples: 100 is refused; here it is at most 8"),
        ("height", 511, "height: 511 is refused"),
        ("scheduler", "magic", "one of dpm++"),
    ],
)
def test_23_generate_names_the_field_and_its_range(app: App, name: str, value: Any, words: str) -> None:
    with pytest.raises(AppError) as caught:
        asked(app.client(), **{name: value})
    assert words in str(caught.value)


def test_23_training_names_the_field_and_its_range(app: App) -> None:
    client = app.client()
    name = bring(client)["concept"]
    wrong = {
        "max_train_steps": 0,
        "learning_rate": "nan",
        "resolution": 511,
        "output_dir": "/tmp/mine",
        "pretrained_model_name_or_path": "/etc",
        "evaluation_encoder": "/etc",
        "steps": 3,
    }
    for field, value in wrong.items():
        assert f"{field}: " in refusal(client, name, {field: value}, api_name="/start_training")
    assert client.predict(name, api_name="/job_status")["state"] == "new"


def test_26_29_28_one_runs_one_waits_and_twice_is_one_job(app: App, browser: Browser) -> None:
    client = app.client()
    first, second = (bring(client, title=title)["concept"] for title in ("First", "Second"))
    client.predict(first, LONG, api_name="/start_training")
    client.predict(first, LONG, api_name="/start_training")
    reach(client, first, 1)
    assert client.predict(second, SHORT, api_name="/start_training")["place"] == 1
    assert "A training has the device" in refusal(client, "photo of dog", "pipeline", api_name="/generate")
    with opened(browser, app.url) as page:
        tab(page, "Train")
        expect(page.locator("#status .job")).to_contain_text("number 1 in the queue")
    with opened(browser, app.url) as page:  # the tab was closed; it is found again
        tab(page, "Train")
        expect(page.locator("#status .job")).to_contain_text("number 1 in the queue")
        tab(page, "Generate")
        page.locator("#generate").click()
        expect(page.locator("#stage")).to_contain_text("A training has the device")
    client.predict(first, api_name="/stop_training")
    assert finish(client, first)["state"] == "stopped"
    assert finish(client, second)["state"] == "finished"


def test_27_forty_pages_are_answered_while_it_trains(app: App) -> None:
    client = app.client()
    name = bring(client, title="Watched")["concept"]
    client.predict(name, LONG, api_name="/start_training")
    begun = reach(client, name, 1)["step"]

    asked_for = json.dumps({"data": [name]}).encode()
    known = {HEADER: "0" * 32, "content-type": "application/json"}

    def look(_: int) -> dict[str, Any]:
        address = f"{app.url}/gradio_api/call/job_status"
        with urllib.request.urlopen(urllib.request.Request(address, asked_for, known)) as response:
            event = json.load(response)["event_id"]
        with urllib.request.urlopen(f"{address}/{event}") as stream:
            kind, data = stream.read().decode().strip().split("\n")[:2]
        assert kind == "event: complete", data
        status: dict[str, Any] = json.loads(data.removeprefix("data: "))[0]
        return status

    with ThreadPoolExecutor(40) as pages:
        seen = list(pages.map(look, range(120)))
    assert {each["state"] for each in seen} == {"running"}
    assert min(each["step"] for each in seen) >= begun
    reach(client, name, max(each["step"] for each in seen) + 1)  # and it went on training
    client.predict(name, api_name="/stop_training")
    assert finish(client, name)["state"] == "stopped"


def test_others_are_told_their_place_and_may_give_it_up(app: App, browser: Browser) -> None:
    slow = f"{app.url}/?concept=pipeline&num_samples=8&num_inference_steps=150&width=128&height=128"
    with opened(browser, slow) as first, opened(browser, app.url) as second:
        expect(first.locator("#stage .notice")).to_contain_text("settings are filled in")
        first.locator("#generate").click()
        expect(first.locator("#stage .progress")).to_contain_text("Painting")
        second.locator("#generate").click()
        expect(second.locator("#stage .progress")).to_contain_text("1 ahead of you")
        second.locator("#cancel").click()
        expect(second.locator("#stage .notice")).to_contain_text("Cancelled before it began")
        expect(second.locator("#generate")).to_be_enabled()
        first.locator("#cancel").click()
        expect(first.locator("#stage .notice").last).to_contain_text("Cancelled; nothing was finished yet")
        expect(first.locator("#generate")).to_be_enabled()


def test_a_concept_is_kept_as_a_zip(app: App, trained: str, page: Page, tmp_path: Path) -> None:
    tab(page, "Share")
    choose(page, "Trained")
    page.locator("#zip").click()
    expect(page.locator("#share-stage .notice")).to_contain_text(f"{trained}.zip")
    with page.expect_download() as downloading:
        page.locator("#download").click()
    downloading.value.save_as(tmp_path / "kept.zip")
    with zipfile.ZipFile(tmp_path / "kept.zip") as archive:
        names = archive.namelist()
    assert f"{trained}/model_index.json" in names and not any("instance_images" in name for name in names)


@pytest.mark.parametrize("repo_id", ["../x", "someone-else/bear", "bear"])
def test_40_repositories_that_are_not_one_s_own(app: App, trained: str, repo_id: str) -> None:
    said = refusal(app.client(), trained, repo_id, TOKEN, True, False, False, api_name="/push_to_hub")
    assert repo_id.split("/")[0] in said and TOKEN not in said


@pytest.fixture(scope="module")
def trained(app: App) -> str:
    """A finished concept's name."""
    client = app.client()
    name: str = bring(client, title="Trained")["concept"]
    client.predict(name, SHORT, api_name="/start_training")
    assert finish(client, name)["state"] == "finished"
    return name


def test_37_to_40_the_share_tab_says_what_the_hub_answered(
    app: App, hub: HubServer, trained: str, page: Page
) -> None:
    folder = next(app.root.glob(f"*/{trained}"))
    tab(page, "Share")
    choose(page, "Trained")

    def push(token: str, repository: str = "me/from-the-page") -> Locator:
        page.locator("#repository input, #repository textarea").fill(repository)
        page.locator("#token input").fill(token)
        page.locator("#push").click()
        return page.locator("#share-stage")

    expect(push("hf_expired")).to_contain_text("The Hub does not accept this token (401)")
    assert page.locator("#token input").input_value() == ""
    expect(push(TOKEN, "you/bear")).to_contain_text("you is not yours on the Hub: this token is me's")
    assert not (folder / "showcase").exists()  # neither was found out after the pictures were painted

    for status, words in ((409, "was changed on the Hub"), (429, "Push again in"), (500, "is safe here")):
        hub.fail("commit", status, times=9)
        expect(push(TOKEN)).to_contain_text(words)
        hub.heal()
    hub.cut("commit", times=9)
    expect(push(TOKEN)).to_contain_text("The connection to the Hub was cut")
    hub.heal()
    hub.stall("commit")
    push(TOKEN)
    page.locator("#cancel-push").click()
    expect(page.locator("#share-stage")).to_contain_text(
        "The push was stopped. Nothing of it shows on the Hub"
    )
    expect(page.locator("#cancel-push")).to_be_hidden()
    hub.heal()

    hub.put_repo("me/taken", {"README.md": b"another's"}, private=True)
    expect(push(TOKEN, "me/taken")).to_contain_text("tick the box to replace it")
    page.locator("#overwrite input").check()
    page.locator("#token input").fill(TOKEN)
    page.locator("#push").click()
    expect(page.locator("#share-stage")).to_contain_text("It is on the Hub")
    expect(push(TOKEN)).to_contain_text("me/from-the-page")
    assert hub.repos["me/taken"].files.keys() == hub.repos["me/from-the-page"].files.keys()
    assert nowhere(TOKEN, app) and nowhere("hf_expired", app)


def test_37_38_a_hub_that_refuses_is_told_apart_and_a_later_push_succeeds(
    app: App, hub: HubServer, trained: str
) -> None:
    client, said = app.client(), set()
    for status in (401, 403, 409, 429, 500):
        hub.fail("commit", status, times=9)
        said.add(refusal(client, trained, "me/again", TOKEN, True, False, False, api_name="/push_to_hub"))
        hub.heal()
    assert len(said) == 5 and not any(TOKEN in words for words in said)
    done = client.predict(trained, "me/again", TOKEN, True, False, False, api_name="/push_to_hub")
    assert done["private"] and hub.repos["me/again"].files
    for path in (
        f"gradio_api/deep_link?session_hash={client.session_hash}",
        "?deep_link=a",
        "config?deep_link=a",
    ):
        with pytest.raises(urllib.error.HTTPError, match="404"):
            urllib.request.urlopen(f"{app.url}/{path}")
    assert nowhere(TOKEN, app)
