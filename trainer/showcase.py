"""The pictures of a concept's card: base and concept, asked the same with the same seeds."""

import shutil
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from trainer import bundle, card, concept, generation, prompting
from trainer.config import GenerationConfig, generation_config, training_config
from trainer.grid import labelled_grid
from trainer.sampling import ShouldStop

PLACES = ("", "in the snow", "on the beach", "on the moon")
MAX_CELL = 256  # px

OnStep = Callable[[int, int], None]


def paint(
    directory: Path | str,
    prompts: Sequence[str] = (),
    *,
    seed: int = 0,
    guidance_scale: float | None = None,
    num_inference_steps: int = 25,
    on_step: OnStep | None = None,
    should_stop: ShouldStop | None = None,
) -> Path | None:
    """Paint each prompt with the base and with the concept; `showcase/` then holds the concept's pictures and grid.png.

    Without prompts, the instance prompt and a few places; without a guidance, the concept's own. Returns the grid's path, None where `should_stop` ended it:
    then what was there stays. Raises ConceptError where nothing is finished.
    """
    directory = Path(directory)
    config = training_config(**concept.read_settings(directory)["config"])
    asked = list(prompts) or [prompt for prompt, _ in prompting.asked(config.concepts[0], PLACES)]
    settings = [
        generation_config(
            concept=str(directory),
            prompt=prompt,
            num_samples=1,
            seed=seed + index,
            guidance_scale=config.validation_guidance_scale if guidance_scale is None else guidance_scale,
            num_inference_steps=num_inference_steps,
        )
        for index, prompt in enumerate(asked)
    ]
    total = 2 * len(asked) * num_inference_steps

    def count(done: int) -> None:
        if on_step is not None:
            on_step(done, total)

    ours = _drawn(generation.load_concept(directory), settings, count, should_stop)
    theirs = _drawn(
        generation.load_base(directory), settings, lambda done: count(total // 2 + done), should_stop
    )
    if len(theirs) < len(asked) or len(ours) < len(asked):
        return None
    cell = min(MAX_CELL, max(ours[0].size))
    _keep(directory, ours, settings, labelled_grid([("base", theirs), ("concept", ours)], asked, cell=cell))
    return directory / card.SHOWCASE / card.GRID_FILE


def _drawn(
    pipeline: Any,
    settings: Sequence[GenerationConfig],
    count: Callable[[int], None],
    should_stop: ShouldStop | None,
) -> list[Image.Image]:
    """One picture for each; fewer where it was stopped. The pipeline is let go of with this call."""
    images: list[Image.Image] = []
    for index, each in enumerate(settings):
        before = index * each.num_inference_steps

        def on_step(done: int, _: int, before: int = before) -> None:
            count(before + done)

        drawn = generation.generate(pipeline, each, on_step, should_stop)
        if not drawn:
            break
        images += drawn
    return images


def _keep(
    directory: Path, images: list[Image.Image], settings: list[GenerationConfig], grid: Image.Image
) -> None:
    """Write aside, then rename; the pictures carry their settings."""
    with tempfile.TemporaryDirectory(prefix=bundle.WORK, dir=directory) as work:
        staged = Path(work) / card.SHOWCASE
        for image, each in zip(images, settings, strict=True):
            generation.save_images([image], each, staged)
        grid.save(staged / card.GRID_FILE)
        shutil.rmtree(directory / card.SHOWCASE, ignore_errors=True)
        staged.rename(directory / card.SHOWCASE)
