"""The labelled sheet: nothing cropped, nothing clipped, every image where its labels say."""

from itertools import pairwise

import numpy as np
import pytest
from PIL import Image

from trainer.grid import WHITE, labelled_grid

RED, GREEN, BLUE, GREY = (255, 0, 0), (0, 128, 0), (0, 0, 255), (128, 128, 128)


def block(colour: tuple[int, int, int], size: tuple[int, int] = (32, 32)) -> Image.Image:
    return Image.new("RGB", size, colour)


def box(sheet: Image.Image, colour: tuple[int, int, int]) -> tuple[int, int, int, int]:
    """left, top, right, bottom of what is painted in exactly this colour; right and bottom past the end."""
    ys, xs = np.nonzero((np.asarray(sheet) == colour).all(axis=2))
    return int(xs.min()), int(ys.min()), int(xs.max()) + 1, int(ys.max()) + 1


def is_background(strip: np.ndarray) -> bool:
    return bool((strip == WHITE).all())


def test_images_are_scaled_to_the_cell_and_stand_in_even_rows_and_columns() -> None:
    sheet = labelled_grid([("a", [block(RED), block(GREEN)]), ("b", [block(BLUE)])], ["one", "two"], cell=64)
    red, green, blue = box(sheet, RED), box(sheet, GREEN), box(sheet, BLUE)
    assert [(b[2] - b[0], b[3] - b[1]) for b in (red, green, blue)] == [(64, 64)] * 3
    assert (red[1], red[3]) == (green[1], green[3])
    assert (red[0], red[2]) == (blue[0], blue[2])
    assert green[0] - red[2] == blue[1] - red[3] == 4


def test_an_oblong_image_is_shown_whole_and_centred() -> None:
    sheet = labelled_grid([("", [block(RED, (80, 40)), block(BLUE)])], cell=64)
    red, cell = box(sheet, RED), box(sheet, BLUE)
    assert (red[2] - red[0], red[3] - red[1]) == (64, 32)
    assert red[1] - cell[1] == cell[3] - red[3] == 16


def test_top_rows_stand_above_the_column_labels() -> None:
    sheet = labelled_grid(
        [("base", [block(RED)])], ["a photo"], top_rows=[("photos", [block(GREEN)])], cell=64
    )
    green, red = box(sheet, GREEN), box(sheet, RED)
    between = np.asarray(sheet)[green[3] : red[1], green[0] : green[2]]
    assert not is_background(between)
    assert is_background(np.asarray(sheet)[: green[1]])


@pytest.mark.parametrize(
    "label", ["a photo of a furry teddy bear with a mountain in the background", "x" * 70]
)
def test_long_labels_are_wrapped_and_the_sheet_grows(label: str) -> None:
    short = labelled_grid([("row", [block(RED), block(RED)])], ["a", "b"], cell=64)
    sheet = labelled_grid([(label, [block(RED), block(BLUE)])], [label, "b"], cell=64)
    assert sheet.height > short.height
    pixels = np.asarray(sheet)
    assert all(is_background(edge) for edge in (pixels[:4], pixels[-4:], pixels[:, :4], pixels[:, -4:]))
    left, top, right, _ = box(sheet, RED)
    assert is_background(pixels[:, left - 3 : left])  # the row's label ends before its images
    assert is_background(pixels[:top, right + 1 : right + 4])  # a column's label stays in its column


def test_every_word_of_a_label_is_written() -> None:
    """The ink of a label is the ink of its words, however they are wrapped."""

    def ink(label: str) -> int:
        sheet = labelled_grid([("", [block(GREY)])], [label], cell=64)
        return int((255 - np.asarray(sheet.convert("L"))[: box(sheet, GREY)[1]].astype(int)).sum())

    words = ["mountain", "background", "teddy", "snow"]
    assert ink(" ".join(words)) == pytest.approx(sum(map(ink, words)), rel=0.01)
    assert [a < b for a, b in pairwise(ink(" ".join(words[:n])) for n in range(1, 5))] == [True] * 3


def test_images_of_any_mode_and_short_rows_are_taken() -> None:
    rows = [("", [Image.new("L", (8, 8), 100), Image.new("RGBA", (8, 8), BLUE)]), ("", [block(RED)])]
    sheet = labelled_grid(rows, cell=32)
    assert sheet.mode == "RGB"
    assert box(sheet, BLUE)[0] > box(sheet, RED)[0]
    assert is_background(np.asarray(sheet)[box(sheet, RED)[1] :, box(sheet, RED)[2] :])


def test_a_grid_without_images_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one image"):
        labelled_grid([("base", [])], ["a"])
