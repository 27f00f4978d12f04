"""A line at the device: in the order in which they came, told how many are ahead, left by who is done or gives up."""

import threading

import pytest

from trainer.errors import BusyError
from trainer.jobs import Jobs
from trainer.ui import access, catalogue, turns
from trainer.ui.studio import Studio
from trainer.workspace import Workspace


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "LOOK_SECONDS", 0.01)


def test_first_come_first_served() -> None:
    line = turns.Turns()
    with line.taken() as first, line.taken() as second:
        with line.taken() as third:
            assert (first(), second(), third()) == (0, 1, 2)
        with line.taken() as fourth:
            assert (first(), second(), fourth()) == (0, 1, 2)
    with line.taken() as alone:
        assert alone() == 0


def test_whoever_waits_learns_of_a_new_place_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "LOOK_SECONDS", 600)
    line, done, seen = turns.Turns(), threading.Event(), []

    def wait(come: threading.Event) -> None:
        with line.taken() as ahead:
            come.set()
            while before := ahead():
                seen.append(before)
            done.set()

    with line.taken():
        come = threading.Event()
        thread = threading.Thread(target=wait, args=(come,), daemon=True)
        thread.start()
        assert come.wait(60) and not done.is_set()
    assert done.wait(60) and seen == []


def test_the_device_is_held_in_turn(tmp_path) -> None:
    jobs = Jobs(tmp_path, lambda: None)
    try:
        who = access.from_surroundings("127.0.0.1", False, None, {})
        studio = Studio(who, catalogue.Catalogue("base"), Workspace(tmp_path), jobs)
        waited: list[int] = []
        with studio.turn(waited.append):
            assert waited == []
            cancelled = iter((False, False, True))
            with (
                pytest.raises(BusyError, match="Cancelled"),
                studio.turn(waited.append, lambda: next(cancelled)),
            ):
                pytest.fail("two had the device")
            assert waited == [1, 1]
        with studio.turn(waited.append):
            assert waited == [1, 1]
    finally:
        jobs.close()
