"""Tiny real models and synthetic photos, built once a session, offline."""

import gc
import json
import os
import shutil
from pathlib import Path
from typing import Any

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pytest
import torch
from diffusers import (
    AutoencoderKL,
    DDIMScheduler,
    PNDMScheduler,
    StableDiffusionPipeline,
    UNet2DConditionModel,
)
from PIL import Image, ImageDraw
from transformers import (
    CLIPConfig,
    CLIPImageProcessorPil,
    CLIPModel,
    CLIPProcessor,
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTokenizer,
    ViTConfig,
    ViTImageProcessorPil,
    ViTModel,
)

torch.set_num_threads(1)
gc.collect()
gc.freeze()  # what the imports made is never searched again: each training collects garbage, for its GPU's sake

BETAS: dict[str, Any] = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}
MERGES = ["p h", "ph o", "pho t", "phot o</w>", "d o", "do g</w>", "b e", "be a", "bea r</w>", "o f</w>"]
MAX_TOKENS = 16


def write_tokenizer(directory: Path) -> CLIPTokenizer:
    """CLIP's byte-level BPE over the bytes and a few merges, as vocab.json and merges.txt."""
    directory.mkdir(parents=True)
    alphabet = [chr(code) for code in (*range(33, 127), *range(161, 173), *range(174, 256))]
    alphabet += [chr(256 + index) for index in range(256 - len(alphabet))]
    words = alphabet + [letter + "</w>" for letter in alphabet] + [merge.replace(" ", "") for merge in MERGES]
    vocab = {word: index for index, word in enumerate([*words, "<|startoftext|>", "<|endoftext|>"])}
    (directory / "vocab.json").write_text(json.dumps(vocab))
    (directory / "merges.txt").write_text("\n".join(["#version: 0.2", *MERGES]))
    return CLIPTokenizer(
        vocab=vocab, merges=[tuple(merge.split()) for merge in MERGES], model_max_length=MAX_TOKENS
    )


