"""Puts a finished concept among the examples, for the studio to open with: half precision, no file above 10 MB.

python -m examples.keep --concept outputs/teddy-bear --example teddy-bear
"""

import argparse
import shutil
from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from trainer import choice, concept, generation

HERE = Path(__file__).parent


def main(argv: Sequence[str] | None = None) -> None:
    """Write examples/NAME/concept anew."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--concept", type=Path, required=True, help="a finished concept's folder")
    parser.add_argument("--example", required=True, help="the example's name, a folder beside this file")
    given = parser.parse_args(argv)
    target = HERE / given.example / "concept"
    concept.read_settings(given.concept)
    if target.is_dir() and target.samefile(given.concept):
        parser.error(f"{given.concept} is the example's own concept already")
    if not concept.has_weights(given.concept):
        parser.error(f"{given.concept} is not finished: nothing there can be loaded")
    shutil.rmtree(target, ignore_errors=True)
    if (given.concept / concept.LORA_FILE).is_file():
        target.mkdir(parents=True)
        weights = load_file(given.concept / concept.LORA_FILE)
        half = {name: weight.to(torch.float16) for name, weight in weights.items()}
        save_file(half, target / concept.LORA_FILE)
    else:
        pipeline = generation.load_concept(str(given.concept))
        pipeline.to(torch.float16).save_pretrained(target, max_shard_size="9MB")
    shutil.copy(given.concept / concept.SETTINGS_FILE, target)
    if (given.concept / choice.FILE).is_file():
        shutil.copy(given.concept / choice.FILE, target)
        shutil.copytree(given.concept / choice.IMAGES, target / choice.IMAGES)


if __name__ == "__main__":
    main()
