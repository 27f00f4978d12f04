"""Before training: the base as configured, the photos, the class images."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from diffusers import StableDiffusionPipeline

from trainer import dataset, generation, models, photos
from trainer.concept import OnEvent
from trainer.config import TrainingConfig
from trainer.errors import ConfigError, PhotoError
from trainer.generation import ShouldStop

CLASS_IMAGES = "class_images"


@dataclass
class Examples:
    """All that is learnt from: `members` are each concept's (instance indices, class indices) into `all`."""

    all: list[dataset.Example] = field(default_factory=list)
    members: list[tuple[range, range]] = field(default_factory=list)
    fingerprints: dict[str, str] = field(default_factory=dict)

    def add(self, instances: list[dataset.Example], classes: list[dataset.Example]) -> None:
        """Add one concept."""
        number, first = len(self.members), len(self.all)
        middle = first + len(instances)
        self.all += instances + classes
        self.members.append((range(first, middle), range(middle, len(self.all))))
        self.fingerprints |= dataset.fingerprints(instances, f"instance_data_dir[{number}]")
        self.fingerprints |= dataset.fingerprints(classes, f"class_data_dir[{number}]")

    def epoch(self) -> int:
        """Examples in one pass, counted as diffusers' script does: the more numerous of photos and class images."""
        return max(sum(len(group) for group in side) for side in zip(*self.members, strict=True))


def check_photos(config: TrainingConfig) -> None:
    """What can be known before anything is loaded. Raises PhotoError for a folder without photos."""
    for each in config.concepts:
        if not photos.list_photos(each.instance_data_dir):
            raise PhotoError(f"{each.instance_data_dir}: no photos; put at least one there, better 4 to 20")


def load_base(config: TrainingConfig, **components: Any) -> StableDiffusionPipeline:
    """The base model as configured, float32, frozen. `components` take the place of its own parts."""
    pipeline = models.load_pipeline(
        config.pretrained_model_name_or_path,
        revision=config.revision,
        variant=config.variant,
        pretrained_vae_name_or_path=config.pretrained_vae_name_or_path,
        tokenizer_name=config.tokenizer_name,
        **components,
    )
    models.freeze(pipeline.unet, pipeline.vae, pipeline.text_encoder)
    return pipeline


def training_resolution(config: TrainingConfig, pipeline: StableDiffusionPipeline) -> int:
    """The configured side in pixels, or the base's own. Raises ConfigError where the autoencoder cannot take it."""
    factor = models.vae_factor(pipeline)
    resolution = config.resolution or models.base_resolution(pipeline)
    if resolution % factor:
        raise ConfigError(f"resolution: {resolution} px is not a multiple of {factor}, which this base needs")
    return resolution


def read_instances(config: TrainingConfig, resolution: int) -> list[list[dataset.Example]]:
    """Every concept's photos. Raises PhotoError for the first that cannot be used."""
    captions = config.read_prompts_from_txts
    return [
        dataset.read_examples(
            photos.list_photos(each.instance_data_dir), each.instance_prompt, resolution, captions=captions
        )
        for each in config.concepts
    ]


def class_directories(config: TrainingConfig, resolution: int) -> list[Path]:
    """Where each concept's class images are: as configured, or beside the concepts, shared by base and class."""
    return [
        Path(each.class_data_dir)
        if each.class_data_dir
        else generation.class_images_directory(
            Path(config.output_dir).resolve().parent / CLASS_IMAGES,
            base=config.pretrained_model_name_or_path,
            revision=config.revision,
            variant=config.variant,
            vae=config.pretrained_vae_name_or_path,
            class_prompt=each.class_prompt or "",
            resolution=resolution,
            seed=config.seed,
            guidance_scale=config.class_guidance_scale,
        )
        for each in config.concepts
    ]


def make_class_images(
    config: TrainingConfig,
    pipeline: StableDiffusionPipeline,
    directories: list[Path],
    resolution: int,
    on_event: OnEvent,
    should_stop: ShouldStop,
) -> None:
    """Have the base make what is missing in each concept's class folder; stops early once `should_stop()` is true."""
    for each, directory in zip(config.concepts, directories, strict=True):
        generation.class_images(
            pipeline,
            each.class_prompt or "",
            config.num_class_images,
            directory,
            batch_size=config.sample_batch_size,
            resolution=resolution,
            seed=config.seed,
            guidance_scale=config.class_guidance_scale,
            instance_data_dirs=[other.instance_data_dir for other in config.concepts],
            on_event=on_event,
            should_stop=should_stop,
        )


def read_classes(
    config: TrainingConfig, directories: list[Path], resolution: int
) -> list[list[dataset.Example]] | None:
    """Every concept's class images, or None where some are missing (their making was stopped)."""
    found = []
    for each, directory in zip(config.concepts, directories, strict=True):
        paths = photos.list_photos(directory)[: config.num_class_images]
        if len(paths) < config.num_class_images:
            return None
        found.append(
            dataset.read_examples(
                paths,
                each.class_prompt or "",
                resolution,
                captions=config.read_prompts_from_txts,
                caption_required=False,
            )
        )
    return found
