"""What the checkpoints of a training were found to be worth: the verdict, the curves, the pictures."""

from functools import lru_cache
from html import escape
from io import BytesIO
from pathlib import Path

from PIL import Image

from trainer import choice
from trainer.choice import Judged, Report
from trainer.ui.theme import picture

SIDE = 160  # px of a picture on the page
PLOT = (640, 180)
LEARNT = "Like the photos"
OBEYED = "Follows prompts"
DRIFTED = "Class drift, of what is allowed"


def report_html(folder: Path) -> str:
    """A concept's report; empty where nothing was judged."""
    report = choice.read(choice.newest(folder))
    if report is None:
        return ""
    return (
        f'<section class="report" data-of="{escape(folder.name)}"><h3>Did it learn?</h3><p>{escape(report.verdict)}</p>'
        f"{curves(report)}{table(report, folder)}</section>"
    )


def shares(report: Report) -> dict[str, list[float]]:
    """By name, for each judged step: 1 is all the way to the photos, as obedient as the base, as far as may be drifted."""
    by = report.yardstick
    found = {
        LEARNT: [each.learnt(by) for each in report.judged],
        OBEYED: [each.obeyed(by) for each in report.judged],
    }
    if by.drift_bound:
        found[DRIFTED] = [min(1.0, each.drifted(by)) for each in report.judged]
    return found


def curves(report: Report) -> str:
    """The shares over the steps, the kept step marked; a single one needs no curve."""
    if len(report.judged) < 2:
        return ""
    width, height = PLOT
    first, last = report.judged[0].step, report.judged[-1].step

    def x(step: int) -> float:
        return width * (step - first) / (last - first)

    lines, names = [], []
    for index, (name, values) in enumerate(shares(report).items()):
        points = " ".join(
            f"{x(each.step):.1f},{height * (1 - value):.1f}"
            for each, value in zip(report.judged, values, strict=True)
        )
        lines.append(f'<polyline class="curve-{index}" points="{points}"/>')
        names.append(f'<span class="curve-{index}">{escape(name)} {values[-1]:.0%}</span>')
    kept = x(min(report.kept, last))  # a training may be stopped after the last that was judged
    lines.append(f'<line class="kept" x1="{kept:.1f}" x2="{kept:.1f}" y1="0" y2="{height}"/>')
    label = f"Likeness, obedience and drift from step {first} to {last}; step {report.kept} is kept"
    return (
        f'<figure class="plot"><svg viewBox="0 -4 {width} {height + 8}" preserveAspectRatio="none" role="img"'
        f' aria-label="{label}">{"".join(lines)}</svg>'
        f"<figcaption>{''.join(names)}<span>at step {last:,}</span></figcaption></figure>"
    )


def table(report: Report, folder: Path) -> str:
    """A row a step: its pictures, the kept one marked."""
    names = (path.name.removeprefix("checkpoint-") for path in folder.glob("checkpoint-*"))
    there = {int(name) for name in names if name.isdecimal()}
    rows = "".join(_row(each, report, folder, there) for each in report.judged)
    heads = "".join(f'<th scope="col">{escape(place)}</th>' for place in report.places)
    return (
        f'<div class="table" tabindex="0" role="region" aria-label="Pictures by step"><table><thead><tr>'
        f'<th scope="col">Step</th>{heads}</tr></thead><tbody>{rows}</tbody></table></div>'
    )


def _row(judged: Judged, report: Report, folder: Path, there: set[int]) -> str:
    by, kept, home = report.yardstick, judged.step == report.kept, choice.newest(folder)
    is_concept = kept and home == folder  # of a report that waits nothing is the concept yet
    said = [f"{judged.learnt(by):.0%} like the photos", f"{judged.obeyed(by):.0%} as prompted"]
    if judged.copied:
        numbers = sorted({photo + 1 for photo in judged.copied})
        said.append(
            f"repeats photo {', '.join(map(str, numbers))} in {len(judged.copied)} of {judged.samples}"
        )
    if not judged.within(by):
        said.append("class drifted")
    facts = "".join(f"<small>{escape(each)}</small>" for each in said)
    mark = "<strong>kept</strong>" if kept else ""
    if judged.step in there and not is_concept:
        facts += f'<button type="button" data-do="choose" data-which="{judged.step}">Use this one</button>'
    images = home / choice.IMAGES
    cells = "".join(
        f"<td>{_picture(images / f'{judged.step:06d}-{index}.png', f'step {judged.step}, {place}')}</td>"
        for index, place in enumerate(report.places)
    )
    return f'<tr{" class=kept" if kept else ""}><th scope="row">{judged.step:,}{mark}{facts}</th>{cells}</tr>'


def _picture(path: Path, words: str) -> str:
    return picture(_small(path, path.stat().st_mtime_ns), words) if path.is_file() else ""


@lru_cache(maxsize=256)
def _small(path: Path, version: int) -> bytes:
    stream = BytesIO()
    with Image.open(path) as image:
        image.convert("RGB").resize((SIDE, SIDE), Image.Resampling.LANCZOS).save(stream, "JPEG", quality=85)
    return stream.getvalue()
