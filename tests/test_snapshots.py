"""What pages are shown: each byte of events.jsonl read once, and never half an event."""

import json
from pathlib import Path
from typing import Any

import pytest

from trainer.concept import Events
from trainer.snapshots import Follower, Snapshot


def step(number: int, loss: float = 0.5) -> dict[str, Any]:
    told = {"loss": loss, "learning_rate": 1e-4, "steps_per_second": 2.0, "memory": 7}
    return {"event": "step", "step": number, "total": 10, **told}


def run(*events: dict[str, Any], start: int = 0) -> list[dict[str, Any]]:
    """A run's events from the beginning, with `events` while it trains."""
    train = {"event": "phase", "phase": "train", "step": start, "total": 10}
    return [{"event": "phase", "phase": "load"}, {"event": "phase", "phase": "encode"}, train, *events]


@pytest.fixture
def follower(tmp_path: Path) -> Follower:
    return Follower(tmp_path)


def told(follower: Follower, *events: dict[str, Any], state: Any = "running") -> Snapshot:
    write = Events(follower.directory)
    for event in events:
        write(event)
    return follower.snapshot(state, None, None)


def test_nothing_is_new(follower: Follower) -> None:
    assert follower.snapshot(None, None, None) == Snapshot()


def test_a_run_in_the_middle(follower: Follower, tmp_path: Path) -> None:
    sample = {"event": "sample", "step": 4, "path": "samples/000004-0.png"}
    log = {"event": "log", "message": "attention: torch"}
    shown = told(follower, *run(log, step(2), step(4), {"event": "checkpoint", "step": 4}, sample))
    assert shown == Snapshot(
        state="running",
        phase="train",
        step=4,
        total=10,
        eta_seconds=3.0,
        steps_per_second=2.0,
        losses=((2, 0.5), (4, 0.5)),
        memory=7,
        previews=((4, tmp_path / "samples/000004-0.png"),),
        log=(
            "Loading the base model", "Reading the photos", "Training", "attention: torch", "Checkpoint at step 4",
        ),
        message="Training.",
        checkpoint=4,
    )  # fmt: skip


def test_the_same_object_while_nothing_changes(follower: Follower) -> None:
    first = told(follower, *run(step(1)))
    assert follower.snapshot("running", None, None) is first
    assert follower.snapshot("stopping", None, None).state == "stopping"
    assert told(follower, step(2)).losses == ((1, 0.5), (2, 0.5))


def test_only_new_bytes_are_read(follower: Follower) -> None:
    told(follower, *run(step(1)))
    read = follower.read
    size = follower.file.stat().st_size
    assert read == size
    with follower.file.open("r+b") as stream:  # what was read is not read again, whatever stands there
        stream.write(b"#" * size)
    assert [number for number, _ in told(follower, step(2)).losses] == [1, 2]
    assert follower.read == follower.file.stat().st_size


def test_a_line_counts_once_it_is_whole(follower: Follower) -> None:
    told(follower, *run(step(1)))
    line = json.dumps(step(2) | {"time": 0}).encode() + b"\n"
    for part, steps in [(line[:9], [1]), (line[9:-1], [1]), (line[-1:], [1, 2])]:
        with follower.file.open("ab") as stream:
            stream.write(part)
        assert [number for number, _ in follower.snapshot("running", None, None).losses] == steps


def test_a_line_torn_by_a_kill_is_left_out(follower: Follower) -> None:
    told(follower, *run(step(1)))
    with follower.file.open("ab") as stream:
        stream.write(b'{"event": "st')
    shown = told(follower, *run(step(1)))
    assert shown.losses == ((1, 0.5),)


def test_a_folder_made_anew_is_read_anew(follower: Follower) -> None:
    told(follower, *run(step(1)))
    follower.file.unlink()
    assert follower.snapshot(None, None, None).state == "new"
    assert told(follower, *run(step(3))).losses == ((3, 0.5),)


