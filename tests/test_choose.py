"""Another checkpoint as the concept, on tiny models: its very weights, and a report that says so."""

from pathlib import Path
from typing import Any

import pytest
from test_exam import JUDGED, assert_published, report
from test_exam import thorough as thorough  # a fixture
from test_loop import Train, assert_same
from test_loop import train as train  # a fixture

from trainer import choice, concept
from trainer.__main__ import main
from trainer.choose import choose
from trainer.errors import CheckpointError, ConceptError


@pytest.mark.parametrize("changes", [{}, {"train_text_encoder": True}, {"method": "lora", "rank": 2}])
def test_another_checkpoint_becomes_the_concept(
    train: Train, judge: Path, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any]
) -> None:
    monkeypatch.setattr(choice, "best", lambda judged, by: judged[-1])
    monkeypatch.setattr(choice, "is_past", lambda judged, by: False)
    trained = train(evaluation_encoder=str(judge), **JUDGED, **changes)
    last = trained.weights()
    assert report(trained.directory)["kept"] == 4
    assert main(["choose", "--concept", str(trained.directory), "--step", "2"]) == 0
    assert_published(trained.directory, "checkpoint-2")
    found = report(trained.directory)
    assert (found["kept"], found["chosen"]) == (2, 2)
    assert found["verdict"].startswith("Step 2 is the concept. By the figures: step 4, the last, is kept")
    choose(trained.directory, 4)
    assert_same(trained.weights(), last)
    assert (report(trained.directory)["kept"], report(trained.directory)["chosen"]) == (4, None)


def test_a_checkpoint_that_is_not_whole_is_not_chosen(train: Train, judge: Path) -> None:
    trained = train(evaluation_encoder=str(judge), **JUDGED)
    before = trained.weights()
    with pytest.raises(CheckpointError, match="checkpoint-9 cannot be used: it is not there"):
        choose(trained.directory, 9)
    weights = next((trained.directory / "checkpoint-1").rglob("*.safetensors"))
    weights.write_bytes(b"half" + weights.read_bytes()[4:])
    with pytest.raises(CheckpointError, match=r"checkpoint-1 cannot be used: .* is damaged"):
        choose(trained.directory, 1)
    with (
        concept.lock(trained.directory),
        pytest.raises(ConceptError, match="another training is writing here"),
    ):
        choose(trained.directory, 2)
    assert_same(trained.weights(), before)


def test_a_checkpoint_of_an_earlier_training_is_not_taken_for_the_newest_s(train: Train, judge: Path) -> None:
    train(evaluation_encoder=str(judge), **JUDGED)
    trained = train(evaluation_encoder=str(judge), **JUDGED | {"checkpointing_steps": 2, "seed": 3})
    before = trained.weights()
    with pytest.raises(CheckpointError, match="checkpoint-3 belongs to another run: seed was 0, is 3"):
        choose(trained.directory, 3)
    assert_same(trained.weights(), before)
    choose(trained.directory, 2)
    assert_published(trained.directory, "checkpoint-2")
