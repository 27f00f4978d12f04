"""The small CLIP: its text tower conditions the UNet, the whole of it is the judge.

Contrastive as in Radford et al. 2021, with one difference: our captions are exact, so it is known which captions of a
batch are true of which pictures, and every true pair counts as a match.
"""

import json
import random
from collections.abc import Sequence
from pathlib import Path

import torch
from checkpoint import load_state, save_state, set_learning_rate
from pictures import Render, crop, to_tensor
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from torch import Tensor
from torch.nn import functional as F
from transformers import CLIPConfig, CLIPImageProcessor, CLIPModel, CLIPProcessor, CLIPTokenizer
from vocabulary import COLOURS, KINDS, PLACES, Caption, Scene, caption, with_article

SIZE = 128
TOKENS = 48
MEAN, STD = [0.5, 0.5, 0.5], [0.5, 0.5, 0.5]


def build_tokenizer(directory: Path, vocab_size: int = 1400) -> CLIPTokenizer:
    """Byte-pair encoding learnt on captions without nonsense, so that an unknown word falls into single letters."""
    rng = random.Random(0)
    texts = [
        caption(Scene(kind, place, light), rng.choice(list(COLOURS)), rng).text
        for kind in KINDS
        for place in PLACES
        for light in ("day", "night", "sunset", "overcast")
    ]
    bpe = Tokenizer(models.BPE(end_of_word_suffix="</w>"))
    bpe.normalizer = normalizers.Lowercase()
    bpe.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    bpe.decoder = decoders.ByteLevel()
    # words seen less than 30 times are nonsense or as good as that
    bpe.train_from_iterator(
        texts,
        trainers.BpeTrainer(
            vocab_size=vocab_size,
            min_frequency=30,
            show_progress=False,
            end_of_word_suffix="</w>",
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        ),
    )
    merges = [
        " ".join(m) if not isinstance(m, str) else m for m in json.loads(bpe.to_str())["model"]["merges"]
    ]
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    words = letters + [f"{c}</w>" for c in letters] + ["".join(m.split(" ")) for m in merges]
    words = [*list(dict.fromkeys(words)), "<|startoftext|>", "<|endoftext|>"]
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "vocab.json").write_text(json.dumps({w: i for i, w in enumerate(words)}))
    (directory / "merges.txt").write_text("#version: 0.2\n" + "\n".join(merges) + "\n")
    return CLIPTokenizer(
        str(directory / "vocab.json"),
        str(directory / "merges.txt"),
        model_max_length=TOKENS,
        pad_token="<|endoftext|>",
    )


def build(tokenizer: CLIPTokenizer) -> CLIPModel:
    """Four text layers and six vision layers of width 192."""
    text = {
        "vocab_size": len(tokenizer),
        "hidden_size": 192,
        "intermediate_size": 768,
        "num_hidden_layers": 4,
        "num_attention_heads": 4,
        "max_position_embeddings": TOKENS,
        "projection_dim": 128,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
    vision = {
        "hidden_size": 192,
        "intermediate_size": 768,
        "num_hidden_layers": 6,
        "num_attention_heads": 4,
        "image_size": SIZE,
        "patch_size": 16,
        "projection_dim": 128,
    }
    return CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=128))


def build_processor(tokenizer: CLIPTokenizer) -> CLIPProcessor:
    """128 px, centred crop, -1 to 1."""
    images = CLIPImageProcessor(
        size={"shortest_edge": SIZE},
        crop_size={"height": SIZE, "width": SIZE},
        image_mean=MEAN,
        image_std=STD,
    )
    return CLIPProcessor(images, tokenizer)


def truth(captions: Sequence[Caption], seen: Sequence[dict[str, str]]) -> Tensor:
    """(pictures, captions) bool: which caption is true of which picture."""
    return torch.tensor(
        [[all(values[k] == v for k, v in c.says.items()) for c in captions] for values in seen]
    )


def contrastive_loss(logits: Tensor, true: Tensor) -> Tensor:
    """Symmetric cross-entropy, a row's mass spread evenly over its true pairs; logits (pictures, captions)."""
    by_picture = true / true.sum(1, keepdim=True)
    by_caption = true / true.sum(0, keepdim=True)
    return -0.5 * (
        (by_picture * F.log_softmax(logits, 1)).sum(1).mean()
        + (by_caption * F.log_softmax(logits, 0)).sum(0).mean()
    )


