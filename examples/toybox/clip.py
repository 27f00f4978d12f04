"""The small CLIP: its text tower conditions the UNet, the whole of it is the judge.

Contrastive as in Radford et al. 2021, with one difference: our captions are exact, so it is known which captions of a
batch are true of which pictures, and every true pair counts as a match.
"""

import copy
import dataclasses
import json
import random
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import vision_start
from binding import words_of
from checkpoint import load_state, save_state, set_learning_rate
from muon import Muon
from pictures import Render, extent, to_tensor
from PIL import Image
from render import draw_scene
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import CLIPConfig, CLIPImageProcessor, CLIPModel, CLIPProcessor, CLIPTokenizer
from vocabulary import (
    COLOURS,
    KINDS,
    LOOKS,
    PATTERNS,
    PLACES,
    RELATIONS,
    Caption,
    Paint,
    Scene,
    caption,
    draw_paint,
    values_of,
    with_article,
)

SIZE, PATCH = 128, 16
CLOSER = 0.6  # of the pictures of two things show one of them alone
IN_SIGHT = 250  # pixels of a thing's tinted parts, of which it can be told
TOKENS = 48
MEAN, STD = [0.5, 0.5, 0.5], [0.5, 0.5, 0.5]
ASPECTS = {
    "kind": list(KINDS),
    "colour": list(COLOURS),
    "place": list(PLACES),
    "pattern": ["", *PATTERNS],
    "look": list(LOOKS),
}


def corpus(rng: random.Random) -> list[str]:
    """Captions without nonsense, of everything there is."""
    texts = []
    for number in range(12_000):
        scene = draw_scene(number)
        texts.append(caption(scene, draw_paint(scene, rng), rng, nonsense_share=0.0).text)
    return texts


def build_tokenizer(directory: Path, vocab_size: int = 1400) -> CLIPTokenizer:
    """Byte-pair encoding learnt on captions without nonsense, so that an unknown word falls into single letters."""
    bpe = Tokenizer(models.BPE(end_of_word_suffix="</w>"))
    bpe.normalizer = normalizers.Lowercase()
    bpe.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    bpe.decoder = decoders.ByteLevel()
    bpe.train_from_iterator(
        corpus(random.Random(0)),
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


def widen_tokenizer(known: CLIPTokenizer) -> CLIPTokenizer:
    """The same with a token for every word of the captions that fell into pieces: as a whole, for further merges would
    cut other words, identifiers among them, otherwise than before."""
    widened = copy.deepcopy(known)
    words = sorted(set(re.findall("[a-z]+", " ".join(corpus(random.Random(0))).lower())))
    fallen = [word for word in words if len(known.tokenize(word)) > 1]
    widened.add_tokens([AddedToken(word, single_word=True, normalized=True) for word in fallen])
    return widened


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
        "num_attention_heads": 12,
        "image_size": SIZE,
        "patch_size": PATCH,
        "projection_dim": 128,
    }
    return CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=128))


def build_processor(tokenizer: CLIPTokenizer) -> CLIPProcessor:
    """Of pictures and captions."""
    return CLIPProcessor(build_image_processor(), tokenizer)


def build_image_processor() -> CLIPImageProcessor:
    """128 px, centred crop, -1 to 1."""
    return CLIPImageProcessor(
        size={"shortest_edge": SIZE},
        crop_size={"height": SIZE, "width": SIZE},
        image_mean=MEAN,
        image_std=STD,
    )


def truth(captions: Sequence[Caption], seen: Sequence[dict[str, str]]) -> Tensor:
    """(pictures, captions) bool: which caption is true of which picture."""
    return torch.tensor(
        [[all(values[k] == v for k, v in c.says.items()) for c in captions] for values in seen]
    )


def contrastive_loss(logits: Tensor, true: Tensor) -> Tensor:
    """Symmetric cross-entropy, a row's mass spread evenly over its true pairs; logits (pictures, captions).

    Every picture has a true caption; a caption true of none stands among the wrong ones only."""
    by_picture = true / true.sum(1, keepdim=True)
    of_some = true.any(0)
    by_caption = true[:, of_some] / true[:, of_some].sum(0, keepdim=True)
    return -0.5 * (
        (by_picture * F.log_softmax(logits, 1)).sum(1).mean()
        + (by_caption * F.log_softmax(logits[:, of_some], 0)).sum(0).mean()
    )


