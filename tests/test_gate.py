"""The verdict on a set: what blocks it, what is only said, and what nobody has looked at."""

from dataclasses import replace

import pytest

from trainer.gate import CHECKS, GATES, SetReport, judge_set
from trainer.measures import Measures
from trainer.variety import Variety
from trainer.verdicts import Finding, PhotoReport

FINE = Variety(0.4, (), ())


def photos(count: int, **options: object) -> list[PhotoReport]:
    measures = Measures(512, 512, 200.0, 20.0, 220.0, 0.0, ("0" * 16, "0" * 16))
    base = PhotoReport("", measures=measures, words=())
    return [replace(base, name=f"{index}.png", **options) for index in range(count)]  # type: ignore[arg-type]


def gate_of(count: int, **options: object) -> SetReport:
    return judge_set(photos(count), resolution=512, variety=FINE, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("kind", "count", "gate", "text"),
    [
        ("object", 0, "blocked", "no photos: bring 5 to 20"),
        ("object", 1, "attention", "only 1 distinct photo: bring 5 to 20, from different sides"),
        ("object", 4, "attention", "only 4 distinct photos: bring 5 to 20"),
        ("object", 5, "ready", ""),
        ("object", 20, "ready", ""),
        ("object", 24, "ready", "24 photos are plenty"),
        ("object", 25, "attention", "25 photos: keep the 20 best"),
        (
            "style",
            9,
            "attention",
            "only 9 distinct photos: bring 10 to 60, of different things in the one style",
        ),
        ("style", 10, "ready", ""),
        ("style", 60, "ready", ""),
        ("style", 61, "ready", "61 photos are plenty"),
        ("style", 81, "attention", "81 photos: keep the 60 best"),
    ],
)
def test_how_many(kind: str, count: int, gate: str, text: str) -> None:
    report = gate_of(count, kind=kind)
    assert report.gate == gate
    assert "; ".join(report.reasons + report.notes).startswith(text)


def test_near_duplicates_do_not_count() -> None:
    report = judge_set([*photos(4), *photos(3, duplicate_of="0.png")], resolution=512, variety=FINE)
    assert (report.distinct, report.gate) == (4, "attention")


def test_a_refused_photo_in_the_set_blocks_it() -> None:
    finding = Finding("bad.png:unreadable", "damaged")
    report = judge_set(
        [*photos(5), *photos(1, verdict="refused", findings=(finding,))], resolution=512, variety=FINE
    )
    assert (report.gate, report.checks["readable"]) == ("blocked", "refused")
    assert report.summary == "Blocked: 1 of 6 photos need a look"


def test_what_nobody_looked_at_is_its_own_state() -> None:
    assert gate_of(6).summary == "Ready"
    report = judge_set(photos(6, words=None))
    assert report.unchecked == ("size", "text and watermarks", "background", "angle")
    assert GATES[report.gate] == "Not checked yet"
    assert judge_set(photos(10, words=None), kind="style").unchecked == (
        "size",
        "text and watermarks",
        "same object",
    )
    one_read = [
        *photos(5, words=None),
        *photos(1, findings=(Finding("a:text", "has text"),), verdict="warning"),
    ]
    assert judge_set(one_read, resolution=512, variety=FINE).checks["text and watermarks"] == "warning"


def test_two_photos_are_too_few_to_judge_variety() -> None:
    report = judge_set(photos(2), resolution=512, variety=Variety(None, (), ()))
    assert report.unchecked == ("background", "angle")


def test_what_a_set_of_one_subject_must_differ_in() -> None:
    same = Variety(0.8, ("0.png", "1.png", "2.png", "3.png"), (("0.png", "1.png"),))
    report = judge_set(photos(6), resolution=512, variety=same)
    assert [finding.id for finding in report.findings] == ["background", "angle"]
    assert report.reasons == (
        "the backgrounds are much alike: bring photos from other places, or the concept keeps this one",
        "0.png, 1.png, 2.png and 3.png were taken from nearly the same place: walk around it, and bring other sides",
    )
    dismissed = {finding.id: finding.text for finding in report.findings}
    assert judge_set(photos(6), resolution=512, variety=same, dismissed=dismissed).gate == "ready"
    half = Variety(0.5, ("0.png", "1.png", "2.png"), ())
    assert judge_set(photos(6), resolution=512, variety=half).gate == "ready"


def test_a_style_must_not_show_one_object_again_and_again() -> None:
    same = Variety(0.9, ("0.png", "1.png"), (("0.png", "1.png"), ("2.png", "3.png")))
    report = judge_set(photos(12), kind="style", resolution=512, variety=same)
    assert [finding.id for finding in report.findings] == ["same_object"]
    assert report.reasons[0].startswith("the same object in 0.png and 1.png: keep one, or the concept learns")
    assert "2.png and 3.png" in report.reasons[0]
    assert "background" not in report.checks


def test_every_check_is_told_of_by_one_kind_at_least() -> None:
    assert gate_of(6).checks.keys() | gate_of(6, kind="style").checks.keys() == CHECKS.keys()
    assert report_is_plain(gate_of(6))


def report_is_plain(report: SetReport) -> bool:
    """As JSON has it."""
    return report.as_dict()["summary"] == report.summary
