"""Shows what a concept learnt: `python -m examples.grid --concept DIR` writes DIR/grid.png and prints its figures.

Rows: the photos; the base and the concept on the same prompts and seeds, the base asked for the class and the concept
for the subject; then both asked for the class alone, where the concept should still show others of its kind.
"""

# ruff: noqa: E402

import argparse
import logging
import os
from pathlib import Path

# as in trainer.__main__: neither torchvision nor a GPU is needed here, and both are missed aloud when imported
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
logging.getLogger("xformers").setLevel(logging.ERROR)

from PIL import Image

from trainer import evaluation, generation, photos
from trainer.concept import read_settings
from trainer.config import GenerationConfig
from trainer.grid import labelled_grid

PLACES = (
    "on grass",
    "in the snow",
    "on a cobblestone street at night",
    "on the beach",
    "in the jungle",
    "with the Eiffel Tower in the background",
    "on top of a purple rug in a forest",
    "on the moon",
)
ENCODER = "examples/toybox/clip"


def paint(model: str, prompts: list[str], seed: int, guidance_scale: float) -> list[Image.Image]:
    """One image of each prompt, image i of seed + i; `model` is a concept folder or a base."""
    pipeline = generation.load_concept(model)
    images = []
    for index, prompt in enumerate(prompts):
        config = GenerationConfig(
            concept=model, prompt=prompt, num_samples=1, seed=seed + index, guidance_scale=guidance_scale
        )
        images += generation.generate(pipeline, config)
    return images


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--concept", required=True, help="a finished concept, trained with prior preservation"
    )
    parser.add_argument(
        "--encoder", default=ENCODER, help="the CLIP that compares, a folder or a name on the Hub"
    )
    parser.add_argument(
        "--guidance_scale", type=float, help="as the concept's previews were made, where not given"
    )
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    settings = read_settings(Path(arguments.concept))["config"]
    guidance_scale = arguments.guidance_scale or settings["validation_guidance_scale"]
    subject, kind = settings["instance_prompt"], settings["class_prompt"]
    base = settings["pretrained_model_name_or_path"]

    paths = photos.list_photos(Path(settings["instance_data_dir"]))
    taken = [photos.open_photo(path) for path in paths]
    in_places = [f"{kind} {place}" for place in PLACES]

    def of(model: str, prompts: list[str]) -> list[Image.Image]:
        return paint(model, prompts, arguments.seed, guidance_scale)

    base_images = of(base, in_places)
    concept_images = of(arguments.concept, [f"{subject} {place}" for place in PLACES])
    base_class, concept_class = of(base, [kind] * len(PLACES)), of(arguments.concept, [kind] * len(PLACES))

    judge = evaluation.load_judge(arguments.encoder)
    truth, prompts = judge.embed_images(taken), judge.embed_texts(in_places)
    ours, theirs = judge.embed_images(concept_images), judge.embed_images(base_images)
    print(
        f"subject fidelity: concept {evaluation.subject_fidelity(ours, truth):.3f}, "
        f"base {evaluation.subject_fidelity(theirs, truth):.3f}, "
        f"photo to photo {evaluation.photo_to_photo(truth):.3f}"
    )
    print(
        f"prompt fidelity: concept {evaluation.prompt_fidelity(ours, prompts):.3f}, "
        f"base {evaluation.prompt_fidelity(theirs, prompts):.3f}"
    )
    drift = judge.embed_images(concept_class)
    print(
        f"'{kind}' by the concept, likeness to the photos: {evaluation.subject_fidelity(drift, truth):.3f}, "
        f"by the base {evaluation.subject_fidelity(judge.embed_images(base_class), truth):.3f}"
    )

    sheet = labelled_grid(
        [
            (f"base: {kind}", base_images),
            (f"concept: {subject}", concept_images),
            (f"base: {kind}, no place", base_class),
            (f"concept: {kind}, no place", concept_class),
        ],
        PLACES,
        top_rows=[("photos", taken[: len(PLACES)])],
    )
    path = Path(arguments.concept) / "grid.png"
    sheet.save(path)
    print(f"the grid: {path}")


if __name__ == "__main__":
    main()
