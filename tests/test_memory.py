"""What a run will need: nothing before it was measured, then a real run's figures scaled up."""

import json
from pathlib import Path
from typing import Any

import pytest

from trainer import concept, memory
from trainer.config import TrainingConfig, training_config
from trainer.errors import PhotoError, TrainingError
from trainer.memory import Estimate, Measurement

MEASURED = Measurement(
    resolution=16,
    load_seconds=3,
    class_image_seconds=2,
    encode_seconds=0.5,
    build_seconds=1,
    step_seconds=0.25,
    spread=0.1,
    checkpoint_seconds=4,
    preview_seconds=1.5,
    finish_seconds=6,
    memory_bytes=700,
    checkpoint_bytes=1000,
    finished_bytes=300,
    image_bytes=10,
)


@pytest.fixture
def asked(sd1: Path, photos: Path, tmp_path: Path) -> TrainingConfig:
    return training_config(
        pretrained_model_name_or_path=str(sd1),
        instance_data_dir=str(photos),
        instance_prompt="a photo of sks dog",
        class_prompt="a photo of a dog",
        with_prior_preservation=True,
        num_class_images=6,
        sample_batch_size=2,
        train_batch_size=1,
        max_train_steps=40,
        checkpointing_steps=10,
        checkpoints_total_limit=1,
        validation_prompt="sks dog",
        validation_steps=20,
        num_validation_images=2,
        validation_num_inference_steps=1,
        learning_rate=1e-3,
        report_to="none",
        output_dir=str(tmp_path / "home" / "dog"),
    )


def test_a_measurement_is_scaled_up(asked: TrainingConfig) -> None:
    seconds = 3 + 4 * 2 + (3 + 6) * 0.5 + 1 + 40 * 0.25 + 4 * 4 + 4 * 1.5 + 6
    # one checkpoint is kept while the next is written; four class images and four previews
    assert memory.scaled(MEASURED, asked, 3, 6, 4) == Estimate(seconds, 0.2, 700, 2 * 1000 + 300 + 8 * 10)


def changed(config: TrainingConfig, **changes: Any) -> Estimate:
    return memory.scaled(MEASURED, config.model_copy(update=changes), 3, 6, 4)


def test_what_moves_an_estimate(asked: TrainingConfig) -> None:
    whole = changed(asked)
    assert changed(asked, max_train_steps=80).seconds == whole.seconds + 40 * 0.25 + 4 * 4 + 4 * 1.5
    assert changed(asked, validation_prompt=None).seconds == whole.seconds - 4 * 1.5
    assert changed(asked, checkpoints_total_limit=None).disk_bytes == whole.disk_bytes + 2 * 1000
    assert changed(asked, checkpointing_steps=100).disk_bytes == whole.disk_bytes - 2 * 1000
    # two epochs of six batches
    epochs = changed(asked, max_train_steps=None, num_train_epochs=2, validation_prompt=None)
    assert epochs.seconds == 3 + 8 + 4.5 + 1 + 12 * 0.25 + 4 + 6
    (Path(asked.output_dir)).mkdir(parents=True)
    (Path(asked.output_dir) / concept.LORA_FILE).write_bytes(b"")
    assert changed(asked).disk_bytes == whole.disk_bytes + 300  # replaced when the new one is whole


def test_judging_takes_its_share(asked: TrainingConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory.exam, "SHARE", 100)
    whole, judged = changed(asked), changed(asked, evaluation_encoder="a/clip")
    # the base and four checkpoints, each of ten images of seven steps and four of four, every step of two forwards
    in_steps = 5 * (10 * 7 + 4 * 4) * 2 / (4 * 2 * asked.train_batch_size)
    assert judged.seconds == pytest.approx(whole.seconds + in_steps * 0.25)
    assert judged.disk_bytes == whole.disk_bytes + 1000  # the best beside the newest
    assert changed(asked, evaluation_encoder="a/clip", keep="last") == whole


def test_a_run_too_short_to_be_judged_takes_nothing_more(asked: TrainingConfig) -> None:
    encoder = {"evaluation_encoder": "a/clip"}
    for limit in (None, 1):
        assert changed(asked, checkpoints_total_limit=limit, **encoder) == changed(
            asked, checkpoints_total_limit=limit
        )


