"""Out of memory: what to give up next, the cheapest first.

While training:
1. gradient_checkpointing: the same numbers, recomputed instead of kept; about a third slower, and by far the most
   memory where pictures are large.
2. train_batch_size 1, with so many more gradient_accumulation_steps: as many photos behind each update at the same
   learning rate; only the order of the noise differs.
3. use_8bit_adam: the optimizer's state in 2 instead of 8 bytes a weight. The first that rounds what is learnt.
   (Full fine-tuning alone: a LoRA has hardly any state.)
4. mixed_precision bf16, on a GPU that has it: weights and activations in half, with a residual for full fine-tuning.
While class images are made: sample_batch_size 1, which changes no image but by rounding.

A LoRA or a smaller resolution would fit too, but each is another concept than the one that was asked for: those are
for the user to choose.
"""

from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import torch

from trainer.checkpoint import HARMLESS
from trainer.config import TrainingConfig


@dataclass(frozen=True)
class Rung:
    """Settings to change, and the sentence that says so."""

    changes: dict[str, Any]
    sentence: str

    def resumable(self) -> bool:
        """Whether a checkpoint made without the changes can be gone on from with them."""
        return self.changes.keys() <= HARMLESS


def next_rung(config: TrainingConfig, phase: str) -> Rung | None:
    """What to change after `config` ran out of memory in `phase`; None where nothing is left, or nothing would help."""
    if phase == "class_images":
        return _class_images(config)
    return _training(config) if phase in ("encode", "build", "train") else None


def _class_images(config: TrainingConfig) -> Rung | None:
    if config.sample_batch_size == 1:
        return None
    return Rung({"sample_batch_size": 1}, "class images are made one at a time (sample_batch_size 1)")


def _training(config: TrainingConfig) -> Rung | None:
    if not config.gradient_checkpointing:
        sentence = "gradient checkpointing is on (slower, the same result)"
        return Rung({"gradient_checkpointing": True}, sentence)
    if config.train_batch_size > 1:
        photos = config.train_batch_size * config.gradient_accumulation_steps
        sentence = f"photos are taken one at a time, {photos} to a step as before (train_batch_size 1)"
        return Rung({"train_batch_size": 1, "gradient_accumulation_steps": photos}, sentence)
    if config.method == "full" and not config.use_8bit_adam and find_spec("bitsandbytes"):
        return Rung({"use_8bit_adam": True}, "the optimizer keeps its state in 8 bits (use_8bit_adam)")
    if config.mixed_precision == "no" and _has_bf16():
        return Rung({"mixed_precision": "bf16"}, "the arithmetic is bf16 (mixed_precision)")
    return None


def _has_bf16() -> bool:
    return torch.cuda.is_available() and torch.cuda.is_bf16_supported(including_emulation=False)
