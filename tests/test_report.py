"""The page's report: the verdict, a curve a figure, a row of pictures a step."""

from pathlib import Path

import pytest
from PIL import Image

from trainer import choice
from trainer.choice import Judged, Report, Yardstick
from trainer.ui import report

YARD = Yardstick(photo_to_photo=0.6, base_subject=0.2, base_prompt=0.4, drift_bound=0.5)
JUDGED = (Judged(100, 0.4, 0.4, 0.25, ()), Judged(300, 0.6, 0.1, 0.75, (2, 2, 0)))


def written(folder: Path, *judged: Judged, yardstick: Yardstick = YARD) -> Report:
    found = Report(yardstick, "a photo of <b> sks dog", ("in the snow", "on the <moon>"), judged)
    (folder / choice.FILE).write_text(found.text())
    return found


def test_nothing_was_judged(tmp_path: Path) -> None:
    assert report.report_html(tmp_path) == ""
    (tmp_path / choice.FILE).write_text("{")
    assert report.report_html(tmp_path) == ""


def test_the_curves_are_shares(tmp_path: Path) -> None:
    found = written(tmp_path, *JUDGED)
    assert report.shares(found) == {
        report.LEARNT: pytest.approx([0.5, 1.0]),
        report.OBEYED: [1.0, 0.25],
        report.DRIFTED: [0.5, 1.0],  # as far as may be, and further
    }
    drawn = report.curves(found)
    width, height = report.PLOT
    assert f'class="curve-0" points="0.0,{height * 0.5:.1f} {width}.0,0.0"' in drawn
    assert 'x1="0.0" x2="0.0"' in drawn and "step 100 is kept" in drawn
    assert report.curves(written(tmp_path, JUDGED[0])) == ""
    unbounded = written(tmp_path, *JUDGED, yardstick=Yardstick(0.6, 0.2, 0.4, None))
    assert list(report.shares(unbounded)) == [report.LEARNT, report.OBEYED]


def test_a_row_a_step_with_its_pictures(tmp_path: Path) -> None:
    found = written(tmp_path, *JUDGED)
    (tmp_path / choice.IMAGES).mkdir()
    for name in ("000100-0.png", "000100-1.png", "000300-0.png"):  # one was deleted by hand
        Image.new("RGB", (128, 128), "teal").save(tmp_path / choice.IMAGES / name)
    html = report.report_html(tmp_path)
    assert found.verdict in html
    assert html.count("<img ") == 3 and 'alt="step 300, in the snow"' in html
    assert html.count("<tr class=kept>") == 1
    kept, last = html.partition("<tr class=kept>")[2].split("</tr>")[:2]
    assert (
        "<strong>kept</strong><small>50% like the photos</small><small>100% as prompted</small></th>" in kept
    )
    assert "<small>repeats photo 1, 3 in 3 of 4</small><small>class drifted</small>" in last
    assert "<moon>" not in html and "&lt;moon&gt;" in html
    # what can be chosen instead: those that are still there, but not what is the concept already
    assert "<button" not in html
    for name in ("checkpoint-100", "checkpoint-300", "checkpoint-x"):
        (tmp_path / name).mkdir()
    html = report.report_html(tmp_path)
    assert html.count("<button") == 1 and 'data-do="choose" data-which="300"' in html
    assert f'data-of="{tmp_path.name}"' in html
    # of a report that waits for its weights the best can be chosen too: it is not the concept yet
    (tmp_path / choice.WAITING).mkdir()
    choice.copy(tmp_path, tmp_path / choice.WAITING)
    html = report.report_html(tmp_path)
    assert html.count("<button") == 2 and html.count("<img ") == 3
