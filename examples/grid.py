"""Shows what a concept learnt: `python -m examples.grid --concept DIR` writes DIR/grid.png and prints its figures.

Rows: the photos; the base and the concept on the same prompts and seeds, the base asked for the class and the concept
for the subject; then, of a concept with a class, both asked for the class alone, where others of its kind should still come.
"""

# ruff: noqa: E402

import argparse
import logging
import os
from pathlib import Path

# as in trainer.__main__: neither torchvision nor a GPU is needed here, and both are missed aloud when imported
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
for name in ("bitsandbytes", "xformers"):
    logging.getLogger(name).setLevel(logging.ERROR)

from trainer import evaluation, photos, prompting
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
TOYBOX = Path("examples/toybox")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--concept", required=True, help="a finished concept")
    for name, folder in (("evaluation_encoder", "clip"), ("subject_encoder", "subject_encoder")):
        parser.add_argument(f"--{name}", default=str(TOYBOX / folder), help="a folder or a name on the Hub")
    parser.add_argument(
        "--guidance_scale", type=float, help="as the concept's previews were made, where not given"
    )
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    found, painted = evaluation.evaluate_concept(
        Path(arguments.concept),
        evaluation.load_judge(arguments.evaluation_encoder, arguments.subject_encoder),
        PLACES,
        seed=arguments.seed,
        guidance_scale=arguments.guidance_scale,
    )
    print("\n".join(found.lines()))

    settings = evaluation.load_settings(Path(arguments.concept))
    subject = settings.concepts[0]
    kind, plain = subject.class_prompt, [each for _, each in prompting.asked(subject, PLACES)]
    paths = photos.list_photos(Path(subject.instance_data_dir))
    taken = [photos.open_photo(path) for path in paths[: len(PLACES)]]
    rows = [
        (f"base: {kind or 'the same'}", painted.base),
        (f"concept: {subject.instance_prompt}", painted.concept),
    ]
    if kind:
        rows.append((f"base: {kind}, no place", painted.base_class))
        rows.append((f"concept: {kind}, no place", painted.concept_class))
    sheet = labelled_grid(rows, PLACES if kind else plain, top_rows=[("photos", taken)])
    path = Path(arguments.concept) / "grid.png"
    sheet.save(path)
    print(f"the grid: {path}")


if __name__ == "__main__":
    main()
