"""Trainings that judge themselves, with a tiny CLIP: what is kept, when it ends, and that a resumed run finds the same."""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from safetensors.torch import load_file
from test_loop import Train, after, assert_same
from test_loop import train as train  # a fixture

from trainer import choice, concept, copying, evaluation, exam, finish, photos
from trainer.choose import choose
from trainer.config import TrainingConfig, training_config

ASKED = len(exam.PLACES)
PICTURES = ASKED + 4  # of the subject, and of the class alone
JUDGED = {"checkpointing_steps": 1, "max_train_steps": 4, "learning_rate": 1e-2}


@pytest.fixture(autouse=True)
def thorough(monkeypatch: pytest.MonkeyPatch) -> None:
    """So short a run has no time for it."""
    monkeypatch.setattr(exam, "SHARE", 1000)
    monkeypatch.setattr(exam, "STEPS", 2)
    monkeypatch.setattr(exam, "CLASS_STEPS", 1)


def report(directory: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((directory / choice.FILE).read_text())
    return found


def assert_published(directory: Path, checkpoint: str) -> None:
    """The concept's weights are the checkpoint's."""
    taken = directory / checkpoint
    files = [
        path.relative_to(taken) for path in taken.rglob("*.safetensors") if path.name != "state.safetensors"
    ]
    assert files
    for file in files:
        assert_same(load_file(directory / file), load_file(taken / file))


@pytest.mark.parametrize("changes", [{}, {"train_text_encoder": True}, {"method": "lora", "rank": 2}])
def test_every_checkpoint_is_judged_and_the_best_becomes_the_concept(
    train: Train, judge: Path, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any]
) -> None:
    monkeypatch.setattr(choice, "best", lambda judged, by: judged[min(1, len(judged) - 1)])
    monkeypatch.setattr(choice, "is_past", lambda judged, by: False)
    trained = train(evaluation_encoder=str(judge), checkpoints_total_limit=1, **JUDGED, **changes)
    told = trained.told("evaluation")
    assert [each["step"] for each in told] == [1, 2, 3, 4]
    found = report(trained.directory)
    assert found["kept"] == 2 and [each["step"] for each in found["judged"]] == [1, 2, 3, 4]
    assert len({each["subject"] for each in found["judged"]}) == 4  # other weights, other pictures
    assert trained.events[-1]["kept"] == 2 and trained.events[-1]["verdict"] == found["verdict"]
    assert len(list((trained.directory / choice.IMAGES).glob("000003-*.png"))) == PICTURES
    # the newest and the best are there, and what was published is the best
    assert sorted(path.name for path in trained.directory.glob("checkpoint-*")) == [
        "checkpoint-2",
        "checkpoint-4",
    ]
    assert_published(trained.directory, "checkpoint-2")


