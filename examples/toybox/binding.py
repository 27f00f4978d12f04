"""Each thing's words are looked at where that thing is: cross-attention taught with the masks that renders come with.

Of two things in a picture a small UNet learns two bodies and their colours, and makes the second of the first's kind: what is
said comes in pooled, for the whole picture, and which of the words are meant here is a faint part of the denoising loss. So it
is said outright: the share of a phrase's attention that falls outside its thing is a loss (Wang et al. 2024, TokenCompose,
equation 3), and so is the share of the attention in a thing's place that its phrase does not get. Without the latter more than
half of it goes to the end tokens that fill the text up, in which all that is said is mixed, and 4 to 11 % to the phrase. Only
training looks at it; the weights are a plain UNet2DConditionModel's.
"""

from collections.abc import Sequence
from typing import Any

import torch
from diffusers import UNet2DConditionModel
from diffusers.models.attention_processor import Attention
from torch import Tensor
from torch.nn import functional as F
from transformers import CLIPTokenizer
from vocabulary import Caption

SIDE = 8  # features a side at which attention is taught: at 4 x 4 two things share a place


class PlainAttention:
    """Attention by two matrix products, which on CPUs trains 1.4 times as fast as the fused kernel at these sizes. Keeps
    `shares`, (B, queries, tokens), of cross-attention, the mean of its heads."""

    shares: Tensor | None = None

    def __call__(
        self,
        attn: Attention,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        attention_mask: Tensor | None = None,
        **_: Any,
    ) -> Tensor:
        context = hidden_states if encoder_hidden_states is None else encoder_hidden_states
        query, key, value = (
            attn.head_to_batch_dim(states)
            for states in (attn.to_q(hidden_states), attn.to_k(context), attn.to_v(context))
        )
        shares = attn.get_attention_scores(query, key, attention_mask)
        if encoder_hidden_states is not None:
            self.shares = shares.unflatten(0, (-1, attn.heads)).mean(1)
        return attn.to_out[0](attn.batch_to_head_dim(shares @ value))


def watch(unet: UNet2DConditionModel) -> list[PlainAttention]:
    """Has the UNet attend plainly, and returns its cross-attentions."""
    processors = {name: PlainAttention() for name in unet.attn_processors}
    unet.set_attn_processor(dict(processors))
    return [processor for name, processor in processors.items() if "attn2" in name]


def words_of(tokenizer: CLIPTokenizer, captions: Sequence[Caption]) -> Tensor:
    """(B, 2, tokens): 1 at the tokens of the noun phrase of each caption's thing, and of its second one."""
    encoded = tokenizer(
        [c.text for c in captions], padding="max_length", truncation=True, return_offsets_mapping=True
    )
    words = torch.zeros(len(captions), 2, len(encoded["input_ids"][0]))
    for row, (caption, offsets) in enumerate(zip(captions, encoded["offset_mapping"], strict=True)):
        begin = 0
        for index, thing in enumerate(caption.things):
            begin = caption.text.index(thing, begin)
            end = begin + len(thing)
            for token, (first, last) in enumerate(offsets):
                words[row, index, token] = begin <= first < last <= end
            begin = end
    return words


def astray(attentions: Sequence[PlainAttention], words: Tensor, things: Tensor) -> Tensor:
    """How much of what looks at the things' words is where the things are not, and how much of what is looked at where one of
    them stands alone is not its words; each 0 to 1, mean square over layers and things, their sum.

    words (B, 2, tokens) as `words_of` gives them; things (B, 2, h, w) the shares of both things in the latents' places. Things
    that are not said, or not in sight, do not count."""
    where = F.adaptive_max_pool2d(things, SIDE).flatten(2)
    alone = where * (1 - where.flip(1))
    told = (words.sum(-1) > 0) & (where.sum(-1) > 0.5)
    losses = []
    for attention in attentions:
        shares = attention.shares
        assert shares is not None
        if shares.shape[1] != SIDE**2:
            continue
        looked = words @ shares.float().mT  # (B, 2, queries)
        inside = (looked * where).sum(-1) / looked.sum(-1).clamp(min=1e-6)
        read = (looked * alone).sum(-1) / alone.sum(-1).clamp(min=1e-6)
        both = (1 - inside).square() + (1 - read).square()
        losses.append(both[told].sum() / told.sum().clamp(min=1))
    return torch.stack(losses).mean()
