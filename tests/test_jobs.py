"""The queue, with real trainings of the tiny model: order, stop, kill, restart, faults, and memory given back."""

import multiprocessing
import os
import shutil
import signal
import threading
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import bitsandbytes
import pytest
import torch
from diffusers import UNet2DConditionModel
from safetensors.torch import load_file
from torch.nn.modules.module import register_module_forward_pre_hook
from torch.optim.optimizer import register_optimizer_step_pre_hook

from trainer import concept, generation
from trainer.config import TrainingConfig, training_config
from trainer.errors import BusyError, ConceptError, ConfigError, TrainingError
from trainer.jobs import Jobs
from trainer.workspace import Workspace

PATIENCE = 600  # seconds; nothing here takes long, but the machine may be busy

Settings = dict[str, Any]
Ask = Callable[..., TrainingConfig]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "studio"


@pytest.fixture
def jobs(root: Path) -> Iterator[Jobs]:
    jobs = Jobs(root)
    yield jobs
    jobs.close()


@pytest.fixture
def ask(sd1: Path, photos: Path, class_photos: Path, root: Path) -> Ask:
    """The settings of a new concept: three steps, a checkpoint after the second."""

    def asked(title: str = "dog", **changes: Any) -> TrainingConfig:
        settings = {
            "pretrained_model_name_or_path": str(sd1),
            "instance_data_dir": str(photos),
            "instance_prompt": "a photo of sks dog",
            "class_data_dir": str(class_photos),
            "class_prompt": "a photo of a dog",
            "num_class_images": 4,
            "with_prior_preservation": True,
            "learning_rate": 1e-3,
            "train_batch_size": 1,
            "max_train_steps": 3,
            "checkpointing_steps": 2,
            "log_interval": 1,
            "report_to": "none",
            "output_dir": str(Workspace(root).create("local", title)),
        }
        return training_config(**(settings | changes))

    return asked


def folder(config: TrainingConfig) -> Path:
    return Path(config.output_dir)


def weights(directory: Path) -> dict[str, torch.Tensor]:
    return load_file(directory / "unet" / "diffusion_pytorch_model.safetensors")


def same(found: Path, wanted: Path) -> bool:
    ours, theirs = weights(found), weights(wanted)
    return ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in theirs)


@contextmanager
def training_forward(call: Callable[[UNet2DConditionModel, torch.Tensor], None]) -> Iterator[None]:
    """`call(unet, noisy latents)` before each forward of a UNet that is being trained, by torch's own hook."""

    def hook(module: torch.nn.Module, arguments: tuple[Any, ...]) -> None:
        if isinstance(module, UNet2DConditionModel) and module.training:
            call(module, arguments[0])

    handle = register_module_forward_pre_hook(hook)
    try:
        yield
    finally:
        handle.remove()


class Gate:
    """Holds the training before its `number`-th forward, until opened."""

    def __init__(self, number: int) -> None:
        self.number, self.count = number, 0
        self.reached, self.opened = threading.Event(), threading.Event()

    def __call__(self, unet: UNet2DConditionModel, latents: torch.Tensor) -> None:
        self.count += 1
        if self.count == self.number:
            self.reached.set()
            assert self.opened.wait(PATIENCE)


def test_a_job_from_start_to_end(jobs: Jobs, ask: Ask) -> None:
    config = ask(validation_prompt="sks dog", validation_steps=2, num_validation_images=1,
                 validation_num_inference_steps=2)  # fmt: skip
    assert jobs.snapshot(folder(config)).state == "new"
    jobs.submit(config)
    shown = jobs.wait(folder(config), PATIENCE)
    assert (shown.state, shown.step, shown.total, shown.checkpoint) == ("finished", 3, 3, 2)
    assert [step for step, _ in shown.losses] == [1, 2, 3]
    assert all(loss > 0 for _, loss in shown.losses)
    assert shown.previews == ((2, folder(config) / "samples" / "000002-0.png"),)
    assert shown.previews[0][1].is_file()
    assert shown.memory is not None and shown.memory > 1e6
    assert shown.log[0] == "Loading the base model"
    assert shown.log[-1] == "Finished"
    assert jobs.busy() is None
    assert not (folder(config) / "job.json").exists()
    generation.load_concept(folder(config))


