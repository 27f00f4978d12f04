"""Makes the toybox from renders and photographs: `python examples/toybox/pretrain.py --photos DIR ...`.

Stages, each with its own checkpoint in --work_dir, so that a killed run goes on where it stopped: autoencoder, text tower,
UNet, vision tower and subject encoder; then the parts are written, in half precision, as one diffusers pipeline. With
`--start TOYBOX` its parts are trained on. A GPU is used where there is one.
"""

import argparse
import copy
import json
import pickle
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import autoencoder
import clip
import denoiser
import likeness
import numpy as np
import torch
from diffusers import AutoencoderKL, StableDiffusionPipeline, UNet2DConditionModel
from judge import painted_crops
from pictures import Render, load_photographs, load_renders
from render import CACHE
from transformers import CLIPModel, CLIPTextModel, CLIPTokenizer, CLIPVisionModel

HERE = Path(__file__).parent


def cached(path: Path, make: Callable[[], Any]) -> Any:
    """What `make` returns, kept in `path`; our own file, never anybody else's."""
    if not path.exists():
        staged = path.with_suffix(".staged")
        staged.write_bytes(pickle.dumps(make()))
        staged.replace(path)
    return pickle.loads(path.read_bytes())


def text_encoder_of(model: CLIPModel) -> CLIPTextModel:
    """The CLIP's text tower as the pipeline wants it: same weights, its own module."""
    encoder = CLIPTextModel(model.config.text_config)
    encoder.load_state_dict(model.text_model.state_dict())
    return encoder.eval()


def assemble(
    directory: Path,
    vae: AutoencoderKL,
    judge: CLIPModel,
    tokenizer: CLIPTokenizer,
    unet: UNet2DConditionModel,
    subject_encoder: CLIPVisionModel,
) -> None:
    """Writes the parts as one diffusers pipeline and what judges it, half precision, no file above 10 MB."""
    pipeline = StableDiffusionPipeline(
        vae=vae,
        text_encoder=text_encoder_of(judge),
        tokenizer=tokenizer,
        unet=unet,
        scheduler=denoiser.build_scheduler(),
        safety_checker=None,
        feature_extractor=None,
        image_encoder=None,
        requires_safety_checker=False,
    )
    pipeline.to("cpu", torch.float16).save_pretrained(directory, max_shard_size="9MB")
    for part in ("vae", "unet"):  # whence a part was taken up is a path of this machine
        config = json.loads((directory / part / "config.json").read_text())
        config.pop("_name_or_path", None)
        (directory / part / "config.json").write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")
    judge.to("cpu", torch.float16).save_pretrained(directory / "clip", max_shard_size="9MB")
    clip.build_processor(tokenizer).save_pretrained(directory / "clip")
    subject_encoder.to("cpu", torch.float16).save_pretrained(directory / "subject_encoder")
    clip.build_image_processor().save_pretrained(directory / "subject_encoder")


@dataclass
class Parts:
    """What the stages hand on. Without a UNet one is begun; `judge_can_read` all words of the captions already, or none."""

    vae: AutoencoderKL
    tokenizer: CLIPTokenizer
    judge: CLIPModel
    unet: UNet2DConditionModel | None = None
    judge_can_read: bool = False


def autoencoder_of(
    arguments: argparse.Namespace,
    renders: Sequence[Render],
    held_out: Sequence[Render],
    start: AutoencoderKL | None,
    device: str,
) -> AutoencoderKL:
    """The first stage; a new one's latents are scaled, one that is trained on keeps the scale its UNet knows."""
    work: Path = arguments.work_dir
    photographs: list[np.ndarray] = cached(
        work / "photographs.pickle", lambda: load_photographs(arguments.photos)
    )
    print(f"{len(photographs)} photographs")
    vae = autoencoder.train(
        renders,
        photographs,
        work / "autoencoder.pt",
        steps=arguments.autoencoder_steps,
        learning_rate=arguments.autoencoder_learning_rate,
        start=start,
        device=device,
    ).cpu()
    pixels, _ = painted_crops(held_out[:64])
    if start is None:
        autoencoder.set_scaling(vae, pixels)
    print(f"autoencoder: {autoencoder.psnr(vae, pixels).mean():.2f} dB on held-out renders", flush=True)
    return vae


def begun(
    arguments: argparse.Namespace, renders: Sequence[Render], held_out: Sequence[Render], device: str
) -> Parts:
    """The first stages, from nothing: autoencoder and text tower."""
    work: Path = arguments.work_dir
    vae = autoencoder_of(arguments, renders, held_out, None, device)
    tokenizer = clip.build_tokenizer(work / "tokenizer")
    judge = clip.train_text(
        tokenizer,
        work / "text.pt",
        steps=arguments.text_steps,
        learning_rate=arguments.text_learning_rate,
        device=device,
    )
    clip.start_vision(judge, renders)
    return Parts(vae, tokenizer, judge)


