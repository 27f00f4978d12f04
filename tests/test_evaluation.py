"""The paper's figures, against values worked out by hand."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from trainer import evaluation, generation
from trainer.config import Concept, GenerationConfig
from trainer.errors import ModelError, PhotoError

EAST, NORTH, WEST = torch.eye(3)[0], torch.eye(3)[1], -torch.eye(3)[0]


def test_subject_fidelity_is_the_mean_over_all_pairs() -> None:
    samples, photos = torch.stack([EAST, NORTH]), torch.stack([EAST, EAST, WEST])
    assert evaluation.subject_fidelity(samples, photos) == pytest.approx((1 + 1 - 1 + 0 + 0 + 0) / 6)


def test_photo_to_photo_leaves_each_photo_itself_out() -> None:
    assert evaluation.photo_to_photo(torch.stack([EAST, EAST, NORTH])) == pytest.approx(2 / 6)
    with pytest.raises(AssertionError):
        evaluation.photo_to_photo(EAST[None])


def test_prompt_fidelity_pairs_each_sample_with_its_own_prompt() -> None:
    samples, prompts = torch.stack([EAST, NORTH]), torch.stack([EAST, WEST])
    assert evaluation.prompt_fidelity(samples, prompts) == pytest.approx(0.5)


def test_a_judge_that_is_not_there_or_no_clip(tmp_path: Path, sd1: Path) -> None:
    for folder in (tmp_path, tmp_path / "none", sd1, sd1 / "unet", sd1 / "text_encoder"):
        with pytest.raises(ModelError, match="no CLIP can be loaded"):
            evaluation.load_judge(str(folder))


def test_drift_is_of_the_same_prompt_and_seed() -> None:
    assert evaluation.language_drift(torch.stack([EAST, NORTH]), torch.stack([EAST, WEST])) == pytest.approx(
        0.5
    )
    assert evaluation.language_drift(EAST[None], EAST[None]) == pytest.approx(0)


def test_diversity_is_one_among_images_that_have_nothing_in_common() -> None:
    assert evaluation.diversity(torch.stack([EAST, NORTH])) == pytest.approx(1)
    assert evaluation.diversity(torch.stack([EAST, EAST, EAST])) == pytest.approx(0)


@pytest.mark.parametrize(
    ("kind", "neighbour"), [("a photo of a teddy bear", "dog"), ("a photo of a dog", "cat"), (None, "cat")]
)
def test_a_neighbour_is_of_another_class(kind: str | None, neighbour: str) -> None:
    of = "dog" if neighbour == "cat" else "toy"
    both = Concept(instance_data_dir=".", instance_prompt="a photo of a sks cat dog")
    assert evaluation.neighbour_of(both) == "a photo of a car"
    subject = Concept(instance_data_dir=".", instance_prompt=f"a photo of a sks {of}", class_prompt=kind)
    assert evaluation.neighbour_of(subject) == f"a photo of a {neighbour}"


def picture(colour: str) -> Image.Image:
    """The same noise for the same colour."""
    image = Image.new("RGB", (16, 16), colour)
    noise = np.random.default_rng(list(colour.encode())).integers(0, 256, (12, 12, 3), dtype=np.uint8)
    image.paste(Image.fromarray(noise), (2, 2))
    return image


def test_an_encoder_of_subjects_that_is_not_there_or_sees_nothing(
    tmp_path: Path, sd1: Path, judge: Path
) -> None:
    for folder in (tmp_path, tmp_path / "none", sd1, sd1 / "unet", sd1 / "text_encoder"):
        with pytest.raises(ModelError, match="no vision transformer can be loaded"):
            evaluation.load_judge(str(judge), str(folder))


def test_a_concept_s_figures_are_of_its_samples(judge: Path, subject_encoder: Path) -> None:
    clip = evaluation.load_judge(str(judge), str(subject_encoder))
    by_clip = evaluation.load_judge(str(judge))
    photos, texts = [picture("red"), picture("orange")], ["photo of dog", "dog"]
    painted = evaluation.Painted(
        base=[picture("blue"), picture("green")],
        concept=[picture("red"), picture("green")],
        base_class=[picture("blue"), picture("black")],
        concept_class=[picture("blue"), picture("white")],
        base_neighbour=[picture("green"), picture("white")],
        concept_neighbour=[picture("black"), picture("white")],
    )
    found = evaluation.evaluate(painted, photos, texts, by_clip)
    of_photos, of_texts = clip.embed_images(photos), clip.embed_texts(texts)
    seen = {
        name: clip.embed_images([picture(name)])[0] for name in ("red", "blue", "green", "black", "white")
    }
    assert found.dino is None and found.subject.photos == pytest.approx(
        float(of_photos[0] @ of_photos[1]), abs=1e-5
    )
    assert found.subject.concept == pytest.approx(
        float((torch.stack([seen["red"], seen["green"]]) @ of_photos.T).mean()), abs=1e-5
    )
    assert found.prompt == pytest.approx(
        float(seen["red"] @ of_texts[0] + seen["green"] @ of_texts[1]) / 2, abs=1e-5
    )
    assert found.drift == pytest.approx(float(1 - (1 + seen["white"] @ seen["black"]) / 2), abs=1e-5)
    assert found.neighbour_drift == pytest.approx(
        float(1 - (1 + seen["green"] @ seen["black"]) / 2), abs=1e-5
    )
    assert found.diversity == pytest.approx(float(1 - seen["blue"] @ seen["white"]), abs=1e-5)
    assert found.preservation == pytest.approx(
        float((torch.stack([seen["blue"], seen["white"]]) @ of_photos.T).mean()), abs=1e-5
    )
    assert found.copied == (0, None)
    both = evaluation.evaluate(painted, photos, texts, clip)
    assert both.clip_i == found.clip_i and both.prompt == found.prompt
    assert clip.subject is not None
    told = clip.subject.embed_images([*photos, *map(picture, ("green", "blue", "white", "black"))])
    assert told.shape == (6, 24) and both.dino == both.subject
    assert both.subject.photos == pytest.approx(float(told[0] @ told[1]), abs=1e-5)
    assert both.subject.concept == pytest.approx(float((told[[0, 2]] @ told[:2].T).mean()), abs=1e-5)
    assert both.subject.base == pytest.approx(float((told[[3, 2]] @ told[:2].T).mean()), abs=1e-5)
    assert both.preservation == pytest.approx(float((told[[3, 4]] @ told[:2].T).mean()), abs=1e-5)
    assert both.drift == pytest.approx(float(1 - (1 + told[4] @ told[5]) / 2), abs=1e-5)
    without = evaluation.evaluate(
        dataclasses.replace(painted, base_class=[], concept_class=[]), photos, texts, by_clip
    )
    assert (without.drift, without.preservation, without.diversity) == (None, None, None)
    with pytest.raises(PhotoError, match="at least two"):
        evaluation.evaluate(painted, photos[:1], texts, by_clip)


def test_base_and_concept_are_asked_the_same_at_the_same_seeds(full: Path) -> None:
    told: list[tuple[int, int]] = []
    painted = evaluation.paint(
        full, ["in the snow", "on the beach"], num_samples=2, on_step=lambda *d: told.append(d)
    )
    assert told == [(done, 6) for done in range(1, 7)] and painted.base_class == []
    assert len(painted.base_neighbour) == len(painted.concept_neighbour) == 2
    base, ours = generation.load_base(full), generation.load_concept(full)
    # its class was not told, so the base is asked the same, the second place without the medium; the third image is the second place's first
    asked = GenerationConfig(
        concept="x", prompt="sks dog on the beach", num_samples=1, seed=2, guidance_scale=7.5
    )
    for pipeline, images in ((base, painted.base), (ours, painted.concept)):
        assert len(images) == 4
        alone = np.asarray(generation.generate(pipeline, asked)[0]).astype(int)
        assert np.abs(alone - np.asarray(images[2]).astype(int)).max() <= 1
