"""Judge a photo: what was measured in, findings with reasons and remedies out. Pure, no files.

The thresholds of single photos were set on 42 real photos of toys, pets and things (all in focus, some with a
shallow depth of field or in dim light) and on blurred, darkened, cropped and mirrored versions of them; those of
sets are in `trainer.gate`.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from trainer.measures import Measures

Verdict = Literal["ok", "warning", "refused"]
Remedy = Literal["drop", "center_crop", "smart_crop", "flatten"]
CROPS: tuple[Remedy, ...] = ("smart_crop", "center_crop")

MIN_SIDE = 64  # px: below it there is nothing to learn from, whatever the resolution
WARN_RATIO, MAX_RATIO = 3.0, 8.0  # long side over short side

# As `measures.sharpness` measures it. Sharp photos: 50 and more, median 250. Blurred by a Gaussian of 0.4 % of the
# side: 24 and less. Moved by 2 % of the side: median 12, 40 at most.
MIN_SHARPNESS = 30.0
MIN_HIGHLIGHT = 60.0  # the 95th percentile of luminance; real photos: 107 and more
MAX_SHADOW = 215.0  # the 5th percentile; real photos: 173 and less
MIN_CONTRAST = 30.0  # grey levels between the two; real photos: 61 and more
MAX_LOST = 0.75  # share of pure black and white; real photos: 0.6 and less (a vase before a white wall)
MAX_HASH_DISTANCE = 6  # of 64 bits; different photos of one thing are 16 and more apart

_WATERMARK = re.compile(
    r"\u00a9|\(c\)|www\.|https?:|\.(com|net|org)\b|^@\w{3}|shutter\s*stock|getty|alamy|i\s*stock|dreams\s*time|adobe|"
    r"deposit\s*photos|123\s*rf|freepik|pixabay|unsplash|watermark|copyright|\bpreview\b|\bsample\b|"
    r"\b(19|20)\d\d[-/. ]\d\d[-/. ]\d\d\b|\b\d\d[-/.]\d\d[-/.](19|20)?\d\d\b",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong, what to do about it, and the buttons for that."""

    id: str  # of a photo "000.png:small", of the set "few": the same each time the thing is found
    text: str
    remedies: tuple[Remedy, ...] = ()
    dismissed: bool = False  # its owner said that it is all right; counts no more

    @property
    def code(self) -> str:
        """What is wrong, in one word: one of gate.CHECKS."""
        return self.id.rpartition(":")[2]


@dataclass(frozen=True)
class Seen:
    """What reading a photo found. Its verdict follows from this, the training resolution and its neighbours."""

    name: str  # the user's own file name, made safe to show
    refusal: str = ""  # why it cannot be read
    faults: tuple[str, ...] = ()  # pixels.Fault
    notes: tuple[str, ...] = ()  # only said
    measures: Measures | None = None  # None for one that could not be read
    words: tuple[str, ...] | None = None  # the text in it; None: nobody looked yet
    stored: str | None = None  # our file name, once imported
    version: tuple[int, int] | None = None  # size and time of the stored file that was measured
    remedies: tuple[
        str, ...
    ] = ()  # what was done to the stored file, in order: "flatten white", "smart_crop"

    @property
    def key(self) -> str:
        """What its findings' ids begin with."""
        return self.stored or self.name

    @property
    def width(self) -> int | None:
        """px, upright, as brought until it is cropped."""
        return self.measures.width if self.measures else None

    @property
    def height(self) -> int | None:
        """px, as `width`."""
        return self.measures.height if self.measures else None


@dataclass(frozen=True)
class PhotoReport(Seen):
    """One photo's verdict: "warning" where a finding was not dismissed."""

    verdict: Verdict = "ok"
    findings: tuple[Finding, ...] = ()
    duplicate_of: str | None = None  # the earlier photo's name

    @property
    def reasons(self) -> tuple[str, ...]:
        """The texts of what was not dismissed."""
        return open_texts(self.findings)

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def judge(
    seen: Seen,
    *,
    resolution: int | None = None,
    earlier: Sequence[PhotoReport] = (),
    dismissed: Mapping[str, str] | None = None,
) -> PhotoReport:
    """The verdict on one photo.

    `resolution` is the training resolution in px, None where it is not known; `earlier` are the reports among which
    near-duplicates are looked for; `dismissed` maps the ids of findings to the texts that were dismissed.
    """
    known = {key: value for key, value in vars(seen).items() if key in Seen.__dataclass_fields__}
    measured = seen.measures
    found: list[Finding] = []

    def add(code: str, text: str, *remedies: Remedy) -> None:
        found.append(Finding(f"{seen.key}:{code}", text, (*remedies, "drop")))

    if measured is None:
        add("unreadable", seen.refusal)
    else:
        _refuse(measured, add)
    if found:
        return PhotoReport(**known, verdict="refused", findings=tuple(found))
    assert measured is not None
    twin = next((report.name for report in earlier if _alike(measured, report.measures)), None)
    _say_faults(seen, add)
    _say_shape(measured, resolution, add)
    _say_light(measured, add)
    if measured.sharpness < MIN_SHARPNESS:
        add("blurred", "looks blurred or out of focus: bring a sharper one, the concept learns the blur too")
    if twin is not None:
        add("duplicate", f"nearly the same picture as {twin}: keep one of the two, and bring another view")
    findings = with_dismissals(found, dismissed or {})
    verdict: Verdict = "warning" if open_texts(findings) else "ok"
    return PhotoReport(**known, verdict=verdict, findings=findings, duplicate_of=twin)


