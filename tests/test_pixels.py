"""Hostile and odd files, all made here: refused by name with a way out, or read with the right pixels."""

import io
import random
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from pictures import save, scene
from PIL import Image, ImageCms

from trainer import pixels
from trainer.errors import PhotoError
from trainer.photos import check, import_photos
from trainer.pixels import open_photo, safe_name

RED, GREEN, BLUE, WHITE = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)


def png(width: int, height: int, depth: int, colour_type: int, data: bytes) -> bytes:
    """A PNG by hand: what Pillow does not write (16-bit colour), and headers that lie."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, depth, colour_type, 0, 0, 0)
    parts = chunk(b"IHDR", header), chunk(b"IDAT", data), chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def pixel(path: Path, x: int = 0, y: int = 0) -> tuple[int, ...]:
    image = open_photo(path)
    assert image.mode == "RGB"
    value = image.getpixel((x, y))
    assert isinstance(value, tuple)
    return value


@pytest.fixture
def bomb(tmp_path: Path) -> Path:
    """A whole PNG of 169 megapixels in half a megabyte, which would decode to 507 MB."""
    rows = 13000 * (13000 * 3 + 1)
    megabyte = zlib.compressobj()
    block = megabyte.compress(bytes(1_000_000)) + megabyte.flush(zlib.Z_FULL_FLUSH)
    count, rest = divmod(rows, 1_000_000)
    tail = zlib.compressobj(wbits=-15)
    end = tail.compress(bytes(rest)) + tail.flush() + struct.pack(">HH", rows % 65521, 1)  # Adler-32 of zeros
    path = tmp_path / "bomb.png"
    path.write_bytes(png(13000, 13000, 8, 2, block[:2] + block[2:] * count + end))
    assert path.stat().st_size < 600_000
    return path


# Modes


@pytest.mark.parametrize(
    ("image", "suffix", "expected"),
    [
        (Image.new("CMYK", (70, 70), (0, 255, 255, 0)), "tif", RED),
        (Image.new("CMYK", (70, 70), (0, 0, 0, 128)), "tif", (127, 127, 127)),
        (Image.new("L", (70, 70), 77), "png", (77, 77, 77)),
        (Image.new("1", (70, 70), 1), "png", WHITE),
        (Image.new("LA", (70, 70), (0, 51)), "png", (204, 204, 204)),
        (Image.new("RGBA", (70, 70), (255, 0, 0, 0)), "png", WHITE),
        (Image.new("RGBA", (70, 70), (0, 0, 255, 153)), "webp", (102, 102, 255)),
        (Image.new("RGB", (70, 70), GREEN).quantize(4), "png", GREEN),
        (Image.new("RGB", (70, 70), BLUE), "bmp", BLUE),
        (Image.fromarray(np.full((70, 70), 32896, np.uint16)), "png", (128, 128, 128)),
        (Image.fromarray(np.full((70, 70), 1285, np.uint16)), "tif", (5, 5, 5)),
        (Image.fromarray(np.full((70, 70), 1285, ">u2")), "tif", (5, 5, 5)),
        (Image.fromarray(np.full((70, 70), 32896, np.int32)), "tif", (128, 128, 128)),
        (Image.fromarray(np.full((70, 70), 0.2, np.float32)), "tif", (51, 51, 51)),
    ],
    ids=lambda value: getattr(value, "mode", None),
)
def test_every_mode_becomes_the_right_rgb(
    tmp_path: Path, image: Image.Image, suffix: str, expected: tuple[int, ...]
) -> None:
    options = {"lossless": True} if suffix == "webp" else {}
    found = pixel(save(tmp_path / f"a.{suffix}", image, **options))
    assert np.abs(np.subtract(found, expected)).max() <= 1


def test_cmyk_jpeg(tmp_path: Path) -> None:
    path = save(tmp_path / "a.jpg", Image.new("CMYK", (70, 70), (255, 0, 255, 0)), quality=95)
    assert np.abs(np.subtract(pixel(path), GREEN)).max() <= 3


def test_sixteen_bit_colour_and_grey_gradients_are_scaled_not_clipped(tmp_path: Path) -> None:
    colour, grey = tmp_path / "colour.png", tmp_path / "grey.png"
    colour.write_bytes(
        png(2, 1, 16, 2, zlib.compress(b"\0" + struct.pack(">6H", 0, 32768, 65535, 771, 65535, 2570)))
    )
    assert (pixel(colour), pixel(colour, 1)) == ((0, 128, 255), (3, 255, 10))
    ramp = np.linspace(0, 65535, 256).astype(np.uint16)
    Image.fromarray(ramp[None]).save(grey)
    assert np.array_equal(np.asarray(open_photo(grey))[0, :, 0], np.arange(256))


def test_palette_transparency_becomes_white_and_is_warned_of(tmp_path: Path) -> None:
    image = Image.new("P", (96, 96), 1)
    image.putpalette([0, 0, 0, 255, 0, 0])
    image.paste(0, (0, 0, 48, 96))
    path = save(tmp_path / "a.png", image, transparency=0)
    assert (pixel(path), pixel(path, 90)) == (WHITE, RED)
    assert "transparent in parts, which become white" in check([path]).photos[0].reasons[0]


def test_an_opaque_alpha_channel_is_no_transparency(tmp_path: Path) -> None:
    picture = scene(1).convert("RGBA")
    report = check([save(tmp_path / "a.png", picture)]).photos[0]
    assert (report.verdict, report.reasons) == ("ok", ())


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "tif", "heic", "avif"])
def test_every_exif_orientation_ends_upright(tmp_path: Path, orientation: int, suffix: str) -> None:
    upright = Image.new("RGB", (96, 64), BLUE)
    upright.paste(RED, (0, 0, 48, 32))
    upright.paste(GREEN, (48, 0, 96, 32))
    inverse = {6: 8, 8: 6}.get(orientation, orientation)
    turn = pixels._TURNS.get(inverse)
    exif = Image.Exif()
    exif[0x0112] = orientation
    pixels.formats()  # registers the HEIC writer too
    path = save(
        tmp_path / f"a.{suffix}",
        upright.transpose(turn) if turn is not None else upright,
        exif=exif.tobytes(),
    )
    image = open_photo(path)
    assert image.size == (96, 64)
    corners = [image.getpixel(at) for at in ((20, 12), (76, 12), (20, 50), (76, 50))]
    assert np.abs(np.subtract(corners, [RED, GREEN, BLUE, BLUE])).max() <= 12
    assert not image.info


def test_rotation_is_noted_without_a_warning(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    report = check([save(tmp_path / "a.png", scene(1, (160, 120)), exif=exif)]).photos[0]
    assert (report.verdict, report.width, report.height) == ("ok", 120, 160)
    assert report.notes == ("turned upright, as its EXIF says",)


def test_broken_exif_and_profile_leave_the_pixels(tmp_path: Path) -> None:
    picture = Image.new("RGB", (70, 70), (10, 200, 30))
    path = save(tmp_path / "a.png", picture, exif=b"Exif\0\0rubbish, no TIFF", icc_profile=b"not a profile")
    assert pixel(path) == (10, 200, 30)


def test_the_colour_profile_is_applied(tmp_path: Path) -> None:
    # L 53, a 80, b 67 is sRGB's red.
    lab = Image.merge("LAB", [Image.new("L", (70, 70), value) for value in (136, 80 + 128, 67 + 128)])
    path = save(tmp_path / "a.tif", lab)
    assert np.abs(np.subtract(pixel(path), RED)).max() <= 12  # LAB is D50, in whole steps
    # A profile that is linear where sRGB is not: half the light is three quarters of the scale.
    linear = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    for at in [i for i in range(len(linear) - 4) if linear[i : i + 4] == b"para"]:
        linear[at + 8 : at + 16] = struct.pack(">HHI", 0, 0, 1 << 16)  # y = x ** 1
    profile = bytes(linear).replace("sRGB".encode("utf-16-be"), "line".encode("utf-16-be"))
    path = save(tmp_path / "a.png", Image.new("RGB", (70, 70), (128, 128, 128)), icc_profile=profile)
    assert np.abs(np.subtract(pixel(path), 188)).max() <= 2
    import_photos([path], tmp_path / "photos")  # and not applied again to what is stored
    assert np.abs(np.subtract(pixel(tmp_path / "photos" / "000.png"), 188)).max() <= 2


@pytest.mark.parametrize("suffix", ["gif", "webp", "png"])
def test_the_first_frame_of_an_animation(tmp_path: Path, suffix: str) -> None:
    frames = [Image.new("RGB", (96, 96), colour) for colour in (RED, BLUE)]
    options = {"lossless": True} if suffix == "webp" else {}
    path = save(
        tmp_path / f"a.{suffix}", frames[0], save_all=True, append_images=frames[1:], duration=90, **options
    )
    assert pixel(path) == RED
    assert "has several frames, only the first is used" in check([path]).photos[0].reasons[0]


def test_a_phones_jpeg_with_a_preview_inside_is_no_animation(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    scene(1).save(path, format="MPO", save_all=True, append_images=[scene(2)])
    assert check([path]).photos[0].verdict == "ok"


# Refusals


def test_a_bomb_is_refused_from_its_header_with_flat_memory(bomb: Path, tmp_path: Path) -> None:
    script = (
        "import resource, sys; from trainer.photos import check, open_photo; check([sys.argv[2]])\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "print(check([sys.argv[1]]).photos[0].reasons[0])\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)"
    )
    small = save(tmp_path / "small.png", scene(1))
    command = [sys.executable, "-c", script, str(bomb), str(small)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=Path(__file__).parents[1])
    reason, kilobytes = done.stdout.splitlines()
    assert reason == "13000 x 13000 px is too large, at most 64 megapixels: scale it down, 2048 px are plenty"
    assert int(kilobytes) < 8_000
    assert done.stderr == ""


def test_a_bomb_over_pillows_own_limit_is_refused_the_same(tmp_path: Path) -> None:
    path = tmp_path / "huge.png"
    path.write_bytes(png(60000, 60000, 8, 2, b""))
    with pytest.raises(PhotoError, match=r"^huge\.png: too large, at most 64 megapixels: scale it down"):
        open_photo(path)


def test_a_file_over_the_byte_limit_is_refused_unopened(tmp_path: Path) -> None:
    path = tmp_path / "fat.tif"
    with path.open("wb") as file:
        file.truncate(pixels.MAX_BYTES + 1)
    with pytest.raises(PhotoError, match=r"^fat\.tif: 100 MB, at most 100: save it as a JPEG$"):
        open_photo(path)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("text.png", b"this is no picture\n" * 50),
        ("empty.jpg", b""),
        ("page.jpg", b"<html><script>alert(1)</script></html>"),
        ("drawing.jpg", b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>'),
        ("paper.jpg", b"%PDF-1.7\n1 0 obj<<>>endobj"),
        ("script.jpg", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 96 96\n%%EndComments\nshowpage\n%%EOF"),
    ],
)
def test_what_is_no_photo_is_refused_by_name(
    tmp_path: Path, name: str, content: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subprocess, "Popen", None)  # Ghostscript would have to be started
    (tmp_path / name).write_bytes(content)
    with pytest.raises(
        PhotoError, match=rf"^{name}: no photo in a format read here \(JPEG, .* save it as JPEG or PNG"
    ):
        open_photo(tmp_path / name)


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "heic"])
def test_a_truncated_file_is_refused_after_the_decode(tmp_path: Path, suffix: str) -> None:
    pixels.formats()
    path = save(tmp_path / f"cut.{suffix}", scene(1, (400, 400)))
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 7 // 10])
    with pytest.raises(
        PhotoError, match=rf"^cut\.{suffix}: .*(copy or download it again|save it as JPEG or PNG)$"
    ):
        open_photo(path)


def test_a_missing_file_and_a_name_no_disk_can_hold(tmp_path: Path) -> None:
    for path in (tmp_path / "gone.jpg", tmp_path, tmp_path / f"{'long' * 100}.jpg", tmp_path / "nul\0.jpg"):
        with pytest.raises(PhotoError, match="no such file: choose the photo again"):
            open_photo(path)


@pytest.mark.filterwarnings("ignore")  # Pillow's, on odd tags
def test_damaged_bytes_are_read_or_refused_and_never_anything_else(tmp_path: Path) -> None:
    pixels.formats()
    rng = random.Random(0)
    exif = Image.Exif()
    exif[0x0112] = 6
    originals = []
    for format in ("JPEG", "PNG", "WEBP", "GIF", "TIFF", "BMP", "HEIF", "AVIF"):
        stream = io.BytesIO()
        scene(1, (40, 32)).save(stream, format, exif=exif)
        originals.append(stream.getvalue())
    outcomes = set()
    path = tmp_path / "damaged.jpg"
    for _ in range(240):
        data = bytearray(rng.choice(originals))
        for _ in range(rng.choice((1, 4, 16))):
            data[rng.randrange(min(len(data), rng.choice((64, 100_000))))] = rng.randrange(256)
        path.write_bytes(data)
        try:
            outcomes.add(open_photo(path).mode)
        except PhotoError as error:
            outcomes.add(str(error).partition(":")[0])
    assert outcomes == {"RGB", "damaged.jpg"}


# Names


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("IMG_2 (1).jpg", "IMG_2 (1).jpg"),
        ("Bär 🐻 в лесу.jpg", "Bär 🐻 в лесу.jpg"),
        ("<img src=x onerror=alert(1)>.jpg", "_img src=x onerror=alert(1)_.jpg"),
        ("photo\u202egpj.exe", "photo_gpj.exe"),
        ("a\nb\x1b[31m\x00.jpg", "a_b__31m_.jpg"),
        ('[here](x) `b` "c" d\'e&f|g.jpg', "_here_(x) _b_ _c_ d\u2019e_f_g.jpg"),
        ("\udcff.jpg", "_.jpg"),
        ("x" * 396 + ".jpg", "x" * 55 + "..." + "x" * 18 + ".jpg"),
    ],
)
def test_names_are_safe_to_show(name: str, shown: str) -> None:
    assert safe_name(name) == shown
    assert safe_name(shown) == shown