def test_one_runs_the_others_wait_in_their_places(jobs: Jobs, ask: Ask) -> None:
    first, second, third, fourth = (ask(name) for name in ("first", "second", "third", "fourth"))
    gate = Gate(2)
    with training_forward(gate):
        jobs.submit(first)
        assert gate.reached.wait(PATIENCE)
        for config in (first, second, third, second, fourth):  # Start twice is one job, running or waiting
            jobs.submit(config)
        shown = [jobs.snapshot(folder(config)) for config in (first, second, third, fourth)]
        assert [each.state for each in shown] == ["running", "queued", "queued", "queued"]
        assert [each.place for each in shown] == [None, 1, 2, 3]
        assert shown[3].message == "Waiting for its turn: number 3 in the queue."
        assert shown[0].step == 1
        assert (jobs.busy() or "").startswith("A training has the device, step 1 of 3, about ")
        with pytest.raises(BusyError, match="Pictures can be made when it is done"), jobs.device():
            pass
        with pytest.raises(ConceptError, match="stop it, then delete it"):
            jobs.delete(folder(second))
        jobs.stop(folder(second))
        jobs.stop(folder(second))
        assert jobs.snapshot(folder(second)).state == "new"
        assert jobs.snapshot(folder(third)).place == 1
        jobs.stop(folder(fourth))
        jobs.delete(folder(second))
        gate.opened.set()
        assert jobs.wait(folder(third), PATIENCE).state == "finished"
    for config in (first, third):
        ends = [event for event in concept.read_events(folder(config)) if event["event"] == "finished"]
        assert len(ends) == 1
    assert jobs.snapshot(folder(first)).state == "finished"
    assert not folder(second).exists()
    assert concept.read_events(folder(fourth)) == []


def test_a_training_waits_until_pictures_are_made(jobs: Jobs, ask: Ask) -> None:
    config, stopped = ask(), ask()
    with jobs.device():
        jobs.submit(stopped)
        jobs.submit(config)
        jobs.stop(folder(stopped))
        assert jobs.snapshot(folder(config)).state == "queued"
        assert jobs.busy() == "A training is about to begin. Pictures can be made when it is done."
        with pytest.raises(BusyError), jobs.device():
            pass
    assert jobs.wait(folder(config), PATIENCE).state == "finished"
    with jobs.device(), pytest.raises(BusyError, match="Others are using the device"), jobs.device():
        pass
    with jobs.device():
        pass


def test_room_is_made_for_each_training_and_never_while_pictures_are_made(root: Path, ask: Ask) -> None:
    shown: list[str] = []
    jobs = Jobs(root, make_room=lambda: shown.append(jobs.snapshot(folder(config)).state))
    config = ask(max_train_steps=1)
    with jobs.device():
        jobs.submit(config)
        assert shown == []
    assert jobs.wait(folder(config), PATIENCE).state == "finished"
    assert shown == ["running"]
    jobs.close()


def test_stop_keeps_what_was_learnt_to_use_to_resume_or_to_delete(jobs: Jobs, ask: Ask) -> None:
    straight, config = ask(), ask()
    jobs.submit(straight)
    assert jobs.wait(folder(straight), PATIENCE).state == "finished"
    gate = Gate(1)
    with training_forward(gate):
        jobs.submit(config)
        assert gate.reached.wait(PATIENCE)
        jobs.stop(folder(config))
        shown = jobs.snapshot(folder(config))
        assert (shown.state, shown.message) == ("stopping", "Stopping; what was learnt so far is kept.")
        with pytest.raises(ConceptError, match="start it again once it has stopped"):
            jobs.submit(config)
        gate.opened.set()
        shown = jobs.wait(folder(config), PATIENCE)
    assert (shown.state, shown.step, shown.checkpoint) == ("stopped", 1, 1)
    assert shown.message == "Stopped at step 1. What it learnt by then can be used. It can go on from step 1."
    generation.load_concept(folder(config))
    assert not same(folder(config), folder(straight))
    jobs.resume(folder(config))
    shown = jobs.wait(folder(config), PATIENCE)
    assert shown.state == "finished"
    assert [step for step, _ in shown.losses] == [1, 2, 3]
    assert same(folder(config), folder(straight))
    jobs.delete(folder(config))
    assert not folder(config).exists()
    assert jobs.snapshot(folder(config)).state == "new"