@dataclass(frozen=True)
class Batch:
    """Pictures (B, 3, 128, 128), the share of each patch that shows the thing (B, 64), and what they show."""

    pixels: Tensor
    thing: Tensor
    scenes: list[Scene]
    paints: list[Paint]


def augment(pictures: Tensor, generator: torch.Generator, whole: Sequence[bool] | None = None) -> Tensor:
    """Cuts (B, C, 128, 128) out of larger pictures, each moved, scaled, turned, perhaps mirrored; those that are to be seen
    `whole` hardly, and never mirrored."""
    count = len(pictures)
    entire = torch.tensor(whole or [False] * count)

    def uniform(low: float, high: float) -> Tensor:
        return low + (high - low) * torch.rand(count, generator=generator)

    scale, angle = uniform(0.7, 1.0), uniform(-0.12, 0.12)
    scale = torch.where(entire, 0.7 + 0.3 * scale, scale)
    mirror = torch.where((uniform(0, 1) < 0.5) & ~entire, -1.0, 1.0)
    across, down = scale * angle.cos(), scale * angle.sin()
    rows = [
        torch.stack([mirror * across, -down, uniform(-1, 1) * (1 - scale)], 1),
        torch.stack([mirror * down, across, uniform(-1, 1) * (1 - scale)], 1),
    ]
    grid = F.affine_grid(torch.stack(rows, 1), [count, pictures.shape[1], SIZE, SIZE], align_corners=False)
    return F.grid_sample(pictures, grid, padding_mode="reflection", align_corners=False)


def resized(picture: np.ndarray, box: tuple[float, float, float, float]) -> np.ndarray:
    """What is in the box, as large as the picture, (H, W) or (H, W, 3) uint8."""
    size = picture.shape[1], picture.shape[0]
    return np.asarray(Image.fromarray(picture).resize(size, Image.Resampling.BILINEAR, box))


def closer(
    picture: np.ndarray, render: Render, paint: Paint, rng: random.Random
) -> tuple[np.ndarray, Scene, Paint]:
    """One of two things side by side, cut out of a picture (H, W, 4) to the same size, and what is to be seen of it there:
    so that each can be told by itself. The picture as it is where there is only one, where one stands before the other and
    would be seen with it, or hardly any is in sight."""
    first = rng.random() < 0.5
    tint = render.tint if first else render.second
    if render.scene.relation != "beside" or int((tint > 100).sum()) < IN_SIGHT:
        return picture, render.scene, paint
    height, width = tint.shape
    left, top, right, bottom = extent(tint)
    side = min(rng.uniform(1.05, 1.6) * max(right - left, bottom - top), height, width)
    aside, up = (rng.uniform(-0.12, 0.12) * side for _ in range(2))
    x = min(max((left + right - side) / 2 + aside, 0), width - side)
    y = min(max((top + bottom - side) / 2 + up, 0), height - side)
    cut = np.dstack([resized(each, (x, y, x + side, y + side)) for each in (picture[..., :3], tint)])
    scene = dataclasses.replace(render.scene, second="", relation="")
    alone = dataclasses.replace(paint, second_colour="")
    if not first:
        scene = dataclasses.replace(scene, kind=render.scene.second, finish="")
        alone = dataclasses.replace(alone, colour=paint.second_colour, pattern="", other="")
    return cut, scene, alone


