"""The README's pictures: the four tabs at desk and phone width, light and dark, out of a running app.

    python app.py --port 7860 &
    python -m examples.screenshots http://127.0.0.1:7860

Goes the whole way as a visitor would (example photos, a training, pictures, sharing) and writes into examples/screens/.
Needs the packages of requirements-dev.txt and chromium.
"""

import argparse
import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, Page, expect, sync_playwright

HERE = Path(__file__).parent / "screens"
WIDTHS = {"desk": (1280, 860), "phone": (390, 844)}
THEMES = ("light", "dark")
TABS = ("Generate", "Dataset", "Train", "Share")
PATIENCE = 20 * 60 * 1000  # ms: a training is among what is waited for
STRIP_HEIGHT = 420  # px


def main(argv: Sequence[str] | None = None) -> int:
    """Walk, and write the pictures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("url", help="where the app is")
    parser.add_argument("--prompt", default="a photo of a sks teddy bear on the beach")
    given = parser.parse_args(argv)
    path = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
    if path is None:
        print("no chromium: apt-get install chromium, or name one with CHROMIUM=/path", file=sys.stderr)
        return 1
    HERE.mkdir(exist_ok=True)
    expect.set_options(timeout=PATIENCE)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        prepare(browser, given.url)
        for width in WIDTHS:
            for theme in THEMES:
                page = opened(browser, given.url, width, theme)
                for name in TABS:
                    show(page, name, given.prompt)
                    page.screenshot(
                        path=HERE / f"{name.lower()}-{width}-{theme}.jpg",
                        type="jpeg",
                        quality=85,
                        full_page=name != "Dataset",
                    )
                page.context.close()
        browser.close()
    strip()
    return 0


def opened(browser: Browser, url: str, width: str, theme: str) -> Page:
    """A page in one of the four looks."""
    wide, high = WIDTHS[width]
    page = browser.new_context(viewport={"width": wide, "height": high}).new_page()
    page.set_default_timeout(PATIENCE)
    page.goto(f"{url}/?__theme={theme}")
    page.get_by_role("tab", name="Dataset").wait_for()
    return page


def prepare(browser: Browser, url: str) -> None:
    """Bring the example's photos and train them, unless that was done."""
    page = opened(browser, url, "desk", "light")
    page.get_by_role("tab", name="Train").click()
    expect(page.locator("#status :is(.empty, .job)")).to_be_visible()
    if not page.locator("#current").is_visible():
        page.get_by_role("tab", name="Dataset").click()
        page.locator("#example").click()
        expect(page.locator(".card")).to_have_count(8)
        page.get_by_role("tab", name="Train").click()
        page.locator("#start:not([disabled])").click()
    page.wait_for_function("document.querySelector('#status .job h2')?.innerText === 'Finished'")
    page.context.close()


def show(page: Page, name: str, prompt: str) -> None:
    """Bring a tab to where there is something to see."""
    page.get_by_role("tab", name=name).click()
    if name == "Generate":
        # it opens with the example's concept; a press before one's own is there would be answered with that one
        name = page.locator("#current input").input_value()
        expect(page.locator("#concept input")).to_have_value(name)
        page.locator("#prompt textarea").fill(prompt)
        page.locator("#generate").click()
        expect(page.locator("#pictures")).to_contain_text(f"{name} · seed")
        page.wait_for_function(
            "[...document.querySelectorAll('#pictures img')].every((image) => image.complete)"
        )
    elif name == "Dataset":
        expect(page.locator(".card").first).to_be_visible()
    elif name == "Train":
        expect(page.locator("#status .job")).to_be_visible()
    else:
        expect(page.locator("#push")).to_be_enabled()


def strip() -> None:
    """The whole way in one picture: the desk's four tabs side by side."""
    shots = [
        Image.open(HERE / f"{name.lower()}-desk-light.jpg").convert("RGB")
        for name in ("Dataset", "Train", "Generate", "Share")
    ]
    tops = [shot.crop((0, 0, shot.width, min(shot.height, 860))) for shot in shots]
    small = [
        top.resize((round(top.width * STRIP_HEIGHT / top.height), STRIP_HEIGHT), Image.Resampling.LANCZOS)
        for top in tops
    ]
    sheet = Image.new(
        "RGB", (sum(each.width for each in small) + 12 * (len(small) - 1), STRIP_HEIGHT), "white"
    )
    left = 0
    for each in small:
        sheet.paste(each, (left, 0))
        left += each.width + 12
    sheet.save(HERE / "strip.jpg", quality=88)


if __name__ == "__main__":
    sys.exit(main())
