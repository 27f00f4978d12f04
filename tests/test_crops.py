"""What training cuts out of a photo, and the squares offered as remedies."""

from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import draw_photo
from PIL import Image

from trainer import crops, dataset


def test_crops_by_hand() -> None:
    centre = crops.crops(16, 21, 16, center_crop=True, hflip=False, most=5)
    assert centre == [crops.Crop(0, 2, False)]
    wide = crops.crops(16, 36, 16, center_crop=False, hflip=False, most=5)
    assert [(crop.top, crop.left) for crop in wide] == [(0, 0), (0, 5), (0, 10), (0, 15), (0, 20)]
    tall = crops.crops(18, 16, 16, center_crop=False, hflip=True, most=None)
    assert [(crop.top, crop.flip) for crop in tall] == [
        (0, False),
        (0, True),
        (1, False),
        (1, True),
        (2, False),
        (2, True),
    ]
    assert len(crops.crops(16, 16, 16, center_crop=False, hflip=False, most=5)) == 1


@pytest.mark.parametrize("size", [(40, 40), (97, 40), (40, 61), (200, 30)])
@pytest.mark.parametrize("center_crop", [True, False])
def test_the_preview_is_what_training_encodes(
    tmp_path: Path, size: tuple[int, int], center_crop: bool
) -> None:
    draw_photo(3, size).save(tmp_path / "a.png")
    (example,) = dataset.read_examples([tmp_path / "a.png"], "", 16)
    places = crops.crops(
        *example.pixels.shape[1:], 16, center_crop=center_crop, hflip=False, most=crops.CACHED_CROPS
    )
    shown = crops.preview(Image.open(tmp_path / "a.png"), 16, center_crop=center_crop)
    assert len(shown) == len(places) == (1 if center_crop or size == (40, 40) else 5)
    for square, place in zip(shown, places, strict=True):
        trained = (dataset.cut(example.pixels, place, 16) + 1) / 2 * 255
        assert torch.equal(trained.round().byte().permute(1, 2, 0), torch.from_numpy(np.array(square)))


def subject_at(x: int, y: int, size: tuple[int, int]) -> Image.Image:
    """A red ball on grass-like noise."""
    rng = np.random.default_rng(0)
    ground = rng.normal((90, 140, 60), 25, (size[1], size[0], 3)).clip(0, 255).astype(np.uint8)
    rows, columns = np.mgrid[: size[1], : size[0]]
    ground[(rows - y) ** 2 + (columns - x) ** 2 < 60**2] = (200, 30, 40)
    return Image.fromarray(ground)


@pytest.mark.parametrize("x", [80, 150, 300, 450, 520])
def test_the_smart_square_holds_the_subject(x: int) -> None:
    left, top, right, bottom = crops.smart_square(subject_at(x, 130, (600, 240)))
    assert (right - left, bottom - top, top) == (240, 240, 0)
    assert left + 60 <= x <= right - 60
    assert abs((left + right) / 2 - min(max(x, 120), 480)) <= 12
    left, top, right, bottom = crops.smart_square(subject_at(130, x, (240, 600)))
    assert top + 60 <= x <= bottom - 60


def test_squares_of_a_picture_where_nothing_stands_out() -> None:
    assert crops.smart_square(Image.new("RGB", (300, 100))) == (100, 0, 200, 100)
    assert crops.center_square(Image.new("RGB", (100, 301))) == (0, 100, 100, 200)
    assert crops.smart_square(Image.new("RGB", (64, 64))) == (0, 0, 64, 64)