def draw(renders: Sequence[Render], count: int, rng: random.Random) -> Batch:
    """`count` renders, painted and augmented; of two things often one alone; some a little blurred, as reconstructions and
    samples are."""
    pictures, scenes, paints = [], [], []
    for render in rng.sample(list(renders), count):
        paint = draw_paint(render.scene, rng)
        picture, scene = np.dstack([render.painted(paint, rng), render.tint]), render.scene
        if rng.random() < CLOSER:
            picture, scene, paint = closer(picture, render, paint, rng)
        pictures.append(picture)
        scenes.append(scene)
        paints.append(paint)
    generator = torch.Generator().manual_seed(rng.randrange(2**32))
    both = augment(to_tensor(pictures), generator, [bool(scene.second) for scene in scenes])
    pixels, mask = both[:, :3], (both[:, 3:] + 1) / 2
    blurred = F.interpolate(F.avg_pool2d(pixels, 2), scale_factor=2.0, mode="bilinear", align_corners=False)
    share = torch.rand(count, 1, 1, 1, generator=generator) * (
        torch.rand(count, 1, 1, 1, generator=generator) < 0.5
    )
    pixels = pixels + share * (blurred - pixels) + 0.03 * torch.randn(pixels.shape, generator=generator)
    return Batch(pixels, F.avg_pool2d(mask, PATCH).flatten(1), scenes, paints)


def captions_of(scenes: Sequence[Scene], paints: Sequence[Paint], rng: random.Random) -> list[Caption]:
    """For each picture a caption, and one in which one aspect of it is another (Yuksekgonul et al. 2023)."""
    captions = []
    for scene, paint in zip(scenes, paints, strict=True):
        # half of them name the kind and little else, so that each word is learnt on its own
        said = {} if rng.random() < 0.5 else {"say_colour": 0.3, "say_place": 0.4}
        captions.append(caption(scene, paint, rng, **said))
        captions.append(caption(*another(scene, paint, rng), rng, say_colour=1.0, say_place=1.0))
    return captions


def another(scene: Scene, paint: Paint, rng: random.Random) -> tuple[Scene, Paint]:
    """The same but for one aspect, drawn anew."""
    of_scene = {"kind": list(KINDS), "place": list(PLACES)}
    of_paint = {"colour": list(COLOURS), "look": list(LOOKS), "pattern": list(PATTERNS)}
    if scene.second:
        of_scene |= {"second": list(KINDS), "relation": list(RELATIONS)}
        of_paint |= {"second_colour": list(COLOURS)}
    aspect = rng.choice(["kind", "colour", *of_scene, *of_paint])
    value = rng.choice((of_scene | of_paint)[aspect])
    if aspect in of_scene:
        return dataclasses.replace(scene, **{aspect: value}), paint
    if aspect == "pattern":
        return scene, dataclasses.replace(
            paint, pattern=value, other=paint.other or rng.choice(list(COLOURS))
        )
    return scene, dataclasses.replace(paint, **{aspect: value})


def single_aspects(rng: random.Random) -> dict[str, list[str]]:
    """Every kind, colour and so on named alone, in the order of ASPECTS, in one wording of many."""
    return {
        "kind": [f"a photo of {with_article(rng.choice(words), kind)}" for kind, words in KINDS.items()],
        "colour": [f"a photo of something {colour}" for colour in COLOURS],
        "place": [f"a photo {rng.choice(said)}" for said in PLACES.values()],
        "pattern": ["a photo of something plain"]
        + [f"a photo of something {rng.choice(said)}" for said in PATTERNS.values()],
        "look": [rng.choice(said[:-1] or said).removesuffix(" of") for said in LOOKS.values()],
    }


def embed(model: CLIPModel, tokenizer: CLIPTokenizer, texts: Sequence[str]) -> Tensor:
    """(texts, 128), unit length."""
    tokens = tokenizer(list(texts), padding=True, truncation=True, return_tensors="pt")
    pooled = model.text_model(**tokens.to(model.device)).pooler_output
    return F.normalize(model.text_projection(pooled), dim=-1)


def losses_against(
    model: CLIPModel,
    tokenizer: CLIPTokenizer,
    seen: Tensor,
    scenes: Sequence[Scene],
    paints: Sequence[Paint],
    rng: random.Random,
) -> dict[str, Tensor]:
    """Of what was seen (B, 128): against captions, and against every kind, colour and so on named alone."""
    captions, alone = captions_of(scenes, paints, rng), single_aspects(rng)
    values = [values_of(s, p) for s, p in zip(scenes, paints, strict=True)]
    scale = model.logit_scale.exp()
    logits = scale * seen @ embed(model, tokenizer, [c.text for c in captions]).T
    losses = {"captions": contrastive_loss(logits, truth(captions, values).to(seen.device))}
    for aspect, texts in alone.items():
        logits = scale * seen @ embed(model, tokenizer, texts).T
        losses[aspect] = F.cross_entropy(logits, labels(aspect, values).to(seen.device))
    return losses


