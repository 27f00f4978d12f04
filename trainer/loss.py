"""DreamBooth's loss, as pure functions of tensors.

Latents, noise and predictions are (B, C, h, w); timesteps, losses and weights (B,); `alphas_cumprod` is the noise
schedule's, (T,). Sources: DDPM (arXiv 2006.11239), v-prediction (arXiv 2202.00512, section 4), min-SNR
(arXiv 2303.09556, section 3.4), prior preservation (arXiv 2208.12242, section 3.3).
"""

import torch
from torch import Tensor
from torch.nn import functional as F


def _alpha_sigma(alphas_cumprod: Tensor, timesteps: Tensor, like: Tensor) -> tuple[Tensor, Tensor]:
    bar = alphas_cumprod.to(like.dtype)[timesteps].reshape(-1, *[1] * (like.ndim - 1))
    return bar**0.5, (1 - bar) ** 0.5


def noisy_latents(latents: Tensor, noise: Tensor, alphas_cumprod: Tensor, timesteps: Tensor) -> Tensor:
    """The forward process: latents at `timesteps`, (B, C, h, w)."""
    assert latents.shape == noise.shape and timesteps.shape == latents.shape[:1]
    alpha, sigma = _alpha_sigma(alphas_cumprod, timesteps, latents)
    return alpha * latents + sigma * noise


def target(
    prediction_type: str, latents: Tensor, noise: Tensor, alphas_cumprod: Tensor, timesteps: Tensor
) -> Tensor:
    """What the UNet should answer, (B, C, h, w). `prediction_type` is the scheduler config's; others: ValueError."""
    if prediction_type == "epsilon":
        return noise
    if prediction_type == "sample":
        return latents
    if prediction_type == "v_prediction":
        alpha, sigma = _alpha_sigma(alphas_cumprod, timesteps, latents)
        return alpha * noise - sigma * latents
    raise ValueError(f"unknown prediction_type {prediction_type!r}; known: epsilon, v_prediction, sample")


def snr(alphas_cumprod: Tensor, timesteps: Tensor) -> Tensor:
    """Signal-to-noise ratio alpha^2 / sigma^2 at `timesteps`, (B,), float32."""
    bar = alphas_cumprod.float()[timesteps]
    return bar / (1 - bar)


def min_snr_weights(snr: Tensor, gamma: float, prediction_type: str) -> Tensor:
    """One weight per example, (B,): min(snr, gamma) over what the prediction type already weighs by.

    That is snr for epsilon, snr + 1 for v_prediction, 1 for sample. At snr 0 (zero terminal SNR) epsilon's is 1.
    """
    clipped = snr.clamp(max=gamma)
    if prediction_type == "epsilon":
        return (gamma / snr).clamp(max=1.0)
    if prediction_type == "v_prediction":
        return clipped / (snr + 1)
    if prediction_type == "sample":
        return clipped
    raise ValueError(f"unknown prediction_type {prediction_type!r}; known: epsilon, v_prediction, sample")


def example_losses(prediction: Tensor, target: Tensor) -> Tensor:
    """Mean squared error of each example, (B,), in float32."""
    assert prediction.shape == target.shape
    return F.mse_loss(prediction.float(), target.float(), reduction="none").flatten(1).mean(1)


def dreambooth_loss(
    losses: Tensor, weights: Tensor | None, is_prior: Tensor, prior_loss_weight: float
) -> Tensor:
    """mean(instance) + prior_loss_weight * mean(class), a scalar; weights apply to each example before the split.

    `losses`, `weights` (B,), `is_prior` (B,) bool: which examples are class images. Without any the second term is 0.
    """
    assert losses.shape == is_prior.shape and is_prior.dtype == torch.bool
    if weights is not None:
        assert weights.shape == losses.shape  # diffusers' script has N losses meet 2N weights here
        losses = losses * weights
    prior = is_prior.to(losses.dtype)
    instance = 1 - prior
    # Sums over masks, not boolean indexing: that would make a GPU wait for the count.
    instance_loss = (losses * instance).sum() / instance.sum().clamp(min=1)
    prior_loss = (losses * prior).sum() / prior.sum().clamp(min=1)
    return instance_loss + prior_loss_weight * prior_loss
