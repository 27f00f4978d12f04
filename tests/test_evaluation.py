"""The paper's figures, against values worked out by hand."""

from pathlib import Path

import pytest
import torch

from trainer import evaluation
from trainer.errors import ModelError

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


def test_a_judge_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no CLIP can be loaded"):
        evaluation.load_judge(str(tmp_path))


def test_drift_is_of_the_same_prompt_and_seed() -> None:
    assert evaluation.language_drift(torch.stack([EAST, NORTH]), torch.stack([EAST, WEST])) == pytest.approx(
        0.5
    )
    assert evaluation.language_drift(EAST[None], EAST[None]) == pytest.approx(0)


def test_diversity_is_one_among_images_that_have_nothing_in_common() -> None:
    assert evaluation.diversity(torch.stack([EAST, NORTH])) == pytest.approx(1)
    assert evaluation.diversity(torch.stack([EAST, EAST, EAST])) == pytest.approx(0)


def test_a_sample_repeats_a_photo_when_it_is_nearer_to_it_than_any_two_photos_are() -> None:
    between = torch.nn.functional.normalize(EAST + NORTH, dim=0)  # 0.71 like EAST
    photos = torch.stack([EAST, between, WEST])
    near, less = (
        torch.nn.functional.normalize(WEST + share * torch.eye(3)[2], dim=0) for share in (0.9, 1.1)
    )
    assert evaluation.copied(torch.stack([EAST, near, less, -NORTH]), photos) == [0, 2, None, None]
