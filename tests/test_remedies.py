"""Every remedy changes the file that training reads, and every one can be taken back."""

import json
from pathlib import Path

import numpy as np
import pytest
from pictures import save, scene
from PIL import Image

from trainer import crops, remedies
from trainer.errors import PhotoError
from trainer.photos import dismiss, import_photos, list_photos, open_photo, review


@pytest.fixture
def album(tmp_path: Path) -> Path:
    """A square photo, a very wide one, and one that is transparent in its left half."""
    half = scene(2, (160, 160)).convert("RGBA")
    half.paste((0, 0, 0, 0), (0, 0, 80, 160))
    files = [
        save(tmp_path / "square.png", scene(0)),
        save(tmp_path / "wide.png", scene(1, (640, 160))),
        save(tmp_path / "half.png", half),
    ]
    import_photos(files, tmp_path / "photos")
    return tmp_path / "photos"


def pixels(album: Path, name: str) -> np.ndarray:
    return np.asarray(open_photo(album / name))


def codes(album: Path, number: int) -> list[str]:
    return [finding.code for finding in review(album).photos[number].findings]


def test_a_dropped_photo_is_out_of_the_set_and_comes_back(album: Path) -> None:
    before = (album / "000.png").read_bytes()
    remedies.drop(album, "000.png")
    assert [path.name for path in list_photos(album)] == ["001.png", "002.png"]
    report = review(album)
    assert [seen.name for seen in report.dropped] == ["square.png"]
    assert [photo.name for photo in report.photos] == ["wide.png", "half.png"]
    remedies.restore(album, "000.png")
    assert (album / "000.png").read_bytes() == before
    assert review(album).dropped == ()


def test_a_dropped_photos_number_is_not_given_again(album: Path, tmp_path: Path) -> None:
    remedies.drop(album, "002.png")
    (report,) = import_photos([save(tmp_path / "new.png", scene(9))], album)
    assert report.stored == "003.png"


def test_crops_replace_one_another_and_mend_the_shape(album: Path) -> None:
    before = (album / "001.png").read_bytes()
    assert codes(album, 1) == ["elongated"]
    whole = open_photo(album / "001.png")
    remedies.center_crop(album, "001.png")
    assert np.array_equal(pixels(album, "001.png"), np.asarray(whole.crop((240, 0, 400, 160))))
    assert codes(album, 1) == []
    remedies.smart_crop(album, "001.png")
    assert np.array_equal(pixels(album, "001.png"), np.asarray(whole.crop(crops.smart_square(whole))))
    photo = review(album).photos[1]
    assert (photo.remedies, photo.width, photo.name) == (("smart_crop",), 160, "wide.png")
    remedies.restore(album, "001.png")
    assert (album / "001.png").read_bytes() == before
    assert review(album).photos[1].remedies == ()


def test_a_colour_behind_what_is_transparent(album: Path) -> None:
    assert codes(album, 2) == ["transparent"]
    assert pixels(album, "002.png")[80, 20].tolist() == [255, 255, 255]
    remedies.flatten(album, "002.png", "#204060")
    assert pixels(album, "002.png")[80, 20].tolist() == [32, 64, 96]
    assert codes(album, 2) == []
    remedies.center_crop(album, "002.png")
    remedies.flatten(album, "002.png")
    assert review(album).photos[2].remedies == ("flatten #ffffff", "center_crop")
    assert pixels(album, "002.png")[80, 20].tolist() == [255, 255, 255]
    remedies.restore(album, "002.png")
    assert codes(album, 2) == ["transparent"]
    remedies.drop(album, "002.png")
    remedies.restore(album, "002.png")
    assert open_photo(album / "002.png").mode == "RGB"


def test_a_hand_made_jpeg_with_exif_is_cut_upright(album: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    before = save(album / "mine.jpg", scene(5, (160, 640)), exif=exif, quality=95).read_bytes()
    review(album)
    upright = open_photo(album / "mine.jpg")
    remedies.center_crop(album, "mine.jpg")
    assert np.array_equal(pixels(album, "mine.jpg"), np.asarray(upright.crop((240, 0, 400, 160))))
    remedies.restore(album, "mine.jpg")
    assert (album / "mine.jpg").read_bytes() == before


def test_a_changed_photo_is_asked_about_again(album: Path) -> None:
    review(album, 512)
    dismiss(album, "001.png:small")
    assert codes(album, 1) == ["elongated"]
    remedies.center_crop(album, "001.png")
    (finding,) = review(album, 512).photos[1].findings
    assert (finding.id, finding.dismissed) == ("001.png:small", False)


@pytest.mark.parametrize(
    "name", ["009.png", "../000.png", "/etc/passwd", "", ".originals/002.png", "report.json"]
)
def test_only_photos_of_the_set_are_touched(album: Path, name: str) -> None:
    before = sorted(path.read_bytes() for path in album.rglob("*.png"))
    for remedy in (
        remedies.drop,
        remedies.center_crop,
        remedies.smart_crop,
        remedies.flatten,
        remedies.restore,
    ):
        with pytest.raises(PhotoError, match="there is no such photo in this concept: load the page again"):
            remedy(album, name)
    assert sorted(path.read_bytes() for path in album.rglob("*.png")) == before


def test_what_is_no_colour_is_refused(album: Path) -> None:
    with pytest.raises(PhotoError, match="that is no colour: give a name, or #rrggbb"):
        remedies.flatten(album, "002.png", "<b>")


def test_the_report_keeps_what_was_done(album: Path) -> None:
    remedies.center_crop(album, "001.png")
    stored = json.loads((album / "report.json").read_text(encoding="utf-8"))
    assert [photo["remedies"] for photo in stored["photos"]] == [[], ["center_crop"], []]