def build_pipeline(directory: Path, *, v_prediction: bool = False) -> Path:
    """A Stable Diffusion of a few thousand weights. SD1-like: epsilon, 2x autoencoder, 16 px. SD2-like: v-prediction,
    linear projections, per-block head sizes, 4x autoencoder, 32 px."""
    torch.manual_seed(0)
    tokenizer = write_tokenizer(directory / "raw_tokenizer")
    text_encoder = CLIPTextModel(
        CLIPTextConfig(
            vocab_size=len(tokenizer),
            hidden_size=16,
            intermediate_size=32,
            num_hidden_layers=2,
            num_attention_heads=2,
            max_position_embeddings=MAX_TOKENS,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )
    vae_channels = (8, 8, 8) if v_prediction else (8, 8)
    vae = AutoencoderKL(
        block_out_channels=vae_channels,
        norm_num_groups=4,
        latent_channels=4,
        layers_per_block=1,
        sample_size=16,
        down_block_types=("DownEncoderBlock2D",) * len(vae_channels),
        scaling_factor=0.5,
        up_block_types=("UpDecoderBlock2D",) * len(vae_channels),
    )
    unet = UNet2DConditionModel(
        block_out_channels=(8, 16),
        layers_per_block=1,
        norm_num_groups=4,
        sample_size=8,
        cross_attention_dim=16,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        attention_head_dim=[2, 4] if v_prediction else 4,
        use_linear_projection=v_prediction,
    )
    if v_prediction:
        scheduler = DDIMScheduler(
            **BETAS, prediction_type="v_prediction", clip_sample=False, set_alpha_to_one=False, steps_offset=1
        )
    else:
        scheduler = PNDMScheduler(**BETAS, skip_prk_steps=True, set_alpha_to_one=False, steps_offset=1)
    pipeline = StableDiffusionPipeline(
        vae=vae,
        text_encoder=text_encoder,
        tokenizer=tokenizer,
        unet=unet,
        scheduler=scheduler,
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipeline.save_pretrained(directory / "pipeline", safe_serialization=True)
    return directory / "pipeline"


def draw_photo(seed: int, size: tuple[int, int]) -> Image.Image:
    """A coloured disc on a noisy ground: sharp enough, and different for every seed."""
    random = np.random.default_rng(seed)
    ground = random.integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    image = Image.fromarray(ground)
    x, y = random.integers(2, min(size) // 2, 2)
    red, green, blue = (int(value) for value in random.integers(0, 256, 3))
    ImageDraw.Draw(image).ellipse((x, y, x + min(size) // 2, y + min(size) // 2), fill=(red, green, blue))
    return image


@pytest.fixture(scope="session")
def sd1(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of the tiny SD1-like base (epsilon, 16 px). Do not write into it."""
    return build_pipeline(tmp_path_factory.mktemp("sd1"))


@pytest.fixture(scope="session")
def sd2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of the tiny SD2-like base (v_prediction, 32 px). Do not write into it."""
    return build_pipeline(tmp_path_factory.mktemp("sd2"), v_prediction=True)


@pytest.fixture(scope="session")
def judge(sd1: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a CLIP of a few thousand weights."""
    torch.manual_seed(1)
    tokenizer = CLIPTokenizer.from_pretrained(sd1 / "tokenizer")
    tower = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    text = tower | {
        "vocab_size": len(tokenizer),
        "max_position_embeddings": tokenizer.model_max_length,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
    vision = tower | {"image_size": 16, "patch_size": 4}
    folder = tmp_path_factory.mktemp("judge")
    CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=8)).save_pretrained(folder)
    images = CLIPImageProcessorPil(size={"shortest_edge": 16}, crop_size={"height": 16, "width": 16})
    CLIPProcessor(images, tokenizer).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def subject_encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a vision transformer as DINO's, of a few thousand weights."""
    torch.manual_seed(2)
    tower = {"hidden_size": 24, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    folder = tmp_path_factory.mktemp("subject_encoder")
    ViTModel(ViTConfig(**tower, image_size=16, patch_size=4)).save_pretrained(folder)
    ViTImageProcessorPil(size={"height": 16, "width": 16}).save_pretrained(folder)
    return folder


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Folder of three synthetic photos: square, wide, tall."""
    directory = tmp_path / "photos"
    directory.mkdir()
    for index, size in enumerate([(40, 40), (48, 40), (40, 60)]):
        draw_photo(index, size).save(directory / f"{index:03d}.png")
    return directory


@pytest.fixture
def class_photos(tmp_path: Path) -> Path:
    """Folder of four synthetic class images."""
    directory = tmp_path / "class"
    directory.mkdir()
    for index in range(4):
        draw_photo(100 + index, (32, 32)).save(directory / f"{index:03d}.png")
    return directory


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory, sd1: Path) -> Path:
    """Folder with two finished concepts, `full` and `lora`, with their photos, checkpoints and logs. Do not write."""
    from trainer import loop
    from trainer.config import training_config

    root = tmp_path_factory.mktemp("finished")
    (root / "photos").mkdir()
    for index in range(3):
        exif = Image.Exif()
        exif[0x013B] = "Alice at home"  # the tag Artist
        draw_photo(index, (40, 40)).save(root / "photos" / f"IMG <{index}>.jpg", exif=exif)
    for method in ("full", "lora"):
        config = training_config(
            method=method,
            rank=2,
            pretrained_model_name_or_path=str(sd1),
            instance_data_dir=str(root / "photos"),
            instance_prompt="a photo of sks dog",
            learning_rate=1e-3,
            train_batch_size=1,
            max_train_steps=1,
            checkpointing_steps=1,
            output_dir=str(root / method),
        )
        loop.train(config, lambda event: None)
    return root


@pytest.fixture
def full(finished: Path, tmp_path: Path) -> Path:
    """A finished concept of one's own: a pipeline."""
    return Path(shutil.copytree(finished / "full", tmp_path / "full"))


@pytest.fixture
def lora(finished: Path, tmp_path: Path) -> Path:
    """A finished concept of one's own: a LoRA."""
    return Path(shutil.copytree(finished / "lora", tmp_path / "lora"))