def live_and_die(root: str, asked: list[Settings], told: Connection) -> None:
    """An app's process: submits, says when the first training is in its fourth step, and stays there for ever."""
    torch.set_num_threads(1)
    gate = Gate(4)
    jobs = Jobs(root)
    with training_forward(gate):
        for settings in asked:
            jobs.submit(training_config(**settings))
        gate.reached.wait()
        told.send(jobs.snapshot(Path(asked[0]["output_dir"])).step)
        threading.Event().wait()


def test_a_killed_app_finds_its_jobs_and_the_weights_are_those_of_an_uninterrupted_run(
    root: Path, ask: Ask
) -> None:
    killed, waiting, straight = (ask(name, max_train_steps=5) for name in ("killed", "waiting", "straight"))
    context = multiprocessing.get_context("spawn")
    heard, told = context.Pipe(duplex=False)
    asked = [config.model_dump(mode="json") for config in (killed, waiting)]
    app = context.Process(target=live_and_die, args=(str(root), asked, told))
    app.start()
    assert heard.poll(PATIENCE)
    assert heard.recv() == 3
    os.kill(app.pid or 0, signal.SIGKILL)
    app.join()
    assert app.exitcode == -signal.SIGKILL

    jobs = Jobs(root)
    shown = jobs.snapshot(folder(killed))
    assert (shown.state, shown.step, shown.checkpoint) == ("interrupted", 3, 2)
    assert shown.message == "The app was closed in the middle of this training. It can go on from step 2."
    assert jobs.wait(folder(waiting), PATIENCE).state == "finished"  # it waited again by itself
    assert jobs.snapshot(folder(killed)).state == "interrupted"  # and this one did not start by itself
    jobs.submit(killed.model_copy(update={"resume_from_checkpoint": "latest"}))
    jobs.submit(straight)
    shown = jobs.wait(folder(killed), PATIENCE)
    assert (shown.state, [step for step, _ in shown.losses]) == ("finished", [1, 2, 3, 4, 5])
    assert jobs.wait(folder(straight), PATIENCE).state == "finished"
    assert same(folder(killed), folder(straight))
    jobs.close()


def test_closing_keeps_the_queue(root: Path, ask: Ask) -> None:
    running, waiting, unreadable = ask("running"), ask("waiting"), ask("unreadable")
    jobs, gate = Jobs(root), Gate(1)
    with training_forward(gate):
        for config in (running, waiting):
            jobs.submit(config)
        assert gate.reached.wait(PATIENCE)
        closing = threading.Thread(target=jobs.close)
        closing.start()
        gate.opened.set()
        closing.join()
    assert jobs.snapshot(folder(running)).state == "stopped"
    (folder(unreadable) / "job.json").write_text("{")
    again = Jobs(root)
    assert again.wait(folder(waiting), PATIENCE).state == "finished"
    shown = again.snapshot(folder(unreadable))
    assert (shown.state, shown.message) == (
        "failed", "What was asked cannot be read any more; start it again."
    )  # fmt: skip
    again.close()


class Tight:
    """A device that does not have the memory for what `too_much` says; remembers the UNets that were on it."""

    def __init__(self, too_much: Callable[[UNet2DConditionModel, torch.Tensor], bool]) -> None:
        self.too_much = too_much
        self.seen: list[weakref.ref[UNet2DConditionModel]] = []

    def __call__(self, unet: UNet2DConditionModel, latents: torch.Tensor) -> None:
        if not any(known() is unet for known in self.seen):
            self.seen.append(weakref.ref(unet))
        if self.too_much(unet, latents):
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")

    def freed(self) -> bool:
        return all(known() is None for known in self.seen)


@contextmanager
def only_8bit_adam() -> Iterator[None]:
    def hook(optimizer: torch.optim.Optimizer, *_: Any) -> None:
        if not isinstance(optimizer, bitsandbytes.optim.AdamW8bit):
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 3.20 GiB.")

    handle = register_optimizer_step_pre_hook(hook)
    try:
        yield
    finally:
        handle.remove()


