"""The encoder that tells one thing from others of its kind: in DINO's place, where the CLIP stands in CLIP's.

A CLIP is taught that all red bears in the snow are one thing; whether it is *that* bear, its last layers forget. This
one is taught without captions (instance discrimination, Wu et al. 2018, by SimCLR's loss, Chen et al. 2020): the same
thing in another cut, light and place is the same, anything else of the batch is not, and half of the batch is the other
half in another colour. Colours are never changed between the two views, for they are the subject's own.
"""

import copy
import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from checkpoint import load_state, save_state, set_learning_rate
from clip import augment
from muon import Muon
from pictures import Render, to_tensor
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import CLIPModel, CLIPVisionModel
from vocabulary import draw_paint

LAYERS = 4  # of the CLIP's six, as a start: what follows sees less of the single thing
TEMPERATURE = 0.1
AWAY = 0.5  # of the second views stand in another place


def begin(judge: CLIPModel) -> CLIPVisionModel:
    """The CLIP's first layers; the class token that leaves them is what is compared."""
    config = copy.deepcopy(judge.config.vision_config)
    config.num_hidden_layers = LAYERS
    encoder = CLIPVisionModel(config)
    encoder.load_state_dict(judge.vision_model.state_dict(), strict=False)
    return encoder


def views(renders: Sequence[Render], count: int, rng: random.Random) -> tuple[Tensor, Tensor]:
    """Two views (2 * count, 3, 128, 128) each of `count` things in two paints."""
    some, elsewhere = rng.sample(list(renders), count), rng.sample(list(renders), count)
    first, second = [], []
    for render, other in zip(some, elsewhere, strict=True):
        one, another = draw_paint(render.scene, rng), draw_paint(render.scene, rng)
        while another.colour == one.colour:
            another = draw_paint(render.scene, rng)
        behind = other.painted(draw_paint(other.scene, rng), rng)
        for paint in (one, another):
            shown = render.painted(replace(paint, look=render.scene.look), rng)
            first.append(shown)
            second.append(moved(shown, render.tint, behind) if rng.random() < AWAY else shown)
    generator = torch.Generator().manual_seed(rng.randrange(2**32))
    return tuple(disturbed(augment(to_tensor(each), generator), generator) for each in (first, second))  # type: ignore[return-value]


def moved(shown: np.ndarray, tint: np.ndarray, behind: np.ndarray) -> np.ndarray:
    """A thing before another picture. The mask is of its tinted parts alone: holes and buttons are filled in."""
    mask = torch.from_numpy(tint)[None, None].float() / 255
    wide = F.max_pool2d(mask, 13, 1, 6)
    closed = -F.max_pool2d(-wide, 9, 1, 4)
    soft = F.avg_pool2d(closed, 3, 1, 1, count_include_pad=False)[0, 0, :, :, None].numpy()
    return (soft * shown + (1 - soft) * behind).astype(np.uint8)


def disturbed(pixels: Tensor, generator: torch.Generator) -> Tensor:
    """A little lighter or darker, of more or less contrast, some blurred, as samples of a small model are."""
    shape = len(pixels), 1, 1, 1
    light = 0.2 * (torch.rand(shape, generator=generator) - 0.5)
    contrast = 0.8 + 0.4 * torch.rand(shape, generator=generator)
    blurred = F.interpolate(F.avg_pool2d(pixels, 4), scale_factor=4.0, mode="bilinear", align_corners=False)
    share = torch.rand(shape, generator=generator) * (torch.rand(shape, generator=generator) < 0.5)
    pixels = (contrast * pixels + light).lerp(blurred, share)
    return (pixels + 0.03 * torch.randn(pixels.shape, generator=generator)).clamp(-1, 1)


@torch.no_grad()
def found_again(embed: Callable[[Tensor], Tensor], pairs: tuple[Tensor, Tensor]) -> float:
    """How often the nearest of all second views is the one of the same thing; `embed` gives (B, D)."""
    one, other = (F.normalize(embed(each), dim=-1) for each in pairs)
    return float(((one @ other.T).argmax(1) == torch.arange(len(one))).float().mean())


def contrast(one: Tensor, other: Tensor) -> Tensor:
    """SimCLR's loss of two views (B, D) each; the i-th of both are the same thing."""
    seen = F.normalize(torch.cat([one, other]), dim=-1)
    logits = (seen @ seen.T / TEMPERATURE).fill_diagonal_(-torch.inf)
    partner = torch.arange(len(seen)).roll(len(one)).to(seen.device)
    return F.cross_entropy(logits, partner)


def train(
    judge: CLIPModel,
    renders: Sequence[Render],
    checkpoint: Path,
    *,
    steps: int,
    count: int = 24,
    learning_rate: float = 5e-4,
    seed: int = 0,
    device: str = "cpu",
) -> CLIPVisionModel:
    """The encoder after `steps` of `count` things; goes on from `checkpoint` if there is one."""
    torch.manual_seed(seed)
    encoder = begin(judge).train().to(device)
    head = nn.Sequential(nn.Linear(192, 192), nn.GELU(), nn.Linear(192, 128)).to(
        device
    )  # thrown away, as in SimCLR
    both = nn.ModuleDict({"encoder": encoder, "head": head})
    trained = [p for name, p in both.named_parameters() if "post_layernorm" not in name]
    ends = [*encoder.embeddings.parameters(), *head.parameters()]
    optimizer = Muon(trained, learning_rate, plain=ends, weight_decay=0.05)
    for step in range(load_state(checkpoint, both, optimizer), steps):
        pairs = views(renders, count, random.Random(seed * 1_000_003 + step))
        seen = encoder(torch.cat(pairs).to(device)).last_hidden_state[:, 0]
        loss = contrast(*head(seen).chunk(2))
        set_learning_rate(optimizer, learning_rate, step, steps, warmup=50)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        if (step + 1) % 50 == 0 or step + 1 == steps:
            print(f"likeness {step + 1}/{steps}  {loss.item():.2f}", flush=True)
            save_state(checkpoint, both, optimizer, step + 1)
    return encoder.eval()
