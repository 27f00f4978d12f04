"""Judging checkpoints while training: fixed prompts and seeds, painted with the weights as they are."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from diffusers import StableDiffusionPipeline
from PIL import Image
from torch import Tensor, nn

from trainer import choice, concept, copying, evaluation, photos, prompting
from trainer.choice import Judged, Report, Yardstick
from trainer.config import TrainingConfig
from trainer.errors import ModelError
from trainer.previews import Painter

# Of the paper's prompts for objects (section 4.1): places far from each other, and from where people take photos; none, where a
# concept that repeats its photos is found out; and those where people take them, likewise.
PLACES = (
    "in the snow",
    "in the jungle",
    "",
    "floating on top of water",
    "with the Eiffel Tower in the background",
    "on top of green grass with sunflowers around it",
    "on the beach",
    "on a cobblestone street",
    "on top of a purple rug in a forest",
    "on top of a wooden floor",
)
SHORT = 5  # of them, in a run that has no time for ENOUGH exams: with so few pictures chance has a say in which step is best
ENOUGH = 3
STEPS = 7  # denoising steps: enough to tell one checkpoint from another, not to be shown
# Images of the class alone, by which drift is told, and their steps: how far a class has moved differs more from seed to seed
# (0.1 to 0.7 on one concept) than from 4 steps to 8 of the same seed.
CLASS_SEEDS = 4
CLASS_STEPS = 4
SHARE = 0.15  # of a run, at most, is spent on judging
EXAMPLE_COST = 4  # of training on one example, in forward passes: forward, backward (two), all the rest


def encoder_of(config: TrainingConfig) -> str | None:
    """The CLIP that judges: as configured, or the base's own; None where there is neither."""
    return config.evaluation_encoder or _own(config, "clip")


def subject_encoder_of(config: TrainingConfig) -> str | None:
    """What tells the subject from others of its kind, likewise."""
    return config.subject_encoder or _own(config, "subject_encoder")


def _own(config: TrainingConfig, name: str) -> str | None:
    folder = Path(config.pretrained_model_name_or_path) / name
    return str(folder) if folder.is_dir() else None


@dataclass(frozen=True)
class Plan:
    """What is asked, and at which steps, none where there is no time for one; `cost` of all of it, the base's too, in training steps
    of one process, for which the others wait."""

    places: tuple[str, ...]
    steps: list[int]
    cost: float


def plan(config: TrainingConfig, total: int, count: int | None = None) -> Plan:
    """Of a run of `total` steps: of the checkpoints and the end as many as SHARE allows, the later ones rather.

    `count` places are asked, or as many as leave time for ENOUGH exams, fewer where there are fewer checkpoints. Counted without
    a clock, so that a run that was resumed judges the same steps."""
    steps = sorted({*range(config.checkpointing_steps, total, config.checkpointing_steps), total})

    def exams(pictures: int) -> int:
        return int(SHARE * total / _cost(config, pictures)) - 1  # the base's is one too

    if count is None:
        count = len(PLACES) if exams(len(PLACES)) >= min(ENOUGH, len(steps)) else SHORT
    sat = min(exams(count), len(steps))
    if sat < 1:
        return Plan(PLACES[:count], [], 0.0)
    stride = len(steps) / sat
    judged = [steps[len(steps) - 1 - round(index * stride)] for index in reversed(range(sat))]
    return Plan(PLACES[:count], judged, (sat + 1) * _cost(config, count))


def _cost(config: TrainingConfig, pictures: int) -> float:
    """Of one exam, in training steps; counted in forward passes: guidance takes two for each denoising step."""
    examples = config.train_batch_size * config.gradient_accumulation_steps
    step = EXAMPLE_COST * examples * (1 + config.with_prior_preservation)
    of_class = CLASS_STEPS * CLASS_SEEDS if config.concepts[0].class_prompt else 0
    return 2 * (STEPS * pictures + of_class) / step


def begin(
    config: TrainingConfig,
    pipeline: StableDiffusionPipeline,
    resolution: int,
    total: int,
    log: Callable[[str], None],
) -> "Exam | None":
    """An exam of a run of `total` steps, the base having sat it; None where nothing is judged, which is logged where it
    was meant to be."""
    name = encoder_of(config)
    if config.keep == "last" or name is None:
        return None
    planned = plan(config, total, _asked_before(config))
    if not planned.steps:
        log(f"the last step is kept, unjudged: judging would take more than {SHARE:.0%} of so short a run")
        return None
    taken = photos.list_photos(config.concepts[0].instance_data_dir)
    if len(config.concepts) > 1 or len(taken) < 2:
        log("the last step is kept, unjudged: that takes one subject and at least two photos of it")
        return None
    try:
        judge = evaluation.load_judge(name, subject_encoder_of(config))
    except ModelError as error:
        log(f"the last step is kept, unjudged: {error}")
        return None
    return Exam(config, pipeline, resolution, judge, [photos.open_photo(path) for path in taken], planned)


def _asked_before(config: TrainingConfig) -> int | None:
    """How many places the run that goes on here was asked for: it may be longer now, and its figures are to be compared."""
    known = choice.read(Path(config.output_dir) / choice.WAITING)
    count = len(known.places) if known else 0
    asked = tuple(prompting.shown(config.concepts[0].instance_prompt, PLACES[:count]))
    return count if known and known.places == asked else None


