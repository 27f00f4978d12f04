"""Forty pages watch a training: how long an answer takes, and how much of its speed the training keeps.

    PYTHONPATH=. .venv/bin/python tests/bench_pages.py [--pages 40] [--seconds 20] [--blocks 5]

Starts the app on the embedded base and trains the example in it. Blocks with pages and without alternate, so that a
machine that slows down slows both; a page asks as the browser does, with the request of its timer, every two seconds.
Prints medians. Nothing here is a test: a busy machine would fail it.
"""

import argparse
import asyncio
import json
import random
import statistics
import tempfile
import time
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx
from gradio_client import handle_file
from studio import EXAMPLE, App, running

from trainer.ui.train import LOOK_SECONDS

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
        alone, watched, answers = [], [], []
        for block in range(given.blocks):
            alone.append(pace(events, given.seconds, lambda: time.sleep(given.seconds)))
            found: list[float] = []
            watched.append(
                pace(events, given.seconds, lambda found=found: asyncio.run(watch(app, name, given, found)))
            )
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


def pace(events: Path, seconds: float, block: Any) -> float:
    """Steps a second while the block runs, off the training's own clock."""
    begin = time.time()
    block()
    end = time.time()
    steps = [e for e in map(json.loads, events.read_text().splitlines()) if e["event"] == "step"]
    within = [e for e in steps if begin <= e["time"] <= end]
    return float((within[-1]["step"] - within[0]["step"]) / (within[-1]["time"] - within[0]["time"]))


async def watch(app: App, name: str, given: argparse.Namespace, found: list[float]) -> None:
    """So many pages for so many seconds; appends how long each answer took, in seconds."""
    async with httpx.AsyncClient(base_url=app.url, timeout=60) as http:
        config = (await http.get("/config")).json()
        timer = next(part["id"] for part in config["components"] if part["type"] == "timer")
        tick = next(each for each in config["dependencies"] if [timer, "tick"] in each["targets"])
        end = time.monotonic() + given.seconds

        opening = next(each["id"] for each in config["dependencies"] if each["outputs"] == tick["inputs"][:1])

        async def page() -> None:
            session = {"session_hash": uuid.uuid4().hex[:11]}
            opened = await http.post(
                "/gradio_api/run/predict", json={"data": [], "fn_index": opening} | session
            )
            opened.raise_for_status()
            body = {"data": [name, None], "fn_index": tick["id"]} | session
            await asyncio.sleep(random.uniform(0, LOOK_SECONDS))
            while time.monotonic() < end:
                asked = time.monotonic()
                (await http.post("/gradio_api/run/predict", json=body)).raise_for_status()
                found.append(time.monotonic() - asked)
                await asyncio.sleep(LOOK_SECONDS)

        await asyncio.gather(*(page() for _ in range(given.pages)))


if __name__ == "__main__":
    main()
