"""How often trainer/evaluation.py's `copied` finds a copy that is one, and takes a likeness for one, on photos alone.

    python tests/bench_copying.py --photos DIR [--samples DIR --of SUBJECT]

--photos is laid out as google/dreambooth's `dataset`, as for tests/bench_quality.py. Copies are the photos themselves through
an autoencoder, as they are and altered; likenesses are the other photos of the same subject, each asked about the rest.
--samples is a folder of pictures that all repeat photos of SUBJECT: what a model paints that was trained until it could do
nothing else, as by

    python -m trainer train --config examples/teddy-bear/dreambooth.json --instance_data_dir DIR/SUBJECT \\
        --instance_prompt "a photo of a sks toy" --with_prior_preservation false --max_train_steps 2500 \\
        --learning_rate 2.5e-4 --lr_scheduler constant --keep last --output_dir outputs/copier
"""

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageEnhance, ImageOps
from torch import Tensor

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # run as a script, from anywhere

from trainer import evaluation, models, photos  # noqa: E402
from trainer.crops import center_square  # noqa: E402
from trainer.evaluation import Judge  # noqa: E402

Views = tuple[Tensor, Tensor]
FEWEST = 4  # photos of a subject: one asked about, three to be compared with


def inside(share: float, right: float, down: float) -> Callable[[Image.Image], Image.Image]:
    """A square of that share of the side; `right` and `down` are where, 0 to 1."""

    def cut(image: Image.Image) -> Image.Image:
        side = round(image.width * share)
        left, top = round((image.width - side) * right), round((image.height - side) * down)
        return image.crop((left, top, left + side, top + side))

    return cut


ALTERED: dict[str, Callable[[Image.Image], Image.Image]] = {
    "as it is": lambda image: image,
    "shifted by a twentieth": inside(0.95, 1, 0),
    "zoomed by a tenth": inside(0.9, 0.5, 0.5),
    "zoomed by a fifth": inside(0.8, 0.5, 0.5),
    "a quarter darker": lambda image: ImageEnhance.Brightness(image).enhance(0.75),
    "mirrored": ImageOps.mirror,
}


def closer_than_any_pair(samples: Views, of_photos: Views) -> Tensor:
    """The plainer rule, by both encoders and of the same photo: (N,), which samples it calls copies."""
    beyond = [
        own @ taken.T > (taken @ taken.T).fill_diagonal_(-1).max()
        for own, taken in zip(samples, of_photos, strict=True)
    ]
    return torch.stack(beyond).all(dim=0).any(dim=1)


def half_as_far(samples: Views, of_photos: Views) -> Tensor:
    """`evaluation.copied`: (N,), likewise."""
    found = evaluation.copied(*zip(samples, of_photos, strict=True))
    return torch.tensor([photo is not None for photo in found])


RULES = {"half as far": half_as_far, "closer than any pair": closer_than_any_pair}


def seen(judge: Judge, images: Sequence[Image.Image]) -> Views:
    return judge.embed_subjects(images), judge.embed_images(images)


def opened(folder: Path) -> list[Image.Image]:
    return [photos.open_photo(path) for path in photos.list_photos(folder)]


@torch.no_grad()
def through(vae: torch.nn.Module, images: Sequence[Image.Image], side: int) -> list[Image.Image]:
    small = np.stack([np.asarray(image.resize((side, side))) for image in images])
    pixels = torch.from_numpy(small).permute(0, 3, 1, 2).float() / 127.5 - 1
    decoded = vae.decode(vae.encode(pixels).latent_dist.mean).sample  # type: ignore[operator]
    back = ((decoded.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8).permute(0, 2, 3, 1).numpy()
    return [Image.fromarray(each) for each in back]


def main() -> None:
    toybox = ROOT / "examples/toybox"
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--photos", type=Path, required=True, help="laid out as google/dreambooth's dataset")
    parser.add_argument("--samples", type=Path, help="a folder of pictures that all repeat photos")
    parser.add_argument("--of", help="the subject of those photos: its folder's name")
    parser.add_argument(
        "--base", default=str(toybox), help="whose autoencoder: a folder or a name on the Hub"
    )
    parser.add_argument("--evaluation_encoder", default=str(toybox / "clip"))
    parser.add_argument("--subject_encoder", default=str(toybox / "subject_encoder"))
    options = parser.parse_args()
    if bool(options.samples) != bool(options.of):
        parser.error("--samples and --of go together")
    judge = evaluation.load_judge(options.evaluation_encoder, options.subject_encoder)
    pipeline = models.load_pipeline(options.base)
    side = models.base_resolution(pipeline)

    found: dict[str, dict[str, list[bool]]] = {}

    def note(what: str, samples: Views, of_photos: Views) -> None:
        for name, rule in RULES.items():
            found.setdefault(what, {}).setdefault(name, []).extend(rule(samples, of_photos).tolist())

    for folder in sorted(path for path in options.photos.iterdir() if path.is_dir()):
        taken = opened(folder)
        if len(taken) < FEWEST:
            continue
        own = seen(judge, taken)
        for what, alter in ALTERED.items():
            squares = [alter(image.crop(center_square(image))) for image in taken]
            copies = through(pipeline.vae, squares, side)
            note(f"copy, {what}", seen(judge, copies), own)
        for index in range(len(taken)):
            rest = [other for other in range(len(taken)) if other != index]
            alone, others = (tuple(view[which] for view in own) for which in ([index], rest))
            note("another photo of the subject", (alone[0], alone[1]), (others[0], others[1]))
    if options.samples:
        note(
            "given samples",
            seen(judge, opened(options.samples)),
            seen(judge, opened(options.photos / options.of)),
        )

    print(f"| called copies | {' | '.join(RULES)} | of |\n|---|{'---|' * len(RULES)}---|")
    for what, by_rule in found.items():
        shares = " | ".join(f"{np.mean(by_rule[name]):.0%}" for name in RULES)
        print(f"| {what} | {shares} | {len(by_rule[next(iter(RULES))])} |")


if __name__ == "__main__":
    main()
