"""Samples with the weights as they are while training; previews of one prompt with fixed seeds, into samples/."""

from collections.abc import Sequence
from pathlib import Path

import torch
from diffusers import StableDiffusionPipeline
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from torch import Tensor, nn

from trainer import metadata, models, sampling
from trainer.concept import versions
from trainer.config import GenerationConfig, TrainingConfig

SAMPLES = "samples"
BATCH_PIXELS = 512 * 512


class Painter:
    """Holds what samples need beside the UNet: the VAE, and the prompts' embeddings where the encoder is frozen."""

    def __init__(
        self,
        pipeline: StableDiffusionPipeline,
        resolution: int,
        prompts: Sequence[str],
        *,
        train_text_encoder: bool,
        guidance_scale: float,
        num_inference_steps: int,
        negative_prompt: str = "",
    ) -> None:
        self.resolution, self.prompts = resolution, [*prompts, negative_prompt]
        self.guidance_scale, self.num_inference_steps = guidance_scale, num_inference_steps
        self.vae, self.tokenizer = pipeline.vae, pipeline.tokenizer
        self.scheduler = models.fast_scheduler(pipeline.scheduler)
        self.embeddings = None if train_text_encoder else self._encode(pipeline.text_encoder)

    @torch.no_grad()
    def _encode(self, text_encoder: nn.Module) -> Tensor:
        device = next(text_encoder.parameters()).device
        training = text_encoder.training
        text_encoder.eval()  # a LoRA's dropout would draw from the global generator
        tokens = models.tokenize(self.tokenizer, self.prompts).to(device)
        embeddings = models.encode_prompts(text_encoder, tokens)
        text_encoder.train(training)
        return embeddings

    @torch.no_grad()
    def paint(
        self, unet: nn.Module, text_encoder: nn.Module | None, seeds: Sequence[int]
    ) -> list[Image.Image]:
        """One image of each prompt, image i of seeds[i]; no more at once than one of 512 px takes.

        Leaves the models' modes and the global random generators as they were.
        """
        embeddings = self.embeddings if self.embeddings is not None else self._encode(text_encoder)  # type: ignore[arg-type]
        *prompts, negative = embeddings.to(next(unet.parameters()).dtype)
        count = max(1, BATCH_PIXELS // self.resolution**2)
        training = unet.training
        unet.eval()
        images: list[Image.Image] = []
        for first in range(0, len(prompts), count):
            some = torch.stack(prompts[first : first + count])
            images += self._batch(unet, some, negative.expand_as(some), seeds[first : first + count])
        unet.train(training)
        return images

    def _batch(
        self, unet: nn.Module, prompts: Tensor, negative: Tensor, seeds: Sequence[int]
    ) -> list[Image.Image]:
        pipeline = StableDiffusionPipeline(
            vae=self.vae,
            text_encoder=None,
            tokenizer=None,
            unet=unet,
            scheduler=self.scheduler,
            safety_checker=None,
            feature_extractor=None,
            requires_safety_checker=False,
        )
        pipeline.set_progress_bar_config(disable=True)
        latents = pipeline(
            prompt_embeds=prompts,
            negative_prompt_embeds=negative,
            height=self.resolution,
            width=self.resolution,
            guidance_scale=self.guidance_scale,
            num_inference_steps=self.num_inference_steps,
            generator=[torch.Generator().manual_seed(seed) for seed in seeds],
            output_type="latent",
        ).images
        # The UNet may be half precision beside a float32 VAE, which the pipeline would not bring together.
        latents = latents.to(self.vae.dtype) / self.vae.config.scaling_factor
        pixels = self.vae.decode(latents, return_dict=False)[0]
        return list(pipeline.image_processor.postprocess(pixels.float()))


class Previews:
    """`num_validation_images` of the validation prompt, image i of seed + i."""

    def __init__(self, config: TrainingConfig, pipeline: StableDiffusionPipeline, resolution: int) -> None:
        assert config.validation_prompt is not None
        self.config, self.resolution = config, resolution
        self.painter = Painter(
            pipeline,
            resolution,
            [config.validation_prompt],
            train_text_encoder=config.train_text_encoder,
            guidance_scale=config.validation_guidance_scale,
            num_inference_steps=config.validation_num_inference_steps,
            negative_prompt=config.validation_negative_prompt or "",
        )

    def write(
        self, unet: nn.Module, text_encoder: nn.Module | None, step: int, directory: Path
    ) -> list[Path]:
        """Draw with the weights as they are: samples/{step}-{i}.png. The PNGs carry their settings."""
        folder = directory / SAMPLES
        folder.mkdir(parents=True, exist_ok=True)
        files = []
        for index in range(self.config.num_validation_images):
            seed = sampling.image_seed(self.config.seed, index)
            (image,) = self.painter.paint(unet, text_encoder, [seed])
            files.append(folder / f"{step:06d}-{index}.png")
            image.save(files[-1], pnginfo=self._settings(step, index, directory))
        return files

    def _settings(self, step: int, index: int, directory: Path) -> PngInfo:
        config = self.config
        settings = GenerationConfig(
            concept=str(directory),
            prompt=config.validation_prompt or "",
            negative_prompt=config.validation_negative_prompt or "",
            num_samples=1,
            guidance_scale=config.validation_guidance_scale,
            num_inference_steps=config.validation_num_inference_steps,
            seed=sampling.image_seed(config.seed, index),
            height=self.resolution,
            width=self.resolution,
        )
        return metadata.text_chunks(settings, versions(), {"step": step})
