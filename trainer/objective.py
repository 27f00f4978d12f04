"""What is learnt from, encoded, and the loss on it."""

import math
from typing import Any

import torch
from diffusers import StableDiffusionPipeline
from torch import Tensor

from trainer import batches, dataset, loss, models, prompting, sampling
from trainer.config import TrainingConfig
from trainer.preparation import Examples


class Objective:
    """Batches of latents and noise, the prompts' embeddings, the noise schedule; `loss` brings them together.

    Nothing of the pipeline is kept but the VAE where latents are not cached.
    """

    def __init__(
        self,
        config: TrainingConfig,
        pipeline: StableDiffusionPipeline,
        examples: Examples,
        resolution: int,
        *,
        rank: int,
        processes: int,
        draw: batches.DrawFunction,
    ) -> None:
        self.config, self.device = config, pipeline.unet.device
        self.examples_per_step = config.train_batch_size * processes * config.gradient_accumulation_steps
        self.epoch = examples.epoch()
        self.fingerprints = examples.fingerprints
        posteriors = dataset.posteriors(
            pipeline.vae,
            examples.all,
            resolution,
            center_crop=config.center_crop,
            hflip=config.hflip,
            cache_latents=config.cache_latents,
        )
        schedule = models.noise_scheduler(pipeline)
        self.alphas_cumprod: Tensor = schedule.alphas_cumprod.to(self.device)
        self.prediction_type = str(schedule.config.prediction_type)
        self.batches = batches.Batches(
            posteriors,
            batches.Sampler(examples.members, posteriors.counts),
            batch_size=config.train_batch_size,
            rank=rank,
            processes=processes,
            train_timesteps=schedule.config.num_train_timesteps,
            offset_noise=config.offset_noise,
            seed=config.seed,
            device=self.device,
            draw=draw,
        )
        said = [
            prompting.wordings(example.prompt) if config.vary_wording else [example.prompt]
            for example in examples.all
        ]
        self.varied = any(len(wordings) > 1 for wordings in said)
        texts = [text for wordings in said for text in wordings]
        self.prompts = dataset.Prompts(texts, pipeline.tokenizer, pad_tokens=config.pad_tokens)
        self.prompt_rows = [[self.prompts.texts.index(text) for text in wordings] for wordings in said]
        self.unread = {text: sampling.truncated_part(pipeline.tokenizer, text) for text in self.prompts.texts}
        if not config.train_text_encoder:
            self.prompts.cache(pipeline.text_encoder)

    def epoch_steps(self) -> int:
        """Optimizer steps in one epoch; the last is filled up from the next epoch."""
        return math.ceil(self.epoch / self.examples_per_step)

    def loss(self, batch: batches.Batch, unet: Any, text_encoder: Any, dtype: torch.dtype) -> Tensor:
        """DreamBooth's loss of one batch, a scalar: one forward for instance and class examples.

        `text_encoder` may be None where it is frozen. `dtype` is what the UNet is fed.
        """
        alphas_cumprod, timesteps, gamma = self.alphas_cumprod, batch.timesteps, self.config.snr_gamma
        noisy = loss.noisy_latents(batch.latents, batch.noise, alphas_cumprod, timesteps)
        rows = [
            self.prompt_rows[example][wording % len(self.prompt_rows[example])]
            for example, wording in zip(batch.examples, batch.wordings, strict=True)
        ]
        embeddings = self.prompts.embeddings(rows, text_encoder, self.device)
        prediction = unet(noisy.to(dtype), timesteps, embeddings.to(dtype), return_dict=False)[0]
        target = loss.target(self.prediction_type, batch.latents, batch.noise, alphas_cumprod, timesteps)
        weights = None
        if gamma is not None:
            snr = loss.snr(alphas_cumprod, timesteps)
            weights = loss.min_snr_weights(snr, gamma, self.prediction_type)
        losses = loss.example_losses(prediction, target)
        return loss.dreambooth_loss(losses, weights, batch.is_prior, self.config.prior_loss_weight)