def test_out_of_memory_goes_down_the_ladder_and_says_so(jobs: Jobs, ask: Ask) -> None:
    config = ask(train_batch_size=2)
    tight = Tight(lambda unet, latents: not unet.is_gradient_checkpointing or len(latents) > 2)
    with training_forward(tight), only_8bit_adam():
        jobs.submit(config)
        shown = jobs.wait(folder(config), PATIENCE)
    assert shown.state == "finished"
    assert shown.changes == (
        "gradient checkpointing is on (slower, the same result)",
        "photos are taken one at a time, 2 to a step as before (train_batch_size 1)",
        "the optimizer keeps its state in 8 bits (use_8bit_adam)",
    )
    changed = {"gradient_checkpointing": True, "train_batch_size": 1, "gradient_accumulation_steps": 2,
               "use_8bit_adam": True}  # fmt: skip
    wanted = config.model_copy(update=changed)
    assert concept.read_settings(folder(config))["config"] == wanted.model_dump(mode="json")
    assert len(tight.seen) == 4
    assert tight.freed()


def test_the_leanest_still_too_much_is_a_named_failure_and_the_memory_is_free(jobs: Jobs, ask: Ask) -> None:
    config, after = ask(gradient_checkpointing=True, use_8bit_adam=True), ask("after")
    tight = Tight(lambda unet, latents: True)
    with training_forward(tight):
        jobs.submit(config)
        shown = jobs.wait(folder(config), PATIENCE)
    assert shown.state == "failed"
    assert shown.message == "out of memory. Leaner settings: mixed_precision, method lora."
    assert shown.changes == ()  # a LoRA is not chosen for anybody
    assert len(tight.seen) == 1
    assert tight.freed()
    assert jobs.busy() is None
    jobs.submit(after)
    assert jobs.wait(folder(after), PATIENCE).state == "finished"
    assert jobs.snapshot(folder(config)) is shown


def test_out_of_memory_late_goes_on_from_the_checkpoint_or_not_at_all(jobs: Jobs, ask: Ask) -> None:
    """Settings that a checkpoint does not bear would throw away what was learnt."""
    straight, plain, large = ask(), ask(), ask(train_batch_size=2, gradient_checkpointing=True)
    jobs.submit(straight)
    jobs.wait(folder(straight), PATIENCE)
    forwards = iter(range(1, 100))
    with training_forward(Tight(lambda *_: next(forwards) == 3)):
        jobs.submit(plain)
        shown = jobs.wait(folder(plain), PATIENCE)
    starts = [event["step"] for event in concept.read_events(folder(plain)) if event.get("phase") == "train"]
    assert (shown.state, starts) == ("finished", [0, 2])
    assert all(
        torch.allclose(tensor, weights(folder(straight))[name], atol=1e-6)
        for name, tensor in weights(folder(plain)).items()
    )
    forwards = iter(range(1, 100))
    with training_forward(Tight(lambda *_: next(forwards) == 3)):
        jobs.submit(large)
        shown = jobs.wait(folder(large), PATIENCE)
    assert (shown.state, shown.checkpoint, shown.changes) == ("failed", 2, ())
    assert "What was learnt so far cannot go on with them" in shown.message
    jobs.resume(folder(large))
    assert jobs.wait(folder(large), PATIENCE).state == "finished"


def test_a_full_disk_fails_by_name_and_the_checkpoint_before_can_be_resumed(jobs: Jobs, ask: Ask) -> None:
    straight, config = (
        ask(validation_prompt="dog", validation_steps=3, num_validation_images=1, validation_num_inference_steps=1)
        for _ in range(2)
    )  # fmt: skip
    jobs.submit(straight)
    assert jobs.wait(folder(straight), PATIENCE).state == "finished"
    (folder(config) / "samples").mkdir()
    (folder(config) / "samples" / "000003-0.png").symlink_to("/dev/full")
    jobs.submit(config)
    shown = jobs.wait(folder(config), PATIENCE)
    assert (shown.state, shown.checkpoint) == ("failed", 2)
    assert "the disk that holds dog-2 is full; earlier checkpoints are whole" in shown.message
    (folder(config) / "samples" / "000003-0.png").unlink()
    jobs.resume(folder(config))
    assert jobs.wait(folder(config), PATIENCE).state == "finished"
    assert same(folder(config), folder(straight))


