"""The folder of photos: what is brought in, judged, dismissed, and found again."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from pictures import save, scene
from PIL import Image, ImageFilter, ImageOps

from trainer import photos
from trainer.errors import PhotoError
from trainer.photos import check, import_photos, list_photos, open_photo, review

# Listing


def test_lists_photos_by_name_and_leaves_the_rest_alone(tmp_path: Path) -> None:
    wanted = [
        "10.JPG",
        "2.heic",
        "a.avif",
        "b.webp",
        "c.gif",
        "d.bmp",
        "e.tif",
        "f.tiff",
        "g.png",
        "h.jpeg",
        "i.heif",
    ]
    for name in [*reversed(wanted), ".hidden.jpg", "._2.jpg", "a.txt", "report.json", "notes.md", "clip.mp4"]:
        (tmp_path / name).touch()
    (tmp_path / "folder.jpg").mkdir()
    assert [path.name for path in list_photos(tmp_path)] == wanted


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(PhotoError, match=r"nowhere: no such folder: name the folder"):
        list_photos(tmp_path / "nowhere")


# Bringing in


def test_import_stores_what_can_be_used_under_our_names(tmp_path: Path) -> None:
    source = tmp_path / "from"
    source.mkdir()
    exif = Image.Exif()
    exif[0x0112] = 6
    good = save(source / "<b>Teddy\u202e.jpg", scene(1, (160, 120)), exif=exif, quality=95)
    good.with_suffix(".txt").write_text("\ufeffa photo of sks bear\n", encoding="utf-8")
    (source / "text.png").write_text("no picture")
    tiny = save(source / "tiny.png", Image.new("RGB", (1, 1)))
    second = save(source / "second.png", scene(2))
    target = tmp_path / "concept" / "instance_images"

    reports = import_photos([good, source / "text.png", tiny, second], target)

    assert [report.stored for report in reports] == ["000.png", None, None, "001.png"]
    assert [report.verdict for report in reports] == ["ok", "refused", "refused", "ok"]
    assert reports[0].name == "_b_Teddy_.jpg"
    assert sorted(path.name for path in target.iterdir() if path.name != ".lock") == [
        "000.png",
        "000.txt",
        "001.png",
        "report.json",
    ]
    assert (target / "000.txt").read_text(encoding="utf-8") == "a photo of sks bear"
    with Image.open(target / "000.png") as stored:
        assert (stored.mode, stored.size, len(stored.getexif())) == ("RGB", (120, 160), 0)
        assert np.array_equal(np.asarray(stored), np.asarray(open_photo(good)))
    written = json.loads((target / "report.json").read_text(encoding="utf-8"))
    assert written["photos"] == json.loads(json.dumps([report.as_dict() for report in reports]))


def test_import_continues_a_folder_and_knows_its_photos(tmp_path: Path) -> None:
    first, again = save(tmp_path / "first.png", scene(1)), save(tmp_path / "again.jpg", scene(1), quality=70)
    target = tmp_path / "photos"
    import_photos([first], target)
    (target / "007.txt").write_text("a caption whose photo was removed")
    (report,) = import_photos([again], target)
    assert (report.stored, report.duplicate_of, report.verdict) == ("008.png", "first.png", "warning")
    names = [item["name"] for item in json.loads((target / "report.json").read_text())["photos"]]
    assert names == ["first.png", "again.jpg"]
    assert [path.name for path in list_photos(target)] == ["000.png", "008.png"]


def test_large_photos_are_stored_smaller_and_reported_as_brought(tmp_path: Path) -> None:
    source = save(tmp_path / "a.jpg", scene(1).resize((3000, 1500)), quality=80)
    (report,) = import_photos([source], tmp_path / "photos")
    assert (report.width, report.height) == (3000, 1500)
    assert open_photo(tmp_path / "photos" / "000.png").size == (2048, 1024)


def test_a_foreign_report_is_named(tmp_path: Path) -> None:
    (tmp_path / "report.json").write_text('{"photos": [{"colour": 1}]}')
    with pytest.raises(PhotoError, match=r"report\.json: not a report of imported photos: delete it"):
        import_photos([], tmp_path)


# Checking


def test_check_gives_one_verdict_per_photo_and_is_deterministic(tmp_path: Path) -> None:
    for seed in range(3):
        save(tmp_path / f"{seed}.png", scene(seed))
    save(tmp_path / "mirrored.jpg", ImageOps.mirror(scene(0)), quality=85)
    save(tmp_path / "soft.png", scene(7, (400, 400)).filter(ImageFilter.GaussianBlur(5)))
    (tmp_path / "text.png").write_text("no picture")
    (tmp_path / "0.txt").write_text("a caption")
    report = check(tmp_path, resolution=256)
    verdicts = {photo.name: (photo.verdict, len(photo.reasons)) for photo in report.photos}
    assert verdicts == {
        "0.png": ("warning", 1),
        "1.png": ("warning", 1),
        "2.png": ("warning", 1),
        "mirrored.jpg": ("warning", 2),
        "soft.png": ("warning", 1),
        "text.png": ("refused", 1),
    }
    assert (report.gate, report.distinct) == ("blocked", 4)
    assert report.reasons == (
        "only 4 distinct photos: bring 5 to 20, from different sides and in different places, "
        "or the concept repeats the photo itself",
    )
    assert "160 x 160 px, enlarged to the resolution of 256 px" in report.photos[0].reasons[0]
    assert "nearly the same picture as 0.png" in report.photos[3].reasons[1]
    assert report.photos[4].reasons[0].startswith("looks blurred")
    assert check(tmp_path, resolution=256) == report
    assert json.loads(json.dumps(report.as_dict()))["photos"][3]["duplicate_of"] == "0.png"


def test_each_photo_is_decoded_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for seed in range(5):
        save(tmp_path / f"{seed}.png", scene(seed))
    opened: list[str] = []
    original = photos.read
    monkeypatch.setattr(photos, "read", lambda path, name: (opened.append(name), original(path))[1])
    assert check(tmp_path, 128).gate == "unchecked"
    assert opened == ["0.png", "1.png", "2.png", "3.png", "4.png"]


def test_no_photos_are_refused_with_the_minimum(tmp_path: Path) -> None:
    report = check(tmp_path)
    assert (report.gate, report.distinct) == ("blocked", 0)
    assert report.summary.startswith("Blocked: no photos: bring 5 to 20; not checked: ")
    assert check(tmp_path, kind="style").reasons == ("no photos: bring 10 to 60",)


def test_importing_the_module_loads_no_torch() -> None:
    script = "import sys, trainer.photos; sys.exit('torch' in sys.modules)"
    assert (
        subprocess.run([sys.executable, "-c", script], cwd=Path(__file__).parents[1], check=False).returncode
        == 0
    )


def test_what_was_seen_survives_the_file(tmp_path: Path) -> None:
    (report,) = import_photos([save(tmp_path / "a.png", scene(1))], tmp_path / "photos")
    with photos.editing(tmp_path / "photos") as record:
        (seen,) = record.seen
    assert seen.measures == report.measures
    assert review(tmp_path / "photos").photos == (report,)


# Reviewing


@pytest.fixture
def album(tmp_path: Path) -> Path:
    """A folder of six imported photos that are all right, and one upload that was refused."""
    files = [save(tmp_path / f"{seed}.png", scene(seed)) for seed in range(6)]
    (tmp_path / "text.png").write_text("no picture")
    import_photos([*files, tmp_path / "text.png"], tmp_path / "photos")
    return tmp_path / "photos"


def test_a_review_says_what_was_not_checked_and_never_calls_it_fine(album: Path) -> None:
    report = review(album)
    assert (report.gate, report.unchecked) == ("unchecked", ("size", "text and watermarks"))
    assert report.summary == "Not checked yet: not checked: size, text and watermarks"
    assert {report.checks[name] for name in ("count", "sharpness", "background", "angle")} == {"ok"}
    (refused,) = report.refused_uploads
    assert refused.name == "text.png"
    assert refused.reasons[0].startswith("no photo in a format read here")
    photos.clear_refused(album)
    assert review(album).refused_uploads == ()


def test_reading_the_words_makes_a_set_ready(album: Path) -> None:
    done: list[tuple[int, int]] = []
    photos.check_words(album, should_stop=lambda: True)
    assert review(album, 128).gate == "unchecked"
    photos.check_words(album, on_photo=lambda number, total: done.append((number, total)))
    assert done == [(number, 6) for number in range(1, 7)]
    report = review(album, 128)
    assert (report.gate, report.summary) == ("ready", "Ready")
    assert [photo.words for photo in report.photos] == [()] * 6
    save(album / "000.png", scene(40))  # another picture: nobody has read that one
    assert review(album, 128).unchecked == ("text and watermarks",)


def test_a_folder_changed_by_hand_is_looked_at_again(album: Path) -> None:
    save(album / "extra.jpg", scene(30), quality=95)
    save(album / "001.png", scene(31, (400, 400)).filter(ImageFilter.GaussianBlur(6)))
    (album / "002.png").unlink()
    report = review(album)
    assert [photo.stored for photo in report.photos] == [
        "000.png",
        "001.png",
        "003.png",
        "004.png",
        "005.png",
        "extra.jpg",
    ]
    assert report.photos[1].reasons[0].startswith("looks blurred")
    assert (report.photos[1].width, report.photos[1].name) == (400, "1.png")


def test_warnings_are_dismissed_one_by_one_and_count_no_more(album: Path) -> None:
    report = review(album, 256)
    assert (report.gate, report.checks["size"]) == ("attention", "warning")
    ids = [finding.id for photo in report.photos for finding in photo.findings]
    assert ids == [f"{number:03d}.png:small" for number in range(6)]
    photos.dismiss(album, "000.png:small")
    again = review(album, 256)
    assert [photo.verdict for photo in again.photos] == ["ok", *["warning"] * 5]
    assert again.photos[0].findings[0].dismissed
    assert "5 of 6 photos need a look" in again.summary
    for finding_id in ids[1:]:
        photos.dismiss(album, finding_id)
    assert review(album, 256).gate == "unchecked"
    stored = json.loads((album / "report.json").read_text(encoding="utf-8"))
    assert sorted(stored["dismissed"]) == ids
    assert review(album, 512).gate == "attention"  # it was not said of this resolution
    photos.undismiss(album, "000.png:small")
    assert review(album, 256).photos[0].verdict == "warning"


def test_only_warnings_that_are_there_can_be_dismissed(album: Path) -> None:
    with pytest.raises(PhotoError, match=r"^_script_: there is no such warning, or it cannot be dismissed"):
        photos.dismiss(album, "<script>")
    with pytest.raises(PhotoError, match="no such folder: bring photos first"):
        photos.dismiss(album / "nowhere", "few")


def test_a_set_warning_is_dismissed_too(tmp_path: Path) -> None:
    files = [save(tmp_path / f"{seed}.png", scene(seed)) for seed in range(3)]
    import_photos(files, tmp_path / "photos")
    review(tmp_path / "photos", 128)
    photos.dismiss(tmp_path / "photos", "few")
    assert review(tmp_path / "photos", 128).gate == "unchecked"
    (tmp_path / "photos" / "002.png").unlink()
    assert review(tmp_path / "photos", 128).gate == "attention"  # two are fewer than was said to be all right


def test_files_of_one_name_from_two_folders_are_two_photos(tmp_path: Path) -> None:
    (tmp_path / "more").mkdir()
    files = [save(tmp_path / "a.png", scene(1)), save(tmp_path / "more" / "a.png", scene(2))]
    assert [photo.name for photo in check(files).photos] == ["a.png", "a.png (2)"]


def test_a_long_photo_keeps_its_short_side(tmp_path: Path) -> None:
    source = save(tmp_path / "a.jpg", scene(1).resize((6000, 1000)), quality=80)
    import_photos([source], tmp_path / "photos")
    assert open_photo(tmp_path / "photos" / "000.png").size == (6000, 1000)
