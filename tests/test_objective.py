"""The loss of a batch: one forward gives what two would, and the text encoder gets its gradient."""

from pathlib import Path
from typing import Any

import pytest
import torch
from pytest import approx
from torch import nn
from torch.nn import functional as F

from trainer import batches, dataset, loss, models
from trainer.config import training_config
from trainer.objective import Objective
from trainer.preparation import Examples


def objective(base: Path, photos: Path, class_photos: Path, **changes: Any) -> tuple[Objective, Any]:
    settings: dict[str, Any] = {"train_batch_size": 2, "instance_data_dir": "x", "instance_prompt": "x"}
    config = training_config(**(settings | changes))
    pipeline = models.load_pipeline(str(base))
    resolution = models.base_resolution(pipeline)
    examples = Examples()
    examples.add(
        dataset.read_examples(sorted(photos.iterdir()), "a photo of sks dog", resolution),
        dataset.read_examples(sorted(class_photos.iterdir()), "a photo of a dog", resolution),
    )
    own = Objective(config, pipeline, examples, resolution, rank=0, processes=1, draw=batches.draw)
    return own, pipeline


@pytest.mark.parametrize("gamma", [None, 5.0])
@pytest.mark.parametrize("base", ["sd1", "sd2"])
def test_one_forward_is_two(
    base: str, gamma: float | None, photos: Path, class_photos: Path, request: pytest.FixtureRequest
) -> None:
    """Instance and class apart, each through the UNet on its own and weighed on its own."""
    folder = request.getfixturevalue(base)
    own, pipeline = objective(folder, photos, class_photos, snr_gamma=gamma, prior_loss_weight=0.5)
    scheduler = models.noise_scheduler(pipeline)
    batch = own.batches.next()
    calls: list[int] = []

    def counted(sample: torch.Tensor, *arguments: Any, **options: Any) -> Any:
        calls.append(len(sample))
        return pipeline.unet(sample, *arguments, **options)

    together = own.loss(batch, counted, None, torch.float32).item()
    assert calls == [4]
    apart = []
    for half in (slice(0, 2), slice(2, 4)):
        latents, noise, timesteps = batch.latents[half], batch.noise[half], batch.timesteps[half]
        prompt = "a photo of sks dog" if half.start == 0 else "a photo of a dog"
        ids = models.tokenize(pipeline.tokenizer, [prompt, prompt])
        embeddings = models.encode_prompts(pipeline.text_encoder, ids)
        prediction = pipeline.unet(
            scheduler.add_noise(latents, noise, timesteps), timesteps, embeddings
        ).sample
        v_prediction = scheduler.config.prediction_type == "v_prediction"
        target = scheduler.get_velocity(latents, noise, timesteps) if v_prediction else noise
        losses = F.mse_loss(prediction, target, reduction="none").mean((1, 2, 3))
        if gamma is not None:
            snr = loss.snr(scheduler.alphas_cumprod, timesteps)
            losses = losses * snr.clamp(max=gamma) / (snr + 1 if v_prediction else snr)
        apart.append(losses.mean().item())
    assert together == approx(apart[0] + 0.5 * apart[1], rel=1e-5)


def test_half_of_the_time_a_prompt_is_told_without_its_medium(
    sd1: Path, photos: Path, class_photos: Path
) -> None:
    """By the parity of the timestep, in instance and class alike; each wording's embedding is the one the UNet is fed."""
    own, pipeline = objective(sd1, photos, class_photos, vary_wording=True)
    texts = ["a photo of sks dog", "sks dog", "a photo of a dog", "a dog"]
    assert set(own.prompts.texts) == set(texts)
    embedded = models.encode_prompts(pipeline.text_encoder, models.tokenize(pipeline.tokenizer, texts))
    fed: list[torch.Tensor] = []

    def watched(sample: torch.Tensor, timestep: torch.Tensor, states: torch.Tensor, **options: Any) -> Any:
        fed.append(states)
        return pipeline.unet(sample, timestep, states, **options)

    seen = set()
    for _ in range(8):
        batch = own.batches.next()
        own.loss(batch, watched, None, torch.float32)
        wanted = [2 * prior + int(t) % 2 for prior, t in zip((0, 0, 1, 1), batch.timesteps, strict=True)]
        assert torch.allclose(fed.pop(), embedded[wanted])
        seen |= set(wanted)
    assert seen == {0, 1, 2, 3}


def test_trained_text_encoder_gets_gradients_frozen_one_is_not_needed(
    sd1: Path, photos: Path, class_photos: Path
) -> None:
    own, pipeline = objective(sd1, photos, class_photos, train_text_encoder=True)
    assert own.prompts.cached is None
    text_encoder: nn.Module = pipeline.text_encoder.requires_grad_(True)
    own.loss(own.batches.next(), pipeline.unet, text_encoder, torch.float32).backward()
    assert all(parameter.grad is not None for parameter in text_encoder.parameters())
    frozen, _ = objective(sd1, photos, class_photos)
    assert frozen.prompts.cached is not None
    assert frozen.prompts.cached.shape == (2, 16, 16)


def test_epoch_steps_count_the_more_numerous(sd1: Path, photos: Path, class_photos: Path) -> None:
    assert objective(sd1, photos, class_photos)[0].epoch_steps() == 2  # four class images, two a step
    accumulated, _ = objective(sd1, photos, class_photos, gradient_accumulation_steps=3)
    assert accumulated.epoch_steps() == 1
