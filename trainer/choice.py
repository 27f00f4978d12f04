"""Which checkpoint to keep: the best balance of subject and prompt, as long as the class stays what it was.

Each is judged on the same prompts and seeds, against the same yardstick: the photos, and what the base makes of them.
"""

import json
import math
import shutil
from collections.abc import Sequence
from dataclasses import asdict, astuple, dataclass, replace
from pathlib import Path
from typing import Any

FILE = "evaluation.json"
IMAGES = "evaluation"  # the folder of what was judged, STEP-INDEX.png, in the order of the places, then of the class
WAITING = "training-evaluation"  # a folder with both, of a training that has not published its weights

# Of the best balance. At learning rates near 0, where weights hardly change, exams of one run differed by up to a tenth where they
# were of five pictures each, as in a short run, and by a twentieth where they were of ten.
AS_GOOD = 0.9  # from there on a few sketches cannot tell a step from the best
FALL = 0.8  # of the best balance; below it twice running, the best is behind: twice what chance does
PATIENCE = 2
CHANCE = 0.1  # of samples; where more repeat photos it is no accident: of 42 other photos of a subject one passes for a copy
LEAK = 0.5  # of the class's way to the photos; beyond it, it is nearer to them than to what it was
SAME = 1e-3  # cosines that differ by no more are of the same pictures, on whatever machine


@dataclass(frozen=True)
class Yardstick:
    """What every checkpoint is measured against; cosines."""

    photo_to_photo: float  # the likeness of the photos among themselves
    base_subject: float  # the likeness of the base's samples to the photos
    base_prompt: float  # how well the base's samples agree with the prompts
    drift_bound: (
        float | None
    )  # how much the base's own samples of the class differ from seed to seed; None without a class
    base_preservation: float | None = None  # their likeness to the photos; reports of before say nothing

    def same(self, other: "Yardstick") -> bool:
        """Whether both are of the same photos, prompts and encoders: computed again, the last digits may differ."""
        ours, theirs = astuple(self), astuple(other)
        return all(
            a is b if a is None or b is None else math.isclose(a, b, abs_tol=SAME)
            for a, b in zip(ours, theirs, strict=True)
        )


@dataclass(frozen=True)
class Judged:
    """One checkpoint's figures; cosines, `drift` is 1 - cosine, `preservation` the paper's PRES."""

    step: int
    subject: float
    prompt: float
    drift: float | None
    copied: tuple[int, ...]  # numbers of the photos that samples repeat
    samples: int = 4  # that were looked at; reports of before say nothing, and are of four
    preservation: float | None = None  # the likeness of the class alone to the photos; likewise

    def learnt(self, by: Yardstick) -> float:
        """How far it is from the base's likeness to the photos' own, 0 to 1."""
        way = by.photo_to_photo - by.base_subject
        return min(1.0, max(0.0, (self.subject - by.base_subject) / way)) if way > 0 else 0.0

    def obeyed(self, by: Yardstick) -> float:
        """How much of the base's agreement with the prompts is left, 0 to 1."""
        return min(1.0, max(0.0, self.prompt / by.base_prompt)) if by.base_prompt > 0 else 0.0

    def balance(self, by: Yardstick) -> float:
        """The harmonic mean of both: neither can be bought with the other (van Rijsbergen's F, 1979). A sample that repeats a
        photo is worth nothing."""
        learnt, obeyed = self.learnt(by), self.obeyed(by)
        own = 1 - len(self.copied) / self.samples
        return own * 2 * learnt * obeyed / (learnt + obeyed) if learnt + obeyed else 0.0

    def drifted(self, by: Yardstick) -> float:
        """How far its class has moved, of what is allowed: what another seed would have moved it, and half the way to the photos
        (prior preservation may fail within the first where a class is varied). 0 without a class."""
        if self.drift is None or by.drift_bound is None:
            return 0.0
        if by.drift_bound <= 0:  # another seed would have moved it nowhere
            return math.inf if self.drift > 0 else 0.0
        moved = self.drift / by.drift_bound
        if self.preservation is None or by.base_preservation is None:
            return moved
        way = by.photo_to_photo - by.base_preservation
        return max(moved, (self.preservation - by.base_preservation) / (LEAK * way)) if way > 0 else moved

    def within(self, by: Yardstick) -> bool:
        """Whether its class is still its own."""
        return self.drifted(by) <= 1


@dataclass(frozen=True)
class Report:
    """What evaluation.json holds."""

    yardstick: Yardstick
    subject: str  # the instance prompt
    places: tuple[str, ...]  # where it was asked for; of a style, what it was asked to show
    judged: tuple[Judged, ...]  # at least one
    chosen: int | None = None  # the step that is the concept by somebody's wish: chosen, or stopped at

    @property
    def kept(self) -> int:
        """The step to keep."""
        return self.chosen or best(self.judged, self.yardstick).step

    @property
    def verdict(self) -> str:
        """What was kept and why, in plain words."""
        found = verdict(self.judged, self.yardstick)
        if self.chosen is None:
            return found
        return f"Step {self.chosen} is the concept. By the figures: {found[0].lower()}{found[1:]}"

    def choosing(self, step: int) -> "Report":
        """The same, of a concept that is to be of this step."""
        by_itself = best(self.judged, self.yardstick).step
        return replace(self, chosen=None if step == by_itself else step)

    def text(self) -> str:
        """For FILE: for the page, the card and a resumption."""
        return json.dumps(asdict(self) | {"kept": self.kept, "verdict": self.verdict}, indent=1)