def test_a_resumed_run_shows_what_it_goes_on_from(follower: Follower) -> None:
    samples = [{"event": "sample", "step": number, "path": f"{number}.png"} for number in (2, 4)]
    checkpoint = {"event": "checkpoint", "step": 2}
    told(follower, *run(step(2), checkpoint, samples[0], step(4), samples[1]))
    shown = told(follower, {"event": "phase", "phase": "load"})
    assert (shown.losses, shown.previews, shown.phase) == ((), (), "load")
    shown = told(follower, *run(step(3, 0.1), start=2))
    assert shown.losses == ((2, 0.5), (3, 0.1))
    assert [number for number, _ in shown.previews] == [2]
    assert shown.checkpoint == 2
    afresh = told(follower, *run(step(1, 0.2)))
    assert (afresh.losses, afresh.previews, afresh.checkpoint) == (((1, 0.2),), (), None)


def test_class_images_have_a_time_left(follower: Follower) -> None:
    counts = [{"event": "phase", "phase": "class_images", "done": done, "total": 8} for done in (2, 4)]
    shown = told(follower, counts[0] | {"time": 100.0}, counts[1] | {"time": 110.0})
    assert (shown.phase, shown.step, shown.total, shown.eta_seconds) == ("class_images", 4, 8, 20.0)


def test_changes_stay_with_the_run_they_are_for(follower: Follower) -> None:
    leaner = {"event": "phase", "phase": "leaner", "message": "batches are smaller"}
    shown = told(
        follower, *run({"event": "error", "kind": "OutOfMemoryError", "message": "out of memory"}), leaner
    )
    assert (shown.phase, shown.message) == ("leaner", "Out of memory: trying leaner settings.")
    assert told(follower, *run(step(1))).changes == ("batches are smaller",)
    assert shown.log[-2:] == ("out of memory", "Out of memory. Trying again: batches are smaller")
    assert told(follower, *run(step(1))).changes == ()


@pytest.mark.parametrize(
    ("last", "state", "message"),
    [
        ({"event": "checkpoint", "step": 2}, "interrupted",
         "The app was closed in the middle of this training. It can go on from step 2."),
        (step(1), "interrupted", "The app was closed in the middle of this training. Start it again."),
        ({"event": "error", "kind": "TrainingError", "message": "the loss is nan"}, "failed", "the loss is nan"),
        ({"event": "error", "kind": "KeyError", "message": "'a'"}, "failed",
         "Something went wrong that should not (KeyError: 'a')."),
        ({"event": "finished", "step": 4, "stopped": True, "published": True}, "stopped",
         "Stopped at step 4. What it learnt by then can be used."),
        ({"event": "finished", "step": 0, "stopped": True, "published": False}, "stopped",
         "Stopped before there was anything to use. Start it again."),
        ({"event": "finished", "step": 10, "stopped": False, "published": True}, "finished",
         "Finished: it was loaded back from disk, and differs from the base."),
    ],
)  # fmt: skip
def test_how_it_ended(follower: Follower, last: dict[str, Any], state: str, message: str) -> None:
    shown = told(follower, *run(last), state=None)
    assert (shown.state, shown.message, shown.eta_seconds) == (state, message, None)


def test_what_could_not_be_written_down_is_shown(follower: Follower) -> None:
    told(follower, *run(step(1)))
    shown = follower.snapshot(None, None, "the disk is full")
    assert (shown.state, shown.message) == ("failed", "the disk is full")


def test_no_message_tells_where_things_lie(follower: Follower) -> None:
    place = follower.directory
    message = f"{place}/instance_images: no photos; the disk that holds {place} is full"
    shown = told(follower, *run({"event": "error", "kind": "PhotoError", "message": message}), state=None)
    assert shown.message == f"instance_images: no photos; the disk that holds {place.name} is full"
    assert shown.log[-1] == shown.message
    assert follower.snapshot(None, None, message).message == shown.message


def test_the_log_is_its_end(follower: Follower) -> None:
    shown = told(follower, *({"event": "log", "message": str(number)} for number in range(500)))
    assert shown.log == tuple(str(number) for number in range(300, 500))


def test_what_was_judged_and_kept_is_told(follower: Follower) -> None:
    judged = {"event": "evaluation", "step": 4, "subject": 0.5, "prompt": 0.4, "drift": 0.1, "balance": 0.678}
    shown = told(follower, *run(step(4), judged))
    assert shown.log[-1] == "Judged at step 4: balance 0.68" and shown.verdict == ""
    end = {"event": "finished", "stopped": False, "step": 10, "published": True}
    assert (
        told(follower, end | {"kept": 4, "verdict": "Step 4 is kept."}, state=None).verdict
        == "Step 4 is kept."
    )
