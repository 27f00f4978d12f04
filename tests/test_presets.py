"""Each preset is settings that a training takes, and a reason for each."""

import json
from pathlib import Path

import pytest

from trainer.config import advice, training_config
from trainer.presets import EXAMPLE, Kind, Machine, gpu, presets

SUBJECT = {
    "instance_data_dir": "photos",
    "instance_prompt": "a photo of sks dog",
    "class_prompt": "a photo of a dog",
    "output_dir": "concept",
}


@pytest.mark.parametrize("machine", ["cpu", "gpu", "gpu_fp16"])
@pytest.mark.parametrize("kind", ["object", "style"])
def test_every_preset_is_taken_and_gives_its_reasons(kind: Kind, machine: Machine) -> None:
    found = presets(kind, machine)
    assert found
    for preset in found:
        subject = SUBJECT if kind == "object" else SUBJECT | {"class_prompt": None}
        config = training_config(**(subject | preset.values()))
        assert advice(config) == []
        assert config.with_prior_preservation is (kind == "object")
        assert all(reason and "\n" not in reason for _, reason in preset.settings.values())
        wanted = {"cpu": "no", "gpu": "bf16", "gpu_fp16": "fp16"}[machine]
        assert config.mixed_precision == wanted


def test_an_object_on_a_processor_is_the_examples_settings() -> None:
    (preset,) = presets("object", "cpu")
    example = json.loads(Path(EXAMPLE).read_text())["config"]
    assert preset.values().items() <= example.items()
    assert {"max_train_steps", "learning_rate", "num_class_images"} <= preset.values().keys()
    assert "as in the example" not in {reason for _, reason in preset.settings.values()}
    assert not preset.values().keys() & SUBJECT.keys()


def test_a_gpu_has_a_small_and_a_whole_way_to_an_object() -> None:
    assert [preset.values()["method"] for preset in presets("object", "gpu")] == ["lora", "full"]
    assert [preset.values()["method"] for preset in presets("style", "gpu")] == ["lora"]


@pytest.mark.parametrize(
    ("answer", "machine"),
    [
        ("echo 7.5", "gpu_fp16"),
        ("echo 8.0", "gpu"),
        ("echo 9.0; echo 7.5", "gpu_fp16"),
        ("echo '[N/A]'", "gpu"),
        ("exit 9", "gpu"),
        ("", "gpu"),
    ],
)
def test_a_gpu_without_bf16_is_told_by_its_driver(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: str, machine: Machine
) -> None:
    driver = tmp_path / "nvidia-smi"
    driver.write_text(f'#!/bin/sh\n[ "$1" = --query-gpu=compute_cap ] || exit 1\n{answer}\n')
    driver.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert gpu() == machine


def test_a_gpu_without_a_driver_to_ask_is_taken_for_the_usual(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert gpu() == "gpu"
