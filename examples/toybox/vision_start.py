"""A start for the CLIP's vision tower: as a small convolutional network would see.

From random weights a vision transformer needs millions of pictures before it finds that neighbouring patches belong
together. Here it is told: the patch embedding starts as the whitening of the patches' pixels (Jordan 2024, 94 % on
CIFAR-10 in 3.29 seconds), and heads of the first layers each look at one neighbour (Zheng et al. 2024, Structured
initialization for attention in vision transformers). Everything is trained on from there.
"""

import itertools
import math

import torch
from torch import Tensor
from transformers import CLIPModel

FREQUENCIES = 4  # cosine and sine of each, along each axis: sixteen numbers, one head's width
LOUD = 3.0  # amplitude of positions among contents of unit variance
NEIGHBOURS = list(itertools.product((-1, 0, 1), repeat=2))
STRIDES = (1, 1, 2, 2)  # how far the neighbours are, by layer


def angles(side: int) -> Tensor:
    """Radians a patch, by frequency: half a turn over the grid is the slowest."""
    return 2 * math.pi * torch.arange(1, FREQUENCIES + 1) / (2 * side)


def code(side: int) -> Tensor:
    """(side * side, 16): every patch's position, row by row."""
    turned = torch.arange(side)[:, None] * angles(side)
    axis = torch.stack([turned.cos(), turned.sin()], 2).flatten(1)
    return torch.cat([axis.repeat_interleave(side, 0), axis.repeat(side, 1)], 1)


def shift(side: int, down: int, right: int) -> Tensor:
    """(16, 16): takes a position's code to that of the patch so many rows below and columns to the right."""
    blocks = []
    for distance in (down, right):
        for angle in (distance * angles(side)).tolist():
            blocks.append(
                torch.tensor([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
            )
    return torch.block_diag(*blocks)


def whitening(pixels: Tensor, patch: int, count: int) -> Tensor:
    """(count, 3, patch, patch): filters whose answers on the pictures' patches are uncorrelated, of about unit variance."""
    patches = torch.nn.functional.unfold(pixels, patch, stride=patch).transpose(1, 2).flatten(0, 1)
    values, vectors = torch.linalg.eigh(torch.cov(patches.T))
    values, vectors = values.flip(0)[:count], vectors.flip(1)[:, :count]
    return (vectors / (values + values[count // 2]).sqrt()).T.reshape(count, 3, patch, patch)


@torch.no_grad()
def start(model: CLIPModel, pixels: Tensor) -> None:
    """Sets the vision tower's first weights from some pictures (B, 3, H, W) as it will see them."""
    vision = model.vision_model
    config = vision.config
    side, width = config.image_size // config.patch_size, 4 * FREQUENCIES
    assert config.hidden_size // config.num_attention_heads == width
    embeddings = vision.embeddings
    embeddings.patch_embedding.weight[width:] = whitening(
        pixels, config.patch_size, config.hidden_size - width
    )
    embeddings.patch_embedding.weight[:width] = 0
    embeddings.position_embedding.weight[1:, :width] = LOUD * code(side)
    for layer, stride in zip(vision.encoder.layers, STRIDES, strict=False):
        attention = layer.self_attn
        for head, (down, right) in enumerate(NEIGHBOURS):
            rows = slice(head * width, (head + 1) * width)
            attention.q_proj.weight[rows, :width] = shift(side, stride * down, stride * right)
            attention.k_proj.weight[rows, :width] = torch.eye(width)
