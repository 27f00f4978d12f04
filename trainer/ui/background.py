"""Long work in a thread, told of as it goes."""

import queue
import threading
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any, TypeVar

from trainer.ui.theme import time_left

Result = TypeVar("Result")
Tell = Callable[[Any], None]


@dataclass(frozen=True)
class _Ended:
    result: Any = None
    error: BaseException | None = None


class Rate:
    """How long work will still take, by its pace since the first look at it."""

    def __init__(self) -> None:
        self.first: tuple[float, float] | None = None  # when, and how much was done by then

    def left(self, done: float, total: float) -> str:
        """Words for the time left; none before a second look has shown the pace."""
        now = time.monotonic()
        if self.first is None:
            self.first = now, done
        begun, before = self.first
        return time_left((now - begun) / (done - before) * (total - done)) if done > before else ""


def telling(work: Callable[[Tell, threading.Event], Result]) -> Generator[Any, None, Result]:
    """Run `work(tell, stop)` in a thread, yield what it tells, return its result, raise what it raises.

    Closing the generator sets `stop` and waits for the thread: whatever it held is free afterwards.
    """
    told: queue.SimpleQueue[Any] = queue.SimpleQueue()
    stop = threading.Event()

    def run() -> None:
        try:
            told.put(_Ended(work(told.put, stop)))
        except BaseException as error:
            told.put(_Ended(error=error))

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        while not isinstance(item := told.get(), _Ended):
            yield item
        if item.error is not None:
            raise item.error
        result: Result = item.result
        return result
    finally:
        stop.set()
        thread.join()
