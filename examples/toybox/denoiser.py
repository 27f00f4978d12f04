"""The UNet: denoises the autoencoder's latents under the text tower's states, as Stable Diffusion's does."""

import copy
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import unet_start
from binding import astray, watch, words_of
from checkpoint import load_state, save_state, set_learning_rate
from diffusers import AutoencoderKL, DDIMScheduler, DPMSolverMultistepScheduler, UNet2DConditionModel
from muon import Muon
from pictures import Render, crop, exchanged, to_tensor
from replicas import Replicas, workers
from torch import Tensor
from torch.nn import functional as F
from transformers import CLIPTextModel, CLIPTokenizer
from vocabulary import Caption, Paint, Scene, caption

SIZE = 128
UNCONDITIONAL = 0.1  # captions dropped, for classifier-free guidance (Ho and Salimans 2022)
SNR_GAMMA = 5.0
EMA = 0.998
# drawn so much oftener than others: fur is learnt slowest, and bears are what people come with
FURRY = {"teddy bear": 4, "stuffed animal": 2, "cat": 2, "dog": 2}
THING = 3.0  # how much more an error in the thing counts than one in its place, which is most of the picture
BINDING = 0.03  # what a thing's words looked at elsewhere, or not where it is, cost beside a denoising loss of about 0.1


def build(latent_channels: int, sample_size: int, text_width: int) -> UNet2DConditionModel:
    """Thin where it is large, wide where it is small: most parameters see 8 x 8 and 4 x 4 features.

    The prompt comes in twice: by cross-attention, and pooled with the timestep into every block (as in DeepFloyd's IF),
    without which 20,000 pictures were not enough for it to be heard at all."""
    unet = UNet2DConditionModel(
        sample_size=sample_size,
        in_channels=latent_channels,
        out_channels=latent_channels,
        block_out_channels=(32, 96, 160, 224),
        layers_per_block=1,
        norm_num_groups=16,
        down_block_types=("DownBlock2D", "DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D", "UpBlock2D"),
        cross_attention_dim=text_width,
        attention_head_dim=8,
        time_embedding_dim=256,
        addition_embed_type="text",
        addition_embed_type_num_heads=8,
    )
    unet_start.start(unet)
    return unet


def build_scheduler() -> DPMSolverMultistepScheduler:
    """Stable Diffusion's betas; trailing steps, so that sampling starts where the noise is strongest; stochastic, because
    fresh noise at each step wipes out the speckle and the doubled outlines that the solver of the ODE carries to the end."""
    scheduler = DPMSolverMultistepScheduler(
        num_train_timesteps=1000,
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        prediction_type="epsilon",
        timestep_spacing="trailing",
        steps_offset=1,
        algorithm_type="sde-dpmsolver++",
        solver_order=2,
    )
    # for whoever takes DDIM or PNDM instead: their own defaults are meant for pixels
    scheduler.register_to_config(clip_sample=False, set_alpha_to_one=False, skip_prk_steps=True)
    return scheduler


@dataclass(frozen=True)
class Encoded:
    """A picture as the UNet sees it: posterior mean and standard deviation (C, h, w), and how much of each place is the
    thing and how much the second one (2, h, w), half precision."""

    mean: Tensor
    std: Tensor
    things: Tensor
    scene: Scene
    paint: Paint


@torch.no_grad()
def encode(
    vae: AutoencoderKL, renders: Sequence[Render], *, variants: int, seed: int, device: str = "cpu"
) -> list[Encoded]:
    """Each render in `variants` paints, crops and mirrorings, encoded once; of two things side by side the first is on the left,
    whichever of them is called the first."""
    encoded = []
    for variant in range(variants):
        for start in range(0, len(renders), 32):
            rng = random.Random(f"{seed} {variant} {start}")
            some = [exchanged(r) if rng.random() < 0.5 else r for r in renders[start : start + 32]]
            paints = [r.draw_paint(rng) for r in some]
            both = [
                np.dstack([r.painted(p, rng), r.tint, r.second]) for r, p in zip(some, paints, strict=True)
            ]
            both = to_tensor(
                [
                    crop(picture, SIZE, rng, mirror=r.scene.relation != "beside")
                    for picture, r in zip(both, some, strict=True)
                ]
            )
            posterior = vae.encode(both[:, :3].to(device)).latent_dist
            mean, std = posterior.mean.half().cpu(), posterior.std.half().cpu()
            things = F.adaptive_max_pool2d((both[:, 3:] + 1) / 2, mean.shape[-1]).half()
            encoded += [
                Encoded(mean[i].clone(), std[i].clone(), things[i].clone(), r.scene, p)
                for i, (r, p) in enumerate(zip(some, paints, strict=True))
            ]
    return encoded


