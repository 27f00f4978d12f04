"""What is looked at before anything is spent."""

from pathlib import Path
from typing import Any

import pytest

from trainer import dataset, models, photos, preparation
from trainer.config import TrainingConfig, training_config
from trainer.errors import ConfigError


def config(**changes: Any) -> TrainingConfig:
    settings: dict[str, Any] = {"instance_data_dir": "dogs", "instance_prompt": "a photo of sks dog"}
    return training_config(**(settings | changes))


def test_resolution_is_the_bases_own_or_a_multiple_of_its_factor(sd1: Path, sd2: Path) -> None:
    first, second = models.load_pipeline(str(sd1)), models.load_pipeline(str(sd2))
    assert preparation.training_resolution(config(), first) == 16
    assert preparation.training_resolution(config(), second) == 32
    assert preparation.training_resolution(config(resolution=64), second) == 64
    with pytest.raises(ConfigError, match="resolution: 34 px is not a multiple of 4"):
        preparation.training_resolution(config().model_copy(update={"resolution": 34}), second)


def test_examples_count_and_know_their_concept(photos: Path, class_photos: Path) -> None:
    own = dataset.read_examples(sorted(photos.iterdir()), "sks", 16)
    of_class = dataset.read_examples(sorted(class_photos.iterdir()), "dog", 16)
    examples = preparation.Examples()
    examples.add(own, of_class)
    examples.add(own[:2], of_class[:1])
    assert [(list(first), list(second)) for first, second in examples.members] == [
        ([0, 1, 2], [3, 4, 5, 6]),
        ([7, 8], [9]),
    ]
    assert examples.epoch() == 5
    assert "instance_data_dir[1]/001.png" in examples.fingerprints
    assert len(examples.fingerprints) == 10


def test_class_images_lie_where_asked_or_beside_the_concepts_by_key(sd1: Path, tmp_path: Path) -> None:
    def directory(resolution: int = 16, **changes: Any) -> Path:
        settings: dict[str, Any] = {
            "pretrained_model_name_or_path": str(sd1),
            "with_prior_preservation": True,
            "class_prompt": "a photo of a dog",
            "output_dir": str(tmp_path / "concept"),
        }
        (found,) = preparation.class_directories(config(**settings | changes), resolution)
        return found

    assert directory(class_data_dir="mine") == Path("mine")
    shared = directory()
    assert shared.parent == tmp_path / "class_images"
    assert directory(output_dir=str(tmp_path / "another"), learning_rate=1e-3) == shared
    assert len({shared, directory(32), directory(seed=1), directory(class_prompt="a photo of a cat")}) == 4


def test_missing_class_images_are_told_apart_from_enough(class_photos: Path) -> None:
    settings = config(with_prior_preservation=True, class_prompt="a dog", num_class_images=4)
    (found,) = preparation.read_classes(settings, [class_photos], 16) or []
    assert [example.path for example in found] == photos.list_photos(class_photos)
    assert {example.prompt for example in found} == {"a dog"}
    more = settings.model_copy(update={"num_class_images": 5})
    assert preparation.read_classes(more, [class_photos], 16) is None
