"""The app on ZeroGPU: painting goes through a lent GPU, in a process of its own; training says why it cannot."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs

import pytest
from studio import ROOT, App, running
from test_app import bring, refusal

from trainer import metadata


class Lender(ThreadingHTTPServer):
    """Lends a GPU that is always free, as a Space's own device server."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked: list[str] = []
        self.painter = 0  # the process that got it
        self.given_back = threading.Event()


class Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        assert isinstance(self.server, Lender)
        path, _, query = self.path.partition("?")
        if path == "/allow":
            self.server.painter = int(parse_qs(query)["pid"][0])
        self.server.asked.append(path)
        lent = {"idle": True, "nvidiaIndex": 0, "nvidiaUUID": "GPU-1", "allowToken": "token"}
        body = json.dumps(lent if path == "/schedule" else {}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
        if path == "/release":
            self.server.given_back.set()

    def log_message(self, *_: object) -> None: ...


@pytest.fixture(scope="module")
def lender() -> Iterator[Lender]:
    with Lender() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture(scope="module")
def app(sd1: Path, lender: Lender, tmp_path_factory: pytest.TempPathFactory) -> Iterator[App]:
    lent = {"SPACES_ZERO_GPU": "true", "SPACES_ZERO_DEVICE_API_URL": f"http://127.0.0.1:{lender.server_port}"}
    root = tmp_path_factory.mktemp("zero") / "root"
    with running(root, sd1, script="tests/lent_gpu.py", **lent) as started:
        yield started


def test_a_picture_is_painted_on_a_lent_gpu_which_is_given_back(app: App, lender: Lender) -> None:
    asked = {
        "prompt": "photo of dog",
        "concept": "pipeline",
        "num_samples": 1,
        "num_inference_steps": 2,
        "seed": 7,
    }
    (picture,) = app.client().predict(**asked, api_name="/generate")
    said = metadata.read_settings(picture["image"])["settings"]
    assert (said["prompt"], said["seed"]) == ("photo of dog", 7)
    assert lender.given_back.wait(60)
    assert lender.asked == ["/startup-report", "/schedule", "/allow", "/release"]
    assert lender.painter != app.process.pid


def test_training_says_why_it_cannot_run_there(app: App) -> None:
    client = app.client()
    name = bring(client)["concept"]
    assert "Training cannot run on ZeroGPU" in refusal(client, name, {}, api_name="/start_training")


@pytest.mark.parametrize(("environment", "imported"), [({"SYSTEM": "spaces"}, True), ({}, False)])
def test_the_reloader_of_a_space_is_imported_before_the_server_runs(
    environment: dict[str, str], imported: bool
) -> None:
    """`codefind` is what looks at every object there is as it is imported."""
    look = "import sys, app; app.import_reloader(); print('codefind' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", look],
        env=os.environ | environment,
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == f"{imported}\n"
