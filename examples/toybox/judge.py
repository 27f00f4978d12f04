"""Measures the toybox: `python examples/toybox/judge.py --renders DIR --photos DIR [--prompts 200]`.

Reconstruction of held-out renders and of photographs, what the judge reads from originals and reconstructions, and
how often kind, colour and place of samples are the prompted ones; writes a grid of samples.
"""

import argparse
import random
from collections.abc import Sequence
from pathlib import Path

import autoencoder
import clip
import likeness
import torch
from diffusers import DiffusionPipeline, StableDiffusionPipeline
from pictures import load_renders, to_tensor
from PIL import Image
from torch import Tensor
from torch.nn import functional as F
from transformers import CLIPModel, CLIPTokenizer, CLIPVisionModel
from vocabulary import KINDS, Scene, draw_paint, judging_pairs, judging_prompts, values_of, with_article

HERE = Path(__file__).parent
ASPECTS = ("kind", "colour", "place", "pattern", "look")
ASKED = ("kind", "colour", "place")  # by judging_prompts
HALF = 76  # px of a picture's side are looked at for one of two things,
TOPS = (14, 26, 38)  # from these rows on


def accuracy(found: dict[str, list[str]], wanted: dict[str, list[str]]) -> str:
    """'kind 95.0 %  colour ...', of what was wanted."""
    return "  ".join(
        f"{a} {100 * sum(f == w for f, w in zip(found[a], wanted[a], strict=True)) / len(wanted[a]):.1f} %"
        for a in wanted
    )


def photograph(path: Path) -> Image.Image:
    """The largest centred square, 128 px."""
    picture = Image.open(path).convert("RGB")
    side = min(picture.size)
    left, top = (picture.width - side) // 2, (picture.height - side) // 2
    return picture.crop((left, top, left + side, top + side)).resize(
        (clip.SIZE,) * 2, Image.Resampling.LANCZOS
    )


@torch.no_grad()
def sample(
    pipeline: StableDiffusionPipeline, prompts: Sequence[str], guidance_scale: float, steps: int
) -> Tensor:
    """One image a prompt, prompt i of seed i; (N, 3, 128, 128) in -1 to 1."""
    images = []
    for start in range(0, len(prompts), 8):
        some = list(prompts[start : start + 8])
        generators = [torch.Generator().manual_seed(start + i) for i in range(len(some))]
        made = pipeline(
            some,
            guidance_scale=guidance_scale,
            num_inference_steps=steps,
            generator=generators,
            output_type="pt",
        ).images
        images.append(made * 2 - 1)
    return torch.cat(images)


@torch.no_grad()
def read_pairs(judge: CLIPModel, tokenizer: CLIPTokenizer, pixels: Tensor) -> list[tuple[str, str]]:
    """The kind on the left and the kind on the right of each picture (B, 3, 128, 128), each half read by itself."""
    texts = clip.embed(judge, tokenizer, [f"a photo of {with_article(kind, kind)}" for kind in KINDS])

    def kinds(left: int) -> list[str]:
        likeness = []
        for top in TOPS:
            cut = F.interpolate(
                pixels[..., top : top + HALF, left : left + HALF], (clip.SIZE,) * 2, mode="bilinear"
            )
            for view in (cut, cut.flip(-1)):
                seen = judge.visual_projection(judge.vision_model(view).pooler_output)
                likeness.append((judge.logit_scale.exp() * F.normalize(seen, dim=-1) @ texts.T).softmax(-1))
        return [list(KINDS)[index] for index in torch.stack(likeness).mean(0).argmax(-1).tolist()]

    return list(zip(kinds(0), kinds(clip.SIZE - HALF), strict=True))


def both_right(found: Sequence[tuple[str, str]], scenes: Sequence[Scene]) -> float:
    """The share of pictures in which both things are what was asked for, on either side."""
    right = [sorted(pair) == sorted((s.kind, s.second)) for pair, s in zip(found, scenes, strict=True)]
    return sum(right) / len(right)