def taken_up(toybox: Path) -> Parts:
    """A toybox's own parts in full precision, to go on from."""
    return Parts(
        AutoencoderKL.from_pretrained(toybox / "vae", torch_dtype=torch.float32),
        CLIPTokenizer.from_pretrained(toybox / "tokenizer"),
        CLIPModel.from_pretrained(toybox / "clip", dtype=torch.float32),
        UNet2DConditionModel.from_pretrained(toybox / "unet", torch_dtype=torch.float32),
        judge_can_read=True,
    )


def gone_on(
    arguments: argparse.Namespace, renders: Sequence[Render], held_out: Sequence[Render], device: str
) -> Parts:
    """The first stages, from a toybox: its autoencoder if there are photographs, and its text tower."""
    work: Path = arguments.work_dir
    parts = taken_up(arguments.start)
    if arguments.photos:
        parts.vae = autoencoder_of(arguments, renders, held_out, parts.vae, device)
    tokenizer = clip.widen_tokenizer(parts.tokenizer)
    if new := len(tokenizer) - (known := len(parts.tokenizer)):
        print(f"{new} new tokens", flush=True)
        parts.judge = clip.widened(parts.judge, parts.tokenizer, tokenizer)
        parts.judge_can_read = False
    parts.judge = clip.train_text(
        tokenizer,
        work / "text.pt",
        steps=arguments.text_steps,
        learning_rate=arguments.text_learning_rate,
        start=parts.judge,
        known=known,
        device=device,
    )
    parts.tokenizer = tokenizer
    return parts


def parsed() -> argparse.Namespace:
    """The command line's settings."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--renders", type=Path, default=CACHE / "renders", help="what render.py wrote")
    parser.add_argument(
        "--photos", type=Path, nargs="+", default=[], help="folders of free photographs, for the autoencoder"
    )
    parser.add_argument(
        "--start", type=Path, help="a toybox to go on from, its autoencoder with --photos alone"
    )
    parser.add_argument("--work_dir", type=Path, default=CACHE / "work", help="checkpoints and caches")
    parser.add_argument("--output_dir", type=Path, default=HERE)
    parser.add_argument("--autoencoder_steps", type=int, default=3000)
    parser.add_argument("--autoencoder_learning_rate", type=float, default=2e-3)
    parser.add_argument("--text_steps", type=int, default=300)
    parser.add_argument("--text_learning_rate", type=float, default=7e-4)
    parser.add_argument("--vision_steps", type=int, default=5600)
    parser.add_argument("--vision_learning_rate", type=float, default=1e-3)
    parser.add_argument("--likeness_steps", type=int, default=500, help="of the subject encoder")
    parser.add_argument("--unet_steps", type=int, default=6000)
    parser.add_argument("--unet_learning_rate", type=float, default=1.5e-3)
    parser.add_argument("--variants", type=int, default=3, help="colours and crops encoded of each render")
    arguments = parser.parse_args()
    if not arguments.photos and not arguments.start:
        parser.error("--photos to begin anew, or --start to go on")
    return arguments


def settle(work: Path, **began_with: Any) -> None:
    """Note of what --work_dir holds the stages. Ends where they are of something else: they would be taken for done."""
    noted = work / "began_with.json"
    now = {name: str(value) for name, value in began_with.items()}
    known = json.loads(noted.read_text()) if noted.is_file() else now
    if other := [name for name in now if now[name] != known.get(name)]:
        sys.exit(f"{work} was begun with another {', another '.join(other)}: name another --work_dir")
    work.mkdir(parents=True, exist_ok=True)
    noted.write_text(json.dumps(now, indent=1))


def main() -> None:
    arguments = parsed()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    work: Path = arguments.work_dir
    renders = load_renders(arguments.renders, held_out=False)
    held_out = load_renders(arguments.renders, held_out=True)
    settle(
        work,
        start=arguments.start,
        photos=sorted(map(str, arguments.photos)),
        variants=arguments.variants,
        number_of_renders=len(renders),
    )
    print(f"{len(renders)} renders, {len(held_out)} held out, on {device}", flush=True)

    begin = gone_on if arguments.start else begun
    parts = begin(arguments, renders, held_out, device)
    encoded = cached(
        work / "latents.pickle",
        lambda: denoiser.encode(
            parts.vae.to(device), renders, variants=arguments.variants, seed=0, device=device
        ),
    )
    unet = denoiser.train(
        encoded,
        parts.vae,
        parts.tokenizer,
        text_encoder_of(parts.judge).to(device),
        work / "unet.pt",
        steps=arguments.unet_steps,
        learning_rate=arguments.unet_learning_rate,
        start=parts.unet,
        device=device,
    )
    del encoded
    before = copy.deepcopy(parts.judge)
    judge = clip.train_vision(
        parts.judge,
        renders,
        parts.tokenizer,
        work / "vision.pt",
        steps=arguments.vision_steps,
        learning_rate=arguments.vision_learning_rate,
        device=device,
    )
    if parts.judge_can_read:  # to one that could not, half of the new words would be lost on the way back
        judge = clip.averaged(judge, before)
    subject_encoder = likeness.train(
        judge, renders, work / "likeness.pt", steps=arguments.likeness_steps, device=device
    )
    assemble(arguments.output_dir, parts.vae, judge, parts.tokenizer, unet, subject_encoder)


if __name__ == "__main__":
    main()
