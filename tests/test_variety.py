"""The same background, view and object are found; different ones are not."""

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFilter

from trainer.variety import SAME_BACKGROUND, SAME_OBJECT, agreement, compare, features


def room(seed: int) -> Image.Image:
    """A wall and a floor of their own colours, slightly uneven."""
    rng = np.random.default_rng(seed)
    image = Image.new("RGB", (400, 400), tuple(rng.integers(0, 256, 3).tolist()))
    ImageDraw.Draw(image).rectangle((0, 260, 400, 400), fill=tuple(rng.integers(0, 256, 3).tolist()))
    uneven = np.asarray(image, dtype=np.float32) + rng.normal(0, 3, (400, 400, 1))
    return Image.fromarray(uneven.clip(0, 255).astype(np.uint8))


def toy(seed: int) -> Image.Image:
    """A square thing with a pattern of its own."""
    rng = np.random.default_rng(1000 + seed)
    image = Image.new("RGB", (220, 220), "white")
    draw = ImageDraw.Draw(image)
    for _ in range(45):
        x, y = rng.integers(0, 220, 2).tolist()
        r = int(rng.integers(6, 26))
        draw.ellipse((x - r, y - r, x + r, y + r), fill=tuple(rng.integers(0, 256, 3).tolist()))
    return image.filter(ImageFilter.GaussianBlur(0.6))


def photo(
    place: int, thing: int, turn: float = 0, at: tuple[int, int] = (90, 90), scale: float = 1
) -> Image.Image:
    image = room(place)
    side = round(220 * scale)
    turned = toy(thing).resize((side, side)).convert("RGBA").rotate(turn, expand=True)
    image.paste(turned, at, turned)
    return image


def test_one_object_is_found_however_it_lies() -> None:
    first = features(photo(0, 0))
    for other in (photo(1, 0, 40), photo(2, 0, 170, (60, 60)), photo(3, 0, 0, (120, 60), 0.7)):
        assert agreement(first, features(other)).points >= SAME_OBJECT
    moved = agreement(first, features(photo(4, 0, 40)))
    assert abs(moved.turn) == pytest.approx(40, abs=3)
    assert moved.scale == pytest.approx(1, abs=0.05)


def test_different_objects_never_agree() -> None:
    pictures = [features(photo(0, thing)) for thing in range(6)]
    points = [agreement(one, other).points for one in pictures for other in pictures if one is not other]
    assert max(points) < SAME_OBJECT


def test_the_same_view_is_a_small_turn_of_the_same_size() -> None:
    first = features(photo(0, 0))
    assert agreement(first, features(photo(1, 0, 4, (100, 80)))).same_view
    assert not agreement(first, features(photo(1, 0, 60))).same_view
    assert not agreement(first, features(photo(1, 0, 0, (60, 60), 0.5))).same_view


def test_a_set_of_one_place_and_one_of_many() -> None:
    one_place = compare({str(thing): features(photo(0, thing, at=(60 + thing, 90))) for thing in range(5)})
    many = compare({str(place): features(photo(place, 0, 37 * place)) for place in range(5)})
    assert one_place.background is not None
    assert many.background is not None
    assert one_place.background > SAME_BACKGROUND > many.background
    assert (one_place.same_object, one_place.same_view) == ((), ())
    assert many.same_object == (("0", "1", "2", "3", "4"),)


def test_too_few_or_featureless_photos_say_nothing() -> None:
    plain = features(Image.new("RGB", (64, 64), "grey"))
    found = compare({"a": plain, "b": features(photo(0, 0))})
    assert (found.background, found.same_view, found.same_object) == (None, (), ())
    assert compare({}).background is None
    assert agreement(plain, plain).points == 0