def sheet(pixels: Tensor, columns: int) -> Image.Image:
    """Images side by side, (N, 3, H, W) in -1 to 1."""
    side = pixels.shape[-1]
    grid = Image.new("RGB", (columns * side, -(-len(pixels) // columns) * side), "white")
    for index, picture in enumerate(pixels):
        array = ((picture.clamp(-1, 1) + 1) * 127.5).round().byte().permute(1, 2, 0).numpy()
        grid.paste(Image.fromarray(array), (index % columns * side, index // columns * side))
    return grid


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--toybox", type=Path, default=HERE)
    parser.add_argument("--renders", type=Path)
    parser.add_argument("--photos", type=Path, help="real photographs, never trained on")
    parser.add_argument("--prompts", type=int, default=200)
    parser.add_argument("--pairs", type=int, default=100, help="prompts of two things")
    parser.add_argument("--guidance_scale", type=float, default=5.0)
    parser.add_argument("--num_inference_steps", type=int, default=25)
    parser.add_argument("--grid", type=Path, default=Path("grid.png"))
    parser.add_argument("--contact_sheet", type=Path, help="also write 48 of the renders")
    arguments = parser.parse_args()
    pipeline = DiffusionPipeline.from_pretrained(
        arguments.toybox, use_safetensors=True, torch_dtype=torch.float32
    )
    pipeline.set_progress_bar_config(disable=True)
    judge = CLIPModel.from_pretrained(arguments.toybox / "clip", dtype=torch.float32).eval()
    tokenizer = CLIPTokenizer.from_pretrained(arguments.toybox / "tokenizer")

    if arguments.renders:
        renders = load_renders(arguments.renders, held_out=True)
        pixels, wanted = painted_crops(renders)
        print(
            f"autoencoder, {len(pixels)} held-out renders: {autoencoder.psnr(pipeline.vae, pixels).mean():.2f} dB"
        )
        found = clip.read(judge, tokenizer, pixels, wanted["kind"])
        print("judge, originals:      ", accuracy(found, wanted))
        alone = [i for i, render in enumerate(renders) if not render.scene.second]
        print(
            f"judge, {len(alone)} of one thing:",
            accuracy(*({a: [said[a][i] for i in alone] for a in ASPECTS} for said in (found, wanted))),
        )
        two = [i for i, render in enumerate(renders) if render.scene.relation == "beside"]
        scenes = [renders[i].scene for i in two]
        share = both_right(read_pairs(judge, tokenizer, pixels[two]), scenes)
        print(f"judge, {len(two)} of two things side by side: both right {100 * share:.1f} %")
        with torch.no_grad():
            again = pipeline.vae.decode(pipeline.vae.encode(pixels).latent_dist.mode()).sample.clamp(-1, 1)
        print("judge, reconstructions:", accuracy(clip.read(judge, tokenizer, again, wanted["kind"]), wanted))
        encoder = CLIPVisionModel.from_pretrained(
            arguments.toybox / "subject_encoder", dtype=torch.float32
        ).eval()
        pairs = likeness.views(renders, len(renders), random.Random(0))
        for name, embed in (
            ("subject encoder", lambda some: encoder(some).last_hidden_state[:, 0]),
            ("judge", lambda some: judge.visual_projection(judge.vision_model(some).pooler_output)),
        ):
            share = likeness.found_again(embed, pairs)
            print(f"{name}, one of {len(pairs[0])} things known in another view: {100 * share:.1f} %")
        if arguments.contact_sheet:
            shown, _ = painted_crops(load_renders(arguments.renders, held_out=False)[:48])
            sheet(shown, 8).save(arguments.contact_sheet, quality=88)
    if arguments.photos:
        real = to_tensor([photograph(p) for p in sorted(arguments.photos.rglob("*.jpg"))])
        decibels = autoencoder.psnr(pipeline.vae, real)
        print(f"autoencoder, {len(real)} photographs: {decibels.mean():.2f} dB (worst {decibels.min():.2f})")
    if arguments.prompts:
        asked = judging_prompts(arguments.prompts)
        pixels = sample(
            pipeline, [a[0] for a in asked], arguments.guidance_scale, arguments.num_inference_steps
        )
        wanted = {aspect: [a[i + 1] for a in asked] for i, aspect in enumerate(ASKED)}
        print(
            f"samples, {len(asked)} prompts: ",
            accuracy(clip.read(judge, tokenizer, pixels, wanted["kind"]), wanted),
        )
        sheet(pixels[:48], 8).save(arguments.grid)
        print(f"the first 48: {arguments.grid}")
    if arguments.pairs:
        pairs = judging_pairs(arguments.pairs)
        pixels = sample(
            pipeline, [p[0] for p in pairs], arguments.guidance_scale, arguments.num_inference_steps
        )
        scenes = [scene for _, scene, _ in pairs]
        share = both_right(read_pairs(judge, tokenizer, pixels), scenes)
        print(f"samples, {len(pairs)} prompts of two things: both right {100 * share:.1f} %")
        sheet(pixels[:48], 8).save(arguments.grid.with_stem(f"{arguments.grid.stem}-pairs"))


def painted_crops(renders: Sequence) -> tuple[Tensor, dict[str, list[str]]]:
    """Centre crops of the renders in fixed paints and what they show."""
    rng = random.Random(0)
    crops, wanted = [], {aspect: [] for aspect in ASPECTS}
    for render in renders:
        paint = draw_paint(render.scene, rng)
        painted = render.painted(paint, rng)
        margin = (painted.shape[0] - clip.SIZE) // 2
        crops.append(painted[margin : margin + clip.SIZE, margin : margin + clip.SIZE])
        values = values_of(render.scene, paint)
        for aspect in ASPECTS:
            wanted[aspect].append(values[aspect])
    return to_tensor(crops), wanted


if __name__ == "__main__":
    main()
