"""The end of a training: stage the finished weights, load them back, compare with the base, only then publish."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from diffusers import DiffusionPipeline
from torch import Tensor, nn

from trainer import concept, models
from trainer.errors import TrainingError

LoadBase = Callable[..., Any]


class NothingLearntError(TrainingError):
    """The finished weights are, to all appearances, the base's."""


def stage(
    directory: Path, unet: nn.Module, text_encoder: nn.Module | None, *, lora: bool, load_base: LoadBase
) -> Path:
    """Write the finished concept into a side folder of `directory`: the LoRA file, or the whole pipeline, float32.

    `text_encoder` is the trained one, None where the base's own belongs into the pipeline.
    """
    staged = directory / concept.STAGING
    concept.remove(staged)
    staged.mkdir(parents=True)
    if lora:
        models.save_lora(staged, unet, text_encoder)
    else:
        parts = {"unet": unet} if text_encoder is None else {"unet": unet, "text_encoder": text_encoder}
        for part in parts.values():
            models.cast(part.cpu(), torch.float32)
        load_base(**parts).save_pretrained(staged, safe_serialization=True)
    concept.sync_tree(staged)
    return staged


def verify(
    staged: Path, base_answer: Tensor, prompt: str, device: torch.device, *, lora: bool, load_base: LoadBase
) -> None:
    """Load the staged concept back with plain diffusers and ask it what the base was asked.

    Raises TrainingError where its answer is not finite, NothingLearntError where it is the base's own.
    """
    if lora:
        pipeline = load_base().to(device)
        pipeline.load_lora_weights(str(staged))
    else:
        pipeline = DiffusionPipeline.from_pretrained(
            staged,
            use_safetensors=True,
            dtype=torch.float32,
            safety_checker=None,
            requires_safety_checker=False,
        ).to(device)
    answer = models.probe(pipeline, prompt)
    if not bool(answer.isfinite().all()):
        raise TrainingError(
            "the finished weights give no finite images, so nothing was published. Use a lower learning_rate or"
            " mixed_precision no."
        )
    if torch.equal(answer, base_answer):
        raise NothingLearntError(
            "the finished weights answer exactly as the base does: nothing was learnt, so nothing was published."
            " Use a higher learning_rate or more steps."
        )
