"""SIGKILL twenty times, in steps and in saves; resumed each time; the final weights are bit-identical.

A fork server imports the trainer once, so that each attempt is a process of its own and starts at once.
"""

import gc
import multiprocessing
import os
import random
import signal
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from trainer import checkpoint, concept

STEPS, EVERY = 120, 2
KILLS = 20
SAVES_KILLED = 10
FILE_OPERATIONS = 14  # in one save: ten before the rename that makes it count, then pruning


def attempt(settings: dict[str, Any], kill_in_save: int | None) -> None:
    """One process's whole life: train, and where asked be killed at the given file operation of its first save."""
    from trainer import loop
    from trainer.config import training_config

    torch.set_num_threads(1)
    gc.freeze()
    if kill_in_save is not None:
        kill_at_file_operation(kill_in_save)
    loop.train(training_config(**settings))


def kill_at_file_operation(number: int) -> None:
    """Die by SIGKILL before the `number`-th fsync, rename or safetensors file of a save."""
    save, calls = checkpoint.save, iter(range(10**6))

    def deadly(call: Any) -> Any:
        def wrapped(*arguments: Any, **options: Any) -> Any:
            if next(calls) == number:
                os.kill(os.getpid(), signal.SIGKILL)
            return call(*arguments, **options)

        return wrapped

    def watched(*arguments: Any, **options: Any) -> Any:
        os.fsync, os.rename = deadly(os.fsync), deadly(os.rename)
        checkpoint.save_file = deadly(checkpoint.save_file)
        return save(*arguments, **options)

    checkpoint.save = watched


class Attempts:
    """Starts attempts from one warm fork server, and counts how each was ended."""

    def __init__(self, settings: dict[str, Any]) -> None:
        self.settings = settings
        self.context = multiprocessing.get_context("forkserver")
        self.context.set_forkserver_preload(["trainer.loop", __name__])
        self.killed_in: list[str] = []

    def start(self, kill_in_save: int | None = None, **changes: Any) -> BaseProcess:
        process = self.context.Process(target=attempt, args=(self.settings | changes, kill_in_save))
        process.start()
        return process

    def finish(self, **changes: Any) -> None:
        process = self.start(**changes)
        process.join()
        assert process.exitcode == 0

    def kill_in_save(self, number: int) -> None:
        process = self.start(kill_in_save=number)
        process.join()
        assert process.exitcode == -signal.SIGKILL
        self.killed_in.append("save")

    def kill_in_run(self, steps: int, seconds: float) -> None:
        """SIGKILL from outside, `seconds` after `steps` more steps were told of; wherever it is by then."""
        before = self.steps()
        process = self.start()
        while self.steps() < before + steps and process.is_alive():
            process.join(0.005)
        process.join(seconds)
        process.kill()
        process.join()
        assert process.exitcode == -signal.SIGKILL, "it ended before the kill: more steps are needed"
        self.killed_in.append("run")

    def steps(self) -> int:
        events = concept.read_events(Path(self.settings["output_dir"]))
        return sum(event["event"] == "step" for event in events)


def test_killed_twenty_times_the_weights_are_those_of_an_uninterrupted_run(
    sd1: Path, photos: Path, class_photos: Path, tmp_path: Path
) -> None:
    attempts = Attempts(
        {
            "pretrained_model_name_or_path": str(sd1),
            "instance_data_dir": str(photos),
            "instance_prompt": "a photo of sks dog",
            "class_data_dir": str(class_photos),
            "class_prompt": "a photo of a dog",
            "num_class_images": 4,
            "with_prior_preservation": True,
            "learning_rate": 1e-3,
            "train_batch_size": 1,
            "gradient_accumulation_steps": 1,
            "max_train_steps": STEPS,
            "checkpointing_steps": EVERY,
            "checkpoints_total_limit": 2,
            "resume_from_checkpoint": "latest",
            "log_interval": 1,
            "report_to": "none",
            "output_dir": str(tmp_path / "killed"),
        }
    )
    attempts.finish(output_dir=str(tmp_path / "straight"), checkpointing_steps=STEPS)
    chance = random.Random(0)
    reached = 0
    for number in range(KILLS):
        if number % 2:
            attempts.kill_in_save(chance.randrange(FILE_OPERATIONS))
        else:
            attempts.kill_in_run(chance.randint(1, 4), chance.uniform(0, 0.03))
        newest = checkpoint.find(tmp_path / "killed", "latest")
        if newest is not None:
            assert int(newest.name.removeprefix("checkpoint-")) >= reached
            reached = int(newest.name.removeprefix("checkpoint-"))
        assert newest is not None or reached == 0  # a checkpoint, once there, is never lost
    assert attempts.killed_in.count("save") == SAVES_KILLED
    assert reached >= EVERY
    assert concept.status(tmp_path / "killed") == "interrupted"
    attempts.finish(checkpointing_steps=STEPS)
    assert concept.status(tmp_path / "killed") == "finished"
    assert not list((tmp_path / "killed").glob(".tmp-*"))
    found, wanted = (
        load_file(tmp_path / name / "unet" / "diffusion_pytorch_model.safetensors")
        for name in ("killed", "straight")
    )
    assert all(torch.equal(found[name], wanted[name]) for name in wanted)