def labels(aspect: str, values: Sequence[dict[str, str]]) -> Tensor:
    """(B,) which of the aspect's words is true."""
    return torch.tensor([ASPECTS[aspect].index(v[aspect]) for v in values])


class Pupil(nn.Module):
    """The CLIP and, for training alone, a linear reading of every patch: kind, colour and pattern where the thing is, else place.

    Sixty-four answers a picture instead of one are what lets so small a vision transformer learn from so few pictures
    (token labelling, Jiang et al. 2021)."""

    def __init__(self, model: CLIPModel) -> None:
        super().__init__()
        self.clip = model
        width = model.config.vision_config.hidden_size
        self.patches = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, sum(map(len, ASPECTS.values()))))

    def forward(self, batch: Batch, tokenizer: CLIPTokenizer, rng: random.Random) -> dict[str, Tensor]:
        """The losses: of the whole picture, and of its patches."""
        states = self.clip.vision_model(pixel_values=batch.pixels)
        seen = F.normalize(self.clip.visual_projection(states.pooler_output), dim=-1)
        losses = losses_against(self.clip, tokenizer, seen, batch.scenes, batch.paints, rng)
        values = [values_of(s, p) for s, p in zip(batch.scenes, batch.paints, strict=True)]
        by_patch = self.patches(states.last_hidden_state[:, 1:]).split([len(a) for a in ASPECTS.values()], 2)
        for aspect, patches in zip(ASPECTS, by_patch, strict=True):
            shown = batch.thing < 0.02 if aspect in ("place", "look") else batch.thing > 0.4
            wanted = labels(aspect, values).to(seen.device)[:, None].expand_as(batch.thing)
            losses[f"{aspect} by patch"] = F.cross_entropy(patches[shown], wanted[shown])
        return losses


def widened(model: CLIPModel, known: CLIPTokenizer, tokenizer: CLIPTokenizer) -> CLIPModel:
    """A copy that has a token's embedding for every word: of a new one the mean of the pieces it fell into before."""
    grown = copy.deepcopy(model)
    before = model.text_model.embeddings.token_embedding.weight.detach()
    grown.text_model.resize_token_embeddings(len(tokenizer), mean_resizing=False)
    weight = grown.text_model.embeddings.token_embedding.weight
    words = tokenizer.convert_ids_to_tokens(list(range(len(known), len(tokenizer))))
    pieces = [known(word, add_special_tokens=False).input_ids for word in words]
    with torch.no_grad():
        weight[len(known) :] = torch.stack([before[ids].mean(0) for ids in pieces])
    grown.config.text_config.vocab_size = len(tokenizer)
    return grown


