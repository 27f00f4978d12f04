"""Hostile zips, all made here: nothing is written outside, and every refusal names the file and the way out."""

import io
import stat
import struct
import zipfile
import zlib
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pictures import save, scene

from trainer import archives
from trainer.archives import Brought, collect
from trainer.errors import PhotoError
from trainer.photos import Upload, import_photos
from trainer.pixels import safe_name


def png(seed: int = 0) -> bytes:
    stream = io.BytesIO()
    scene(seed, (80, 80)).save(stream, "PNG")
    return stream.getvalue()


def zipped(path: Path, entries: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, data in entries.items():
            archive.writestr(name, data)
    return path


@pytest.fixture
def out(tmp_path: Path) -> Path:
    directory = tmp_path / "deep" / "down" / "out"
    directory.mkdir(parents=True)
    return directory


def reasons(found: Brought) -> dict[str, str]:
    return {seen.name: seen.refusal for seen in found.refused}


def test_photos_come_out_under_our_names_with_their_captions(tmp_path: Path, out: Path) -> None:
    source = zipped(
        tmp_path / "a.zip",
        {
            "bears/IMG 1.PNG": png(1),
            "bears/IMG 1.txt": b"a photo of sks bear",
            "bears/b.jpeg": png(2),
            "__MACOSX/bears/._b.jpeg": b"x",
            "bears/.DS_Store": b"x",
            "bears/": b"",
            "Thumbs.db": b"x",
            "README.txt": b"hello",
        },
    )
    loose = save(tmp_path / "loose.png", scene(3))
    found = collect([loose, source], out)
    assert [upload.name for upload in found.photos] == ["loose.png", "IMG 1.PNG", "b.jpeg"]
    assert sorted(path.name for path in out.iterdir()) == ["0001.png", "0001.txt", "0002.jpeg"]
    assert found.photos[1].path.read_bytes() == png(1)
    assert found.refused == ()
    reports = import_photos(found.photos, tmp_path / "photos")
    assert [report.name for report in reports] == ["loose.png", "IMG 1.PNG", "b.jpeg"]
    assert (tmp_path / "photos" / "001.txt").read_text() == "a photo of sks bear"


@pytest.mark.parametrize(
    "name",
    [
        "../evil.png",
        "a/../../evil.png",
        "/etc/evil.png",
        "C:\\evil.png",
        "..\\evil.png",
        "\\\\host\\evil.png",
    ],
)
def test_paths_out_of_the_zip_are_refused_and_nothing_is_written_outside(
    tmp_path: Path, out: Path, name: str
) -> None:
    found = collect([zipped(tmp_path / "a.zip", {name: png(), "good.png": png(1)})], out)
    assert reasons(found) == {safe_name(name): "points outside the zip: not read"}
    assert [upload.name for upload in found.photos] == ["good.png"]
    written = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()}
    assert written == {"a.zip", "deep/down/out/0000.png"}


