"""Which checkpoint is kept, against balances worked out by hand, and what is said of it."""

from dataclasses import replace
from pathlib import Path

import pytest

from trainer import choice
from trainer.choice import Judged, Yardstick

YARD = Yardstick(photo_to_photo=0.6, base_subject=0.2, base_prompt=0.4, drift_bound=0.5)


def judged(step: int, subject: float, prompt: float, drift: float | None = 0.1, *copied: int) -> Judged:
    return Judged(step, subject, prompt, drift, copied)


def test_a_balance_is_the_harmonic_mean_of_two_shares() -> None:
    half_learnt = judged(1, 0.4, 0.4)
    assert (half_learnt.learnt(YARD), half_learnt.obeyed(YARD)) == pytest.approx((0.5, 1.0))
    assert half_learnt.balance(YARD) == pytest.approx(2 / 3)
    assert judged(1, 0.6, 0.1).balance(YARD) == pytest.approx(2 * 1 * 0.25 / 1.25)


def test_a_sample_that_repeats_a_photo_is_worth_nothing() -> None:
    free = judged(1, 0.5, 0.36)
    assert replace(free, copied=(2,), samples=5).balance(YARD) == pytest.approx(0.8 * free.balance(YARD))
    assert replace(free, copied=(2,) * 5, samples=5).balance(YARD) == 0
    closer = replace(judged(2, 0.55, 0.36), copied=(0,), samples=5)  # a little more alike, by a copy
    assert choice.best([free, closer], YARD).step == 1


@pytest.mark.parametrize(("subject", "prompt"), [(0.1, 0.4), (0.2, 0.4), (0.9, -0.1), (0.9, 0.0)])
def test_what_has_nothing_of_one_is_worth_nothing(subject: float, prompt: float) -> None:
    assert judged(1, subject, prompt).balance(YARD) == 0


def test_no_share_is_above_one_or_divided_by_nothing() -> None:
    assert judged(1, 0.9, 0.9).balance(YARD) == 1
    odd = replace(YARD, photo_to_photo=0.1, base_prompt=-0.2)
    assert (judged(1, 0.5, 0.5).learnt(odd), judged(1, 0.5, 0.5).obeyed(odd)) == (0, 0)


def test_the_best_balance_within_the_drift_bound_is_kept_the_latest_of_equals() -> None:
    steps = [judged(1, 0.3, 0.4), judged(2, 0.5, 0.36), judged(3, 0.48, 0.36), judged(4, 0.6, 0.4, 0.51)]
    assert choice.best(steps, YARD).step == 3  # 0.79 and 0.82: too near to each other to be told apart
    assert choice.best(steps[::-1], YARD).step == 3
    assert choice.best([*steps, judged(5, 0.42, 0.36)], YARD).step == 3
    assert choice.best(steps, replace(YARD, drift_bound=None)).step == 4
    everywhere = [judged(1, 0.3, 0.4, 0.7), judged(2, 0.5, 0.4, 0.6)]
    assert choice.best(everywhere, YARD).step == 2


def test_a_class_may_go_half_of_the_way_to_the_photos() -> None:
    yard = replace(YARD, base_preservation=0.2)  # to go: 0.4
    at = replace(judged(1, 0.5, 0.36), preservation=0.3)
    assert at.drifted(yard) == pytest.approx(0.5) and at.within(yard)  # a quarter of it
    beyond = replace(at, step=2, subject=0.6, preservation=0.41)
    assert beyond.drifted(yard) == pytest.approx(1.05) and not beyond.within(yard)
    assert choice.best([at, beyond], yard).step == 1
    assert replace(at, drift=0.4).drifted(yard) == pytest.approx(0.8)  # where it moved elsewhere, that counts
    assert beyond.within(YARD)  # reports of before say nothing of it
    assert beyond.within(replace(yard, base_preservation=0.7))  # there is no way to go


def test_a_class_that_no_seed_moves_may_not_move() -> None:
    still = replace(YARD, drift_bound=0.0)
    assert judged(1, 0.5, 0.36, 0.0).within(still) and not judged(1, 0.5, 0.36, 0.01).within(still)


