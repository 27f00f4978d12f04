"""train(config) -> the concept folder. The only file that imports accelerate."""

import os
import time
from collections.abc import Callable
from contextlib import ExitStack, closing, nullcontext, suppress
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from accelerate.utils import GradientAccumulationPlugin, InitProcessGroupKwargs, set_seed
from torch import distributed as dist

from trainer import (
    batches,
    checkpoint,
    choice,
    concept,
    dataset,
    exam,
    faults,
    finish,
    models,
    optimizers,
    preparation,
    reports,
)
from trainer.concept import OnEvent
from trainer.config import TrainingConfig
from trainer.errors import ConfigError
from trainer.learner import Learner, bf16_weights
from trainer.objective import Objective
from trainer.previews import Previews

ShouldStop = Callable[[], bool]
# Other processes wait at a barrier while the first makes class images or writes a checkpoint.
PATIENCE = timedelta(hours=6)


def train(
    config: TrainingConfig,
    on_event: OnEvent | None = None,
    should_stop: ShouldStop | None = None,
    draw: batches.DrawFunction = batches.draw,
) -> Path:
    """Train a concept; returns its folder, `config.output_dir`, with the finished weights in it.

    `should_stop` is asked after every step; when true, a checkpoint is written and what was learnt is published.
    `draw` gives each batch its noise and timesteps (a recorded stream, to compare trainers).
    Raises a TrainerError that says what to do, after an event that says the same.
    """
    directory = Path(config.output_dir)
    preparation.check_photos(config)
    with ExitStack() as stack:
        accelerator = _accelerator(config)
        stack.callback(_release, accelerator)
        if accelerator.is_main_process:
            stack.enter_context(concept.lock(directory))
        events = concept.Events(directory, on_event) if accelerator.is_main_process else _ignore
        try:
            return Run(config, accelerator, events, should_stop or _never, draw).run()
        except Exception as error:
            named = faults.named(error, config)
            with suppress(OSError):  # a full disk must not hide the error that told of it
                events({"event": "error", "kind": type(named).__name__, "message": str(named)})
            if named is error:
                raise
            raise named from error


def _never() -> bool:
    return False


def _ignore(event: dict[str, Any]) -> None:
    """Events of processes other than the first go nowhere."""


def _accelerator(config: TrainingConfig) -> Accelerator:
    # Weights that are bf16 themselves (with residuals) need no autocast. Accumulation is counted in `Run.train_step`.
    autocast = "no" if bf16_weights(config) else config.mixed_precision
    if autocast == "fp16" and not torch.cuda.is_available():
        raise ConfigError("mixed_precision: fp16 needs a GPU; use bf16 or no on a CPU")
    if config.allow_tf32:
        torch.backends.cuda.matmul.allow_tf32 = True
    return Accelerator(
        # Without being told, accelerate takes several processes on CPUs for so many lone ones.
        cpu=not torch.accelerator.is_available(),
        mixed_precision=autocast,
        gradient_accumulation_plugin=GradientAccumulationPlugin(num_steps=1),
        kwargs_handlers=[InitProcessGroupKwargs(timeout=PATIENCE)],
    )


def _release(accelerator: Accelerator) -> None:
    """Let another run in this process choose another precision, and give memory back."""
    if accelerator.num_processes == 1:
        AcceleratorState._reset_state()
    models.free()


class StoppedError(Exception):
    """Asked to stop before there was anything to keep."""