def test_links_and_devices_are_refused(tmp_path: Path, out: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for name, kind in (
            ("link.png", stat.S_IFLNK),
            ("pipe.png", stat.S_IFIFO),
            ("good.png", stat.S_IFREG),
        ):
            entry = zipfile.ZipInfo(name)
            entry.external_attr = (kind | 0o644) << 16
            archive.writestr(entry, b"/etc/passwd" if name != "good.png" else png())
    found = collect([tmp_path / "a.zip"], out)
    assert reasons(found) == dict.fromkeys(("link.png", "pipe.png"), "a link, no file: not read")
    assert [path.name for path in out.iterdir()] == ["0000.png"]
    assert not (out / "0000.png").is_symlink()


def test_a_bomb_is_refused_from_its_list(tmp_path: Path, out: Path) -> None:
    found = collect([zipped(tmp_path / "a.zip", {"bomb.png": bytes(20_000_000), "good.png": png()})], out)
    assert list(reasons(found)) == ["bomb.png"]
    assert "times when unpacked, no photo does: not read" in reasons(found)["bomb.png"]
    assert [upload.name for upload in found.photos] == ["good.png"]


def test_a_list_that_lies_about_sizes_does_not_help(tmp_path: Path, out: Path) -> None:
    path = zipped(tmp_path / "a.zip", {"bomb.png": bytes(20_000_000)})
    data = path.read_bytes()
    small = struct.pack("<I", 20_000_000), struct.pack("<I", 900)
    path.write_bytes(data.replace(*small))
    found = collect([path], out)
    assert reasons(found) == {"bomb.png": "damaged in the zip: zip it again"}
    assert list(out.iterdir()) == []


def test_unpacking_stops_at_the_byte_budget_and_cleans_up(
    tmp_path: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archives, "MAX_TOTAL_BYTES", 300_000)
    entries = {f"{index}.png": bytes(90_000) for index in range(5)}
    twice = [zipped(tmp_path / name, dict(list(entries.items())[:2])) for name in ("a.zip", "b.zip")]
    with pytest.raises(
        PhotoError, match=r"^b\.zip: more than 0 MB at once: bring fewer photos, or smaller ones"
    ):
        collect(twice, out)  # one budget for all zips
    assert list(out.iterdir()) == []


def test_a_zip_in_a_zip_is_not_opened(tmp_path: Path, out: Path) -> None:
    inner = zipped(tmp_path / "inner.zip", {"a.png": png()}).read_bytes()
    found = collect(
        [zipped(tmp_path / "a.zip", {"inner.zip": inner, "more.RAR": b"x", "sly.png": inner, "a.mp4": b"x"})],
        out,
    )
    inside = "an archive inside the zip: put the photos in one zip, or bring them one by one"
    assert reasons(found) == {
        "inner.zip": inside,
        "more.RAR": inside,
        "a.mp4": "no photo by its name: bring JPEG or PNG files",
    }
    (report,) = import_photos(found.photos, tmp_path / "photos")
    assert report.reasons[0].startswith("no photo in a format read here")


def test_too_many_entries_are_refused_before_any_is_read(tmp_path: Path, out: Path) -> None:
    many = zipped(tmp_path / "many.zip", {f"{index}.png": b"" for index in range(10_000)}, zipfile.ZIP_STORED)
    with pytest.raises(PhotoError, match=r"^many\.zip: 10000 entries, at most 1000: zip the photos alone$"):
        collect([many], out)
    huge = zipped(
        tmp_path / "huge.zip", {f"{index:0200d}.png": b"" for index in range(9_000)}, zipfile.ZIP_STORED
    )
    with pytest.raises(PhotoError, match=r"^huge\.zip: far more entries, at most 1000"):
        collect([huge], out)  # its list alone is over the limit, and is not read into memory


def test_a_locked_zip_is_refused(tmp_path: Path, out: Path) -> None:
    path = zipped(tmp_path / "a.zip", {"a.png": png()})
    data = bytearray(path.read_bytes())
    data[data.index(b"PK\1\2") + 8] |= 1  # the flag of encryption, in the list of contents
    path.write_bytes(data)
    with pytest.raises(
        PhotoError, match=r"^a\.zip: locked with a password: zip the photos again without one$"
    ):
        collect([path], out)


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_what_unpacks_without_bound_is_not_unpacked(tmp_path: Path, out: Path, method: int) -> None:
    found = collect([zipped(tmp_path / "a.zip", {"a.png": png()}, method)], out)
    assert reasons(found) == {"a.png": "packed in an unusual way: zip the photos again, the usual way"}


def test_a_fat_entry_is_refused_by_its_size(
    tmp_path: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archives, "MAX_BYTES", 1_000_000)
    found = collect([zipped(tmp_path / "a.zip", {"a.png": bytes(2_000_001)}, zipfile.ZIP_STORED)], out)
    assert reasons(found) == {"a.png": "2 MB, at most 1: save it as a JPEG"}


def test_a_wrong_checksum_is_named_and_leaves_nothing(tmp_path: Path, out: Path) -> None:
    path = zipped(tmp_path / "a.zip", {"a.png": png(), "b.png": png(1)}, zipfile.ZIP_STORED)
    data = bytearray(path.read_bytes())
    data[data.index(png()) + 100] ^= 0xFF
    path.write_bytes(data)
    found = collect([path], out)
    assert reasons(found) == {"a.png": "damaged in the zip: zip it again"}
    assert [path.name for path in out.iterdir()] == ["0000.png"]


@pytest.mark.parametrize("content", [b"", b"PK", b"no zip at all", zlib.compress(bytes(1000))])
def test_what_is_no_zip_is_refused(tmp_path: Path, out: Path, content: bytes) -> None:
    (tmp_path / "a.zip").write_bytes(content)
    with pytest.raises(PhotoError, match=r"^a\.zip: no zip, or damaged: zip the photos again$"):
        collect([tmp_path / "a.zip"], out)
    with pytest.raises(PhotoError, match=r"^b\.zip: no photos in it: zip the photos themselves$"):
        collect([zipped(tmp_path / "b.zip", {"notes.txt": b"x"})], out)


def test_the_limits_of_plain_uploads(tmp_path: Path, out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    photo = save(tmp_path / "a.png", scene(1))
    with pytest.raises(
        PhotoError, match=r"^no photos: bring 5 to 20 of a subject, 10 to 60 of a style, or a zip"
    ):
        collect([], out)
    refusal = r"^200 files: a concept takes 100 photos at most: bring the best; nothing was added$"
    with pytest.raises(PhotoError, match=refusal):
        collect([photo] * 200, out)
    with pytest.raises(PhotoError, match=r"^3 files and 98 already there: a concept takes 100"):
        collect([photo] * 3, out, already=98)
    assert len(collect([photo] * 2, out, already=98).photos) == 2
    inside = zipped(tmp_path / "a.zip", {f"{index}.png": b"x" for index in range(101)})
    with pytest.raises(PhotoError, match="101 files: a concept takes 100 photos at most"):
        collect([inside], out)
    assert list(out.iterdir()) == []
    monkeypatch.setattr(archives, "MAX_TOTAL_BYTES", 2 * photo.stat().st_size)
    with pytest.raises(
        PhotoError, match="MB at once: bring fewer photos, or smaller ones; nothing was added"
    ):
        collect([photo] * 3, out)


NAMES = st.text(st.characters(codec="utf-8"), min_size=1, max_size=400)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(names=st.lists(NAMES | st.sampled_from(["../x.png", "a\0b.png", "//.png", "<b>.png"]), max_size=5))
def test_any_names_stay_inside_and_are_safe_to_show(tmp_path: Path, names: list[str]) -> None:
    path, out = tmp_path / "a.zip", tmp_path / "out"
    out.mkdir(exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        for name in dict.fromkeys([*names, "good.png"]):
            archive.writestr(zipfile.ZipInfo(name + ".png" if len(name) % 2 else name), b"data")
    found = collect([path], out)
    assert set(tmp_path.iterdir()) == {path, out}
    for upload in found.photos:
        assert upload.path.parent == out
        assert upload.path.stem.isdecimal()
    for shown in [seen.name for seen in found.refused] + [safe_name(upload.name) for upload in found.photos]:
        assert len(shown) <= 80
        assert not set('<>&"`/\\') & set(shown)
    for leftover in out.iterdir():
        leftover.unlink()


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_zip_with_any_bytes_changed_is_read_or_refused(tmp_path: Path, data: st.DataObject) -> None:
    out = tmp_path / "out"
    out.mkdir(exist_ok=True)
    path = zipped(tmp_path / "a.zip", {"a.png": b"first" * 20, "b/c.jpg": b"second" * 20})
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 6))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(content)
    try:
        found = collect([Upload(path, "a.zip")], out)
    except PhotoError as error:
        assert str(error).startswith("a.zip: ")
    else:
        assert all(upload.path.parent == out for upload in found.photos)
    for leftover in out.iterdir():
        leftover.unlink()
