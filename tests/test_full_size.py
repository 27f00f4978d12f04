"""The real Stable Diffusion 1.5 architecture with random weights, on a CPU within 24 GB; run with -m full_size."""

import resource
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import BETAS, write_tokenizer
from diffusers import AutoencoderKL, PNDMScheduler, StableDiffusionPipeline, UNet2DConditionModel
from transformers import CLIPTextConfig, CLIPTextModel

from trainer import concept, loop
from trainer.config import training_config

pytestmark = pytest.mark.full_size


@pytest.fixture(scope="module")
def sd15(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The configs of stable-diffusion-v1-5, weights drawn at random: 4.3 GB."""
    folder = tmp_path_factory.mktemp("sd15")
    tokenizer = write_tokenizer(folder / "raw")
    four = (320, 640, 1280, 1280)
    cross, plain = ("CrossAttnDownBlock2D",) * 3, ("DownBlock2D",)
    unet = UNet2DConditionModel(
        sample_size=64,
        block_out_channels=four,
        cross_attention_dim=768,
        attention_head_dim=8,
        down_block_types=cross + plain,
        up_block_types=("UpBlock2D",) + ("CrossAttnUpBlock2D",) * 3,
    )
    assert round(sum(parameter.numel() for parameter in unet.parameters()) / 1e6, 1) == 859.5
    channels = (128, 256, 512, 512)
    vae = AutoencoderKL(
        block_out_channels=channels,
        layers_per_block=2,
        latent_channels=4,
        sample_size=512,
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
    )
    text = CLIPTextConfig(
        vocab_size=49408,
        hidden_size=768,
        intermediate_size=3072,
        num_hidden_layers=12,
        num_attention_heads=12,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )
    pipeline = StableDiffusionPipeline(
        vae=vae,
        text_encoder=CLIPTextModel(text),
        tokenizer=tokenizer,
        unet=unet,
        scheduler=PNDMScheduler(**BETAS, skip_prk_steps=True, set_alpha_to_one=False, steps_offset=1),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipeline.save_pretrained(folder / "pipeline", safe_serialization=True)
    return folder / "pipeline"


@pytest.mark.parametrize("changes", [{"method": "lora", "train_text_encoder": True}, {"method": "full"}])
def test_one_step(
    sd15: Path, photos: Path, class_photos: Path, tmp_path: Path, changes: dict[str, Any]
) -> None:
    torch.set_num_threads(2)
    events: list[dict[str, Any]] = []
    settings: dict[str, Any] = {
        "pretrained_model_name_or_path": str(sd15),
        "instance_data_dir": str(photos),
        "instance_prompt": "a photo of sks dog",
        "class_data_dir": str(class_photos),
        "class_prompt": "a photo of a dog",
        "with_prior_preservation": True,
        "num_class_images": 4,
        "resolution": 64,
        "train_batch_size": 1,
        "learning_rate": 1e-4,
        "max_train_steps": 1,
        "report_to": "none",
        "output_dir": str(tmp_path / "concept"),
    }
    loop.train(training_config(**settings | changes), events.append)
    assert events[-1]["published"] is True
    assert concept.has_weights(tmp_path / "concept")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 < 24e9
