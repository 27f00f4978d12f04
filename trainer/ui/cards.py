"""How photos and words are shown with their verdicts: one card a photo, the gate of the set, the identifier's report."""

from collections.abc import Sequence
from functools import lru_cache
from html import escape
from io import BytesIO
from pathlib import Path
from typing import Any

from trainer import crops, photos, verdicts
from trainer.gate import GATES, SetReport
from trainer.ui.theme import notice, picture

VERDICTS = {"ok": "Ready", "warning": "Warning", "refused": "Blocked"}
BUTTONS = {
    "drop": "Drop it",
    "center_crop": "Crop to the middle",
    "smart_crop": "Crop to the subject",
    "flatten": "Put white behind it",
}
CHECK_NAMES = {"near-duplicates": "no duplicates", "readable": "readable", "count": "enough photos"}
CARD_SIDE = 320  # px
MAX_CROPS = 5
# A card's buttons are plain HTML: gradio components of their own, four a photo, would take seconds to draw.
PRESS = """
element.addEventListener('click', (event) => {
  const button = event.target.closest('button[data-do]');
  const of = button?.closest('[data-of]')?.dataset.of;
  const again = event.detail > 1;  // the second half of a double click
  if (button && !again) trigger('submit', {what: button.dataset.do, which: button.dataset.which, of});
});
"""


def gate_html(report: SetReport) -> str:
    """The set's verdict: one word, then what each check came to."""
    checks = "".join(
        f'<li class="{state.replace(" ", "-").replace("refused", "bad")}">'
        f"<span>{escape(CHECK_NAMES.get(name, name))}</span><em>{escape(_state(state))}</em></li>"
        for name, state in report.checks.items()
    )
    findings = "".join(_finding(finding, "the set") for finding in report.findings)
    notes = "".join(f"<p>{escape(note)}</p>" for note in report.notes)
    next_step = {
        "ready": "Go on to Train.",
        "attention": "You can train, but look at the warnings first, or dismiss them.",
        "unchecked": "You can train; what was not checked is listed.",
        "blocked": "Training waits until this is mended.",
    }[report.gate]
    count = f"{len(report.photos)} photo{'s' if len(report.photos) != 1 else ''}"
    return (
        f'<section class="gate {report.gate}" role="status"><div class="verdict-line"><h2>{GATES[report.gate]}</h2>'
        f"<p>{count}. {next_step}</p></div>"
        f'<ul class="findings">{findings}</ul>{notes}'
        f'<details><summary>What was checked</summary><ul class="checks">{checks}</ul></details></section>'
    )


def _state(state: str) -> str:
    return {"ok": "fine", "warning": "look", "refused": "blocked"}.get(state, state)


def _finding(finding: verdicts.Finding, what: str) -> str:
    """A reason, its remedies, and the way to say that it is all right."""
    if finding.dismissed:
        again = _button("undismiss", finding.id, "Count it again", f"count again: {finding.text}")
        return f'<li class="dismissed"><p><s>{escape(finding.text)}</s></p><div>{again}</div></li>'
    stored = finding.id.rpartition(":")[0]
    buttons = "".join(
        _button(each, stored, BUTTONS[each], f"{BUTTONS[each]}: {what}") for each in finding.remedies
    )
    fatal = finding.code in ("none", "unreadable", "tiny", "extreme")
    fine = (
        "" if fatal else _button("dismiss", finding.id, "That\u2019s fine", f"dismiss: {finding.text[:60]}")
    )
    text = finding.text[:1].upper() + finding.text[1:]
    return f"<li><p>{escape(text)}</p><div>{buttons}{fine}</div></li>"


def _button(what: str, which: str, words: str, spoken: str) -> str:
    return (
        f'<button type="button" class="small" data-do="{escape(what)}" data-which="{escape(which)}"'
        f' aria-label="{escape(spoken)}">{escape(words)}</button>'
    )


def cards_html(report: SetReport, directory: Path, side: int, *, center_crop: bool) -> str:
    """A card for each photo; below them what was refused, and what was dropped."""
    made = "".join(_card(photo, directory, side, center_crop=center_crop) for photo in report.photos)
    cards = f'<ul class="cards">{made}</ul>' if made else ""
    below = ""
    if report.refused_uploads:
        refused_ones = "".join(
            f"<li><strong>{escape(photo.name)}</strong> {escape('; '.join(photo.reasons))}</li>"
            for photo in report.refused_uploads
        )
        clear = _button("clear", "", "Clear this list", "clear the list of files that were not taken")
        below += f'<section class="aside"><h3>Not taken</h3><ul>{refused_ones}</ul>{clear}</section>'
    if report.dropped:
        dropped = "".join(
            f"<li>{escape(seen.name)} {_button('restore', seen.key, 'Take it back', f'take back {seen.name}')}</li>"
            for seen in report.dropped
        )
        below += f'<section class="aside"><h3>Dropped</h3><ul>{dropped}</ul></section>'
    return cards + below


def _card(photo: verdicts.PhotoReport, directory: Path, side: int, *, center_crop: bool) -> str:
    file = directory / photo.key
    version = file.stat().st_mtime_ns if file.is_file() else 0
    squares = _squares(file, version, side, center_crop) if version else ()
    first, *others = squares or (b"",)
    main = picture(first, f"{photo.name}, as training sees it") if first else '<div class="blank"></div>'
    strip = f'<div class="strip">{"".join(picture(each, "") for each in others)}</div>' if others else ""
    findings = "".join(_finding(finding, photo.name) for finding in photo.findings)
    notes = "".join(f"<li class='note'><p>{escape(note)}</p></li>" for note in photo.notes)
    undo = (
        _button("restore", photo.key, "As it was", f"undo what was done to {photo.name}")
        if photo.remedies
        else ""
    )
    size = f"{photo.width} x {photo.height} px" if photo.width else ""
    return (
        f'<li class="card {photo.verdict}">{main}{strip}<div class="body"><h3>{escape(photo.name)}</h3>'
        f'<p class="facts"><span class="verdict">{VERDICTS[photo.verdict]}</span> {size}</p>'
        f'<ul class="findings">{findings}{notes}</ul>{undo}</div></li>'
    )


@lru_cache(maxsize=512)
def _squares(file: Path, version: int, side: int, center_crop: bool) -> tuple[bytes, ...]:
    """The crops that training sees, as JPEGs."""
    made = []
    for square in crops.preview(photos.open_photo(file), side, center_crop=center_crop)[:MAX_CROPS]:
        stream = BytesIO()
        square.thumbnail((CARD_SIDE, CARD_SIDE))
        square.save(stream, "JPEG", quality=85)
        made.append(stream.getvalue())
    return tuple(made)


def word_html(report: Any, suggested: Sequence[str]) -> str:
    """What was found of an identifier."""
    kind = {"ok": "good", "warning": "warning"}.get(report.verdict, "error")
    lead = {
        "ok": f"“{report.identifier}” is a good identifier.",
        "warning": f"“{report.identifier}” may carry something of its own.",
    }.get(report.verdict, "This cannot be an identifier.")
    said = notice("\n".join([lead, *report.reasons, *report.notes]), kind)
    if not suggested:
        return said
    chips = "".join(
        f'<button type="button" class="small" data-do="take" data-which="{escape(each)}">{escape(each)}</button>'
        for each in suggested
    )
    return f'{said}<p class="suggested">These pass: {chips}</p>'