def read(directory: Path) -> Report | None:
    """A concept's report; None where there is none, or it is of another version."""
    try:
        found: dict[str, Any] = json.loads((directory / FILE).read_text(encoding="utf-8"))
        judged = (Judged(**{**each, "copied": tuple(each["copied"])}) for each in found["judged"])
        report = Report(
            Yardstick(**found["yardstick"]),
            found["subject"],
            tuple(found["places"]),
            tuple(judged),
            found.get("chosen"),
        )
        # by an earlier rule another step was kept, and its weights are what lies beside the report
        return report if report.kept == found["kept"] else replace(report, chosen=found["kept"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def newest(directory: Path) -> Path:
    """Where the newest training's report is: in the concept's folder, or beside it until its weights are published."""
    waiting = directory / WAITING
    return waiting if waiting.is_dir() else directory


def copy(source: Path, target: Path) -> None:
    """A report and its pictures, those that are there, from one folder into another."""
    if (source / FILE).is_file():
        shutil.copy(source / FILE, target)
    if (source / IMAGES).is_dir():
        shutil.copytree(source / IMAGES, target / IMAGES, dirs_exist_ok=True)


def best(judged: Sequence[Judged], by: Yardstick) -> Judged:
    """The one to keep: best balanced of those within the drift bound; where none is, the one that drifted least.

    Of those that are as good as the best the latest: what was lucky early on, at the full learning rate, is worse when looked at
    closely (compare the one-standard-error rule, Breiman et al. 1984).
    Where no balance is above nothing (the base is as like the photos as they are themselves), the figures decide as they
    are: not the step that learnt least."""
    within = [each for each in judged if each.within(by)]
    if top := max((each.balance(by) for each in within), default=0.0):
        return max((each for each in within if each.balance(by) >= AS_GOOD * top), key=lambda each: each.step)
    if within:
        return max(within, key=lambda each: (each.subject + each.prompt, -each.step))
    return min(judged, key=lambda each: (each.drifted(by), each.step))


def is_past(judged: Sequence[Judged], by: Yardstick) -> bool:
    """Whether the best is clearly behind: the last two are both well below it, or outside the drift bound and not on their way
    back. Early on, at the full learning rate, a class drifts most, and often comes back as the rate falls."""
    kept = best(judged, by)
    later = [each for each in judged if each.step > kept.step][-PATIENCE:]
    if len(later) < PATIENCE:
        return False
    low = FALL * kept.balance(by)
    before, last = later[-2:]
    coming_back = last.balance(by) >= low and last.drifted(by) < before.drifted(by)
    return not coming_back and all(each.balance(by) < low or not each.within(by) for each in later)


def verdict(judged: Sequence[Judged], by: Yardstick) -> str:
    """What was kept and why, in one sentence."""
    kept = best(judged, by)
    ends = {
        max(each.step for each in judged): ", the last,",
        min(each.step for each in judged): ", the first,",
    }
    place = ends.get(kept.step, "") if len(judged) > 1 else ""
    said = (
        f"Step {kept.step}{place} is kept: it is {kept.learnt(by):.0%} of the way from the base to the photos and follows"
        f" prompts {kept.obeyed(by):.0%} as well as the base"
    )
    top = max((each for each in judged if each.within(by)), key=lambda each: each.balance(by), default=kept)
    if top.balance(by) > kept.balance(by):
        said += f"; that step {top.step} is better cannot be told by so few pictures"
    if not any(each.within(by) for each in judged):
        said += "; its class has drifted at every step, at this one the least: use prior preservation, or fewer steps"
    elif drifted := [each.step for each in judged if not each.within(by)]:
        said += f"; the class has drifted at step {_listed(drifted)}"
    if repeats := _repeats(judged):
        step, photo = repeats
        said += f"; from step {step} on it repeats photo {photo + 1}"
    if is_past(judged, by):
        said += "; more steps made it worse"
    return f"{said}."


def _repeats(judged: Sequence[Judged]) -> tuple[int, int] | None:
    """(step, photo): since when more samples of every checkpoint repeat photos than chance does, and which the last repeats most."""
    ordered = sorted(judged, key=lambda each: each.step)
    since = None
    for each in reversed(ordered):
        if len(each.copied) <= CHANCE * each.samples:
            break
        since = each.step
    if since is None:
        return None
    last = ordered[-1].copied
    return since, max(sorted(set(last)), key=last.count)


def _listed(steps: Sequence[int]) -> str:
    *first, last = map(str, steps)
    return f"{', '.join(first)} and {last}" if first else last