def draw(
    encoded: Sequence[Encoded],
    count: int,
    scaling_factor: float,
    rng: random.Random,
    generator: torch.Generator,
) -> tuple[Tensor, Tensor, list[Caption]]:
    """Scaled latents (count, C, h, w), drawn from their posteriors, where both things are, and captions, some dropped."""
    some = [encoded[rng.randrange(len(encoded))] for _ in range(count)]
    mean, std = torch.stack([e.mean for e in some]).float(), torch.stack([e.std for e in some]).float()
    latents = (mean + std * torch.randn(mean.shape, generator=generator)) * scaling_factor
    captions = [
        Caption("", {}) if rng.random() < UNCONDITIONAL else caption(e.scene, e.paint, rng) for e in some
    ]
    return latents, torch.stack([e.things for e in some]).float(), captions


@torch.no_grad()
def embed(tokenizer: CLIPTokenizer, text_encoder: CLIPTextModel, texts: Sequence[str]) -> Tensor:
    """encoder_hidden_states (B, tokens, width), as the pipeline makes them."""
    tokens = tokenizer(list(texts), padding="max_length", truncation=True, return_tensors="pt")
    return text_encoder(tokens.input_ids.to(text_encoder.device))[0]


def train(
    encoded: Sequence[Encoded],
    vae: AutoencoderKL,
    tokenizer: CLIPTokenizer,
    text_encoder: CLIPTextModel,
    checkpoint: Path,
    *,
    steps: int,
    count: int = 64,
    learning_rate: float = 1.5e-3,
    start: UNet2DConditionModel | None = None,
    seed: int = 0,
    device: str = "cpu",
) -> UNet2DConditionModel:
    """Trains to `steps` from random weights or from those of `start`, going on from `checkpoint` if there is one.

    Returns the moving average of the weights. Timesteps with little noise are drawn as rarely as they weigh in min-SNR
    (Hang et al. 2023). Those with much are weighed up, in the middle between the losses of epsilon and of v: what is where
    and in which colour is decided there, and hardly shows in epsilon's loss."""
    torch.manual_seed(seed)
    encoded = [each for each in encoded for _ in range(FURRY.get(each.scene.kind, 1))]
    unet = start or build(
        vae.config.latent_channels,
        SIZE // 2 ** (len(vae.config.block_out_channels) - 1),
        text_encoder.config.hidden_size,
    )
    unet = copy.deepcopy(unet).to(device).train().requires_grad_(True)
    ema = copy.deepcopy(unet).eval().requires_grad_(False)
    ends = [*unet.conv_in.parameters(), *unet.conv_out.parameters()]
    optimizer = Muon(unet.parameters(), learning_rate, plain=ends)
    noiser = DDIMScheduler.from_config(build_scheduler().config)
    alphas = noiser.alphas_cumprod
    snr = alphas / (1 - alphas)
    often = snr.clamp(max=SNR_GAMMA) / snr
    weights = (1 + 1 / snr).sqrt()
    replicas = Replicas(unet, workers(count, device))
    parts = len(replicas.models)
    attentions = {id(model): watch(model) for model in replicas.models}

    def loss(
        model: UNet2DConditionModel, share: tuple[Tensor, Tensor, Tensor, Tensor, list[Caption]]
    ) -> Tensor:
        noisy, timesteps, noise, things, captions = share
        with torch.autocast(device, torch.bfloat16):  # a quarter less time, on CPUs that have it too
            states = embed(tokenizer, text_encoder, [c.text for c in captions])
            predicted = model(noisy, timesteps, states).sample.float()
        thing = things.amax(1, keepdim=True)
        losses = ((predicted - noise).square() * (THING * thing + 1 - thing)).mean(dim=(1, 2, 3))
        words = words_of(tokenizer, captions).to(device)
        return (losses * weights.to(device)[timesteps]).mean() + BINDING * astray(
            attentions[id(model)], words, things
        )

    total = 0.0
    for step in range(load_state(checkpoint, unet, optimizer, ema), steps):
        generator = torch.Generator().manual_seed(seed * 1_000_003 + step)
        latents, things, captions = draw(
            encoded, count, vae.config.scaling_factor, random.Random(step), generator
        )
        noise = torch.randn(latents.shape, generator=generator)
        timesteps = torch.multinomial(often, count, replacement=True, generator=generator)
        noisy = noiser.add_noise(latents, noise, timesteps)
        batch = [t.to(device).chunk(parts) for t in (noisy, timesteps, noise, things)]
        texts = [captions[i * count // parts : (i + 1) * count // parts] for i in range(parts)]
        set_learning_rate(optimizer, learning_rate, step, steps, warmup=100, floor=0.02)
        total += replicas.backward(loss, list(zip(*batch, texts, strict=True)))
        torch.nn.utils.clip_grad_norm_(unet.parameters(), 1.0)
        optimizer.step()
        with torch.no_grad():  # a short memory at first: the average must not hold the beginning
            decay = min(EMA, (step + 1) / (step + 10))
            torch._foreach_lerp_(list(ema.parameters()), list(unet.parameters()), 1 - decay)
        if (step + 1) % 100 == 0:
            print(f"unet {step + 1}/{steps}  loss {total / 100:.4f}", flush=True)
            total = 0.0
        if (step + 1) % 200 == 0 or step + 1 == steps:
            save_state(checkpoint, unet, optimizer, step + 1, ema)
    ema.set_default_attn_processor()
    return ema
