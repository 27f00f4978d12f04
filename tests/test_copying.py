"""trainer/copying.py on the example's photos, and on what has nothing to be found again."""

from pathlib import Path

import numpy as np
import pytest
from bench_copying import ALTERED
from PIL import Image

from trainer import copying, photos
from trainer.copying import Originals

ROOT = Path(__file__).parent.parent


def taken(example: str) -> list[Image.Image]:
    return [
        photos.open_photo(path)
        for path in photos.list_photos(ROOT / "examples" / example / "instance_images")
    ]


@pytest.fixture(scope="module")
def bear() -> list[Image.Image]:
    return taken("teddy-bear")


def test_a_copy_is_found_however_it_was_altered(bear: list[Image.Image]) -> None:
    originals = Originals(bear)
    for name, alter in ALTERED.items():
        copies = [alter(photo).resize((128, 128)) for photo in bear]
        assert originals.copied(copies) == list(range(len(bear))), name


@pytest.mark.parametrize("example", ["teddy-bear", "toadstool-teapot", "two-ink-print"])
def test_another_photo_of_the_subject_repeats_none(example: str) -> None:
    own = taken(example)
    for index, other in enumerate(own):
        assert Originals(own[:index] + own[index + 1 :]).copied([other]) == [None]


def test_a_square_out_of_a_wide_photo_is_found(bear: list[Image.Image]) -> None:
    wide = Image.new("RGB", (1200, 600))
    for left, photo in enumerate(bear[:2]):
        wide.paste(photo.resize((600, 600)), (600 * left, 0))
    originals = Originals([*bear[3:], wide])
    assert originals.copied([wide.crop((350, 0, 950, 600)), bear[2]]) == [len(bear) - 3, None]


def test_photos_that_show_the_same_do_not_hide_a_copy(bear: list[Image.Image]) -> None:
    again = ALTERED["zoomed by a tenth"](bear[0])
    found = Originals([bear[0], again, bear[0].transpose(Image.Transpose.FLIP_LEFT_RIGHT)]).copied(bear[:2])
    assert found == [0, None]
    assert Originals([bear[0]]).copied(bear[:2]) == [0, None]  # nor has an only photo others


def test_where_nothing_can_be_found_again_nothing_is_a_copy(bear: list[Image.Image]) -> None:
    flat = [Image.new("RGB", (64, 64), color) for color in ("white", "black")]
    assert Originals(flat).copied([*flat, bear[0]]) == [None] * 3
    assert Originals(bear).apart(flat).min() == 1
    assert Originals([*flat, bear[0]]).copied([*flat, bear[0]]) == [None, None, 2]


def gradient(upwards: bool) -> Image.Image:
    """A ground that darkens evenly, with a speck on it."""
    lightness = np.linspace(60, 255, 96)[:: -1 if upwards else 1, None].repeat(96, axis=1)
    lightness[20:28, 60:70] = 0 if upwards else 255
    return Image.fromarray(lightness.astype(np.uint8)).convert("RGB")


def test_distances_are_between_none_and_all_of_it(bear: list[Image.Image]) -> None:
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (128, 128, 3), dtype=np.uint8))
    distances = Originals([*bear, gradient(True)]).apart([bear[0], noise, gradient(False)])
    assert distances.shape == (3, len(bear) + 1) and distances[0].argmin() == 0
    assert 0 <= distances.min() < 0.01 and distances.max() <= 1
    assert distances[1].min() > copying.ONE
    assert distances[2, -1] > 0.8  # though all of the ground slopes one way, or just the other


def test_a_ground_that_darkens_evenly_is_nothing_to_be_repeated(bear: list[Image.Image]) -> None:
    def on_the_ground(subject: Image.Image) -> Image.Image:
        ground = gradient(True).resize((128, 128))
        ground.paste(subject.resize((64, 64)), (32, 50))
        return ground

    photos_of_it = [on_the_ground(photo.crop((200, 200, 600, 600))) for photo in bear[:3]]
    other = on_the_ground(bear[4].crop((200, 200, 600, 600)))
    assert Originals(photos_of_it).copied([other, *photos_of_it]) == [None, 0, 1, 2]
