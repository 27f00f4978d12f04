"""What diffusers' own tests ask of `train_dreambooth.py` and `train_dreambooth_lora.py`, asked of `python -m trainer train`.

They are its Stable Diffusion cases (examples/dreambooth/test_dreambooth.py and test_dreambooth_lora.py), with the same
flags; LoRA is `--method lora` here. Where those look for files, these also look into them.
"""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import DiffusionPipeline, UNet2DConditionModel
from safetensors.torch import load_file
from torch import Tensor
from transformers import CLIPTextModel

from trainer.__main__ import main

LORA_FILE = "pytorch_lora_weights.safetensors"
LORA = ("--method", "lora")
# the flags that all of diffusers' tests pass, and the learning rate of those that pass one
COMMON = [
    "--instance_prompt", "photo", "--resolution", "64", "--train_batch_size", "1", "--gradient_accumulation_steps", "1",
]  # fmt: skip
CONSTANT = [
    "--learning_rate",
    "5.0e-04",
    "--scale_lr",
    "--lr_scheduler",
    "constant",
    "--lr_warmup_steps",
    "0",
]

Train = Callable[..., Path]


@pytest.fixture
def train(sd1: Path, photos: Path, tmp_path: Path) -> Train:
    """Run the command line with `flags`, to its end; returns the output folder."""

    def run(*flags: str) -> Path:
        output = tmp_path / "output"
        paths = ["--pretrained_model_name_or_path", str(sd1), "--instance_data_dir", str(photos)]
        assert main(["train", *paths, "--output_dir", str(output), *COMMON, *flags]) == 0
        return output

    return run


def load(folder: Path, **parts: object) -> DiffusionPipeline:
    """Plain diffusers, quietly."""
    pipeline = DiffusionPipeline.from_pretrained(folder, safety_checker=None, **parts)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def image(pipeline: DiffusionPipeline) -> np.ndarray:
    """The pipeline's image of the prompt, (1, 16, 16, 3) in 0..1, of one inference step and a fixed seed."""
    drawn = pipeline(
        "photo", num_inference_steps=1, generator=torch.Generator().manual_seed(0), output_type="np"
    ).images
    assert drawn.shape == (1, 16, 16, 3) and np.isfinite(drawn).all()
    return drawn  # type: ignore[no-any-return]


def checkpoints(output: Path) -> set[str]:
    return {path.name for path in output.iterdir() if "checkpoint" in path.name}


def differs(one: dict[str, Tensor], other: dict[str, Tensor]) -> float:
    """The share of tensors that differ, of two models of the same make."""
    assert one.keys() == other.keys()
    return sum(not torch.equal(one[name], other[name]) for name in one) / len(one)


# test_dreambooth.py


def test_dreambooth(train: Train, sd1: Path) -> None:
    output = train("--max_train_steps", "2", *CONSTANT)
    assert (output / "unet" / "diffusion_pytorch_model.safetensors").is_file()
    assert (output / "scheduler" / "scheduler_config.json").is_file()
    base, concept = load(sd1), load(output)
    assert concept.components.keys() == base.components.keys()
    assert concept.scheduler.config == base.scheduler.config
    assert differs(concept.unet.state_dict(), base.unet.state_dict()) > 0.9
    for part in ("text_encoder", "vae"):
        assert differs(getattr(concept, part).state_dict(), getattr(base, part).state_dict()) == 0
    assert np.abs(image(concept) - image(base)).max() > 1e-4


def test_dreambooth_with_text_encoder(train: Train, sd1: Path) -> None:
    output = train("--max_train_steps", "2", "--train_text_encoder", "--checkpointing_steps", "1", *CONSTANT)
    base, concept = load(sd1), load(output)
    trained = concept.text_encoder.state_dict()
    assert differs(concept.unet.state_dict(), base.unet.state_dict()) > 0.9
    assert differs(trained, base.text_encoder.state_dict()) > 0.5
    assert differs(concept.vae.state_dict(), base.vae.state_dict()) == 0
    assert np.abs(image(concept) - image(base)).max() > 1e-4
    # a checkpoint's parts can be put into the base, and the last one's are the finished concept's
    for step, same in ((1, False), (2, True)):
        checkpoint = output / f"checkpoint-{step}"
        text_encoder = CLIPTextModel.from_pretrained(checkpoint, subfolder="text_encoder")
        unet = UNet2DConditionModel.from_pretrained(checkpoint, subfolder="unet")
        assert (differs(text_encoder.state_dict(), trained) == 0) is same
        image(load(sd1, unet=unet, text_encoder=text_encoder))


