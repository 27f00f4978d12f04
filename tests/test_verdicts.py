"""The judge on synthetic textures: what must be flagged is, and what must not be is not."""

import io
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageEnhance, ImageFilter, ImageOps

from trainer.measures import measure, sharpness
from trainer.verdicts import MIN_SHARPNESS, PhotoReport, Seen, judge


def forms(seed: int, size: int = 512) -> Image.Image:
    """Discs and boxes with crisp edges, as toys on a table have; different for every seed."""
    rng = np.random.default_rng(seed)
    side = 2 * size  # drawn larger, so that the edges are smooth
    image = Image.new("RGB", (side, side), tuple(rng.integers(90, 170, 3).tolist()))
    draw = ImageDraw.Draw(image)
    for _ in range(24):
        x, y, r = *rng.integers(0, side, 2).tolist(), int(rng.integers(side // 24, side // 5))
        colour = tuple(rng.integers(20, 236, 3).tolist())
        shape = draw.ellipse if rng.random() < 0.6 else draw.rectangle
        shape((x - r, y - r, x + r, y + r), fill=colour)
    return image.reduce(2)


def moved(image: Image.Image, pixels: int, degrees: int) -> Image.Image:
    """The camera moved along a line of so many pixels while the shutter was open."""
    values = np.asarray(image.convert("L"), dtype=np.float32)
    offsets = np.linspace(-pixels / 2, pixels / 2, pixels)
    angle = np.deg2rad(degrees)
    steps = [(round(o * np.sin(angle)), round(o * np.cos(angle))) for o in offsets]
    mean = np.mean([np.roll(values, step, (0, 1)) for step in steps], axis=0)
    return Image.fromarray(mean[pixels:-pixels, pixels:-pixels].astype(np.uint8)).convert("RGB")


def judged(image: Image.Image, name: str = "a.png", **options: Any) -> PhotoReport:
    return judge(Seen(name, measures=measure(image)), **options)


def reasons(image: Image.Image, resolution: int | None = None) -> str:
    return "; ".join(judged(image, resolution=resolution).reasons)


@pytest.mark.parametrize("seed", range(6))
def test_sharp_forms_are_ok(seed: int) -> None:
    report = judged(forms(seed), "a.png", resolution=512)
    assert (report.verdict, report.reasons) == ("ok", ())
    assert report.measures is not None
    assert report.measures.sharpness > 2 * MIN_SHARPNESS


@pytest.mark.parametrize("seed", range(3))
def test_gaussian_and_motion_blur_are_flagged(seed: int) -> None:
    assert "blurred" in reasons(forms(seed).filter(ImageFilter.GaussianBlur(3)))
    for degrees in (0, 30, 90, 135):
        assert "blurred" in reasons(moved(forms(seed), 16, degrees)), degrees


def test_a_sharp_subject_before_a_blurred_background_is_sharp() -> None:
    image = forms(3).filter(ImageFilter.GaussianBlur(8))
    assert "blurred" in reasons(image)
    image.paste(forms(4, 256).crop((53, 53, 203, 203)), (180, 180))
    assert "blurred" not in reasons(image)


def test_sharpness_depends_neither_on_contrast_nor_on_size() -> None:
    image = forms(1, 1536)
    full = sharpness(image.convert("L").resize((512, 512), Image.Resampling.LANCZOS))
    dim = sharpness(
        Image.eval(image.convert("L").resize((512, 512), Image.Resampling.LANCZOS), lambda v: v // 3)
    )
    assert dim == pytest.approx(full, rel=0.1)
    assert measure(image).sharpness == pytest.approx(full, rel=0.1)


def test_grain_on_a_blurred_photo_is_not_sharpness() -> None:
    blurred = np.asarray(forms(2, 1024).filter(ImageFilter.GaussianBlur(8)), dtype=np.float32)
    grain = np.random.default_rng(0).normal(0, 5, blurred.shape)
    assert "blurred" in reasons(Image.fromarray((blurred + grain).clip(0, 255).astype(np.uint8)))


def test_light() -> None:
    assert reasons(forms(1)) == ""
    assert reasons(Image.eval(forms(1), lambda v: v // 5)).startswith(
        "too dark: bring one taken in better light"
    )
    assert reasons(Image.eval(forms(1), lambda v: 225 + v // 9)).startswith("too bright")


@pytest.mark.parametrize(
    ("size", "verdict", "reason"),
    [
        ((1, 1), "refused", "too small: 1 x 1 px, each side needs 64 px: bring a larger one"),
        ((63, 200), "refused", "too small: 63 x 200 px"),
        (
            (64, 513),
            "refused",
            "extreme shape: 64 x 513 px, at most 8 times as long as wide can be used: crop it",
        ),
        ((40, 4000), "refused", "extreme shape: 40 x 4000 px"),
        ((64, 512), "warning", "leaves out 88% (top and bottom): crop it to the subject"),
        ((400, 128), "warning", "leaves out 68% (left and right): crop it to the subject"),
        ((300, 100), "ok", ""),
        ((100, 64), "ok", ""),
    ],
)
def test_size_and_shape(size: tuple[int, int], verdict: str, reason: str) -> None:
    grain = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    report = judged(Image.fromarray(grain), "a.png")
    assert report.verdict == verdict
    assert reason in "; ".join(report.reasons)


def test_forty_by_four_thousand_is_named_small_and_extreme() -> None:
    report = judged(Image.new("RGB", (40, 4000)), "a.png")
    assert [reason.partition(":")[0] for reason in report.reasons] == ["too small", "extreme shape"]


def test_small_against_the_resolution() -> None:
    assert reasons(forms(1, 512), 512) == ""
    assert "train at a lower resolution" in reasons(forms(1, 511), 512)


def edits(image: Image.Image) -> dict[str, Image.Image]:
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=40)
    labelled = image.copy()
    ImageDraw.Draw(labelled).text((10, 10), "(c) me", fill="white")
    return {
        "again": image,
        "compressed": Image.open(stream).convert("RGB"),
        "smaller": image.resize((200, 200)),
        "mirrored": ImageOps.mirror(image),
        "darker": ImageEnhance.Brightness(image).enhance(0.8),
        "grey": ImageOps.grayscale(image).convert("RGB"),
        "labelled": labelled,
        "cropped": image.crop((4, 4, 508, 508)),
    }


@pytest.mark.parametrize("seed", range(2))
def test_near_duplicates_name_the_earlier_photo(seed: int) -> None:
    earlier = [judged(forms(seed + 50), "other.png"), judged(forms(seed), "first.png")]
    for name, edited in edits(forms(seed)).items():
        report = judged(edited, f"{name}.png", earlier=earlier)
        assert report.duplicate_of == "first.png", name
        assert report.verdict == "warning"


def test_different_photos_are_no_duplicates() -> None:
    reports: list[PhotoReport] = []
    for seed in range(12):
        reports.append(judged(forms(seed), str(seed), earlier=reports))
    assert [report.duplicate_of for report in reports] == [None] * 12


def test_findings_have_stable_ids_and_remedies() -> None:
    report = judge(
        Seen("me.png", faults=("transparent", "animated"), words=("\u00a9 Alamy",), stored="004.png",
             measures=measure(forms(1).crop((0, 0, 512, 100)))),
        resolution=512,
    )  # fmt: skip
    assert [(finding.id, finding.remedies) for finding in report.findings] == [
        ("004.png:animated", ("drop",)),
        ("004.png:transparent", ("flatten", "drop")),
        ("004.png:watermark", ("smart_crop", "center_crop", "drop")),
        ("004.png:small", ("drop",)),
        ("004.png:elongated", ("smart_crop", "center_crop", "drop")),
    ]
    assert report.findings[2].text.startswith("looks like a watermark or a stamp: \u201c\u00a9 Alamy\u201d")


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("shutterstock",), "watermark"),
        (("www.photos.example",), "watermark"),
        (("@somebody",), "watermark"),
        (("2024-05-17",), "watermark"),
        (("17.05.24",), "watermark"),
        (("Herschel",), "text"),
        (("89-1994",), "text"),
        (("Adidas", "sampler"), "text"),
        ((), None),
        (None, None),
    ],
)
def test_watermarks_are_told_from_text(words: tuple[str, ...] | None, code: str | None) -> None:
    report = judge(Seen("a.png", measures=measure(forms(1)), words=words))
    assert [finding.code for finding in report.findings] == ([code] if code else [])


def test_text_may_belong_to_the_subject() -> None:
    report = judge(Seen("a.png", measures=measure(forms(1)), words=("Herschel", "a", "b", "c")))
    assert report.reasons == (
        "has text in it: \u201cHerschel\u201d, \u201ca\u201d, \u201cb\u201d ...: "
        "crop it off, or dismiss this if it belongs to the subject",
    )


def test_harsh_light_and_fog() -> None:
    black_and_white = Image.eval(forms(1).convert("L"), lambda v: 255 if v > 128 else 0).convert("RGB")
    assert "of it is pure black or white, where nothing can be seen" in reasons(black_and_white)
    assert "hardly any contrast, as through fog" in reasons(Image.eval(forms(1), lambda v: 120 + v // 16))


def test_a_photo_that_cannot_be_read_is_refused_and_only_dropped() -> None:
    report = judge(Seen("a.png", refusal="damaged or cut off: copy or download it again"))
    assert (report.verdict, report.reasons) == ("refused", ("damaged or cut off: copy or download it again",))
    assert report.findings[0].remedies == ("drop",)
