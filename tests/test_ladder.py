"""What is given up first, and what is never given up for anybody."""

from typing import Any

import pytest

from trainer.config import TrainingConfig, training_config
from trainer.ladder import next_rung


def asked(**changes: Any) -> TrainingConfig:
    return training_config(instance_data_dir="dogs", instance_prompt="a photo of sks dog", **changes)


def descent(config: TrainingConfig, phase: str) -> list[dict[str, Any]]:
    found = []
    while (rung := next_rung(config, phase)) is not None:
        found.append(rung.changes)
        config = config.model_copy(update=rung.changes)
    return found


@pytest.mark.parametrize("phase", ["encode", "build", "train"])
def test_the_order_while_training(phase: str) -> None:
    assert descent(asked(train_batch_size=3, gradient_accumulation_steps=2), phase) == [
        {"gradient_checkpointing": True},
        {"train_batch_size": 1, "gradient_accumulation_steps": 6},
        {"use_8bit_adam": True},
    ]


def test_a_lora_has_no_optimizer_worth_shrinking() -> None:
    config = asked(method="lora", train_batch_size=1)
    assert descent(config, "train") == [{"gradient_checkpointing": True}]


def test_class_images_one_at_a_time() -> None:
    assert descent(asked(), "class_images") == [{"sample_batch_size": 1}]


@pytest.mark.parametrize("phase", ["", "load", "save", "verify"])
def test_elsewhere_nothing_would_help(phase: str) -> None:
    assert next_rung(asked(), phase) is None


def test_only_what_changes_no_weights_bears_a_checkpoint() -> None:
    rung = next_rung(asked(), "train")
    assert rung is not None
    assert rung.resumable()
    rung = next_rung(asked(gradient_checkpointing=True), "train")
    assert rung is not None
    assert not rung.resumable()
