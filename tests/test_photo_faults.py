"""What a user reads when photos go wrong: an upload taken in, stored and reviewed as a page does it."""

import io
import struct
import subprocess
import zipfile
import zlib
from pathlib import Path

import pytest
from pictures import save, scene
from PIL import Image

from trainer import pixels
from trainer.archives import collect
from trainer.errors import PhotoError
from trainer.gate import SetReport
from trainer.photos import import_photos, review
from trainer.verdicts import PhotoReport


class Album:
    """A concept's photos, as a page sees them."""

    def __init__(self, root: Path) -> None:
        self.directory = root / "instance_images"
        self.temporary = root / "temporary"
        self.directory.mkdir()
        self.temporary.mkdir()

    def bring(self, *files: Path) -> SetReport:
        found = collect(files, self.temporary, already=len(list(self.directory.glob("*.png"))))
        import_photos(found.photos, self.directory, 128, refused=found.refused)
        return review(self.directory, 128)


@pytest.fixture
def album(tmp_path: Path) -> Album:
    return Album(tmp_path)


@pytest.fixture
def good(tmp_path: Path) -> Path:
    return save(tmp_path / "good.png", scene(99))


def header_only(width: int, height: int) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"") + chunk(b"IEND", b"")


def refused(report: SetReport) -> dict[str, str]:
    return {photo.name: photo.reasons[0] for photo in report.refused_uploads}


def only(report: SetReport) -> PhotoReport:
    (photo,) = report.photos
    return photo


def test_1_no_photos(album: Album) -> None:
    with pytest.raises(
        PhotoError, match=r"^no photos: bring 5 to 20 of a subject, 10 to 60 of a style, or a zip"
    ):
        album.bring()
    assert review(album.directory).summary.startswith("Blocked: no photos: bring 5 to 20")


def test_2_a_text_file_named_png(album: Album, good: Path, tmp_path: Path) -> None:
    (tmp_path / "notes.png").write_text("no picture")
    report = album.bring(tmp_path / "notes.png", good)
    assert refused(report)["notes.png"].startswith("no photo in a format read here (JPEG, PNG")
    assert only(report).name == "good.png"


def test_3_a_truncated_jpeg(album: Album, good: Path, tmp_path: Path) -> None:
    path = save(tmp_path / "cut.jpg", scene(1, (400, 400)))
    path.write_bytes(path.read_bytes()[:-2000])
    report = album.bring(path, good)
    assert refused(report) == {"cut.jpg": "damaged or cut off: copy or download it again"}
    assert only(report).name == "good.png"


@pytest.mark.parametrize(
    ("side", "text"),
    [
        (13_000, "13000 x 13000 px is too large, at most 64 megapixels: scale it down, 2048 px are plenty"),
        (60_000, "too large, at most 64 megapixels: scale it down, 2048 px are plenty"),
    ],
)
def test_4_and_5_a_picture_of_too_many_pixels(album: Album, tmp_path: Path, side: int, text: str) -> None:
    (tmp_path / "bomb.png").write_bytes(header_only(side, side))
    assert refused(album.bring(tmp_path / "bomb.png")) == {"bomb.png": text}


def test_6_too_small_and_extreme_shape(album: Album, tmp_path: Path) -> None:
    sizes = {"dot.png": (1, 1), "strip.png": (40, 4000)}
    report = album.bring(*(save(tmp_path / name, Image.new("RGB", size)) for name, size in sizes.items()))
    assert refused(report) == {
        "dot.png": "too small: 1 x 1 px, each side needs 64 px: bring a larger one",
        "strip.png": "too small: 40 x 4000 px, each side needs 64 px: bring a larger one",
    }
    assert report.refused_uploads[1].reasons[1].startswith("extreme shape: 40 x 4000 px")


