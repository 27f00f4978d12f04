"""The autoencoder: 4x down, 8 channels. Trained on crops of renders and of photographs for what it must keep of both."""

import copy
import random
from collections.abc import Sequence
from pathlib import Path

import linear_start
import numpy as np
import torch
from checkpoint import load_state, save_state, set_learning_rate
from diffusers import AutoencoderKL
from muon import Muon
from pictures import Render, crop, to_tensor
from replicas import Replicas, workers
from torch import Tensor
from torch.nn import functional as F
from vocabulary import draw_paint

SIZE = 128
WIDTHS = (24, 48, 96)
LATENT_CHANNELS = 8
LINEAR_STEPS = 600
SAVE_EVERY = 200
ANCHOR = (
    0.03  # what latents pay for leaving those of the autoencoder that is trained on, and that its UNet knows
)
KL_WEIGHT = 1e-6  # Rombach et al. 2022, appendix G: just enough to keep the latents from growing


def build() -> AutoencoderKL:
    """No attention and few channels at full size: the time goes to the quarter-size features."""
    return AutoencoderKL(
        in_channels=3,
        out_channels=3,
        latent_channels=LATENT_CHANNELS,
        sample_size=SIZE,
        block_out_channels=WIDTHS,
        layers_per_block=1,
        norm_num_groups=1,
        mid_block_add_attention=False,
        down_block_types=("DownEncoderBlock2D",) * 3,
        up_block_types=("UpDecoderBlock2D",) * 3,
    )


def batch_of_crops(
    renders: Sequence[Render], photographs: Sequence[np.ndarray], count: int, size: int, rng: random.Random
) -> Tensor:
    """Half renders in random paints, half photographs; (count, 3, size, size)."""
    crops = []
    for index in range(count):
        if renders and index % 2 == 0:
            render = rng.choice(renders)
            crops.append(crop(render.painted(draw_paint(render.scene, rng), rng), size, rng))
        else:
            crops.append(crop(rng.choice(photographs), size, rng))
    return to_tensor(crops)


def reconstruction_loss(output: Tensor, target: Tensor) -> Tensor:
    """Squared error, which is PSNR, and a little absolute error, which keeps edges."""
    return F.mse_loss(output, target) + 0.05 * F.l1_loss(output, target)


def train(
    renders: Sequence[Render],
    photographs: Sequence[np.ndarray],
    checkpoint: Path,
    *,
    steps: int,
    batch: int = 16,
    size: int = 64,
    learning_rate: float = 2e-3,
    start: AutoencoderKL | None = None,
    seed: int = 0,
    device: str = "cpu",
) -> AutoencoderKL:
    """Trains to `steps` on a cosine schedule, from the linear autoencoder or from the weights of `start`, going on from
    `checkpoint` if there is one.

    By Muon: AdamW's 3,000 steps ended at 28.4 dB on renders with patterns and looks; 200 of Muon's brought 30.5. Left to
    themselves they move the latents by 15 % of their variance, anchored by 2 % for 0.2 dB."""
    torch.manual_seed(seed)
    vae = copy.deepcopy(start).train() if start else build()
    if not start and not checkpoint.exists():
        linear = linear_start.train(
            WIDTHS,
            LATENT_CHANNELS,
            lambda step: batch_of_crops(
                renders, photographs, batch, size, random.Random(f"linear {seed} {step}")
            ),
            steps=LINEAR_STEPS,
        )
        linear_start.put_into(vae, linear)
    vae.to(device)
    ends = [*vae.encoder.conv_in.parameters(), *vae.decoder.conv_out.parameters()]
    optimizer = Muon(vae.parameters(), learning_rate, plain=ends, weight_decay=1e-4)
    known = copy.deepcopy(start).to(device).eval().requires_grad_(False) if start else None
    replicas = Replicas(vae, workers(batch, device))
    parts = len(replicas.models)
    total = 0.0
    for step in range(load_state(checkpoint, vae, optimizer), steps):
        set_learning_rate(optimizer, learning_rate, step, steps, warmup=100)
        pixels = batch_of_crops(renders, photographs, batch, size, random.Random(seed * 1_000_003 + step)).to(
            device
        )
        generator = torch.Generator().manual_seed(seed * 1_000_003 + step)
        latent_shape = len(pixels), LATENT_CHANNELS, size // 4, size // 4
        noise = torch.randn(latent_shape, generator=generator).to(device)
        shares = zip(pixels.chunk(parts), noise.chunk(parts), [known] * parts, strict=True)
        total += replicas.backward(loss_of, list(shares))
        torch.nn.utils.clip_grad_norm_(vae.parameters(), 1.0)
        optimizer.step()
        if (step + 1) % 50 == 0:
            print(f"autoencoder {step + 1}/{steps}  loss {total / 50:.5f}", flush=True)
            total = 0.0
        if (step + 1) % SAVE_EVERY == 0 or step + 1 == steps:
            save_state(checkpoint, vae, optimizer, step + 1)
    return vae.eval()


def loss_of(vae: AutoencoderKL, share: tuple[Tensor, Tensor, AutoencoderKL | None]) -> Tensor:
    """Of pixels (B, 3, H, W) through latents drawn with that noise, not far from a known autoencoder's."""
    pixels, noise, known = share
    with torch.autocast(pixels.device.type, torch.bfloat16):
        posterior = vae.encode(pixels).latent_dist
        mean, std = posterior.mean.float(), posterior.std.float()
        output = vae.decode(mean + std * noise).sample.float()
        loss = reconstruction_loss(output, pixels) + KL_WEIGHT * posterior.kl().float().mean()
        if known:
            with torch.no_grad():
                before = known.encode(pixels).latent_dist
            loss = loss + ANCHOR * (
                F.mse_loss(mean, before.mean.float()) + F.mse_loss(std, before.std.float())
            )
    return loss


@torch.no_grad()
def set_scaling(vae: AutoencoderKL, pixels: Tensor) -> None:
    """Makes scaled latents of unit variance, as Stable Diffusion's are (Rombach et al. 2022, appendix G)."""
    latents = vae.encode(pixels).latent_dist.mean
    vae.register_to_config(scaling_factor=round(1.0 / latents.std().item(), 5))


@torch.no_grad()
def psnr(vae: AutoencoderKL, pixels: Tensor) -> Tensor:
    """Peak signal to noise of each reconstruction in dB, (B,); pixels (B, 3, H, W) in -1 to 1."""
    output = vae.decode(vae.encode(pixels).latent_dist.mode()).sample.clamp(-1, 1)
    return -10 * torch.log10((output - pixels).square().mean(dim=(1, 2, 3)) / 4)
