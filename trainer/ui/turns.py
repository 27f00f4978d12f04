"""Whose turn it is to use the device for pictures: first come, first served, and everybody is told their place."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from trainer.ui.theme import progress

LOOK_SECONDS = 0.5  # a new place in the line is told, and a cancelled wait noticed, no later than that


class Turns:
    """A line of those who wait, from any thread."""

    def __init__(self) -> None:
        self._line: list[object] = []
        self._moved = threading.Condition()

    @contextmanager
    def taken(self) -> Iterator[Callable[[], int]]:
        """A place at the end of the line, given up when the block ends.

        What is yielded tells how many are ahead, after a moment in which that may have changed: 0 is one's turn.
        """
        ticket = object()
        with self._moved:
            self._line.append(ticket)
        try:
            yield lambda: self._ahead(ticket)
        finally:
            with self._moved:
                self._line.remove(ticket)
                self._moved.notify_all()

    def _ahead(self, ticket: object) -> int:
        with self._moved:
            if self._line[0] is not ticket:
                self._moved.wait(LOOK_SECONDS)
            return self._line.index(ticket)


def waiting(ahead: int) -> str:
    """For the page of someone who waits."""
    return progress("Waiting for a turn", 0, 0, f"{ahead} ahead of you")