@pytest.mark.parametrize(
    ("estimate", "sentence"),
    [
        (Estimate(60, 0.2, 3_450_000_000, 40_000_000), "50 s to 70 s, 3.5 GB of memory and 40 MB of disk"),
        (Estimate(1, 0.2, 1, 1), "about 10 s, 1 MB of memory and 1 MB of disk"),
        (Estimate(600, 0.5, 10**9, 10**9), "5 min to 15 min, 1.0 GB of memory and 1.0 GB of disk"),
        (Estimate(7200, 0.25, 10**9, 10**9), "1.5 h to 2.5 h, 1.0 GB of memory"),
    ],
)
def test_it_is_said_with_its_uncertainty(estimate: Estimate, sentence: str) -> None:
    assert f"It will take {sentence}" in estimate.sentence()
    assert estimate.sentence().endswith("going by a few steps measured on this machine.")


def test_too_small_a_disk_is_said(tmp_path: Path) -> None:
    assert Estimate(1, 0.2, 1, 1).lacking(tmp_path) is None
    assert "999999999.0 GB are needed: free some space" in (
        Estimate(1, 0.2, 1, 999_999_999 * 10**9).lacking(tmp_path) or ""
    )


def test_a_measurement_that_is_stopped_leaves_nothing(asked: TrainingConfig, tmp_path: Path) -> None:
    looks = iter((False, False, True))
    assert memory.measure(asked, tmp_path / "measurements", should_stop=lambda: next(looks)) is None
    assert list((tmp_path / "measurements").iterdir()) == []


def test_measured_by_a_real_run_and_known_the_next_time(asked: TrainingConfig, tmp_path: Path) -> None:
    measurements = tmp_path / "measurements"
    assert memory.estimate(asked, measurements) is None
    (measurements / ".measuring-killed").mkdir(parents=True)
    told: list[tuple[int, int]] = []
    found = memory.measure(asked, measurements, lambda done, total: told.append((done, total)))
    assert found is not None and memory.estimate(asked, measurements) == found
    assert told == sorted(told) and told[0] == (0, 15) and told[-1][0] > 8  # seven phases and eight steps
    (file,) = measurements.iterdir()  # nothing else is left
    measured = Measurement(**json.loads(file.read_text())["measurement"])
    assert measured.resolution == 16
    numbers = {name: value for name, value in vars(measured).items() if name not in ("spread", "resolution")}
    assert all(value > 0 for value in numbers.values()), numbers
    assert measured.memory_bytes > 1e8  # torch alone takes as much
    assert measured.memory_bytes < 1e10
    assert found == memory.scaled(measured, asked, 3, 6, 6)
    assert not Path(asked.output_dir).exists()

    # by how long it is to run, but by nothing that was not measured
    assert memory.estimate(asked.model_copy(update={"max_train_steps": 80}), measurements) is not None
    for changes in ({"method": "lora"}, {"resolution": 32}, {"train_batch_size": 2}, {"use_8bit_adam": True}):
        assert memory.estimate(asked.model_copy(update=changes), measurements) is None

    # on disk a real run is what was said
    from trainer import loop

    loop.train(asked)
    directory = Path(asked.output_dir)
    used = sum(path.stat().st_size for path in directory.parent.rglob("*") if path.is_file())
    assert used + measured.checkpoint_bytes == pytest.approx(found.disk_bytes, rel=0.05)
    done = memory.estimate(asked, measurements)
    assert done is not None
    assert done.seconds == pytest.approx(
        found.seconds - 6 * measured.class_image_seconds
    )  # all are there now


def test_a_measurement_that_fails_says_why(asked: TrainingConfig, photos: Path, tmp_path: Path) -> None:
    (photos / "000.png").write_text("no photo")
    with pytest.raises(TrainingError, match=r"The measurement failed: 000\.png"):
        memory.measure(asked, tmp_path / "measurements")
    assert list((tmp_path / "measurements").iterdir()) == []
    for photo in photos.iterdir():
        photo.unlink()
    with pytest.raises(PhotoError, match="no photos; put at least one"):
        memory.measure(asked, tmp_path / "measurements")
