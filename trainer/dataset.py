"""Photos and prompts become what the UNet learns from: scaled, cut and encoded once."""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from transformers import CLIPTokenizer

from trainer import crops, models
from trainer.crops import CACHED_CROPS, Crop
from trainer.errors import PhotoError
from trainer.pixels import open_photo


@dataclass(frozen=True)
class Example:
    """A photo scaled to the training size: `pixels` is uint8 (3, H, W), its short side the resolution."""

    path: Path
    prompt: str
    pixels: Tensor


def read_examples(
    paths: Iterable[Path],
    prompt: str,
    resolution: int,
    *,
    captions: bool = False,
    caption_required: bool = True,
) -> list[Example]:
    """Decode and scale photos. With `captions` each one's prompt is in the text file beside it.

    Raises PhotoError for a photo that cannot be read, or has no caption where one is required.
    """
    found = []
    for path in paths:
        text = caption(path) if captions else None
        if captions and caption_required and not text:
            raise PhotoError(
                f"{path.name}: no caption; write {path.stem}.txt beside it, or drop read_prompts_from_txts"
            )
        found.append(Example(path, text or prompt, scaled(open_photo(path), resolution)))
    return found


def caption(path: Path) -> str | None:
    """The text beside a photo, in `photo.png.txt` (the fork's way) or `photo.txt`; None where there is none."""
    for file in (path.with_name(path.name + ".txt"), path.with_suffix(".txt")):
        if file.is_file():
            return file.read_text(encoding="utf-8").strip() or None
    return None


def scaled(image: Image.Image, resolution: int) -> Tensor:
    """RGB image -> uint8 (3, H, W) with the short side `resolution`."""
    pixels = np.array(crops.scaled(image, resolution), dtype=np.uint8)
    return torch.from_numpy(pixels).permute(2, 0, 1).contiguous()


def cut(pixels: Tensor, crop: Crop, resolution: int) -> Tensor:
    """uint8 (3, H, W) -> float32 (3, resolution, resolution) in -1..1."""
    square = pixels[:, crop.top : crop.top + resolution, crop.left : crop.left + resolution]
    assert square.shape == (3, resolution, resolution)
    square = square.float() / 255 * 2 - 1
    return square.flip(2) if crop.flip else square


@torch.no_grad()
def encode(vae: nn.Module, pixels: Tensor) -> tuple[Tensor, Tensor]:
    """Pixels (B, 3, H, W) in -1..1 -> the posterior's mean and standard deviation, (B, C, h, w) each.

    Both in the UNet's units: shifted and scaled as the VAE's config says.
    """
    config: Any = vae.config
    parameter = next(vae.parameters())
    posterior = vae.encode(pixels.to(parameter.device, parameter.dtype)).latent_dist  # type: ignore[operator]
    shift = getattr(config, "shift_factor", None) or 0.0
    return (
        posterior.mean.float() - shift
    ) * config.scaling_factor, posterior.std.float() * config.scaling_factor


class Posteriors(Protocol):
    """Where latents come from: `counts[i]` crops of example i, of which `take` gives mean and std."""

    counts: list[int]

    def take(self, picks: Sequence[tuple[int, int]]) -> tuple[Tensor, Tensor]:
        """(example, crop) pairs -> mean and std, (B, C, h, w) each."""


class CachedPosteriors:
    """Every crop of every example encoded once, and kept on the training device; the VAE is not needed any more."""

    def __init__(
        self, vae: nn.Module, examples: Sequence[Example], cropping: Sequence[Sequence[Crop]], resolution: int
    ) -> None:
        self.counts = [len(own) for own in cropping]
        self.starts = [sum(self.counts[:index]) for index in range(len(self.counts))]
        pairs = [
            encode(vae, cut(example.pixels, crop, resolution)[None])
            for example, own in zip(examples, cropping, strict=True)
            for crop in own
        ]
        self.means = torch.cat([mean for mean, _ in pairs])
        self.stds = torch.cat([std for _, std in pairs])

    def take(self, picks: Sequence[tuple[int, int]]) -> tuple[Tensor, Tensor]:
        """(example, crop) pairs -> mean and std, (B, C, h, w) each."""
        rows = torch.tensor(
            [self.starts[example] + crop for example, crop in picks], device=self.means.device
        )
        return self.means[rows], self.stds[rows]


class LivePosteriors:
    """Encodes crops as they are asked for: any place along the long side, at the price of the VAE in every step."""

    def __init__(
        self, vae: nn.Module, examples: Sequence[Example], cropping: Sequence[Sequence[Crop]], resolution: int
    ) -> None:
        self.counts = [len(own) for own in cropping]
        self.vae, self.examples, self.cropping, self.resolution = vae, examples, cropping, resolution

    def take(self, picks: Sequence[tuple[int, int]]) -> tuple[Tensor, Tensor]:
        """(example, crop) pairs -> mean and std, (B, C, h, w) each."""
        squares = [cut(self.examples[i].pixels, self.cropping[i][crop], self.resolution) for i, crop in picks]
        return encode(self.vae, torch.stack(squares))


def posteriors(
    vae: nn.Module,
    examples: Sequence[Example],
    resolution: int,
    *,
    center_crop: bool,
    hflip: bool,
    cache_latents: bool,
) -> Posteriors:
    """Cached where asked for: then a photo cut at random has CACHED_CROPS places, not all of them."""
    most = CACHED_CROPS if cache_latents else None
    cropping = [
        crops.crops(
            example.pixels.shape[1],
            example.pixels.shape[2],
            resolution,
            center_crop=center_crop,
            hflip=hflip,
            most=most,
        )
        for example in examples
    ]
    kind = CachedPosteriors if cache_latents else LivePosteriors
    return kind(vae, examples, cropping, resolution)


class Prompts:
    """The different prompts of a run, tokenised once, and encoded once where the text encoder is frozen."""

    def __init__(self, prompts: Iterable[str], tokenizer: CLIPTokenizer, *, pad_tokens: bool) -> None:
        self.texts = sorted(set(prompts))
        self.input_ids = models.tokenize(tokenizer, self.texts, pad_tokens=pad_tokens)
        self.cached: Tensor | None = None

    @torch.no_grad()
    def cache(self, text_encoder: nn.Module) -> None:
        """Encode every prompt; the text encoder is not needed any more."""
        device = next(text_encoder.parameters()).device
        self.cached = models.encode_prompts(text_encoder, self.input_ids.to(device))

    def embeddings(self, rows: Sequence[int], text_encoder: nn.Module | None, device: torch.device) -> Tensor:
        """The embeddings of `texts[row]`, (B, L, D): from the cache, or through `text_encoder`, each text once."""
        if self.cached is not None:
            return self.cached[torch.tensor(rows, device=device)]
        assert text_encoder is not None
        used = sorted(set(rows))
        encoded = models.encode_prompts(text_encoder, self.input_ids[used].to(device))
        return encoded[torch.tensor([used.index(row) for row in rows], device=device)]


def fingerprints(examples: Iterable[Example], relative_to: str) -> dict[str, str]:
    """What each example shows and says, as a hash by `relative_to/name`: photos that were exchanged are noticed."""
    return {
        f"{relative_to}/{example.path.name}": hashlib.sha256(
            example.pixels.numpy().tobytes() + repr((tuple(example.pixels.shape), example.prompt)).encode()
        ).hexdigest()
        for example in examples
    }
