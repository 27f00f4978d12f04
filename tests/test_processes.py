"""Two processes under accelerate's launcher train the model that one does on the same batches, and write one set."""

import gc
import json
import multiprocessing
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from trainer import concept, loop
from trainer.config import training_config

ROOT = Path(__file__).parent.parent
SCRIPT = """
import json, sys, torch
from trainer import loop
from trainer.config import training_config
torch.set_num_threads(1)
loop.train(training_config(**json.load(open(sys.argv[1]))))
print("ended")
"""


def launch(directory: Path, settings: dict[str, Any]) -> None:
    """accelerate's own launcher. On a machine without GPUs it starts several processes only with --multi_gpu."""
    (directory / "train.py").write_text(SCRIPT)
    (directory / "settings.json").write_text(json.dumps(settings))
    command = [
        *(sys.executable, "-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", "2"),
        *(
            "--num_machines",
            "1",
            "--mixed_precision",
            "no",
            "--dynamo_backend",
            "no",
            "--main_process_port",
            "0",
        ),
        *(str(directory / "train.py"), str(directory / "settings.json")),
    ]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.count("ended") == 2


def worker(rank: int, port: int, settings: dict[str, Any], stop_at: int) -> None:
    """What a launcher starts: one of two processes. Only the first is asked to stop, after step `stop_at`."""
    own = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": 2, "LOCAL_WORLD_SIZE": 2, "MASTER_PORT": port}
    os.environ |= {name: str(value) for name, value in own.items()} | {"MASTER_ADDR": "127.0.0.1"}
    torch.set_num_threads(1)
    gc.freeze()
    asked = iter(range(1, 1000))
    loop.train(training_config(**settings), should_stop=lambda: rank == 0 and 0 < stop_at <= next(asked))


def fork_two(settings: dict[str, Any], stop_at: int = 0) -> None:
    """Two workers from a fork server that has imported the trainer already."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["trainer.loop"])
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    processes = [context.Process(target=worker, args=(rank, port, settings, stop_at)) for rank in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0]


@pytest.fixture
def settings(sd1: Path, photos: Path, class_photos: Path, tmp_path: Path) -> dict[str, Any]:
    return {
        "pretrained_model_name_or_path": str(sd1),
        "instance_data_dir": str(photos),
        "instance_prompt": "a photo of sks dog",
        "class_data_dir": str(class_photos),
        "class_prompt": "a photo of a dog",
        "num_class_images": 4,
        "with_prior_preservation": True,
        "train_text_encoder": True,
        "gradient_accumulation_steps": 2,
        "learning_rate": 1e-3,
        "lr_scheduler": "linear",
        "lr_warmup_steps": 1,
        "max_train_steps": 4,
        "checkpointing_steps": 2,
        "log_interval": 1,
        "report_to": "none",
        "output_dir": str(tmp_path / "two"),
    }


def test_two_processes_give_the_model_of_one(settings: dict[str, Any], tmp_path: Path) -> None:
    launch(tmp_path, settings | {"train_batch_size": 1})
    loop.train(training_config(**settings | {"train_batch_size": 2, "output_dir": str(tmp_path / "one")}))
    names = [sorted(path.name for path in (tmp_path / name).iterdir()) for name in ("one", "two")]
    assert names[0] == names[1]
    told = [concept.read_events(tmp_path / name) for name in ("one", "two")]
    steps = [[event for event in events if event["event"] == "step"] for events in told]
    assert [event["step"] for event in steps[1]] == [1, 2, 3, 4]
    for name in ("loss", "learning_rate"):
        one, two = ([event[name] for event in own] for own in steps)
        assert two == pytest.approx(one, rel=1e-4)
    for part in ("unet/diffusion_pytorch_model", "text_encoder/model"):
        one, two = (load_file(tmp_path / name / f"{part}.safetensors") for name in ("one", "two"))
        for name in one:
            # Adam's first steps are signs of gradients: where one is near zero, rounding may turn it.
            off = (one[name] - two[name]).abs()
            assert off.mean() < 1e-5, name
            torch.testing.assert_close(one[name], two[name], atol=5e-3, rtol=0)


def test_all_processes_stop_together_and_resume(settings: dict[str, Any], tmp_path: Path) -> None:
    fork_two(settings | {"train_batch_size": 1}, stop_at=3)
    events = concept.read_events(tmp_path / "two")
    assert [event["step"] for event in events if event["event"] == "step"] == [1, 2, 3]
    assert events[-1]["stopped"] is True
    fork_two(settings | {"train_batch_size": 1, "resume_from_checkpoint": "latest"})
    assert concept.read_events(tmp_path / "two")[-1]["step"] == 4
    fork_two(settings | {"train_batch_size": 1, "output_dir": str(tmp_path / "straight")})
    found, wanted = (
        load_file(tmp_path / name / "unet" / "diffusion_pytorch_model.safetensors")
        for name in ("two", "straight")
    )
    assert all(torch.equal(found[name], wanted[name]) for name in wanted)
