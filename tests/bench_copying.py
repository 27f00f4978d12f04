"""How often trainer/copying.py finds a copy that is one, and takes a likeness for one, on photos alone, beside three other rules.

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
from PIL import Image, ImageEnhance, ImageFilter, ImageOps
from torch import Tensor

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # run as a script, from anywhere

from trainer import copying, evaluation, models, photos  # noqa: E402
from trainer.crops import center_square  # noqa: E402
from trainer.evaluation import Judge  # noqa: E402

Rule = Callable[[Sequence[Image.Image], Sequence[Image.Image]], Sequence[bool]]
SIDE = 256  # px, where an alteration is of pixels
FEWEST = 4  # photos of a subject: one asked about, three to be compared with


def inside(share: float, right: float, down: float) -> Callable[[Image.Image], Image.Image]:
    """A square of that share of the side; `right` and `down` are where, 0 to 1."""

    def cut(image: Image.Image) -> Image.Image:
        side = round(image.width * share)
        left, top = round((image.width - side) * right), round((image.height - side) * down)
        return image.crop((left, top, left + side, top + side))

    return cut


def farther(image: Image.Image) -> Image.Image:
    """Its border goes on, as far as a tenth of the side."""
    small = np.asarray(image.resize((SIDE, SIDE)))
    return Image.fromarray(np.pad(small, ((SIDE // 10,) * 2, (SIDE // 10,) * 2, (0, 0)), mode="edge"))


def turned(image: Image.Image) -> Image.Image:
    return inside(0.9, 0.5, 0.5)(image.rotate(3, Image.Resampling.BICUBIC))


def blurred(image: Image.Image) -> Image.Image:
    return image.resize((SIDE, SIDE)).filter(ImageFilter.GaussianBlur(SIDE / 50))


def covered(image: Image.Image) -> Image.Image:
    """Its right quarter is of one colour."""
    pixels = np.array(image.resize((SIDE, SIDE)))
    pixels[:, SIDE * 3 // 4 :] = pixels[:, SIDE * 3 // 4 :].mean((0, 1))
    return Image.fromarray(pixels)


def recoloured(image: Image.Image) -> Image.Image:
    red, green, blue = image.split()
    return Image.merge("RGB", (green, blue, red))


ALTERED: dict[str, Callable[[Image.Image], Image.Image]] = {
    "as it is": lambda image: image,
    "shifted by a tenth": inside(0.9, 1, 0),
    "zoomed by a tenth": inside(0.9, 0.5, 0.5),
    "zoomed by a quarter": inside(0.75, 0.5, 0.5),
    "seen from farther": farther,
    "turned by 3 degrees": turned,
    "mirrored": ImageOps.mirror,
    "a quarter darker": lambda image: ImageEnhance.Brightness(image).enhance(0.75),
    "in other colours": recoloured,
    "blurred": blurred,
    "with a quarter covered": covered,
}


def by_edges(samples: Sequence[Image.Image], taken: Sequence[Image.Image]) -> list[bool]:
    """trainer/copying.py's."""
    return [photo is not None for photo in copying.Originals(taken).copied(samples)]


def by_edges_than_any_pair(samples: Sequence[Image.Image], taken: Sequence[Image.Image]) -> list[bool]:
    """By the same distances: nearer to a photo than any two photos are to each other."""
    originals = copying.Originals(taken)
    among = originals.apart(taken)
    np.fill_diagonal(among, np.inf)
    return list(originals.apart(samples).min(axis=1) < among.min())


def by_encoders(judge: Judge) -> Rule:
    """The same rule, but for its distances: those that either encoder sees."""

    def rule(samples: Sequence[Image.Image], taken: Sequence[Image.Image]) -> list[bool]:
        views = zip(seen(judge, samples), seen(judge, taken), strict=True)
        shares = torch.stack([_share_of_the_way(*view) for view in views]).amin(dim=0)
        return list((shares < copying.COPY).any(dim=1).tolist())

    return rule


def _share_of_the_way(samples: Tensor, taken: Tensor) -> Tensor:
    """(N, P): how far each sample is from each photo, of how far it is from the others on average."""
    distances = (2 - 2 * samples @ taken.T).clamp_min(0).sqrt()
    return distances * (len(taken) - 1) / (distances.sum(dim=1, keepdim=True) - distances)


def by_encoders_than_any_pair(judge: Judge) -> Rule:
    """Nearer to a photo than any two photos are to each other, by both encoders and of the same photo."""

    def rule(samples: Sequence[Image.Image], taken: Sequence[Image.Image]) -> list[bool]:
        beyond = [
            own @ of_photos.T > (of_photos @ of_photos.T).fill_diagonal_(-1).max()
            for own, of_photos in zip(seen(judge, samples), seen(judge, taken), strict=True)
        ]
        return list(torch.stack(beyond).all(dim=0).any(dim=1).tolist())

    return rule


def seen(judge: Judge, images: Sequence[Image.Image]) -> tuple[Tensor, Tensor]:
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

    rules: dict[str, Rule] = {
        "by edges": by_edges,
        "by encoders": by_encoders(judge),
        "nearer than any two photos, by edges": by_edges_than_any_pair,
        "nearer than any two photos, by encoders": by_encoders_than_any_pair(judge),
    }
    found: dict[str, dict[str, list[bool]]] = {}

    def note(what: str, samples: Sequence[Image.Image], taken: Sequence[Image.Image]) -> None:
        for name, rule in rules.items():
            found.setdefault(what, {}).setdefault(name, []).extend(rule(samples, taken))

    for folder in sorted(path for path in options.photos.iterdir() if path.is_dir()):
        taken = opened(folder)
        if len(taken) < FEWEST:
            continue
        for what, alter in ALTERED.items():
            squares = [alter(image.crop(center_square(image))) for image in taken]
            note(f"copy, {what}", through(pipeline.vae, squares, side), taken)
        for index, other in enumerate(taken):
            note("another photo of the subject", [other], taken[:index] + taken[index + 1 :])
    if options.samples:
        note("given samples", opened(options.samples), opened(options.photos / options.of))

    print(f"| called copies | {' | '.join(rules)} | of |\n|---|{'---|' * len(rules)}---|")
    for what, by_rule in found.items():
        shares = " | ".join(f"{np.mean(by_rule[name]):.0%}" for name in rules)
        print(f"| {what} | {shares} | {len(by_rule['by edges'])} |")


if __name__ == "__main__":
    main()
