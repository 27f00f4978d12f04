"""Judge a set of photos: may training start with them, and what would make them better. Pure, no files."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from trainer.variety import SAME_BACKGROUND, Variety
from trainer.verdicts import Finding, PhotoReport, Seen, open_texts, with_dismissals

Gate = Literal["ready", "attention", "unchecked", "blocked"]
State = Literal["ok", "warning", "refused", "not checked"]
Kind = Literal["object", "style"]

# kind -> photos to bring: the fewest, the most that helps, and from where on more is a burden
COUNTS: dict[Kind, tuple[int, int, int]] = {"object": (5, 20, 24), "style": (10, 60, 80)}

# What is looked at, and the codes of the findings that speak of it.
CHECKS: dict[str, tuple[str, ...]] = {
    "readable": ("unreadable",),
    "count": ("none", "few", "many"),
    "size": ("tiny", "small"),
    "shape": ("extreme", "elongated"),
    "sharpness": ("blurred",),
    "exposure": ("dark", "bright", "flat", "harsh"),
    "transparency": ("transparent",),
    "animation": ("animated",),
    "near-duplicates": ("duplicate",),
    "text and watermarks": ("watermark", "text"),
    "background": ("background",),
    "angle": ("angle",),
    "same object": ("same_object",),
}
_OF_KIND = {"background": "object", "angle": "object", "same object": "style"}
GATES: dict[Gate, str] = {
    "ready": "Ready",
    "attention": "Needs attention",
    "unchecked": "Not checked yet",
    "blocked": "Blocked",
}


@dataclass(frozen=True)
class SetReport:
    """The verdict on all photos together, and each one's."""

    gate: Gate
    findings: tuple[Finding, ...]  # of the set alone
    notes: tuple[str, ...]
    checks: dict[str, State]  # every check of this kind, also those that nobody made yet
    distinct: int  # usable photos, near-duplicates counted once
    photos: tuple[PhotoReport, ...]
    refused_uploads: tuple[PhotoReport, ...] = ()  # brought and not stored: no part of the set
    dropped: tuple[Seen, ...] = ()  # taken out of the set, can be taken back

    @property
    def reasons(self) -> tuple[str, ...]:
        """The texts of what is wrong with the set and was not dismissed."""
        return open_texts(self.findings)

    @property
    def unchecked(self) -> tuple[str, ...]:
        """The checks that nobody made yet."""
        return tuple(name for name, state in self.checks.items() if state == "not checked")

    @property
    def summary(self) -> str:
        """The gate in a sentence."""
        flagged = sum(photo.verdict != "ok" for photo in self.photos)
        parts = list(self.reasons)
        if flagged:
            parts.append(f"{flagged} of {len(self.photos)} photos need a look")
        if self.unchecked:
            parts.append("not checked: " + ", ".join(self.unchecked))
        return GATES[self.gate] + (": " + "; ".join(parts) if parts else "")

    def as_dict(self) -> dict[str, Any]:
        """For JSON, photos included."""
        return asdict(self) | {"summary": self.summary}


def judge_set(
    photos: Sequence[PhotoReport],
    *,
    kind: Kind = "object",
    resolution: int | None = None,
    variety: Variety | None = None,
    dismissed: Mapping[str, str] | None = None,
) -> SetReport:
    """The verdict on the set. `variety` is of the usable photos under their keys, None where nobody compared them."""
    usable = [photo for photo in photos if photo.verdict != "refused"]
    distinct = sum(photo.duplicate_of is None for photo in usable)
    found, notes = _count(len(photos), len(usable), distinct, kind)
    if variety is not None:
        found += _sameness(variety, kind, {photo.key: photo.name for photo in usable})
    findings = with_dismissals(found, dismissed or {})
    checks = _checks(photos, findings, kind)
    if resolution is None:
        checks["size"] = _unless_wrong(checks["size"])
    if any(photo.words is None for photo in usable):
        checks["text and watermarks"] = _unless_wrong(checks["text and watermarks"])
    if variety is None or variety.background is None:  # too few photos to tell
        for name in _OF_KIND.keys() & checks.keys():
            checks[name] = _unless_wrong(checks[name])
    states = set(checks.values())
    gate: Gate = "ready"
    if "refused" in states:
        gate = "blocked"
    elif "warning" in states:
        gate = "attention"
    elif "not checked" in states:
        gate = "unchecked"
    return SetReport(gate, findings, tuple(notes), checks, distinct, tuple(photos))


def _unless_wrong(state: State) -> State:
    return "not checked" if state == "ok" else state


def _checks(photos: Sequence[PhotoReport], findings: Sequence[Finding], kind: Kind) -> dict[str, State]:
    """What became of each check of this kind."""
    wrong = {finding.code for finding in findings if not finding.dismissed}
    refused = {"none"} & wrong
    for photo in photos:
        codes = {finding.code for finding in photo.findings if not finding.dismissed}
        wrong |= codes
        if photo.verdict == "refused":
            refused |= codes
    return {
        name: "refused" if refused & set(codes) else "warning" if wrong & set(codes) else "ok"
        for name, codes in CHECKS.items()
        if _OF_KIND.get(name, kind) == kind
    }


def _count(brought: int, usable: int, distinct: int, kind: Kind) -> tuple[list[Finding], list[str]]:
    fewest, most, burden = COUNTS[kind]
    wanted = f"bring {fewest} to {most}"
    if not usable:
        lead = "no photo here can be used" if brought else "no photos"
        return [Finding("none", f"{lead}: {wanted}")], []
    if distinct < fewest:
        others = (
            "from different sides and in different places, or the concept repeats the photo itself"
            if kind == "object"
            else "of different things in the one style, or the concept learns the things"
        )
        count = f"only {distinct} distinct photo{'s' if distinct > 1 else ''}"
        return [Finding("few", f"{count}: {wanted}, {others}")], []
    if distinct > burden:
        return [Finding("many", f"{distinct} photos: keep the {most} best, they are learnt better")], []
    return [], [f"{distinct} photos are plenty"] if distinct > most else []


def _sameness(variety: Variety, kind: Kind, names: Mapping[str, str]) -> list[Finding]:
    found = []
    if kind == "style":
        for group in variety.same_object:
            text = f"the same object in {_listed(group, names)}: keep one, or the concept learns the object with the style"
            found.append(Finding("same_object", text))
        return _joined(found)
    if variety.background is not None and variety.background >= SAME_BACKGROUND:
        text = "the backgrounds are much alike: bring photos from other places, or the concept keeps this one"
        found.append(Finding("background", text))
    if variety.background is not None and 2 * len(variety.same_view) > len(names):
        text = (
            f"{_listed(variety.same_view, names)} were taken from nearly the same place: "
            "walk around it, and bring other sides"
        )
        found.append(Finding("angle", text))
    return found


def _joined(found: Sequence[Finding]) -> list[Finding]:
    """Several findings of one code as one, so that its id stays the same however many there are."""
    return [Finding(found[0].id, "; ".join(each.text for each in found))] if found else []


def _listed(keys: Sequence[str], names: Mapping[str, str]) -> str:
    shown = [names[key] for key in keys]
    return f"{', '.join(shown[:-1])} and {shown[-1]}"
