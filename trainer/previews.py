"""Previews while training: one prompt, fixed seeds, the weights as they are now, into samples/."""

from pathlib import Path

import torch
from diffusers import StableDiffusionPipeline
from PIL.PngImagePlugin import PngInfo
from torch import Tensor, nn

from trainer import metadata, models
from trainer.concept import versions
from trainer.config import GenerationConfig, TrainingConfig

SAMPLES = "samples"


class Previews:
    """Holds what previews need beside the UNet: the VAE, and the prompts' embeddings where the encoder is frozen."""

    def __init__(self, config: TrainingConfig, pipeline: StableDiffusionPipeline, resolution: int) -> None:
        assert config.validation_prompt is not None
        self.config, self.resolution = config, resolution
        self.vae, self.tokenizer = pipeline.vae, pipeline.tokenizer
        self.scheduler = models.fast_scheduler(pipeline.scheduler)
        self.prompts = [config.validation_prompt, config.validation_negative_prompt or ""]
        self.embeddings = None if config.train_text_encoder else self._encode(pipeline.text_encoder)

    @torch.no_grad()
    def _encode(self, text_encoder: nn.Module) -> Tensor:
        device = next(text_encoder.parameters()).device
        return models.encode_prompts(text_encoder, models.tokenize(self.tokenizer, self.prompts).to(device))

    @torch.no_grad()
    def write(
        self, unet: nn.Module, text_encoder: nn.Module | None, step: int, directory: Path
    ) -> list[Path]:
        """Draw `num_validation_images` with the weights as they are: samples/{step}-{i}.png, image i of seed + i.

        Leaves the models' modes and the global random generators as they were. The PNGs carry their settings.
        """
        config = self.config
        embeddings = self.embeddings if self.embeddings is not None else self._encode(text_encoder)  # type: ignore[arg-type]
        prompt, negative = (part[None] for part in embeddings.to(next(unet.parameters()).dtype))
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
        folder = directory / SAMPLES
        folder.mkdir(parents=True, exist_ok=True)
        training = unet.training
        unet.eval()
        files = []
        for index in range(config.num_validation_images):
            latents = pipeline(
                prompt_embeds=prompt,
                negative_prompt_embeds=negative,
                height=self.resolution,
                width=self.resolution,
                guidance_scale=config.validation_guidance_scale,
                num_inference_steps=config.validation_num_inference_steps,
                generator=torch.Generator().manual_seed(config.seed + index),
                output_type="latent",
            ).images
            # The UNet may be half precision beside a float32 VAE, which the pipeline would not bring together.
            pixels = self.vae.decode(
                latents.to(self.vae.dtype) / self.vae.config.scaling_factor, return_dict=False
            )[0]
            image = pipeline.image_processor.postprocess(pixels.float())[0]
            files.append(folder / f"{step:06d}-{index}.png")
            image.save(files[-1], pnginfo=self._settings(step, index, directory))
        unet.train(training)
        return files

    def _settings(self, step: int, index: int, directory: Path) -> PngInfo:
        config = self.config
        settings = GenerationConfig(
            concept=str(directory),
            prompt=self.prompts[0],
            negative_prompt=self.prompts[1],
            num_samples=1,
            guidance_scale=config.validation_guidance_scale,
            num_inference_steps=config.validation_num_inference_steps,
            seed=config.seed + index,
            height=self.resolution,
            width=self.resolution,
        )
        return metadata.text_chunks(settings, versions(), {"step": step})