def test_where_no_balance_is_above_nothing_the_figures_decide_as_they_are() -> None:
    like = replace(
        YARD, photo_to_photo=0.6, base_subject=0.62
    )  # what the base paints is as like the photos as they are
    steps = [
        judged(100, 0.55, 0.4),
        judged(400, 0.8, 0.39),
        judged(800, 0.8, 0.3),
        judged(900, 0.9, 0.4, 0.6),
    ]
    assert choice.best(steps, like).step == 400


def test_yardsticks_of_the_same_pictures_are_the_same_on_any_machine() -> None:
    assert YARD.same(replace(YARD, base_subject=0.2004, drift_bound=0.4996))
    assert not YARD.same(replace(YARD, base_prompt=0.402))
    assert not YARD.same(replace(YARD, drift_bound=None)) and not replace(YARD, drift_bound=None).same(YARD)
    assert replace(YARD, drift_bound=None).same(replace(YARD, drift_bound=None))


@pytest.mark.parametrize(
    ("later", "past"),
    [
        ([(0.5, 0.1)], False),  # one may be chance
        ([(0.5, 0.1), (0.5, 0.1)], True),
        ([(0.5, 0.1), (0.5, 0.39)], False),  # it came back
        ([(0.5, 0.39), (0.5, 0.1), (0.3, 0.4)], True),
    ],
)
def test_the_best_is_behind_when_two_running_are_well_below_it(
    later: list[tuple[float, float]], past: bool
) -> None:
    steps = [judged(1, 0.5, 0.4), *(judged(2 + i, *figures) for i, figures in enumerate(later))]
    assert choice.is_past(steps, YARD) is past


def test_drift_alone_puts_the_best_behind() -> None:
    assert choice.is_past([judged(1, 0.4, 0.4), judged(2, 0.5, 0.4, 0.6), judged(3, 0.5, 0.4, 0.7)], YARD)


def test_drift_on_its_way_back_does_not() -> None:
    first, outside = judged(1, 0.4, 0.4), judged(2, 0.5, 0.4, 0.7)
    assert not choice.is_past([first, outside, judged(3, 0.5, 0.4, 0.6)], YARD)
    assert choice.is_past([first, outside, judged(3, 0.5, 0.1, 0.6)], YARD)  # but what it was to keep is lost


def test_the_verdict_says_what_was_kept_and_why() -> None:
    steps = [judged(100, 0.5, 0.36), judged(200, 0.6, 0.1, 0.6, 2), judged(300, 0.6, 0.1, 0.6, 0, 2, 2)]
    assert choice.verdict(steps, YARD) == (
        "Step 100, the first, is kept: it is 75% of the way from the base to the photos and follows prompts 90% as well as the base;"
        " the class has drifted at step 200 and 300; from step 200 on it repeats photo 3; more steps made it worse."
    )
    assert "drifted at every step, at this one the least" in choice.verdict(steps[1:], YARD)
    nearly = [judged(100, 0.3, 0.4), judged(200, 0.5, 0.36), judged(300, 0.48, 0.36)]
    assert choice.verdict(nearly, YARD) == (
        "Step 300, the last, is kept: it is 70% of the way from the base to the photos and follows prompts 90% as well as"
        " the base; that step 200 is better cannot be told by so few pictures."
    )
    assert choice.verdict(steps[:1], YARD).startswith("Step 100 is kept: ")  # neither first nor last is news
    once = [judged(100, 0.5, 0.36, 0.1, 1), judged(200, 0.5, 0.36)]
    assert choice.verdict(once, YARD).endswith("as well as the base.")
    for copies, told in (((1,), False), ((1, 2), True)):  # one of ten may be chance
        last = replace(judged(200, 0.5, 0.36, 0.1, *copies), samples=10)
        assert ("it repeats photo 2" in choice.verdict([once[0], last], YARD)) is told


def test_a_report_of_an_earlier_rule_says_which_step_the_weights_are_of(tmp_path: Path) -> None:
    report = choice.Report(YARD, "sks dog", ("in the snow",), (judged(1, 0.5, 0.36), judged(2, 0.4, 0.1)))
    assert report.kept == 1
    (tmp_path / choice.FILE).write_text(report.text())
    assert choice.read(tmp_path) == report
    (tmp_path / choice.FILE).write_text(report.text().replace('"kept": 1', '"kept": 2'))
    found = choice.read(tmp_path)
    assert found is not None and found.kept == 2
    assert found.verdict.startswith("Step 2 is the concept. By the figures: step 1, the first, is kept")
