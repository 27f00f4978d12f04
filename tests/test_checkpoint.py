"""A checkpoint is whole or not there, and the newest whole one is found."""

import errno
import random
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from trainer import checkpoint
from trainer.config import TrainingConfig, training_config
from trainer.errors import CheckpointError


def write(staged: Path, text: str = "weights") -> None:
    (staged / "unet").mkdir()
    (staged / "unet" / "weights").write_text(text)
    checkpoint.write_state(staged, {"step": 1})


def names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def test_saved_checkpoint_is_sealed_by_its_manifest(tmp_path: Path) -> None:
    path = checkpoint.save(tmp_path, 20, write)
    assert names(tmp_path) == ["checkpoint-20"]
    assert names(path) == ["manifest.json", "state.json", "state.safetensors", "unet"]
    assert checkpoint.fault(path) is None


@pytest.mark.parametrize(
    ("harm", "reason"),
    [
        (lambda path: (path / "unet" / "weights").write_text("weighty"), "unet/weights is damaged"),
        (lambda path: (path / "unet" / "weights").write_text("short"), "unet/weights is damaged"),
        (lambda path: (path / "state.json").unlink(), "state.json is missing"),
        (lambda path: (path / "manifest.json").unlink(), "it has no readable manifest.json"),
        (lambda path: (path / "manifest.json").write_text('{"step"'), "it has no readable manifest.json"),
        (lambda path: shutil.rmtree(path), "it is not there"),
    ],
)
def test_harm_is_noticed_and_the_one_before_is_used(tmp_path: Path, harm, reason: str) -> None:  # type: ignore[no-untyped-def]
    older, newer = checkpoint.save(tmp_path, 10, write), checkpoint.save(tmp_path, 20, write)
    assert checkpoint.find(tmp_path, "latest") == newer
    harm(newer)
    assert checkpoint.fault(newer) == reason
    assert checkpoint.find(tmp_path, "latest") == older
    with pytest.raises(CheckpointError, match=reason):
        checkpoint.find(tmp_path, "checkpoint-20")


def test_latest_is_the_one_written_last_not_the_highest_number(tmp_path: Path) -> None:
    checkpoint.save(tmp_path, 500, write)
    checkpoint.save(tmp_path, 90, write)
    checkpoint.save(tmp_path, 100, write)
    assert [path.name for path in checkpoint.checkpoints(tmp_path)] == [
        "checkpoint-100",
        "checkpoint-90",
        "checkpoint-500",
    ]
    assert checkpoint.find(tmp_path, "latest") == tmp_path / "checkpoint-100"
    assert checkpoint.find(tmp_path, "checkpoint-500") == tmp_path / "checkpoint-500"
    assert checkpoint.find(tmp_path / "nothing", "latest") is None


def test_limit_prunes_the_oldest_after_the_new_one_is_whole(tmp_path: Path) -> None:
    seen = []

    def watch(staged: Path) -> None:
        seen.append([name for name in names(tmp_path) if name.startswith("checkpoint")])
        write(staged)

    for step in (8, 9, 10, 11):
        checkpoint.save(tmp_path, step, watch, limit=2)
    assert names(tmp_path) == ["checkpoint-10", "checkpoint-11"]
    assert seen[3] == ["checkpoint-10", "checkpoint-9"]


def test_failed_save_leaves_the_older_ones_and_no_rest(tmp_path: Path) -> None:
    checkpoint.save(tmp_path, 10, write)

    def full(staged: Path) -> None:
        write(staged)
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        checkpoint.save(tmp_path, 20, full, limit=1)
    assert names(tmp_path) == ["checkpoint-10"]
    assert checkpoint.fault(tmp_path / "checkpoint-10") is None


def test_coming_by_again_replaces(tmp_path: Path) -> None:
    checkpoint.save(tmp_path, 10, write)
    path = checkpoint.save(tmp_path, 10, lambda staged: write(staged, "other"))
    assert (path / "unet" / "weights").read_text() == "other"
    assert names(tmp_path) == ["checkpoint-10"]