def test_copies_are_counted_among_the_pictures_of_the_subject(
    train: Train, judge: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def told(originals: copying.Originals, samples: Sequence[Image.Image]) -> list[int | None]:
        assert originals.apart(samples).shape[0] == ASKED
        return [3, None, 1]

    monkeypatch.setattr(copying.Originals, "copied", told)
    judged = report(train(evaluation_encoder=str(judge), **JUDGED).directory)["judged"]
    assert [each["copied"] for each in judged] == [[3, 1]] * 4
    assert {each["samples"] for each in judged} == {ASKED}


def test_what_is_said_of_the_class_is_of_its_pictures(train: Train, judge: Path) -> None:
    trained = train(evaluation_encoder=str(judge), **JUDGED)
    eyes = evaluation.load_judge(str(judge))
    folder = Path(concept.read_settings(trained.directory)["config"]["instance_data_dir"])
    taken = [photos.open_photo(path) for path in photos.list_photos(folder)]
    for judged in report(trained.directory)["judged"]:
        pictures = [
            photos.open_photo(trained.directory / choice.IMAGES / f"{judged['step']:06d}-{index}.png")
            for index in range(ASKED, PICTURES)
        ]
        like = evaluation.subject_fidelity(eyes.embed_images(pictures), eyes.embed_images(taken))
        assert judged["preservation"] == pytest.approx(like, abs=1e-5)


def test_it_ends_when_the_best_is_behind(train: Train, judge: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choice, "is_past", lambda judged, by: len(judged) == 2)
    trained = train(evaluation_encoder=str(judge), **JUDGED)
    assert [each["step"] for each in trained.told("evaluation")] == [1, 2]
    assert trained.events[-1] | {"time": 0, "kept": 0, "verdict": ""} == {
        "event": "finished", "stopped": False, "step": 2, "published": True, "time": 0, "kept": 0, "verdict": "",
    }  # fmt: skip
    assert any("well past the best" in each["message"] for each in trained.told("log"))


def test_a_resumed_run_finds_the_same(train: Train, judge: Path) -> None:
    whole = train("whole", evaluation_encoder=str(judge), **JUDGED)
    train("parts", evaluation_encoder=str(judge), should_stop=after(2), **JUDGED)
    # killed between the checkpoint and its figures
    kept = report(whole.directory.with_name("parts"))
    kept["judged"] = [each for each in kept["judged"] if each["step"] < 2]
    (whole.directory.with_name("parts") / choice.FILE).write_text(json.dumps(kept))
    parts = train("parts", evaluation_encoder=str(judge), resume_from_checkpoint="latest", **JUDGED)
    assert report(parts.directory) == report(whole.directory)
    assert_same(parts.weights(), whole.weights())


def test_a_run_that_goes_on_for_longer_is_asked_what_it_was_asked(
    train: Train, judge: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(choice, "is_past", lambda judged, by: False)
    with monkeypatch.context() as short:
        short.setattr(exam, "PLACES", exam.PLACES[:5])
        cut = train(evaluation_encoder=str(judge), should_stop=after(2), **JUDGED)
    before = report(cut.directory)
    longer = train(
        evaluation_encoder=str(judge), resume_from_checkpoint="latest", **JUDGED | {"max_train_steps": 6}
    )
    found = report(longer.directory)
    assert found["places"] == before["places"] and len(found["places"]) == 5
    assert [each["step"] for each in found["judged"]] == [1, 2, 3, 4, 5, 6]
    assert found["judged"][0] == before["judged"][0]
    assert not any("cannot be compared" in each["message"] for each in longer.told("log"))


def test_judging_draws_nothing_from_what_the_training_draws_from(train: Train, judge: Path) -> None:
    lora = {"method": "lora", "rank": 2, "lora_dropout": 0.5, "train_text_encoder": True, "keep": "last"}
    plain = train("plain", evaluation_encoder=str(judge), **JUDGED | lora)
    judged = train("judged", evaluation_encoder=str(judge), **JUDGED | lora | {"keep": "best"})
    assert len(judged.told("evaluation")) == 4
    last = load_file(judged.directory / "checkpoint-4" / concept.LORA_FILE)
    assert_same(last, load_file(plain.directory / "checkpoint-4" / concept.LORA_FILE))


def test_what_was_judged_on_another_machine_is_taken_up(
    train: Train, judge: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(choice, "is_past", lambda judged, by: False)
    cut = train(evaluation_encoder=str(judge), should_stop=after(2), **JUDGED)
    before = report(cut.directory)
    for name in ("photo_to_photo", "base_subject", "base_prompt"):
        before["yardstick"][name] += 2e-5  # of float32 in another order
    (cut.directory / choice.FILE).write_text(json.dumps(before))
    resumed = train(evaluation_encoder=str(judge), resume_from_checkpoint="latest", **JUDGED)
    assert [each["step"] for each in resumed.told("evaluation")] == [2, 3, 4]
    found = report(resumed.directory)
    assert [each["step"] for each in found["judged"]] == [1, 2, 3, 4]
    assert found["yardstick"] == before["yardstick"]
    assert found["judged"][0] == before["judged"][0]
    assert len(list((resumed.directory / choice.IMAGES).glob("000001-*.png"))) == PICTURES


def test_other_photos_figures_are_not_taken_up_and_that_is_said(train: Train, judge: Path) -> None:
    cut = train(evaluation_encoder=str(judge), should_stop=after(2), **JUDGED)
    before = report(cut.directory)
    before["yardstick"]["photo_to_photo"] += 0.1
    (cut.directory / choice.FILE).write_text(json.dumps(before))
    resumed = train(evaluation_encoder=str(judge), resume_from_checkpoint="latest", **JUDGED)
    assert any("cannot be compared" in each["message"] for each in resumed.told("log"))
    assert report(resumed.directory)["judged"][0]["step"] == 2


def test_of_a_stopped_run_the_report_names_the_step_that_is_the_concept(
    train: Train, judge: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(choice, "best", lambda judged, by: judged[0])
    monkeypatch.setattr(choice, "is_past", lambda judged, by: False)
    stopped = train(evaluation_encoder=str(judge), should_stop=after(3), **JUDGED)
    found = report(stopped.directory)
    assert (found["kept"], found["chosen"]) == (3, 3)
    assert found["verdict"].startswith("Step 3 is the concept. By the figures: step 1, the first, is kept")
    assert_published(stopped.directory, "checkpoint-3")
    gone_on = train(evaluation_encoder=str(judge), resume_from_checkpoint="latest", **JUDGED)
    assert (report(gone_on.directory)["kept"], report(gone_on.directory)["chosen"]) == (1, None)
    assert_published(gone_on.directory, "checkpoint-1")


def test_the_end_can_be_chosen_though_it_is_no_checkpoint(
    train: Train, judge: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(choice, "best", lambda judged, by: judged[0])
    monkeypatch.setattr(choice, "is_past", lambda judged, by: False)
    trained = train(evaluation_encoder=str(judge), **JUDGED | {"checkpointing_steps": 3})
    assert [each["step"] for each in trained.told("evaluation")] == [3, 4]
    assert_published(trained.directory, "checkpoint-3")
    choose(trained.directory, 4)
    assert_published(trained.directory, "checkpoint-4")


def test_a_training_that_failed_leaves_the_concept_its_report(
    train: Train, judge: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = train(evaluation_encoder=str(judge), **JUDGED)
    before, pictures = report(first.directory), first.directory / choice.IMAGES
    shown = {path.name: path.read_bytes() for path in pictures.iterdir()}

    def fail(*_: Any, **__: Any) -> None:
        raise RuntimeError("the power went")

    with monkeypatch.context() as patch:
        patch.setattr(finish, "verify", fail)
        with pytest.raises(RuntimeError, match="the power went"):
            train(
                evaluation_encoder=str(judge), **JUDGED | {"instance_prompt": "a photo of zwx dog", "seed": 3}
            )
    assert report(first.directory) == before
    assert {path.name: path.read_bytes() for path in pictures.iterdir()} == shown
    waiting = choice.read(choice.newest(first.directory))
    assert waiting is not None and waiting.subject == "a photo of zwx dog"
    # and its checkpoints are chosen with its own settings and report
    choose(first.directory, 2)
    assert_published(first.directory, "checkpoint-2")
    assert report(first.directory)["subject"] == "a photo of zwx dog" and report(first.directory)["kept"] == 2
    settings = concept.read_settings(first.directory)
    assert settings["config"]["instance_prompt"] == "a photo of zwx dog"
    assert choice.newest(first.directory) == first.directory


def test_a_new_run_is_judged_anew(train: Train, judge: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choice, "is_past", lambda judged, by: False)
    train(evaluation_encoder=str(judge), should_stop=after(2), **JUDGED)
    trained = train(evaluation_encoder=str(judge), **JUDGED | {"seed": 3})
    assert [each["step"] for each in report(trained.directory)["judged"]] == [1, 2, 3, 4]
    assert [each["step"] for each in trained.told("evaluation")] == [1, 2, 3, 4]


def test_the_last_is_kept_where_that_is_asked_or_nobody_can_judge(
    train: Train, judge: Path, subject_encoder: Path, sd1: Path, tmp_path: Path
) -> None:
    for name, changes in (
        ("asked", {"keep": "last", "evaluation_encoder": str(judge)}),
        ("none", {}),
        ("gone", {"evaluation_encoder": str(tmp_path / "nowhere")}),
    ):
        trained = train(name, **JUDGED | changes)
        assert trained.told("evaluation") == [] and not (trained.directory / choice.FILE).exists()
        assert "kept" not in trained.events[-1]
        said = [each["message"] for each in trained.told("log") if "unjudged" in each["message"]]
        assert len(said) == (name == "gone")
    # a base's own judge is found
    base = tmp_path / "base"
    shutil.copytree(sd1, base)
    shutil.copytree(judge, base / "clip")
    shutil.copytree(subject_encoder, base / "subject_encoder")
    trained = train("own", pretrained_model_name_or_path=str(base), **JUDGED)
    assert len(trained.told("evaluation")) == 4
    by_clip = train("clip", evaluation_encoder=str(judge), **JUDGED)
    one, other = report(trained.directory)["judged"], report(by_clip.directory)["judged"]
    assert [each["prompt"] for each in one] == [each["prompt"] for each in other]
    assert all(
        a["subject"] != b["subject"] for a, b in zip(one, other, strict=True)
    )  # its own encoder's, too


def config(**changes: Any) -> TrainingConfig:
    values: dict[str, Any] = {
        "instance_data_dir": "photos",
        "instance_prompt": "a photo of sks dog",
        "class_prompt": "a photo of a dog",
        "with_prior_preservation": True,
        "train_batch_size": 1,
        "checkpointing_steps": 100,
    }
    return training_config(**values | changes)


def test_no_more_is_judged_than_its_share_of_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exam, "SHARE", 0.15)
    monkeypatch.setattr(exam, "STEPS", 7)
    monkeypatch.setattr(exam, "CLASS_STEPS", 4)
    assert exam.plan(config(), 600).steps == [200, 400, 600]
    assert exam.plan(config(), 450).steps == [100, 300, 400, 450]
    assert exam.plan(config(), 60).steps == []
    for steps in (100, 250, 500, 2000):
        plan = exam.plan(config(checkpointing_steps=20), steps)
        # a picture of seven steps a place, four of four, each twice for guidance; training takes four forwards for each of two
        forwards = (len(plan.steps) + 1) * (len(plan.places) * 7 + 4 * 4) * 2
        assert plan.cost == forwards / (4 * 2) * bool(plan.steps)
        assert plan.cost <= 0.15 * steps
        assert plan.steps == sorted(set(plan.steps)) and (not plan.steps or plan.steps[-1] == steps)
        assert all(step % 20 == 0 or step == steps for step in plan.steps)
    twice = exam.plan(config(checkpointing_steps=20, train_batch_size=2), 2000)
    assert len(twice.steps) > len(exam.plan(config(checkpointing_steps=20), 2000).steps)


def test_a_run_with_no_time_for_three_exams_of_all_places_is_asked_fewer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(exam, "SHARE", 0.15)
    monkeypatch.setattr(exam, "STEPS", 7)
    monkeypatch.setattr(exam, "CLASS_STEPS", 4)
    assert exam.plan(config(), 600).places == exam.PLACES
    assert exam.plan(config(), 450).places == exam.PLACES[:5]
    # where two checkpoints are all there is, two exams are enough
    assert exam.plan(config(checkpointing_steps=300), 450).places == exam.PLACES


def test_a_run_too_short_to_be_judged_is_not_and_says_so(
    train: Train, judge: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exam, "SHARE", 0.15)
    monkeypatch.setattr(exam, "Exam", None)  # nothing is painted, the base's neither
    trained = train(evaluation_encoder=str(judge), **JUDGED)
    assert any("15% of so short a run" in each["message"] for each in trained.told("log"))
    assert not (trained.directory / choice.FILE).exists()
