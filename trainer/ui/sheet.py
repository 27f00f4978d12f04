"""How pictures look while they come: a bar, previews in their places, notes."""

from dataclasses import dataclass, field
from html import escape

from trainer.ui import painting
from trainer.ui.background import Rate
from trainer.ui.theme import notice, picture, progress


@dataclass
class Pace:
    """How far all sets of pictures are together, and how long the rest will take."""

    runs: int
    done: int = 0
    total: int = 0
    left: str = ""
    rate: Rate = field(default_factory=Rate)

    def step(self, step: painting.Step) -> None:
        self.done, self.total = step.run * step.total + step.done, self.runs * step.total
        self.left = self.rate.left(self.done, self.total)


@dataclass
class Sheet:
    """What the page shows while pictures come: previews by set, notes, and the finished pictures."""

    titles: list[str]
    count: int
    previews: dict[tuple[int, int], bytes] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def html(self, label: str, pace: Pace) -> str:
        bar = progress(label, pace.done, pace.total, pace.left)
        notes = "".join(notice(note, "info") for note in self.notes)
        return bar + notes + self._pictures()

    def _pictures(self) -> str:
        runs = len(self.titles)
        cells = []
        for index in range(self.count):
            for run in range(runs):
                data = self.previews.get((run, index))
                inner = picture(data, "unfinished picture") if data else "<i></i>"
                cells.append(f"<figure>{inner}<figcaption>{escape(self.titles[run])}</figcaption></figure>")
        columns = columns_for(self.count, runs)
        return f'<div class="coming" style="--columns:{columns}" aria-hidden="true">{"".join(cells)}</div>'


def columns_for(count: int, runs: int) -> int:
    """Pairs side by side; else as near to a square as it goes."""
    return runs if runs > 1 else (1 if count == 1 else 2 if count <= 4 else 3)