def judge_all(
    seen: Sequence[Seen], *, resolution: int | None = None, dismissed: Mapping[str, str] | None = None
) -> list[PhotoReport]:
    """The verdict on each photo, near-duplicates being of those before."""
    reports: list[PhotoReport] = []
    for each in seen:
        reports.append(judge(each, resolution=resolution, earlier=reports, dismissed=dismissed))
    return reports


def open_texts(findings: Sequence[Finding]) -> tuple[str, ...]:
    """What was not dismissed."""
    return tuple(finding.text for finding in findings if not finding.dismissed)


def with_dismissals(findings: Sequence[Finding], dismissed: Mapping[str, str]) -> tuple[Finding, ...]:
    """A dismissal holds for what it was said of: once the text says something else, it is asked again."""
    return tuple(replace(each, dismissed=dismissed.get(each.id) == each.text) for each in findings)


def _refuse(measured: Measures, add: Any) -> None:
    size = f"{measured.width} x {measured.height} px"
    short, long = sorted((measured.width, measured.height))
    if short < MIN_SIDE:
        add("tiny", f"too small: {size}, each side needs {MIN_SIDE} px: bring a larger one")
    if long > MAX_RATIO * short:
        most = f"at most {MAX_RATIO:g} times as long as wide can be used"
        add("extreme", f"extreme shape: {size}, {most}: crop it to the subject, near a square")


def _say_faults(seen: Seen, add: Any) -> None:
    if "animated" in seen.faults:
        add("animated", "has several frames, only the first is used: save the best one as a photo of its own")
    if "transparent" in seen.faults and not any(done.startswith("flatten") for done in seen.remedies):
        text = (
            "transparent in parts, which become white: put a background behind it if white is wrong, "
            "or say that white is right"
        )
        add("transparent", text, "flatten")
    marks = [word for word in seen.words or () if _WATERMARK.search(word)]
    if marks:
        text = f"looks like a watermark or a stamp: {_quoted(marks)}: the concept learns it; crop it off, or drop it"
        add("watermark", text, *CROPS)
    elif seen.words:
        text = f"has text in it: {_quoted(seen.words)}: crop it off, or dismiss this if it belongs to the subject"
        add("text", text, *CROPS)


def _quoted(words: Sequence[str]) -> str:
    return ", ".join(f"\u201c{word}\u201d" for word in words[:3]) + (" ..." if len(words) > 3 else "")


def _say_shape(measured: Measures, resolution: int | None, add: Any) -> None:
    size = f"{measured.width} x {measured.height} px"
    short, long = sorted((measured.width, measured.height))
    if resolution is not None and short < resolution:
        text = (
            f"small: {size}, enlarged to the resolution of {resolution} px it becomes soft: "
            "bring a larger one, or train at a lower resolution"
        )
        add("small", text)
    if long > WARN_RATIO * short:
        sides = "left and right" if measured.width > measured.height else "top and bottom"
        text = f"extreme shape: {size}, a square of it leaves out {1 - short / long:.0%} ({sides}): crop it to the subject"
        add("elongated", text, *CROPS)


def _say_light(measured: Measures, add: Any) -> None:
    if measured.highlight < MIN_HIGHLIGHT:
        add("dark", "too dark: bring one taken in better light, or brighten it")
    elif measured.shadow > MAX_SHADOW:
        add(
            "bright",
            "too bright, nearly all of it white: bring one that is less exposed, or nearer to the subject",
        )
    elif measured.lost > MAX_LOST:
        text = f"{measured.lost:.0%} of it is pure black or white, where nothing can be seen: bring one in softer light"
        add("harsh", text)
    elif measured.highlight - measured.shadow < MIN_CONTRAST:
        add(
            "flat",
            "hardly any contrast, as through fog: bring one in clearer light, or nearer to the subject",
        )


def _alike(one: Measures, other: Measures | None) -> bool:
    """Whether a photo is nearly the same picture as another, or as the other's mirror image."""
    mine = int(one.hashes[0], 16)
    return other is not None and any(
        (mine ^ int(theirs, 16)).bit_count() <= MAX_HASH_DISTANCE for theirs in other.hashes
    )
