"""The mean since the last report, a pace without pauses, and a stop where the loss is no number."""

import time
from typing import Any

import pytest
import torch
from pytest import approx

from trainer import reports
from trainer.config import training_config
from trainer.errors import TrainingError


class Board:
    def __init__(self) -> None:
        self.told: list[tuple[str, float, int]] = []

    def add_scalar(self, name: str, value: float, step: int) -> None:
        self.told.append((name, value, step))


def make(events: list[dict[str, Any]], board: Any = None, step: int = 0) -> reports.Reports:
    return reports.Reports(events.append, board, torch.device("cpu"), lambda value: value, step)


def test_means_are_of_the_steps_since_the_last_report() -> None:
    events: list[dict[str, Any]] = []
    board = Board()
    own = make(events, board, step=10)
    for value in (1.0, 2.0, 6.0):
        own.add(torch.tensor(value))
    own.tell(13, 20, 1e-4)
    own.add(torch.tensor(7.0))
    own.tell(14, 20, 1e-5)
    assert [(event["step"], event["loss"], event["learning_rate"]) for event in events] == [
        (13, 3.0, 1e-4),
        (14, 7.0, 1e-5),
    ]
    assert events[0]["total"] == 20
    assert events[0]["memory"] > 1e6
    assert [told for told in board.told if told[0] == "loss"] == [("loss", 3.0, 13), ("loss", 7.0, 14)]


def test_pauses_do_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    events: list[dict[str, Any]] = []
    now = [100.0]
    monkeypatch.setattr(time, "perf_counter", lambda: now[0])
    own = make(events)
    now[0] += 12
    own.pause(10)
    own.tell(4, 4, 0.0)
    assert events[0]["steps_per_second"] == approx(2.0)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_loss_that_is_no_number_stops(value: float) -> None:
    events: list[dict[str, Any]] = []
    own = make(events)
    own.add(torch.tensor(1.0))
    own.add(torch.tensor(value))
    with pytest.raises(TrainingError, match=f"the loss is {value} by step 2; nothing was published"):
        own.tell(2, 4, 1e-4)
    assert events == []


def test_missing_tensorboard_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    config = training_config(instance_data_dir="dogs", instance_prompt="sks", report_to="tensorboard")
    monkeypatch.setattr(reports, "find_spec", lambda name: None)
    lines: list[str] = []
    assert reports.board(config, lines.append) is None
    assert lines == ["report_to: tensorboard is not installed; pip install tensorboard, or set none"]
    assert reports.board(config.model_copy(update={"report_to": "none"}), lines.append) is None
    assert len(lines) == 1