def batch(renders: Sequence[Render], count: int, rng: random.Random) -> tuple[Tensor, list[Caption], Tensor]:
    """Pictures (count, 3, 128, 128), a caption for each, and which is true of which."""
    pictures, captions, seen = [], [], []
    for render in rng.sample(list(renders), count):
        colour = rng.choice(list(COLOURS))
        pictures.append(crop(render.painted(colour, rng), SIZE, rng))
        seen.append(
            {
                "kind": render.scene.kind,
                "colour": colour,
                "place": render.scene.place,
                "light": render.scene.light,
                "finish": render.scene.finish,
                "second": render.scene.second,
            }
        )
        # half of them name the kind and little else, so that each word is learnt on its own
        said = {} if rng.random() < 0.5 else {"say_colour": 0.3, "say_place": 0.4}
        captions.append(caption(render.scene, colour, rng, **said))
    return to_tensor(pictures), captions, truth(captions, seen)


def logits_of(model: CLIPModel, tokenizer: CLIPTokenizer, pixels: Tensor, texts: Sequence[str]) -> Tensor:
    """(pictures, texts), scaled cosines."""
    tokens = tokenizer(list(texts), padding=True, truncation=True, return_tensors="pt").to(pixels.device)
    return model(
        input_ids=tokens.input_ids, attention_mask=tokens.attention_mask, pixel_values=pixels
    ).logits_per_image


def train(
    renders: Sequence[Render],
    tokenizer: CLIPTokenizer,
    checkpoint: Path,
    *,
    steps: int,
    count: int = 48,
    learning_rate: float = 1e-3,
    seed: int = 0,
    device: str = "cpu",
) -> CLIPModel:
    """Trains to `steps` on a cosine schedule, going on from `checkpoint` if there is one."""
    torch.manual_seed(seed)
    model = build(tokenizer).to(device)
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=learning_rate, betas=(0.9, 0.98), weight_decay=0.05, fused=True
    )
    for step in range(load_state(checkpoint, model, optimizer), steps):
        pixels, captions, true = batch(renders, count, random.Random(seed * 1_000_003 + step))
        set_learning_rate(optimizer, learning_rate, step, steps, warmup=150)
        logits = logits_of(model, tokenizer, pixels.to(device), [c.text for c in captions])
        loss = contrastive_loss(logits, true.to(device))
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        with torch.no_grad():
            model.logit_scale.clamp_(max=4.6)  # a hundred, as in CLIP
        if (step + 1) % 50 == 0 or step + 1 == steps:
            print(f"clip {step + 1}/{steps}  loss {loss.item():.3f}", flush=True)
        if (step + 1) % 100 == 0 or step + 1 == steps:
            save_state(checkpoint, model, optimizer, step + 1)
    return model.eval()


@torch.no_grad()
def read(
    model: CLIPModel, tokenizer: CLIPTokenizer, pixels: Tensor, kinds: Sequence[str]
) -> dict[str, list[str]]:
    """Zero-shot: the kind among all; the colour and the place among all of them, said of the kind that was asked for.

    pixels (B, 3, 128, 128) in -1 to 1; `kinds` the B kinds asked for."""

    def best(questions: Sequence[str]) -> Tensor:
        return logits_of(model, tokenizer, pixels, questions)

    found: dict[str, list[str]] = {"kind": [], "colour": [], "place": []}
    names = list(KINDS)
    by_kind = best([f"a photo of {with_article(k, k)}" for k in names])
    found["kind"] = [names[i] for i in by_kind.argmax(1).tolist()]
    for index, kind in enumerate(kinds):
        one = pixels[index : index + 1]
        coloured = [f"a photo of {with_article(f'{c} {kind}', kind)}" for c in COLOURS]
        placed = [f"a photo of {with_article(kind, kind)} {said[0]}" for said in PLACES.values()]
        logits = logits_of(model, tokenizer, one, coloured + placed)[0]
        found["colour"].append(list(COLOURS)[int(logits[: len(coloured)].argmax())])
        found["place"].append(list(PLACES)[int(logits[len(coloured) :].argmax())])
    return found