def train_text(
    tokenizer: CLIPTokenizer,
    checkpoint: Path,
    *,
    steps: int,
    count: int = 32,
    learning_rate: float = 1e-3,
    start: CLIPModel | None = None,
    known: int = 0,
    seed: int = 0,
    device: str = "cpu",
) -> CLIPModel:
    """The text tower first, without pictures: a caption that says all of a scene stands for the picture of it.

    So every word is told from every other, and synonyms and nonsense are learnt, in minutes; the vision tower then has
    somewhere to go, and the UNet can be trained beside it. From `start`, captions of one thing in its `known` first tokens
    alone keep the states that they had there, which a UNet has learnt to read. Goes on from `checkpoint` if there is one."""
    torch.manual_seed(seed)
    model = (copy.deepcopy(start) if start else build(tokenizer)).train().to(device)
    start = copy.deepcopy(start).to(device).eval() if start else None
    taught = [*model.text_model.parameters(), *model.text_projection.parameters()]
    if not start:
        taught.append(model.logit_scale)
    optimizer = torch.optim.AdamW(taught, lr=learning_rate, betas=(0.9, 0.98), fused=True)
    for step in range(load_state(checkpoint, model, optimizer), steps):
        rng = random.Random(seed * 1_000_003 + step)
        scenes = [draw_scene(rng.randrange(2**32)) for _ in range(count)]
        paints = [draw_paint(scene, rng) for scene in scenes]
        whole = [
            caption(s, p, rng, say_colour=1.0, say_place=1.0).text
            for s, p in zip(scenes, paints, strict=True)
        ]
        with torch.autocast(device, torch.bfloat16):
            seen = embed(model, tokenizer, whole)
            losses = losses_against(model, tokenizer, seen, scenes, paints, rng)
            if start:
                of_one = [text for text, scene in zip(whole, scenes, strict=True) if not scene.second]
                losses["as before"] = 30 * moved_from(model, start, tokenizer, of_one, known)
            losses["second things"] = 30 * mixed_up(model, tokenizer, of_two(count // 2, rng))
        improve(model, optimizer, losses, learning_rate, step, steps, "text")
        if (step + 1) % 100 == 0 or step + 1 == steps:
            save_state(checkpoint, model, optimizer, step + 1)
    return model.eval()


def moved_from(
    model: CLIPModel, start: CLIPModel, tokenizer: CLIPTokenizer, texts: Sequence[str], known: int
) -> Tensor:
    """How far the states of those texts that have only the `known` first tokens are from what they were; mean square."""
    tokens = tokenizer(list(texts), padding="max_length", truncation=True, return_tensors="pt").input_ids
    tokens = tokens[(tokens < known).all(1)].to(model.device)
    if not len(tokens):
        return torch.zeros((), device=model.device)
    with torch.no_grad():
        before = start.text_model(tokens).last_hidden_state
    return F.mse_loss(model.text_model(tokens).last_hidden_state, before)


def of_two(count: int, rng: random.Random) -> list[Caption]:
    """Captions of two things."""
    captions: list[Caption] = []
    while len(captions) < count:
        scene = draw_scene(rng.randrange(2**32))
        if scene.second:
            captions.append(caption(scene, draw_paint(scene, rng), rng))
    return captions


def mixed_up(model: CLIPModel, tokenizer: CLIPTokenizer, captions: Sequence[Caption]) -> Tensor:
    """How far the states of second things' words are from what they are where that thing is said alone; mean square, but for
    what they all have in common, which marks them as the second's.

    Only the last token is matched with pictures, and before it a second noun's state tells of the first one, too: a linear
    reading learnt on first nouns took 51 % of second ones for the caption's first and 26 % for what they are. A UNet paints
    what it reads there."""
    alone = [Caption(f"a photo of {c.things[1]}", {}, c.things[1:]) for c in captions]
    there, here = words_of(tokenizer, captions)[:, 1], words_of(tokenizer, alone)[:, 0]
    whole = there.sum(1) == here.sum(1)  # a long caption is cut off

    def states(some: Sequence[Caption], words: Tensor) -> Tensor:
        tokens = tokenizer([c.text for c in some], padding="max_length", truncation=True, return_tensors="pt")
        found = model.text_model(tokens.input_ids.to(model.device)).last_hidden_state
        return found[(words * whole[:, None]).bool().to(found.device)]

    apart = states(captions, there) - states(alone, here).detach()
    return (apart - apart.mean(0)).square().mean()


def start_vision(model: CLIPModel, renders: Sequence[Render], seed: int = 0) -> None:
    """A vision tower that is not trained yet, made to see as vision_start says."""
    vision_start.start(model, draw(renders, min(512, len(renders)), random.Random(seed)).pixels)


def train_vision(
    model: CLIPModel,
    renders: Sequence[Render],
    tokenizer: CLIPTokenizer,
    checkpoint: Path,
    *,
    steps: int,
    count: int = 32,
    learning_rate: float = 1e-3,
    seed: int = 0,
    device: str = "cpu",
) -> CLIPModel:
    """The vision tower, to `steps`, under the text tower as it is; goes on from `checkpoint` if there is one."""
    torch.manual_seed(seed)
    pupil = Pupil(model.train().to(device))
    # in bf16 on a CPU half of the fused kernel's time, whose backward is slow
    model.set_attn_implementation("eager")
    model.text_model.requires_grad_(False)
    model.text_projection.requires_grad_(False)
    trained = [p for p in pupil.parameters() if p.requires_grad]
    ends = [*model.vision_model.embeddings.parameters(), *pupil.patches.parameters()]
    optimizer = Muon(trained, learning_rate, plain=ends, weight_decay=0.05)
    for step in range(load_state(checkpoint, pupil, optimizer), steps):
        rng = random.Random(seed * 1_000_003 + step)
        drawn = draw(renders, count, rng)
        drawn = dataclasses.replace(drawn, pixels=drawn.pixels.to(device), thing=drawn.thing.to(device))
        with torch.autocast(device, torch.bfloat16):
            losses = pupil(drawn, tokenizer, rng)
        improve(pupil, optimizer, losses, learning_rate, step, steps, "vision")
        if (step + 1) % 100 == 0 or step + 1 == steps:
            save_state(checkpoint, pupil, optimizer, step + 1)
    return model.eval()


@torch.no_grad()
def averaged(one: CLIPModel, other: CLIPModel) -> CLIPModel:
    """`one`, its weights half way to the other's: of a tower and what more pictures made of it, the mean reads what
    neither saw better than either does (Wortsman et al. 2022, Robust fine-tuning of zero-shot models)."""
    for mine, theirs in zip(one.parameters(), other.parameters(), strict=True):
        mine.lerp_(theirs.to(mine), 0.5)
    return one


def improve(
    module: nn.Module,
    optimizer: torch.optim.Optimizer,
    losses: dict[str, Tensor],
    learning_rate: float,
    step: int,
    steps: int,
    name: str,
) -> None:
    """One step down the sum of the losses."""
    set_learning_rate(optimizer, learning_rate, step, steps, warmup=100)
    optimizer.zero_grad()
    torch.stack(list(losses.values())).sum().backward()
    torch.nn.utils.clip_grad_norm_(module.parameters(), 1.0)
    optimizer.step()
    clip = module.clip if isinstance(module, Pupil) else module
    with torch.no_grad():
        clip.logit_scale.clamp_(max=4.6)  # a hundred, as in CLIP
    if (step + 1) % 50 == 0 or step + 1 == steps:
        said = "  ".join(f"{aspect} {loss.item():.2f}" for aspect, loss in losses.items())
        print(f"{name} {step + 1}/{steps}  {said}", flush=True)


@torch.no_grad()
def read(
    model: CLIPModel, tokenizer: CLIPTokenizer, pixels: Tensor, kinds: Sequence[str]
) -> dict[str, list[str]]:
    """Zero-shot, each aspect among all of its values: the kind alone, the others said of the kind that was asked for.

    Each picture is looked at as it is and in the mirror. pixels (B, 3, 128, 128) in -1 to 1; `kinds` the B kinds asked
    for."""

    def look(some: Tensor) -> Tensor:
        return F.normalize(
            model.visual_projection(model.vision_model(pixel_values=some).pooler_output), dim=-1
        )

    seen = F.normalize(look(pixels) + look(pixels.flip(-1)), dim=-1)
    by_kind = embed(model, tokenizer, [f"a photo of {with_article(kind, kind)}" for kind in KINDS])
    found: dict[str, list[str]] = {aspect: [] for aspect in ASPECTS}
    found["kind"] = [list(KINDS)[i] for i in (seen @ by_kind.T).argmax(1).tolist()]
    for picture, kind in zip(seen, kinds, strict=True):
        it = with_article(kind, kind)
        said = {
            "colour": [f"a photo of {with_article(f'{colour} {kind}', kind)}" for colour in COLOURS],
            "place": [f"a photo of {it} {phrases[0]}" for phrases in PLACES.values()],
            "pattern": [f"a photo of {it}"]
            + [f"a photo of {with_article(f'{phrases[0]} {kind}', kind)}" for phrases in PATTERNS.values()],
            "look": [f"{phrases[0]} {it}" for phrases in LOOKS.values()],
        }
        for aspect, texts in said.items():
            best = int((embed(model, tokenizer, texts) @ picture).argmax())
            found[aspect].append(ASPECTS[aspect][best])
    return found
