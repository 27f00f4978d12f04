"""Many pages together look no oftener than a training can bear; one alone sees it move."""

import math

import pytest

from trainer.ui import watchers
from trainer.ui.watchers import IDLE, LOOKS_PER_SECOND, SHORTEST, Watchers


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(watchers, "time", made)
    return made


def test_one_page_looks_often_at_a_training_and_seldom_at_none(clock: Clock) -> None:
    assert Watchers().pause("a", going=True) == SHORTEST
    assert Watchers().pause("a", going=False) == IDLE


def test_forty_pages_look_no_oftener_than_the_training_bears(clock: Clock) -> None:
    pages = Watchers()
    due = {str(page): 1000.0 for page in range(40)}
    looks = 0
    while clock.now < 1200:
        clock.now += 0.5
        for page, when in due.items():
            if when <= clock.now:
                due[page] = clock.now + pages.pause(page, going=True)
                looks += clock.now > 1100
    assert looks <= 100 * LOOKS_PER_SECOND
    assert pages.pause("0", going=True) == math.ceil(40 / LOOKS_PER_SECOND)


def test_a_closed_page_is_forgotten(clock: Clock) -> None:
    pages = Watchers()
    for page in range(40):
        pages.pause(str(page), going=True)
    clock.now += 21
    assert pages.pause("0", going=True) == SHORTEST
