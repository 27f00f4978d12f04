"""The folder tells what was asked, what happened, and whether it can be used."""

import fcntl
import os
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from trainer import concept
from trainer.config import training_config
from trainer.errors import ConceptError

PROMPTS = {"instance_prompt": "a photo of sks dog", "class_prompt": "a photo of a dog"}


def test_settings_rerun_the_same_config(tmp_path: Path) -> None:
    config = training_config(
        instance_data_dir="dogs", output_dir=str(tmp_path), learning_rate=2e-6, **PROMPTS
    )
    concept.write_settings(tmp_path, config)
    settings = concept.read_settings(tmp_path)
    assert training_config(**settings["config"]) == config
    assert (settings["kind"], settings["base"], settings["seed"]) == ("full", "examples/toybox", 0)
    assert (settings["identifier"], settings["class_noun"]) == ("sks", "dog")
    assert {"torch", "diffusers"} <= settings["versions"].keys()


@pytest.mark.parametrize(
    ("instance", "of_class", "wanted"),
    [
        ("a photo of sks dog", "a photo of a dog", ("sks", "dog")),
        ("a sks teddy bear on grass", "a teddy bear on grass", ("sks", "teddy bear on grass")),
        ("a photo of a dog", "a photo of a dog", (None, "a photo of a dog")),
        ("sks", None, (None, None)),
    ],
)
def test_subject_by_hand(instance: str, of_class: str | None, wanted: tuple[str | None, str | None]) -> None:
    config = training_config(instance_data_dir="dogs", instance_prompt=instance, class_prompt=of_class)
    assert concept.subject(config) == wanted


@pytest.mark.parametrize(
    ("text", "reason"), [(None, "no concept folder"), ("{", "valid JSON"), ("{}", "lacks")]
)
def test_unreadable_settings_are_named(tmp_path: Path, text: str | None, reason: str) -> None:
    if text is not None:
        (tmp_path / "dreambooth.json").write_text(text)
    with pytest.raises(ConceptError, match=reason):
        concept.read_settings(tmp_path)


def test_events_are_appended_told_and_survive_a_torn_line(tmp_path: Path) -> None:
    told: list[dict[str, Any]] = []
    concept.Events(tmp_path, told.append)({"event": "step", "step": 1, "loss": 0.5})
    with (tmp_path / "events.jsonl").open("a") as stream:
        stream.write('{"event": "step", "st')
    concept.Events(tmp_path)({"event": "log", "message": "größer"})
    events = concept.read_events(tmp_path)
    assert [event["event"] for event in events] == ["step", "log"]
    assert events[0] == told[0]
    assert events[0]["loss"] == 0.5
    assert events[1]["message"] == "größer"
    assert events[0]["time"] <= events[1]["time"]


def test_events_are_told_even_where_they_cannot_be_written(tmp_path: Path) -> None:
    told: list[dict[str, Any]] = []
    events = concept.Events(tmp_path, told.append)
    events.file = Path("/dev/full")
    with pytest.raises(OSError, match="No space left"):
        events({"event": "error", "message": "full"})
    assert told[0]["message"] == "full"


def test_status_is_read_off_the_files(tmp_path: Path) -> None:
    assert concept.status(tmp_path) == "new"
    events = concept.Events(tmp_path)
    events({"event": "phase", "phase": "train"})
    events({"event": "step", "step": 1})
    assert concept.status(tmp_path) == "interrupted"
    with concept.lock(tmp_path):
        assert concept.status(tmp_path) == "running"
    events({"event": "error", "message": "full"})
    assert concept.status(tmp_path) == "failed"
    events({"event": "phase", "phase": "train"})
    events({"event": "finished", "stopped": True})
    assert concept.status(tmp_path) == "stopped"
    events({"event": "finished", "stopped": False})
    assert concept.status(tmp_path) == "finished"


def test_one_training_a_folder(tmp_path: Path) -> None:
    with (
        concept.lock(tmp_path),
        pytest.raises(ConceptError, match="another training"),
        concept.lock(tmp_path),
    ):
        pass
    with concept.lock(tmp_path):
        assert concept.is_locked(tmp_path)
    assert not concept.is_locked(tmp_path)


def test_a_look_at_the_lock_does_not_stop_a_training(tmp_path: Path) -> None:
    (tmp_path / concept.LOCK_FILE).touch()
    with (tmp_path / concept.LOCK_FILE).open("a") as looking:
        fcntl.flock(looking, fcntl.LOCK_SH)
        threading.Timer(0.1, fcntl.flock, (looking, fcntl.LOCK_UN)).start()
        with concept.lock(tmp_path):
            assert concept.is_locked(tmp_path)


def test_list_concepts(tmp_path: Path) -> None:
    for name in ("b", "a", "c"):
        (tmp_path / name).mkdir()
    for name in ("b", "a"):
        (tmp_path / name / "dreambooth.json").write_text("{}")
    assert concept.list_concepts(tmp_path) == [tmp_path / "a", tmp_path / "b"]


def staged_pipeline(directory: Path, text: str) -> Path:
    staged = directory / concept.STAGING
    for part in ("unet", "vae"):
        (staged / part).mkdir(parents=True)
        (staged / part / "weights").write_text(text)
    (staged / "model_index.json").write_text('{"unet": ["diffusers", "U"], "vae": ["diffusers", "V"]}')
    return staged


def test_publish_replaces_and_keeps_what_else_is_there(tmp_path: Path) -> None:
    (tmp_path / "samples").mkdir()
    concept.publish(staged_pipeline(tmp_path, "old"), tmp_path)
    concept.publish(staged_pipeline(tmp_path, "new"), tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model_index.json", "samples", "unet", "vae"]
    assert (tmp_path / "unet" / "weights").read_text() == "new"
    assert concept.has_weights(tmp_path)


def test_a_lora_takes_the_place_of_a_pipeline(tmp_path: Path) -> None:
    concept.publish(staged_pipeline(tmp_path, "old"), tmp_path)
    staged = tmp_path / concept.STAGING
    staged.mkdir()
    (staged / concept.LORA_FILE).write_text("lora")
    concept.publish(staged, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [concept.LORA_FILE]


@pytest.mark.parametrize("cut", range(12))
def test_publish_cut_short_never_leaves_a_mixture(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cut: int
) -> None:
    concept.publish(staged_pipeline(tmp_path, "old"), tmp_path)
    staged = staged_pipeline(tmp_path, "new")
    rename, calls = Path.rename, iter(range(100))

    def kill_at(self: Path, target: Path) -> Path:
        if next(calls) == cut:
            raise KeyboardInterrupt
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", kill_at)
    with suppress(KeyboardInterrupt):
        concept.publish(staged, tmp_path)
    if concept.has_weights(tmp_path):
        parts = [(tmp_path / part / "weights").read_text() for part in ("unet", "vae")]
        assert parts in (["old", "old"], ["new", "new"])
    else:
        assert cut < 6


def test_replace_text_leaves_nothing_aside(tmp_path: Path) -> None:
    concept.replace_text(tmp_path / "a.json", "1")
    concept.replace_text(tmp_path / "a.json", "2")
    assert os.listdir(tmp_path) == ["a.json"]
    assert (tmp_path / "a.json").read_text() == "2"