def test_dreambooth_checkpointing(train: Train, sd1: Path) -> None:
    flags = [*CONSTANT, "--checkpointing_steps=2", "--seed=0"]
    output = train("--max_train_steps", "4", *flags)
    after_4 = image(load(output))
    assert checkpoints(output) == {"checkpoint-2", "checkpoint-4"}
    images = {
        step: image(load(sd1, unet=UNet2DConditionModel.from_pretrained(output, subfolder=f"checkpoint-{step}/unet")))
        for step in (2, 4)
    }  # fmt: skip
    assert np.array_equal(images[4], after_4)
    assert not np.array_equal(images[2], after_4)

    # resumed, it goes on from there, and makes the later checkpoints alone
    shutil.rmtree(output / "checkpoint-2")
    train("--max_train_steps", "6", *flags, "--resume_from_checkpoint=checkpoint-4")
    assert not np.array_equal(image(load(output)), after_4)
    assert checkpoints(output) == {"checkpoint-4", "checkpoint-6"}
    told = [json.loads(line) for line in (output / "events.jsonl").read_text().splitlines()]
    assert [event["step"] for event in told if event.get("phase") == "train"] == [0, 4]


@pytest.mark.parametrize("method", [(), LORA], ids=["full", "lora"])
def test_checkpoints_total_limit(train: Train, method: tuple[str, ...]) -> None:
    output = train("--max_train_steps=6", "--checkpoints_total_limit=2", "--checkpointing_steps=2", *method)
    assert checkpoints(output) == {"checkpoint-4", "checkpoint-6"}


@pytest.mark.parametrize("method", [(), LORA], ids=["full", "lora"])
def test_checkpoints_total_limit_removes_multiple_checkpoints(train: Train, method: tuple[str, ...]) -> None:
    output = train("--max_train_steps=4", "--checkpointing_steps=2", *method)
    assert checkpoints(output) == {"checkpoint-2", "checkpoint-4"}
    train(
        "--max_train_steps=8",
        "--checkpointing_steps=2",
        "--resume_from_checkpoint=checkpoint-4",
        "--checkpoints_total_limit=2",
        *method,
    )
    assert checkpoints(output) == {"checkpoint-6", "checkpoint-8"}


# test_dreambooth_lora.py


def assert_learnt(output: Path, base: Path) -> None:
    """`pipe.load_lora_weights(output)` takes the LoRA; with it the image is another, without it the base's own."""
    pipeline = load(base)
    before = image(pipeline)
    pipeline.load_lora_weights(str(output))
    assert np.abs(image(pipeline) - before).max() > 1e-5
    pipeline.unload_lora_weights()
    assert np.array_equal(image(pipeline), before)


def assert_lora(state: dict[str, Tensor], prefixes: set[str]) -> None:
    """LoRA matrices alone, of exactly these models, in pairs of rank 4 that have moved from where they began: at zero."""
    assert all("lora" in name for name in state)
    assert {name.split(".")[0] for name in state} == prefixes
    downs = {name for name in state if name.endswith(".down.weight")}
    pairs = {down: down.replace(".down.", ".up.") for down in downs}
    assert downs and downs.isdisjoint(pairs.values()) and downs | set(pairs.values()) == state.keys()
    for down, up in pairs.items():
        assert state[down].shape[0] == state[up].shape[1] == 4
    for prefix in prefixes:
        assert any(state[up].any() for up in pairs.values() if up.startswith(prefix))


def test_dreambooth_lora(train: Train, sd1: Path) -> None:
    output = train(*LORA, "--max_train_steps", "2", *CONSTANT)
    state = load_file(output / LORA_FILE)
    assert_lora(state, {"unet"})
    # the four projections of each attention, as the script trains them
    projections = {name.split(".lora.")[0].rsplit("attn", 1)[1][2:] for name in state}
    assert projections == {"to_q", "to_k", "to_v", "to_out.0"}
    assert_learnt(output, sd1)
    assert not (output / "unet").exists()


def test_dreambooth_lora_with_text_encoder(train: Train, sd1: Path) -> None:
    output = train(*LORA, "--max_train_steps", "2", "--train_text_encoder", *CONSTANT)
    assert_lora(load_file(output / LORA_FILE), {"unet", "text_encoder"})
    assert_learnt(output, sd1)


def test_dreambooth_lora_text_encoder_checkpoints(train: Train, sd1: Path) -> None:
    """As the script's, a checkpoint is a LoRA folder itself; a run of 7 steps keeps the last 2 of 3."""
    flags = ["--max_train_steps", "7", "--checkpointing_steps=2", "--checkpoints_total_limit=2"]
    output = train(*LORA, *flags, "--train_text_encoder", *CONSTANT)
    assert checkpoints(output) == {"checkpoint-4", "checkpoint-6"}
    states = [
        load_file(folder / LORA_FILE) for folder in (output, output / "checkpoint-6", output / "checkpoint-4")
    ]
    for state in states:
        assert_lora(state, {"unet", "text_encoder"})
    assert differs(states[0], states[1]) > 0.5 and differs(states[1], states[2]) > 0.5
    assert_learnt(output / "checkpoint-4", sd1)