class Run:
    """One training: what it holds, in the order in which it comes to hold it."""

    def __init__(
        self,
        config: TrainingConfig,
        accelerator: Accelerator,
        events: OnEvent,
        should_stop: ShouldStop,
        draw: batches.DrawFunction,
    ) -> None:
        self.config, self.accelerator, self.events = config, accelerator, events
        self.should_stop, self.draw = should_stop, draw
        self.directory = Path(config.output_dir)
        self.device, self.main = accelerator.device, accelerator.is_main_process
        self.prompt = config.concepts[0].instance_prompt
        self.identity = checkpoint.identity(config, accelerator.num_processes)
        self.step = 0
        # Asking the other processes must not wait for their GPUs.
        alone = accelerator.num_processes == 1
        self.gloo = None if alone else dist.new_group(backend="gloo", timeout=PATIENCE)

    def run(self) -> Path:
        """All phases; returns the concept folder."""
        try:
            self.open_directory()
            self.load()
            self.encode(self.read_examples())
            self.build()
        except StoppedError:
            self.events({"event": "finished", "stopped": True, "step": self.step, "published": False})
            return self.directory
        board = reports.board(self.config, self.log) if self.main else None
        with closing(board) if board is not None else nullcontext():
            stopped = self.train(board)
        self.finish(stopped)
        return self.directory

    def phase(self, name: str, **more: Any) -> None:
        """Tell what begins now."""
        self.events({"event": "phase", "phase": name, **more})

    def log(self, message: str) -> None:
        """A line for whoever reads along."""
        self.events({"event": "log", "message": message})

    def open_directory(self) -> None:
        """Sweep what a kill left, find the checkpoint to resume from, write the settings."""
        name = self.config.resume_from_checkpoint
        if self.main:
            checkpoint.sweep(self.directory)
        self.accelerator.wait_for_everyone()
        self.resumed = checkpoint.find(self.directory, name) if name else None
        if self.resumed is not None:
            checkpoint.check_same(checkpoint.read_run(self.resumed)["settings"], self.identity, self.resumed)
        elif name:
            self.log("no whole checkpoint to resume from: starting afresh")
        if self.main:
            concept.begin_settings(self.directory, self.config)
        launched = {"ACCELERATE_MIXED_PRECISION", "MASTER_ADDR"} <= os.environ.keys()
        if launched and "WORLD_SIZE" not in os.environ:
            self.log("one process: without GPUs, accelerate launch starts several only with --multi_gpu")

    def load(self) -> None:
        """The base model, and its answer to what the finished concept will be asked."""
        self.phase("load", resumed=checkpoint.step_of(self.resumed) if self.resumed else None)
        set_seed(self.config.seed)
        self.pipeline = preparation.load_base(self.config).to(self.device)
        self.resolution = preparation.training_resolution(self.config, self.pipeline)
        self.base_answer = models.probe(self.pipeline, self.prompt)

    def read_examples(self) -> preparation.Examples:
        """Photos and class images. The photos first: a bad one is told before class images are made."""
        config = self.config
        instances = preparation.read_instances(config, self.resolution)
        classes: list[list[dataset.Example]] = [[] for _ in instances]
        if config.with_prior_preservation:
            directories = preparation.class_directories(config, self.resolution)
            if self.main:
                self.phase("class_images", total=config.num_class_images)
                with self.accelerator.autocast():
                    preparation.make_class_images(
                        config, self.pipeline, directories, self.resolution, self.events, self.should_stop
                    )
            self.accelerator.wait_for_everyone()
            found = preparation.read_classes(config, directories, self.resolution)
            if found is None:
                raise StoppedError
            classes = found
        examples = preparation.Examples()
        for own, of_class in zip(instances, classes, strict=True):
            examples.add(own, of_class)
        if self.resumed is not None:
            photos = checkpoint.read_run(self.resumed)["photos"]
            checkpoint.check_same_photos(photos, examples.fingerprints, self.resumed)
        return examples

    def encode(self, examples: preparation.Examples) -> None:
        """Latents and embeddings, once; then the parts that are not needed any more are let go."""
        config, pipeline, accelerator = self.config, self.pipeline, self.accelerator
        self.phase("encode", photos=len(examples.all))
        self.previews = (
            Previews(config, pipeline, self.resolution) if self.main and config.validation_prompt else None
        )
        self.objective = Objective(
            config,
            pipeline,
            examples,
            self.resolution,
            rank=accelerator.process_index,
            processes=accelerator.num_processes,
            draw=self.draw,
        )
        for text, end in self.objective.unread.items():
            if end:
                self.log(f"the text encoder does not read the end of {text!r}: {end!r}")
        if config.vary_wording and not self.objective.varied:
            self.log("vary_wording changes nothing here: no prompt begins as 'a photo of' does")
        self.total: int = config.max_train_steps or self.objective.epoch_steps() * config.num_train_epochs
        self.exam = None
        if self.main:
            exam.make_room(self.directory, resumed=self.resumed is not None)
            self.exam = exam.begin(config, pipeline, self.resolution, self.total, self.log)

    def build(self) -> None:
        """What is trained and what trains it, from the checkpoint where there is one, spread over the processes."""
        config, accelerator = self.config, self.accelerator
        self.judged_steps = self.exam.steps if self.exam else []
        unet, text_encoder = (
            self.pipeline.unet,
            self.pipeline.text_encoder if config.train_text_encoder else None,
        )
        self.phase("build")
        del self.pipeline
        models.free()
        set_seed(config.seed)  # LoRA starts alike, whether class images were made or found
        self.learner = learner = Learner(
            config, unet, text_encoder, processes=accelerator.num_processes, training_steps=self.total
        )
        self.log(learner.attention)
        # Wrapped for fp16's loss scaling; its state is already where it belongs.
        self.optimizer = accelerator.prepare_optimizer(learner.optimizer, device_placement=False)
        if self.resumed is not None:
            state = learner.load(self.resumed)
            self.step = state["step"]
            self.objective.batches.load_state_dict(state["batches"])
            if accelerator.scaler is not None:
                accelerator.scaler.load_state_dict(state["scaler"])
        self.prepared = [accelerator.prepare_model(module) for module in learner.modules]

    def train(self, board: Any) -> bool:
        """Step until the end, or until the best is behind; or until asked to stop: then True, and a checkpoint is written."""
        self.phase("train", step=self.step, total=self.total)
        accelerator, scheduler = self.accelerator, self.learner.lr_scheduler
        self.reports = reports.Reports(
            self.events, board, self.device, lambda value: accelerator.reduce(value, "mean"), self.step
        )
        if self.exam is not None and self.resumed is not None:
            if not self.exam.resume(self.step):
                self.log("what was judged before cannot be compared: other photos, prompts or encoders")
            self.judge()
        while self.step < self.total and not self.is_past():
            self.train_step()
            self.step += 1
            stopped = self.asked_to_stop() and self.step < self.total
            saving = stopped or self.step % self.config.checkpointing_steps == 0
            if saving or self.step == self.total or self.step % self.config.log_interval == 0:
                self.reports.tell(self.step, self.total, float(scheduler.get_last_lr()[0]))
            began = time.perf_counter()
            # the last can be chosen too, where the end is no checkpoint
            if self.main and (saving or (self.step == self.total and self.step in self.judged_steps)):
                self.save_checkpoint()
            if stopped:
                return True
            self.preview()
            self.judge()
            self.reports.pause(time.perf_counter() - began)
        return False

    def train_step(self) -> None:
        """One update from `gradient_accumulation_steps` batches. Nothing here waits for a GPU."""
        objective, accumulated = self.objective, self.config.gradient_accumulation_steps
        unet, text_encoder = self.prepared[0], self.prepared[1] if self.config.train_text_encoder else None
        for index in range(accumulated):
            with ExitStack() as stack:
                if index < accumulated - 1:
                    for module in self.prepared:
                        stack.enter_context(self.accelerator.no_sync(module))
                batch = objective.batches.next()
                value = objective.loss(batch, unet, text_encoder, self.learner.dtype) / accumulated
                self.accelerator.backward(value)
            self.reports.add(value)
        self.accelerator.clip_grad_norm_(self.learner.parameters, self.config.max_grad_norm)
        self.optimizer.step()
        if not self.optimizer.step_was_skipped:
            self.learner.lr_scheduler.step()
        self.optimizer.zero_grad(set_to_none=True)

    def asked_to_stop(self) -> bool:
        """What the first process is told, for all of them."""
        return self.agreed(self.main and self.should_stop())

    def agreed(self, by_the_first: bool) -> bool:
        """The first process's answer, in all of them."""
        if self.gloo is None:
            return by_the_first
        flag = torch.tensor([int(by_the_first)])
        dist.broadcast(flag, 0, group=self.gloo)
        return bool(flag.item())

    def is_past(self) -> bool:
        """Whether checkpoints have been getting worse for a while; asked of all processes where a step was judged."""
        if self.config.keep == "last" or self.step % self.config.checkpointing_steps:
            return False
        report = self.exam.report if self.exam else None
        past = self.agreed(report is not None and choice.is_past(report.judged, report.yardstick))
        if past:
            self.log(f"step {self.step} is well past the best: more steps would not help")
        return past

    def judge(self) -> None:
        """Have the weights sit the exam where that is due, unless they have before a kill."""
        if self.exam is None or self.step not in self.judged_steps:
            return
        if any(each.step == self.step for each in self.exam.judged):
            return
        found = self.exam.sit(self.learner.unet, self.learner.text_encoder, self.step)
        self.events({"event": "evaluation", **asdict(found), "balance": found.balance(self.exam.yardstick)})

    def save_checkpoint(self) -> None:
        """Write checkpoint-{step}."""
        scaler = self.accelerator.scaler
        more = {
            "step": self.step,
            "batches": self.objective.batches.state_dict(),
            "scaler": None if scaler is None else scaler.state_dict(),
        }

        def write(staged: Path) -> None:
            self.learner.save(staged, more)
            checkpoint.write_run(staged, self.identity, self.objective.fingerprints)

        path = checkpoint.save(
            self.directory,
            self.step,
            write,
            limit=self.config.checkpoints_total_limit,
            spared=self.exam.report.kept if self.exam and self.exam.report else None,
        )
        self.events({"event": "checkpoint", "step": self.step, "path": path.name})

    def preview(self) -> None:
        """Draw previews where they are due."""
        config = self.config
        every = (
            config.validation_epochs * self.objective.epoch_steps()
            if config.validation_epochs
            else config.validation_steps
        )
        if self.previews is None or self.step % every or self.step < config.validation_min_steps:
            return
        learner = self.learner
        for path in self.previews.write(learner.unet, learner.text_encoder, self.step, self.directory):
            relative = path.relative_to(self.directory).as_posix()
            self.events({"event": "sample", "step": self.step, "path": relative})

    def finish(self, stopped: bool) -> None:
        """Stage, verify, publish, by the first process alone."""
        self.accelerator.wait_for_everyone()
        if not self.main:
            return
        self.phase("save")
        report = self.step_back(stopped)
        learner, lora = self.learner, self.learner.lora
        optimizers.restore_masters(learner.optimizer)
        # Only the trained modules are needed now: the optimizer makes room for what is loaded back.
        unet, text_encoder = learner.unet, learner.text_encoder
        del learner, self.learner, self.optimizer, self.prepared
        self.accelerator.free_memory()

        def load_base(**components: Any) -> Any:
            return preparation.load_base(self.config, **components)

        published = True
        try:
            staged = finish.stage(self.directory, unet, text_encoder, lora=lora, load_base=load_base)
            concept.write_settings(staged, self.config)
            del unet, text_encoder
            models.free()
            self.phase("verify")
            finish.verify(staged, self.base_answer, self.prompt, self.device, lora=lora, load_base=load_base)
            if report is not None:
                choice.copy(choice.newest(self.directory), staged)
                concept.replace_text(staged / choice.FILE, report.text())
            concept.publish(staged, self.directory)
        except finish.NothingLearntError:
            if not stopped:
                raise
            published = False
        finally:
            concept.remove(self.directory / concept.STAGING)
        told = {"kept": report.kept, "verdict": report.verdict} if report and not stopped else {}
        self.events(
            {"event": "finished", "stopped": stopped, "step": self.step, "published": published, **told}
        )

    def step_back(self, stopped: bool) -> choice.Report | None:
        """Go back to the weights of the checkpoint that was judged best, unless somebody stopped here; the report of what
        is taken, None where none was judged."""
        report = self.exam.report if self.exam else None
        if report is None or report.kept == self.step:
            return report
        if stopped:
            return report.choosing(self.step)
        path = self.directory / f"checkpoint-{report.kept}"
        if reason := checkpoint.fault(path):
            self.log(f"{path.name} was judged best, but {reason}: the last step is kept")
            return report.choosing(self.step)
        self.learner.load(path)
        return report
