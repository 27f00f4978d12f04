"""Forty pages watch a training: how long an answer takes, and how much of its speed the training keeps.

    PYTHONPATH=. .venv/bin/python tests/bench_pages.py [--pages 40] [--seconds 20] [--blocks 5]

Starts the app on the embedded base and trains the example in it. Blocks with pages and without alternate, so that a
machine that slows down slows both; a page asks as the browser does, with the request of its timer and as often as the
app tells it to. The pages are open before the first block. Prints medians. Nothing here is a test: a busy machine would
fail it.
"""

import argparse
import asyncio
import json
import random
import statistics
import tempfile
import time
import uuid
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import httpx
from gradio_client import handle_file
from studio import EXAMPLE, App, running

SETTINGS = {"max_train_steps": 100_000, "with_prior_preservation": False, "checkpointing_steps": 100_000,
            "validation_steps": 100_000, "log_interval": 1}  # fmt: skip


def main(argv: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--pages", type=int, default=40)
    parser.add_argument("--seconds", type=float, default=20, help="a block's length")
    parser.add_argument("--blocks", type=int, default=5, help="of each sort")
    given = parser.parse_args(argv)
    with (
        tempfile.TemporaryDirectory() as directory,
        running(Path(directory) / "root", "examples/toybox", OMP_NUM_THREADS="") as app,
    ):
        name = start(app)
        events = next(app.root.rglob("events.jsonl"))
        pages = Pages(app, name, given.pages)
        alone, watched, answers = [], [], []
        for block in range(given.blocks):
            alone.append(pace(events, given.seconds, partial(time.sleep, given.seconds)))
            found: list[float] = []
            watching = partial(asyncio.run, pages.watch(given.seconds, found))
            watched.append(pace(events, given.seconds, watching))
            answers += found
            print(
                f"block {block + 1}: {alone[-1]:.2f} steps/s alone, {watched[-1]:.2f} with {given.pages} pages"
            )
    kept = statistics.median(w / a for w, a in zip(watched, alone, strict=True))
    late = statistics.quantiles(answers, n=100)[94]
    print(f"{len(answers)} answers: median {statistics.median(answers):.3f} s, 95th percentile {late:.3f} s")
    print(f"the training keeps {100 * kept:.1f} % of its speed (median of {given.blocks} pairs)")


def start(app: App) -> str:
    """Train the example; returns the concept's name once steps are being made."""
    client = app.client()
    files = [handle_file(path) for path in EXAMPLE]
    report = client.predict(files, "object", "Bear", "teddy bear", "sks", "", False, api_name="/check_photos")
    name: str = report["concept"]
    client.predict(name, SETTINGS, api_name="/start_training")
    while (status := client.predict(name, api_name="/job_status"))["step"] < 5:
        if status["state"] not in ("queued", "running"):
            raise SystemExit(f"the training ended: {status['message']}")
        time.sleep(0.5)
    return name


def pace(events: Path, seconds: float, block: Callable[[], object]) -> float:
    """Steps a second while the block runs, off the training's own clock."""
    begin = time.time()
    block()
    end = time.time()
    steps = [e for e in map(json.loads, events.read_text().splitlines()) if e["event"] == "step"]
    within = [e for e in steps if begin <= e["time"] <= end]
    return float((within[-1]["step"] - within[0]["step"]) / (within[-1]["time"] - within[0]["time"]))


class Pages:
    """Open pages, asking over HTTP as a browser does."""

    def __init__(self, app: App, name: str, count: int) -> None:
        self.http = httpx.Client(base_url=app.url, timeout=60)
        self.name = name
        config = self.http.get("/config").json()
        timer = next(part["id"] for part in config["components"] if part["type"] == "timer")
        self.tick = next(each for each in config["dependencies"] if [timer, "tick"] in each["targets"])
        self.timer = self.tick["outputs"].index(timer)
        self.sessions = [uuid.uuid4().hex[:11] for _ in range(count)]
        self.pauses = dict.fromkeys(self.sessions, 1.0)
        opening = next(
            each["id"] for each in config["dependencies"] if each["outputs"] == self.tick["inputs"][:1]
        )
        for session in self.sessions:
            self.ask(session, opening, [])
            self.look(session)
        if set(self.pauses.values()) == {1.0}:
            raise SystemExit(f"no page was told of {name}")

    def ask(self, session: str, function: int, data: list[Any]) -> list[Any]:
        """What the app answers a page."""
        body = {"data": data, "fn_index": function, "session_hash": session}
        answer = self.http.post("/gradio_api/run/predict", json=body)
        found: list[Any] = answer.raise_for_status().json()["data"]
        return found

    def look(self, session: str) -> float:
        """One request of the page's timer; returns the seconds that its answer took."""
        asked = time.monotonic()
        told = self.ask(session, self.tick["id"], [self.name, None])[self.timer]
        took = time.monotonic() - asked
        self.pauses[session] = told.get("value") or self.pauses[session]
        return took

    async def watch(self, seconds: float, found: list[float]) -> None:
        """All of them for so long; appends how long each answer took."""
        end = time.monotonic() + seconds

        async def page(session: str) -> None:
            await asyncio.sleep(random.uniform(0, self.pauses[session]))
            while time.monotonic() < end:
                found.append(await asyncio.to_thread(self.look, session))
                await asyncio.sleep(self.pauses[session])

        await asyncio.gather(*map(page, self.sessions))


if __name__ == "__main__":
    main()
