"""Size, sampler, seeds and truncation, on tiny real pipelines."""

from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import torch
from diffusers import StableDiffusionPipeline
from PIL import Image

from trainer import models
from trainer.config import GenerationConfig, Scheduler, generation_config
from trainer.errors import ConfigError, ModelError
from trainer.generation import generate
from trainer.sampling import SCHEDULERS, image_seed, scheduler_named, truncated_part

PROMPT = "photo of dog"


@pytest.fixture(scope="module")
def pipeline(sd1: Path) -> StableDiffusionPipeline:
    return models.load_pipeline(str(sd1))


def config(**changes: Any) -> GenerationConfig:
    settings = {"concept": "bear", "prompt": PROMPT, "num_samples": 2, "num_inference_steps": 2, "seed": 5}
    return generation_config(**(settings | changes))


def pixels(image: Image.Image | Path) -> np.ndarray:
    opened = Image.open(image) if isinstance(image, Path) else image
    return np.asarray(opened.convert("RGB")).astype(int)


def same(one: Image.Image | Path, other: Image.Image | Path) -> bool:
    """Equal up to the rounding of batched arithmetic: one grey level."""
    return bool(np.abs(pixels(one) - pixels(other)).max() <= 1)


def test_seeds_stay_in_range() -> None:
    assert image_seed(5, 9) == 14
    assert generation_config(**config().model_dump() | {"seed": image_seed(2**32 - 1, 3)}).seed == 2


def test_a_size_the_autoencoder_cannot_make_is_refused(pipeline: StableDiffusionPipeline, sd1: Path) -> None:
    with pytest.raises(ConfigError, match="height: 20 px is not a multiple of 8"):
        generate(pipeline, config().model_copy(update={"height": 20}))


@pytest.mark.parametrize("name", get_args(Scheduler))
@pytest.mark.parametrize("base", ["sd1", "sd2"])
def test_every_scheduler_keeps_betas_and_prediction_type(
    base: str, name: str, request: pytest.FixtureRequest
) -> None:
    pipeline = models.load_pipeline(str(request.getfixturevalue(base)))
    own = pipeline.scheduler
    changed = scheduler_named(own, name)
    assert type(changed).__name__ == SCHEDULERS[name]
    kept = ("beta_start", "beta_end", "beta_schedule", "prediction_type", "num_train_timesteps")
    assert {key: changed.config[key] for key in kept} == {key: own.config[key] for key in kept}
    assert not changed.config.get("clip_sample")
    first, second = generate(pipeline, config(scheduler=name, num_inference_steps=4))
    assert pixels(first).std() > 0
    assert not same(first, second)
    assert pipeline.scheduler is own


def test_schedulers_agree_on_an_image_given_enough_steps(pipeline: StableDiffusionPipeline) -> None:
    """Samplers of one equation converge to one image; a wrong config (clipping, other betas) would not."""
    several = config(num_samples=1, num_inference_steps=10, guidance_scale=1)
    images = [
        pixels(generate(pipeline, several.model_copy(update={"scheduler": name}))[0])
        for name in ("dpm++", "unipc", "ddim", "euler", "pndm")
    ]
    assert all(np.abs(image - images[0]).mean() < 1.5 for image in images)  # of 255


@pytest.mark.parametrize("base", ["sd1", "sd2"])
def test_images_are_those_of_diffusers_own_call(base: str, request: pytest.FixtureRequest) -> None:
    pipeline = models.load_pipeline(str(request.getfixturevalue(base)))
    ours = generate(pipeline, config(negative_prompt="bear", num_inference_steps=4))
    pipeline.scheduler = models.fast_scheduler(pipeline.scheduler)
    theirs = pipeline(
        PROMPT,
        negative_prompt="bear",
        num_images_per_prompt=2,
        num_inference_steps=4,
        generator=[torch.Generator().manual_seed(seed) for seed in (5, 6)],
    ).images
    assert all(same(one, other) for one, other in zip(ours, theirs, strict=True))


def test_a_prompt_longer_than_the_encoder_is_cut_and_said(
    pipeline: StableDiffusionPipeline, caplog: pytest.LogCaptureFixture
) -> None:
    long = "dog " * 20 + "bear"
    assert truncated_part(pipeline.tokenizer, PROMPT) == ""
    assert truncated_part(pipeline.tokenizer, long).split() == ["dog"] * 6 + ["bear"]
    generate(pipeline, config(prompt=long))
    assert "reads 16 tokens; this end of the prompt is left out: dog dog" in caplog.text


def test_images_that_are_not_finite_are_an_error(sd1: Path) -> None:
    broken = models.load_pipeline(str(sd1))
    torch.nn.init.constant_(broken.unet.conv_out.bias, float("nan"))
    own = broken.scheduler
    with pytest.raises(ModelError, match="not finite"):
        generate(broken, config())
    assert broken.scheduler is own
