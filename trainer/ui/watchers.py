"""How often an open page looks at a training: the more of them watch, the seldomer each, for a look takes its time."""

import math
import time

SHORTEST = 2  # seconds between two looks of one page at a running job
IDLE = 10  # and where none runs: it may be started in another tab
LOOKS_PER_SECOND = 4  # of all pages together: about 12 ms of a core each


class Watchers:
    """The pages that look."""

    def __init__(self) -> None:
        self.until: dict[str, float] = {}  # session -> when it is taken for closed

    def pause(self, session: str, going: bool) -> int:
        """Seconds until that page should look again; counts it as open for twice as long."""
        now = time.monotonic()
        self.until = {each: end for each, end in self.until.items() if end > now}
        pages = len(self.until.keys() | {session})
        seconds = max(SHORTEST if going else IDLE, math.ceil(pages / LOOKS_PER_SECOND))
        self.until[session] = now + 2 * seconds
        return seconds
