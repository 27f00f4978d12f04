"""How well a concept knows its subject and still follows prompts, as the DreamBooth paper measures it (section 4.1).

The encoder is a CLIP, named or a folder: the embedded base's own judge (examples/toybox/clip), or OpenAI's.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F
from transformers import CLIPModel, CLIPProcessor

from trainer.errors import ModelError


@dataclass(frozen=True)
class Judge:
    """A CLIP that compares images with images and with texts; all embeddings are of unit length."""

    model: CLIPModel
    processor: CLIPProcessor

    @torch.no_grad()
    def embed_images(self, images: Sequence[Image.Image]) -> Tensor:
        """(N, projection_dim)."""
        pixels = self.processor.image_processor(list(images), return_tensors="pt").pixel_values
        pooled = self.model.vision_model(pixel_values=pixels).pooler_output
        return F.normalize(self.model.visual_projection(pooled), dim=-1)

    @torch.no_grad()
    def embed_texts(self, texts: Sequence[str]) -> Tensor:
        """(N, projection_dim)."""
        tokens = self.processor.tokenizer(list(texts), padding=True, truncation=True, return_tensors="pt")
        pooled = self.model.text_model(**tokens).pooler_output
        return F.normalize(self.model.text_projection(pooled), dim=-1)


def load_judge(name: str) -> Judge:
    """A CLIP folder or a name on the Hub, float32, from safetensors only. Raises ModelError where there is none."""
    try:
        model = CLIPModel.from_pretrained(name, use_safetensors=True, dtype=torch.float32)
        return Judge(model.eval(), CLIPProcessor.from_pretrained(name))
    except OSError as error:
        raise ModelError(
            f"{name}: no CLIP can be loaded from there; name a folder or a model on the Hub"
        ) from error


def subject_fidelity(samples: Tensor, photos: Tensor) -> float:
    """CLIP-I: mean cosine of every sample with every photo, both (N, D) of unit length."""
    return float((samples @ photos.T).mean())


def photo_to_photo(photos: Tensor) -> float:
    """What subject fidelity can at best be expected to be: mean cosine of different photos, (N, D), N at least 2."""
    count = len(photos)
    assert count >= 2
    between = photos @ photos.T
    return float((between.sum() - between.diagonal().sum()) / (count * (count - 1)))


def prompt_fidelity(samples: Tensor, prompts: Tensor) -> float:
    """CLIP-T: mean cosine of each sample with its own prompt, both (N, D) of unit length."""
    assert samples.shape == prompts.shape
    return float((samples * prompts).sum(-1).mean())


def language_drift(ours: Tensor, theirs: Tensor) -> float:
    """How far what a neighbouring prompt gives has moved: 1 - mean cosine of the concept's image with the base's of the
    same prompt and seed, both (N, D) of unit length."""
    assert ours.shape == theirs.shape
    return float(1 - (ours * theirs).sum(-1).mean())


def diversity(samples: Tensor) -> float:
    """1 - mean cosine of different samples, (N, D) of unit length, N at least 2; the paper's DIV has LPIPS in its place."""
    return 1 - photo_to_photo(samples)


def copied(samples: Tensor, photos: Tensor) -> list[int | None]:
    """For each sample the photo that it repeats, by number, or None: it is nearer to it than any two photos are.

    samples (N, D), photos (P, D), of unit length, P at least 2."""
    closest = (photos @ photos.T).fill_diagonal_(-1).max()
    likeness, nearest = (samples @ photos.T).max(dim=1)
    return [int(photo) if like > closest else None for photo, like in zip(nearest, likeness, strict=True)]