def make_room(directory: Path, *, resumed: bool) -> None:
    """For the report that waits, beside the concept's own, until there are weights to it: anew, or where it was left."""
    waiting = directory / choice.WAITING
    if not resumed:
        concept.remove(waiting)
    if (directory / choice.FILE).is_file() and not waiting.is_dir():
        waiting.mkdir()
        if resumed:  # what was learnt until a stop is published, and what was found of it
            choice.copy(directory, waiting)


class Exam:
    """What every checkpoint is asked, what the base answered, and what each was found to be worth."""

    def __init__(
        self,
        config: TrainingConfig,
        pipeline: StableDiffusionPipeline,
        resolution: int,
        judge: evaluation.Judge,
        taken: list[Image.Image],
        planned: Plan,
    ) -> None:
        self.judge, self.directory = judge, Path(config.output_dir) / choice.WAITING
        self.steps, places = planned.steps, planned.places
        self.subject, kind = config.concepts[0].instance_prompt, config.concepts[0].class_prompt
        self.shown = tuple(prompting.shown(self.subject, places))
        asked, of_base = map(list, zip(*prompting.asked(config.concepts[0], places), strict=True))
        # CLIP knows no identifier; where the class was not told either, it has to read past one
        self.texts = judge.embed_texts(of_base)
        self.photos, self.originals = judge.embed_subjects(taken), copying.Originals(taken)
        self.seeds = [config.seed + index for index in range(max(len(places), CLASS_SEEDS))]

        def painter(prompts: list[str], num_inference_steps: int, *, train_text_encoder: bool) -> Painter:
            return Painter(
                pipeline,
                resolution,
                prompts,
                train_text_encoder=train_text_encoder,
                guidance_scale=config.validation_guidance_scale,
                num_inference_steps=num_inference_steps,
            )

        alone = [kind] * CLASS_SEEDS if kind else []
        yard = painter(of_base, STEPS, train_text_encoder=False)
        class_yard = painter(alone, CLASS_STEPS, train_text_encoder=False)
        self.painter = painter(asked, STEPS, train_text_encoder=config.train_text_encoder)
        self.class_painter = painter(alone, CLASS_STEPS, train_text_encoder=config.train_text_encoder)
        painted = yard.paint(pipeline.unet, None, self.seeds[: len(self.shown)])
        self.base_class = (
            judge.embed_subjects(class_yard.paint(pipeline.unet, None, self.seeds[:CLASS_SEEDS]))
            if kind
            else None
        )
        self.yardstick = Yardstick(
            photo_to_photo=evaluation.photo_to_photo(self.photos),
            base_subject=evaluation.subject_fidelity(judge.embed_subjects(painted), self.photos),
            base_prompt=evaluation.prompt_fidelity(judge.embed_images(painted), self.texts),
            drift_bound=None if self.base_class is None else evaluation.diversity(self.base_class),
            base_preservation=self._preservation(self.base_class),
        )
        self.judged: list[Judged] = []

    def resume(self, step: int) -> bool:
        """Take up what was found of steps up to this one; False where something else was asked, or of something else."""
        known = choice.read(self.directory)
        if known is None:
            return True
        if (known.subject, known.places) != (self.subject, self.shown) or not known.yardstick.same(
            self.yardstick
        ):
            return False
        self.yardstick = known.yardstick
        self.judged = [each for each in known.judged if each.step <= step]
        return True

    @property
    def report(self) -> Report | None:
        """What was found so far; None before anything was judged."""
        return Report(self.yardstick, self.subject, self.shown, tuple(self.judged)) if self.judged else None

    def sit(self, unet: nn.Module, text_encoder: nn.Module | None, step: int) -> Judged:
        """Judge the weights as they are; the images and the figures are written."""
        images = self.painter.paint(unet, text_encoder, self.seeds[: len(self.shown)])
        of_class = self.class_painter.paint(unet, text_encoder, self.seeds[:CLASS_SEEDS])
        folder = self.directory / choice.IMAGES
        folder.mkdir(parents=True, exist_ok=True)
        for index, image in enumerate(images + of_class):
            image.save(folder / f"{step:06d}-{index}.png")
        self.judged.append(self._figures(images, of_class, step))
        assert self.report is not None
        concept.replace_text(self.directory / choice.FILE, self.report.text())
        return self.judged[-1]

    def _figures(self, images: list[Image.Image], of_class: list[Image.Image], step: int) -> Judged:
        subjects, by_clip = self.judge.embed_subjects(images), self.judge.embed_images(images)
        class_alone, drift = None, None
        if self.base_class is not None:
            class_alone = self.judge.embed_subjects(of_class)
            drift = evaluation.language_drift(class_alone, self.base_class)
        return Judged(
            step=step,
            subject=evaluation.subject_fidelity(subjects, self.photos),
            prompt=evaluation.prompt_fidelity(by_clip, self.texts),
            drift=drift,
            copied=tuple(photo for photo in self.originals.copied(images) if photo is not None),
            samples=len(images),
            preservation=self._preservation(class_alone),
        )

    def _preservation(self, class_alone: Tensor | None) -> float | None:
        return None if class_alone is None else evaluation.subject_fidelity(class_alone, self.photos)