def test_7_a_turned_photo(album: Album, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    exif.get_ifd(0x8825)[1] = "N"
    photo = only(album.bring(save(tmp_path / "turned.jpg", scene(1, (200, 160)), exif=exif)))
    assert (photo.width, photo.height) == (160, 200)
    assert photo.notes == ("turned upright, as its EXIF says", "its EXIF says where it was taken: not kept")
    with Image.open(album.directory / "000.png") as stored:
        assert (stored.size, len(stored.getexif())) == ((160, 200), 0)


def test_8_modes_and_transparency(album: Album, tmp_path: Path) -> None:
    cmyk = save(tmp_path / "cmyk.jpg", scene(1).convert("CMYK"))
    holed = scene(2).convert("RGBA")
    holed.paste((0, 0, 0, 0), (0, 0, 60, 60))
    report = album.bring(cmyk, save(tmp_path / "holed.png", holed))
    assert report.photos[0].verdict == "ok"
    assert report.photos[1].reasons == (
        "transparent in parts, which become white: put a background behind it if white is wrong, "
        "or say that white is right",
    )
    for photo in report.photos:
        with Image.open(album.directory / photo.key) as stored:
            assert stored.mode == "RGB"


@pytest.mark.parametrize("suffix", ["gif", "webp"])
def test_9_an_animation(album: Album, tmp_path: Path, suffix: str) -> None:
    frames = [scene(1), scene(2)]
    path = save(tmp_path / f"moving.{suffix}", frames[0], save_all=True, append_images=frames[1:])
    assert only(album.bring(path)).reasons == (
        "has several frames, only the first is used: save the best one as a photo of its own",
    )


def test_10_a_phones_heic(album: Album, tmp_path: Path) -> None:
    pixels.formats()  # registers the writer
    photo = only(album.bring(save(tmp_path / "IMG_1.HEIC", scene(1), format="HEIF", quality=95)))
    assert (photo.name, photo.verdict) == ("IMG_1.HEIC", "ok")


@pytest.mark.parametrize(
    "content", [b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\nshowpage", b"<svg/>", b"<html></html>"]
)
def test_11_other_things_named_jpg(
    album: Album, tmp_path: Path, content: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subprocess, "Popen", None)  # Ghostscript would have to be started
    (tmp_path / "a.jpg").write_bytes(content)
    text = refused(album.bring(tmp_path / "a.jpg"))["a.jpg"]
    assert text.startswith("no photo in a format read here")
    assert text.endswith("save it as JPEG or PNG")


def test_12_one_photo_twenty_times(album: Album, tmp_path: Path) -> None:
    files = [save(tmp_path / f"{index}.jpg", scene(1), quality=60 + index) for index in range(20)]
    report = album.bring(*files)
    assert (report.gate, report.distinct) == ("attention", 1)
    assert report.summary.startswith("Needs attention: only 1 distinct photo: bring 5 to 20")
    same = "nearly the same picture as 0.jpg: keep one of the two, and bring another view"
    assert all(same in photo.reasons for photo in report.photos[1:])


def test_13_a_zip_that_points_outside(album: Album, tmp_path: Path) -> None:
    stream = io.BytesIO()
    scene(1).save(stream, "PNG")
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("../evil.png", stream.getvalue())
        archive.writestr("good.png", stream.getvalue())
    report = album.bring(tmp_path / "a.zip")
    assert refused(report) == {".._evil.png": "points outside the zip: not read"}
    assert only(report).name == "good.png"
    written = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.png")}
    assert written == {"temporary/0000.png", "instance_images/000.png"}


def test_14_a_zip_bomb_and_a_zip_in_a_zip(album: Album, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("bomb.png", bytes(5_000_000))
        archive.writestr("inner.zip", b"PK")
    texts = refused(album.bring(tmp_path / "a.zip"))
    assert texts["bomb.png"].startswith("grows ")
    assert texts["bomb.png"].endswith(" times when unpacked, no photo does: not read")
    assert texts["inner.zip"].startswith("an archive inside the zip: put the photos in one zip")
    assert list(album.temporary.iterdir()) == []


def test_15_a_zip_of_ten_thousand_entries(album: Album, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for index in range(10_000):
            archive.writestr(f"{index}.png", b"")
    with pytest.raises(PhotoError, match=r"^a\.zip: 10000 entries, at most 1000: zip the photos alone$"):
        album.bring(tmp_path / "a.zip")


def test_16_strange_names(album: Album, tmp_path: Path) -> None:
    stream = io.BytesIO()
    scene(1).save(stream, "PNG")
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for name in ("<img src=x>.png", "photo\u202egnp.png", "x" * 396 + ".png"):
            archive.writestr(name, stream.getvalue())
    report = album.bring(tmp_path / "a.zip")
    assert [photo.name for photo in report.photos] == [
        "_img src=x_.png",
        "photo_gnp.png",
        "x" * 55 + "..." + "x" * 18 + ".png",
    ]
    assert [photo.stored for photo in report.photos] == ["000.png", "001.png", "002.png"]


def test_17_a_file_over_the_limit(album: Album, good: Path, tmp_path: Path) -> None:
    with (tmp_path / "fat.tif").open("wb") as file:
        file.truncate(pixels.MAX_BYTES + 1)
    report = album.bring(tmp_path / "fat.tif", good)
    assert refused(report) == {"fat.tif": "100 MB, at most 100: save it as a JPEG"}
    assert only(report).name == "good.png"


def test_18_two_hundred_uploads(album: Album, good: Path) -> None:
    text = "^200 files: a concept takes 100 photos at most: bring the best; nothing was added$"
    with pytest.raises(PhotoError, match=text):
        album.bring(*[good] * 200)
    assert review(album.directory).photos == ()