def test_nan_fails_by_name_and_nothing_is_published(jobs: Jobs, ask: Ask, sd1: Path, tmp_path: Path) -> None:
    shutil.copytree(sd1, tmp_path / "broken")
    unet = UNet2DConditionModel.from_pretrained(tmp_path / "broken" / "unet", use_safetensors=True)
    torch.nn.init.constant_(unet.conv_out.bias, float("nan"))
    unet.save_pretrained(tmp_path / "broken" / "unet")
    config = ask(pretrained_model_name_or_path=str(tmp_path / "broken"))
    jobs.submit(config)
    shown = jobs.wait(folder(config), PATIENCE)
    assert shown.state == "failed"
    assert shown.message.startswith(
        "the loss is nan by step 1; nothing was published. Use a lower learning_rate"
    )
    assert not concept.has_weights(folder(config))


def test_a_bug_ends_one_job_and_not_the_queue(
    jobs: Jobs, ask: Ask, photos: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    empty = shutil.copytree(photos, tmp_path / "vanishing")
    config, refused, after = ask(), ask("refused", instance_data_dir=str(empty)), ask("after")
    forwards = iter(range(100))

    def broken(*_: Any) -> None:
        if next(forwards) == 0:
            raise ZeroDivisionError("a bug")

    with training_forward(broken):
        with jobs.device():
            for each in (config, refused, after):
                jobs.submit(each)
            for photo in empty.iterdir():
                photo.unlink()
        shown = jobs.wait(folder(config), PATIENCE)
    assert (shown.state, shown.message) == (
        "failed", "Something went wrong that should not (ZeroDivisionError: a bug).",
    )  # fmt: skip
    shown = jobs.wait(folder(refused), PATIENCE)
    assert (shown.state, shown.message) == (
        "failed", f"{empty}: no photos; put at least one there, better 4 to 20"
    )  # fmt: skip
    assert concept.status(folder(refused)) == "failed"  # found again after a restart
    assert jobs.wait(folder(after), PATIENCE).state == "finished"
    assert "ZeroDivisionError" in caplog.text


def test_refused_before_it_is_queued(jobs: Jobs, ask: Ask, root: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    for directory in (tmp_path / "elsewhere", root / "not-there" / "dog", root):
        with pytest.raises(ConceptError, match="no concept of this studio"):
            jobs.submit(ask().model_copy(update={"output_dir": str(directory)}))
    with pytest.raises(ConfigError, match="there is no folder"):
        jobs.submit(ask(instance_data_dir=str(tmp_path / "nowhere")))
    with pytest.raises(ConceptError, match="no concept folder"):
        jobs.resume(folder(ask()))
    config = ask()
    (folder(config) / ".tmp-job.json").symlink_to("/dev/full")
    with pytest.raises(TrainingError, match=r"could not be written down \(No space left on device\)"):
        jobs.submit(config)
    assert jobs.snapshot(folder(config)).state == "new"
    with pytest.raises(ConceptError, match="another studio is running on this folder"):
        Jobs(root)


def test_forty_pages_look_while_it_trains(jobs: Jobs, ask: Ask) -> None:
    config, gate = ask(max_train_steps=20), Gate(2)

    def page(_: int) -> list[int]:
        return [len(jobs.snapshot(folder(config)).losses) for _ in range(50)]

    with training_forward(gate), ThreadPoolExecutor(40) as pages:
        jobs.submit(config)
        assert gate.reached.wait(PATIENCE)
        assert len({id(jobs.snapshot(folder(config))) for _ in range(40)}) == 1  # made once for all
        gate.opened.set()
        looks = list(pages.map(page, range(40)))
        shown = jobs.wait(folder(config), PATIENCE)
    assert all(seen == sorted(seen) for seen in looks)
    assert [step for step, _ in shown.losses] == list(range(1, 21))
    assert shown.state == "finished"
