"""One batch of images out of a pipeline: size, sampler, seeds, stopping."""

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import diffusers
import numpy as np
import torch
from diffusers import StableDiffusionPipeline
from PIL import Image
from torch import Tensor

from trainer import models
from trainer.config import MAX_SEED
from trainer.errors import ConfigError, ModelError

logger = logging.getLogger(__name__)

ShouldStop = Callable[[], bool]

# GenerationConfig.scheduler -> diffusers' class
SCHEDULERS = {
    "dpm++": "DPMSolverMultistepScheduler",
    "unipc": "UniPCMultistepScheduler",
    "ddim": "DDIMScheduler",
    "pndm": "PNDMScheduler",
    "euler": "EulerDiscreteScheduler",
    "euler_a": "EulerAncestralDiscreteScheduler",
}


def image_seed(seed: int, index: int) -> int:
    """The seed of the index-th image of a run; stays within what GenerationConfig.seed takes."""
    return (seed + index) % (MAX_SEED + 1)


def image_size(
    pipeline: StableDiffusionPipeline, height: int | None = None, width: int | None = None
) -> tuple[int, int]:
    """(height, width) in pixels, the base's own where not given; ConfigError if the autoencoder cannot make it."""
    own = models.base_resolution(pipeline)
    size = (height or own, width or own)
    multiple = max(8, models.vae_factor(pipeline))  # StableDiffusionPipeline itself insists on 8
    for name, value in zip(("height", "width"), size, strict=True):
        if value % multiple:
            raise ConfigError(f"{name}: {value} px is not a multiple of {multiple}, which this base needs")
    return size


def scheduler_named(scheduler: Any, name: str) -> Any:
    """The sampler `name` (a key of SCHEDULERS), with the given one's betas and prediction type.

    Options that the given one's config lacks are Stable Diffusion's, where the class's own defaults are meant
    for pixels (they clip) or for other models.
    """
    latent = {"clip_sample": False, "set_alpha_to_one": False, "skip_prk_steps": True}
    options = {option: scheduler.config.get(option, value) for option, value in latent.items()}
    return getattr(diffusers, SCHEDULERS[name]).from_config(scheduler.config, **options)


def truncated_part(tokenizer: Any, prompt: str) -> str:
    """The end of the prompt that the text encoder will not read; empty where it reads all."""
    ids = tokenizer(prompt, truncation=False, verbose=False).input_ids
    limit = tokenizer.model_max_length
    return str(tokenizer.decode(ids[limit - 1 : -1])) if len(ids) > limit else ""


def say_truncation(pipeline: StableDiffusionPipeline, prompt: str) -> None:
    cut = truncated_part(pipeline.tokenizer, prompt)
    if cut:
        limit = pipeline.tokenizer.model_max_length
        shown = cut if len(cut) <= 80 else cut[:80] + "..."
        logger.warning(
            "the text encoder reads %d tokens; this end of the prompt is left out: %s", limit, shown
        )


@contextmanager
def using_scheduler(pipeline: StableDiffusionPipeline, scheduler: Any) -> Iterator[None]:
    """Sample with another scheduler, and give the pipeline its own back."""
    own = pipeline.scheduler
    pipeline.scheduler = scheduler
    try:
        yield
    finally:
        pipeline.scheduler = own


def sample(
    pipeline: StableDiffusionPipeline,
    prompt: str,
    seeds: Sequence[int],
    *,
    height: int,
    width: int,
    guidance_scale: float,
    num_inference_steps: int,
    negative_prompt: str = "",
    on_step: Callable[[Tensor], None] | None = None,
    should_stop: ShouldStop | None = None,
) -> list[Image.Image]:
    """One image per seed in one batch, or none where `should_stop` turned true before they were done.

    `on_step` gets what the images look like so far, as latents (N, C, h, w).
    """
    stopped = bool(should_stop and should_stop())

    def after_step(running: Any, step: int, timestep: Any, tensors: dict[str, Any]) -> dict[str, Any]:
        nonlocal stopped
        if on_step:
            on_step(_foreseen(running.scheduler, tensors["latents"]))
        stopped = stopped or bool(should_stop and should_stop())
        running._interrupt = stopped  # diffusers' documented way to leave the denoising loop
        return tensors

    if stopped:
        return []
    pipeline.set_progress_bar_config(disable=True)  # progress is on_step's
    arrays = pipeline(
        prompt_embeds=_encoded(pipeline, prompt, len(seeds)),
        negative_prompt_embeds=_encoded(pipeline, negative_prompt, len(seeds)),
        height=height,
        width=width,
        guidance_scale=guidance_scale,
        num_inference_steps=num_inference_steps,
        generator=[torch.Generator("cpu").manual_seed(seed) for seed in seeds],
        callback_on_step_end=after_step,
        output_type="np",
    ).images
    if stopped:
        return []
    assert arrays.shape == (len(seeds), height, width, 3), arrays.shape
    if not np.isfinite(arrays).all():
        raise ModelError(
            f"the model's images are not finite numbers (in {pipeline.dtype}): "
            "use float32 or bfloat16, or train again with a lower learning_rate"
        )
    return list(pipeline.numpy_to_pil(arrays))


def _foreseen(scheduler: Any, latents: Tensor) -> Tensor:
    """The finished latents as DPM-Solver++ and UniPC foresee them; of other samplers the noisy ones they are at."""
    predictions = [each for each in getattr(scheduler, "model_outputs", []) if each is not None]
    return predictions[-1] if predictions else latents


@torch.no_grad()
def decoded(pipeline: StableDiffusionPipeline, latents: Tensor) -> list[Image.Image]:
    """Latents (N, C, h, w), finished or not, as RGB images."""
    pixels = pipeline.vae.decode(latents / pipeline.vae.config.scaling_factor, return_dict=False)[0]
    return list(pipeline.image_processor.postprocess(pixels.float()))


@torch.no_grad()
def _encoded(pipeline: StableDiffusionPipeline, prompt: str, count: int) -> Tensor:
    """The prompt as the UNet is conditioned on it, encoded once for all images: (count, L, D)."""
    ids = models.tokenize(pipeline.tokenizer, [prompt]).to(pipeline.text_encoder.device)
    return models.encode_prompts(pipeline.text_encoder, ids).expand(count, -1, -1)
