"""The Dataset and Train tabs: what they say, keep and refuse, beyond the whole way of test_app.py."""

import itertools
import json
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import draw_photo
from PIL import Image
from playwright.sync_api import Browser, Page, Route, expect
from studio import EXAMPLE, App, choose, chromium, opened, running, tab
from test_app import LONG, SHORT, bring, finish, reach, refusal

from trainer import choice
from trainer.choice import Judged, Report, Yardstick
from trainer.snapshots import Snapshot
from trainer.ui import background, dataset, status


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as running_browser:
        yield running_browser


@pytest.fixture(scope="module")
def app(sd1: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[App]:
    with running(tmp_path_factory.mktemp("tabs") / "root", sd1) as started:
        yield started


@pytest.fixture
def page(app: App, browser: Browser) -> Iterator[Page]:
    with opened(browser, app.url) as fresh:
        yield fresh


@pytest.fixture
def pictures(tmp_path: Path) -> list[Path]:
    """As many as a style needs."""
    paths = [tmp_path / f"{index}.png" for index in range(10)]
    for index, path in enumerate(paths):
        draw_photo(index, (96, 96)).save(path)
    return paths


def arrive(page: Page, app: App, title: str, name: str, **said: Any) -> str:
    """Bring the example's photos by the API, and work on them in a tab; the concept's name."""
    concept: str = bring(app.client(), title=title, **said)["concept"]
    afresh(page, title, name)
    return concept


def afresh(page: Page, title: str, name: str) -> None:
    """Load the page again, at a tab. It works on what was made last by itself: to choose it once more would have the
    fields filled in twice, the second time perhaps over what a test has typed."""
    page.reload()
    tab(page, name)
    expect(page.locator("#current input")).to_have_value(title)


def test_a_style_is_trained_from_the_page(page: Page, app: App, pictures: list[Path]) -> None:
    tab(page, "Dataset")
    page.locator("#kind").get_by_text("A style").click()
    expect(page.locator("#noun")).to_be_hidden()
    page.locator("#title input, #title textarea").fill("Discs")
    page.locator("#photos input[type=file]").set_input_files(pictures)
    expect(page.locator(".card")).to_have_count(len(pictures))
    tab(page, "Train")
    expect(page.locator("#subject")).to_contain_text("a picture in the sks style")
    expect(page.locator("#train-num_class_images")).to_be_hidden()
    page.locator("#train-max_train_steps input").fill(str(LONG["max_train_steps"]))
    page.locator("#start").click()
    expect(page.locator("#status .job h2")).to_have_text("Training")
    page.locator("#stop").click()
    assert finish(app.client(), "discs")["state"] == "stopped"
    tab(page, "Dataset")
    page.locator("#photos input[type=file]").set_input_files(EXAMPLE[0])
    expect(page.locator(".card")).to_have_count(len(pictures) + 1)
    tab(page, "Train")
    page.locator("#resume").click()
    expect(page.locator("#status .job h2")).to_have_text("Failed")
    expect(page.locator("#status")).to_contain_text("Put them back as they were")
    expect(page.locator("#resume")).to_be_visible()  # for when they are back


def test_what_is_filled_in_before_the_server_has_answered_stays(app: App, browser: Browser) -> None:
    held: list[Route] = []
    hold = [True]
    with opened(browser, app.url) as page:
        page.route("**/gradio_api/run/**", lambda route: held.append(route) if hold else route.continue_())
        page.reload()
        tab(page, "Dataset")
        page.locator("#kind").get_by_text("A style").click()
        page.locator("#title input, #title textarea").fill("Discs")
        assert held  # what the page asks when it comes
        hold.clear()
        for each in held:
            each.continue_()
        page.locator("#check-identifier").click()
        expect(page.locator("#word")).to_contain_text("sks")
        expect(page.locator("#kind input:checked")).to_have_value("style")
        expect(page.locator("#title input, #title textarea")).to_have_value("Discs")


def test_a_style_is_trained_through_the_client(app: App, pictures: list[Path]) -> None:
    client = app.client()
    name = bring(client, pictures, kind="style", title="Client's", class_noun="")["concept"]
    assert "a style has no class" in refusal(
        client, name, {"with_prior_preservation": True}, api_name="/start_training"
    )
    client.predict(name, SHORT | {"snr_gamma": None}, api_name="/start_training")
    assert finish(client, name)["state"] == "finished"
    settings = json.loads(next(app.root.glob(f"*/{name}/dreambooth.json")).read_text())["config"]
    assert (settings["snr_gamma"], settings["lr_scheduler"]) == (
        None,
        "cosine",
    )  # the preset's 5.0 taken back


def test_photos_added_by_the_client_leave_the_words(app: App, pictures: list[Path]) -> None:
    client = app.client()
    name = bring(client, pictures[:8], kind="style", title="Added", class_noun="", identifier="zwx")[
        "concept"
    ]
    report = bring(client, pictures[8:], concept=name)
    assert (report["concept"], len(report["photos"])) == (name, 10)
    client.predict(name, SHORT | {"max_train_steps": 1}, api_name="/start_training")
    assert finish(client, name)["state"] == "finished"
    settings = json.loads(next(app.root.glob(f"*/{name}/dreambooth.json")).read_text())
    assert settings["config"]["instance_prompt"] == "a picture in the zwx style"


def test_a_card_s_button_is_of_the_concept_it_was_drawn_for(page: Page, app: App, tmp_path: Path) -> None:
    Image.new("RGB", (200, 200)).save(tmp_path / "dark.png")
    client = app.client()
    name = bring(client, [*EXAMPLE, tmp_path / "dark.png"], title="Dark")["concept"]
    afresh(page, "Dark", "Dataset")
    drop = page.locator("#cards").get_by_role("button", name="Drop it").first
    expect(drop).to_be_visible()
    for of, left in (("another", len(EXAMPLE) + 1), (name, len(EXAMPLE))):
        page.evaluate("of => { document.querySelector('#cards [data-of]').dataset.of = of }", of)
        with page.expect_response(lambda response: "/run/predict" in response.url) as answered:
            drop.click()
        assert answered.value.ok
        assert len(client.predict([], concept=name, api_name="/check_photos")["photos"]) == left
    expect(page.locator(".card")).to_have_count(len(EXAMPLE))


def test_a_warning_is_dismissed_and_counted_again(page: Page, app: App, tmp_path: Path) -> None:
    Image.new("RGB", (200, 200)).save(tmp_path / "dark.png")
    bring(app.client(), [*EXAMPLE, tmp_path / "dark.png"], title="Fine")
    afresh(page, "Fine", "Dataset")
    reasons = page.locator(".card").last.locator("li")
    expect(reasons.first).to_be_visible()
    count = reasons.count()
    for _ in range(count):
        page.locator(".card").last.get_by_role("button", name="dismiss").first.click()
        expect(page.locator(".card").last.locator("li.dismissed")).not_to_have_count(0)
    expect(page.locator(".card").last.locator("li.dismissed")).to_have_count(count)
    expect(page.locator(".card").last.locator(".verdict")).to_have_text("Ready")
    page.locator(".card").last.get_by_role("button", name="count again").first.click()
    expect(page.locator(".card").last.locator("li.dismissed")).to_have_count(count - 1)
    expect(page.locator(".card").last.locator(".verdict")).to_have_text("Warning")


def test_a_deleted_concept_is_gone_with_its_photos(page: Page, app: App) -> None:
    name = arrive(page, app, "Doomed", "Train")
    expect(page.locator("#subject")).to_contain_text("Doomed")
    (folder,) = app.root.glob(f"*/{name}")
    answers = iter(("dismiss", "accept"))
    page.on("dialog", lambda dialog: getattr(dialog, next(answers))())
    page.locator("#delete").click()
    expect(page.locator("#subject")).to_contain_text("Doomed")
    assert folder.exists()
    page.locator("#delete").click()
    expect(page.locator("#answer")).to_contain_text("Deleted, with its photos.")
    assert not folder.exists()
    assert f"There is no concept called {name}." in refusal(app.client(), name, api_name="/job_status")


def test_presses_in_quick_succession_all_count(page: Page, app: App, tmp_path: Path) -> None:
    blank = [tmp_path / "black.png", tmp_path / "white.png"]
    for path in blank:
        Image.new("RGB", (200, 200), path.stem).save(path)
    bring(app.client(), [*EXAMPLE, *blank], title="Quick")
    afresh(page, "Quick", "Dataset")
    expect(page.locator(".card")).to_have_count(len(EXAMPLE) + 2)
    pressed = page.evaluate("""() => {
        const buttons = [...document.querySelectorAll('#cards button[data-do=drop]')];
        for (const button of buttons) button.click();
        return buttons.map(button => button.dataset.which);
    }""")
    assert len(set(pressed)) == 2
    expect(page.locator(".card")).to_have_count(len(EXAMPLE))


def test_14_15_a_refused_zip_is_told_until_it_is_read(page: Page, app: App, tmp_path: Path) -> None:
    arrive(page, app, "Zipped", "Dataset")
    with zipfile.ZipFile(tmp_path / "many.zip", "w") as archive:
        for index in range(1001):
            archive.writestr(f"{index}.png", b"")
    expect(page.locator(".card")).to_have_count(len(EXAMPLE))
    page.locator("#photos input[type=file]").set_input_files(tmp_path / "many.zip")
    expect(page.locator("#gate .notice.error")).to_contain_text("many.zip")
    tab(page, "Train")
    expect(page.locator("#subject")).to_contain_text("Zipped")
    tab(page, "Dataset")
    expect(page.locator("#read-text")).to_be_visible()
    expect(page.locator("#gate .notice.error")).to_contain_text("many.zip")
    expect(page.locator("#gate .gate")).to_be_visible()
    expect(page.locator(".card")).to_have_count(len(EXAMPLE))


def test_a_new_name_shows_where_concepts_are_chosen(page: Page, app: App) -> None:
    arrive(page, app, "Old name", "Dataset")
    title = page.locator("#title input, #title textarea")
    expect(title).to_have_value("Old name")
    title.fill("New name")
    title.blur()
    expect(page.locator("#current input")).to_have_value("New name")
    expect(page.locator(".card")).to_have_count(len(EXAMPLE))


def test_a_suggested_identifier_is_kept_at_once(page: Page, app: App) -> None:
    arrive(page, app, "Suggested", "Dataset", identifier="two words")
    word = page.locator("#identifier input, #identifier textarea")
    expect(word).to_have_value("two words")
    page.locator("#check-identifier").click()
    chip = page.locator("#word .suggested button").first
    suggested = chip.inner_text()
    chip.click()
    expect(word).to_have_value(suggested)
    tab(page, "Train")
    expect(page.locator("#subject")).to_contain_text(f"a photo of a {suggested} dog")


def test_23_a_number_out_of_range_is_refused_by_its_name(page: Page, app: App) -> None:
    arrive(page, app, "Ranges", "Train")
    expect(page.locator("#subject")).to_contain_text("Ranges")
    page.locator("#train-max_train_steps input").fill("0")
    page.locator("#start").click()
    expect(page.locator("#answer .notice.error")).to_contain_text("max_train_steps: 0 is refused")
    expect(page.locator("#status")).to_contain_text("Ready to learn")


def test_without_photos_there_is_nothing_to_measure(page: Page, app: App) -> None:
    arrive(page, app, "Other", "Train")
    choose(page, "A new concept")
    expect(page.locator("#status")).to_contain_text("Nothing to train yet")
    page.locator("#measure").click()
    expect(page.locator("#cost .notice.error")).to_contain_text("bring photos on the Dataset tab first")


def test_a_measurement_is_cancelled_from_the_page(page: Page, app: App) -> None:
    arrive(page, app, "Costly", "Train")
    expect(page.locator("#subject")).to_contain_text("Costly")
    page.locator("#measure").click()
    page.locator("#cancel-measure").click()
    expect(page.locator("#cost .notice")).to_contain_text("it was cancelled")
    expect(page.locator("#cancel-measure")).to_be_hidden()
    expect(page.locator("#measure")).to_be_enabled()


def test_what_a_stopped_training_needs_is_kept_for_it(page: Page, app: App, pictures: list[Path]) -> None:
    client = app.client()
    name = bring(client, title="Halfway")["concept"]
    client.predict(name, LONG, api_name="/start_training")
    reach(client, name, 6)
    client.predict(name, api_name="/stop_training")
    assert finish(client, name)["state"] == "stopped"
    afresh(page, "Halfway", "Train")
    expect(page.locator("#status .job h2")).to_have_text("Stopped")
    page.get_by_role("button", name="Class images").click()
    images = page.locator(".class-images img")
    expect(images).to_have_count(2)
    images.first.click()
    expect(page.locator("#class-images .notice.error")).to_contain_text("Go on and finish, or Train again")
    expect(images).to_have_count(2)

    tab(page, "Dataset")
    expect(page.locator("#gate .notice.info")).to_contain_text("Go on is refused")
    page.locator("#photos input[type=file]").set_input_files(pictures[0])
    expect(page.locator(".card")).to_have_count(len(EXAMPLE) + 1)
    tab(page, "Train")
    page.locator("#resume").click()
    expect(page.locator("#status .job h2")).to_have_text("Failed")
    expect(page.locator("#status")).to_contain_text("train again from the start")

    client.predict(name, SHORT, api_name="/start_training")
    assert finish(client, name)["state"] == "finished"
    expect(page.locator("#status .job h2")).to_have_text("Finished")
    images.first.click()
    expect(images).to_have_count(1)
    expect(page.locator("#class-images .notice")).to_have_count(0)


def test_another_step_is_chosen_from_the_report(page: Page, app: App) -> None:
    client = app.client()
    name = bring(client, title="Choosy")["concept"]
    client.predict(name, SHORT | {"checkpoints_total_limit": 3}, api_name="/start_training")
    assert finish(client, name)["state"] == "finished"
    (folder,) = app.root.glob(f"*/{name}")
    figures = (Judged(step, 0.2 + step / 20, 0.4, 0.1, ()) for step in (2, 4, 6))
    judged = Report(Yardstick(0.6, 0.2, 0.4, 0.5), "a photo of a sks dog", ("in the snow",), tuple(figures))
    (folder / choice.FILE).write_text(judged.text())
    weights = folder / "unet/diffusion_pytorch_model.safetensors"
    last = weights.read_bytes()
    afresh(page, "Choosy", "Train")
    expect(page.locator("#report tr.kept")).to_contain_text("6kept")
    use = page.locator("#report").get_by_role("button", name="Use this one")
    expect(use).to_have_count(2)
    use.first.click()
    expect(page.locator("#answer .notice.good")).to_have_text("Step 2 is the concept now.")
    expect(page.locator("#report tr.kept")).to_contain_text("2kept")
    expect(page.locator("#report p")).to_contain_text("Step 2 is the concept")
    assert weights.read_bytes() != last


def test_a_preview_of_another_run_is_another_picture(tmp_path: Path) -> None:
    path = tmp_path / "preview.png"
    shown = []
    for colour in ("red", "blue"):
        Image.new("RGB", (16, 16), colour).save(path)
        shown.append(status.previews_html(Snapshot(previews=((3, path),))))
    assert shown[0] != shown[1]


def test_bars_tell_the_time_left_once_there_is_a_pace(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = itertools.count(100, 2)
    monkeypatch.setattr(background.time, "monotonic", lambda: float(next(clock)))
    shown = list(dataset.bars("Reading", [(1, 4), (2, 4), (3, 4)]))
    assert ["1 of 4 photos<" in shown[0], "2 of 4 photos, about 4 s left" in shown[1]] == [True, True]
    assert "3 of 4 photos, about 2 s left" in shown[2]
