"""A finished concept is asked from disk before it counts."""

from pathlib import Path
from typing import Any

import pytest
import torch

from trainer import finish, models
from trainer.errors import TrainingError

PROMPT = "a photo of sks dog"
CPU = torch.device("cpu")


def staged(sd1: Path, tmp_path: Path, change: Any) -> tuple[Path, torch.Tensor, Any]:
    def load_base(**components: Any) -> Any:
        return models.load_pipeline(str(sd1), **components)

    pipeline = load_base()
    answer = models.probe(pipeline, PROMPT)
    with torch.no_grad():
        change(pipeline.unet.conv_out.bias)
    folder = finish.stage(tmp_path, pipeline.unet, None, lora=False, load_base=load_base)
    return folder, answer, load_base


def test_changed_weights_pass(sd1: Path, tmp_path: Path) -> None:
    folder, answer, load_base = staged(sd1, tmp_path, lambda bias: bias.add_(0.1))
    finish.verify(folder, answer, PROMPT, CPU, lora=False, load_base=load_base)
    assert {path.name for path in folder.iterdir()} >= {"model_index.json", "unet", "vae", "text_encoder"}


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda bias: None, "exactly as the base"),
        (lambda bias: bias.fill_(float("nan")), "no finite images"),
        (lambda bias: bias.fill_(float("inf")), "no finite images"),
    ],
)
def test_unchanged_or_broken_weights_do_not(sd1: Path, tmp_path: Path, change: Any, match: str) -> None:
    folder, answer, load_base = staged(sd1, tmp_path, change)
    with pytest.raises(TrainingError, match=match):
        finish.verify(folder, answer, PROMPT, CPU, lora=False, load_base=load_base)


def test_half_precision_weights_are_staged_as_float32(sd1: Path, tmp_path: Path) -> None:
    pipeline = models.load_pipeline(str(sd1))
    models.cast(pipeline.unet, torch.bfloat16)
    folder = finish.stage(
        tmp_path,
        pipeline.unet,
        None,
        lora=False,
        load_base=lambda **parts: models.load_pipeline(str(sd1), **parts),
    )
    assert models.load_pipeline(str(folder)).unet.dtype == torch.float32
