"""The app in a process of its own, a real Chromium, and clients of its API."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gradio_client import Client
from playwright.sync_api import Browser, Page, expect, sync_playwright

ROOT = Path(__file__).parent.parent
PATIENCE = 300_000  # ms that a busy machine may take: the first training reads torch in
EXAMPLE = sorted((ROOT / "examples/teddy-bear/instance_images").glob("*.jpg"))
HEADER = "x-studio-visitor"


@dataclass
class App:
    """A running app."""

    process: "subprocess.Popen[bytes]"
    url: str
    root: Path
    log: Path

    def client(self, visitor: str = "0" * 32) -> Client:
        """A client of the API, known by the header."""
        slow = {"timeout": PATIENCE / 1000}
        return Client(self.url, headers={HEADER: visitor}, verbose=False, httpx_kwargs=slow)

    def kill(self) -> None:
        """SIGKILL: nothing can be tidied up."""
        self.process.kill()
        self.process.wait()

    def mapped(self, library: str) -> bool:
        """Whether the process has a shared library in memory."""
        return library in Path(f"/proc/{self.process.pid}/maps").read_text()


@contextmanager
def running(
    root: Path, base: Path | str, *arguments: str, script: str = "app.py", **environment: str
) -> Iterator[App]:
    """`python app.py` on a free port, until the block ends."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    log = root.with_suffix(".log")
    quiet = {
        "HF_HUB_OFFLINE": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "GRADIO_TEMP_DIR": str(root) + ".uploads",
    }
    command = [
        sys.executable,
        script,
        "--port",
        str(port),
        "--root",
        str(root),
        "--base",
        str(base),
        *arguments,
    ]
    with log.open("ab") as stream:
        process = subprocess.Popen(
            command, cwd=ROOT, env=os.environ | quiet | environment, stdout=stream, stderr=subprocess.STDOUT
        )
    app = App(process, f"http://127.0.0.1:{port}", root, log)
    try:
        wait_for_page(app)
        yield app
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
            try:
                process.wait(60)
            except subprocess.TimeoutExpired:
                process.kill()


def wait_for_page(app: App) -> None:
    """Until the app answers."""
    end = time.monotonic() + PATIENCE / 1000
    while True:
        try:
            with urllib.request.urlopen(app.url, timeout=10):
                return
        except OSError as error:
            if app.process.poll() is not None or time.monotonic() > end:
                raise AssertionError(app.log.read_text()) from error
            time.sleep(0.2)


@contextmanager
def chromium() -> Iterator[Browser]:
    """Debian's own, or whichever there is."""
    path = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
    assert path, "no chromium: apt-get install chromium, or name one with CHROMIUM=/path"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()


@contextmanager
def opened(browser: Browser, url: str, **options: Any) -> Iterator[Page]:
    """A page of a new visitor's."""
    context = browser.new_context(**({"viewport": {"width": 1280, "height": 900}} | options))
    page = context.new_page()
    page.set_default_timeout(PATIENCE)
    expect.set_options(timeout=PATIENCE)
    try:
        page.goto(url)
        page.get_by_role("tab", name="Dataset").wait_for()
        yield page
    finally:
        context.close()


def tab(page: Page, name: str) -> None:
    """Go to a tab."""
    page.get_by_role("tab", name=name).click()


def choose(page: Page, title: str) -> None:
    """Work on another concept."""
    page.locator("#current input").click()
    page.get_by_role("option", name=title, exact=True).click()