def test_sweep_removes_rests_and_puts_back_what_was_being_replaced(tmp_path: Path) -> None:
    path = checkpoint.save(tmp_path, 10, write)
    path.rename(tmp_path / ".tmp-replaced-checkpoint-10")
    (tmp_path / ".tmp-checkpoint-20" / "unet").mkdir(parents=True)
    (tmp_path / ".tmp-dreambooth.json").write_text("{")
    (tmp_path / "samples").mkdir()
    checkpoint.sweep(tmp_path)
    assert names(tmp_path) == ["checkpoint-10", "samples"]
    assert checkpoint.fault(path) is None


def test_state_survives_a_round_trip(tmp_path: Path) -> None:
    shared = torch.arange(5)
    state = {
        "optimizer": {
            "state": {0: {"step": torch.tensor(3.0), "table": shared}, 1: {"table": shared}},
            "param_groups": [{"lr": 1e-3, "betas": (0.9, 0.999), "fused": True, "decay": None}],
        },
        "bf16": torch.tensor([1.5], dtype=torch.bfloat16),
        "bytes": torch.tensor([250], dtype=torch.uint8),
    }
    checkpoint.write_state(tmp_path, state)
    found = checkpoint.read_state(tmp_path)
    assert found["optimizer"]["state"][0]["step"].item() == 3.0
    assert found["optimizer"]["state"][1]["table"].tolist() == [0, 1, 2, 3, 4]
    group = found["optimizer"]["param_groups"][0]
    assert group == {"lr": 1e-3, "betas": [0.9, 0.999], "fused": True, "decay": None}
    assert (found["bf16"].dtype, found["bytes"].dtype) == (torch.bfloat16, torch.uint8)


def test_random_state_survives_a_round_trip(tmp_path: Path) -> None:
    def numbers() -> tuple[float, float, float, float]:
        return random.random(), random.gauss(0, 1), np.random.normal(), torch.rand(()).item()

    random.gauss(0, 1)
    np.random.normal()
    checkpoint.write_state(tmp_path, checkpoint.random_state())
    wanted = numbers()
    numbers()
    checkpoint.set_random_state(checkpoint.read_state(tmp_path))
    assert numbers() == wanted


def config(**changes: object) -> TrainingConfig:
    return training_config(instance_data_dir="dogs", instance_prompt="a photo of sks dog", **changes)


def test_another_run_is_refused_by_the_fields_that_differ() -> None:
    then = checkpoint.identity(config(), 1)
    now = checkpoint.identity(config(learning_rate=1e-3, seed=7, method="lora"), 2)
    with pytest.raises(CheckpointError) as caught:
        checkpoint.check_same(then, now, Path("checkpoint-5"))
    message = str(caught.value)
    for text in (
        "learning_rate was 5e-06, is 0.001",
        "seed was 0, is 7",
        "method",
        "num_processes was 1, is 2",
    ):
        assert text in message
    assert "adam_beta1" not in message


def test_other_photos_are_refused_and_named() -> None:
    then = {"photos/000.png": "a", "photos/001.png": "b", "photos/002.png": "c"}
    checkpoint.check_same_photos(then, dict(then), Path("checkpoint-5"))
    with pytest.raises(CheckpointError) as caught:
        checkpoint.check_same_photos(
            then, {"photos/000.png": "a", "photos/001.png": "z", "photos/003.png": "d"}, Path("checkpoint-5")
        )
    assert str(caught.value) == (
        "checkpoint-5 began with other pictures, so it cannot go on: photos/002.png is gone; photos/003.png is new;"
        " photos/001.png has changed. Put them back as they were, or train again from the start."
    )


def test_harmless_changes_are_let_pass() -> None:
    then = checkpoint.identity(config(max_train_steps=5), 1)
    now = checkpoint.identity(
        config(
            max_train_steps=9,
            output_dir="elsewhere",
            checkpointing_steps=3,
            validation_prompt="a sks dog",
            resume_from_checkpoint="latest",
        ),
        1,
    )
    checkpoint.check_same(then, now, Path("checkpoint-5"))
