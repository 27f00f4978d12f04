"""What a configuration will need, before it starts: seconds, memory, disk.

Nothing is promised by rule of thumb. `measure` trains a few real steps with the real base and photos, in a process of
its own, and writes down what they took; `estimate` scales that up to the run that was asked for.
"""

import hashlib
import json
import math
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any, NoReturn

import torch
from PIL import Image

from trainer import concept, exam, generation, photos, preparation
from trainer.config import TrainingConfig
from trainer.errors import OutOfMemoryError, TrainingError

STEPS = 8
MIDDLE = 6  # the step with a checkpoint and a preview: those after it tell what memory these took
TIME_LIMIT = 20 * 60  # seconds
LOOK_SECONDS = 0.3  # between two looks at how far it is
PHASES = ("load", "class_images", "encode", "build", "train", "save", "verify")
AT_LEAST_UNCERTAIN = (
    0.2  # a machine does not keep for long the pace of a few steps: it warms up, others use it too
)
UNFINISHED = ".measuring-"
# What pace and memory depend on, beside the machine and the versions of what computes.
SHAPING = (
    "method", "pretrained_model_name_or_path", "pretrained_vae_name_or_path", "revision", "variant", "rank",
    "train_text_encoder", "resolution", "with_prior_preservation", "sample_batch_size", "train_batch_size",
    "gradient_accumulation_steps", "use_8bit_adam", "mixed_precision", "gradient_checkpointing",
    "enable_xformers_memory_efficient_attention", "allow_tf32", "cache_latents", "pad_tokens",
    "validation_num_inference_steps",
)  # fmt: skip


@dataclass(frozen=True)
class Measurement:
    """What a few steps took. Seconds: each, or once a run; bytes: each, or the most at once."""

    resolution: int  # px
    load_seconds: float
    class_image_seconds: float
    encode_seconds: float  # of a photo or class image
    build_seconds: float
    step_seconds: float
    spread: float  # half the range of the steps' times, as a part of step_seconds
    checkpoint_seconds: float
    preview_seconds: float
    finish_seconds: float
    memory_bytes: int
    checkpoint_bytes: int
    finished_bytes: int
    image_bytes: int


@dataclass(frozen=True)
class Estimate:
    """Of one run. `seconds` may be off by the part `uncertainty` either way; bytes are the most at once."""

    seconds: float
    uncertainty: float
    memory_bytes: int
    disk_bytes: int

    def sentence(self) -> str:
        """For the page."""
        low, high = (_minutes(self.seconds * (1 + sign * self.uncertainty)) for sign in (-1, 1))
        time = f"about {high}" if low == high else f"{low} to {high}"
        return (
            f"It will take {time}, {_gigabytes(self.memory_bytes)} of memory and {_gigabytes(self.disk_bytes)} of"
            " disk, going by a few steps measured on this machine."
        )

    def lacking(self, directory: Path) -> str | None:
        """What to say where the disk that holds `directory` has too little room, else None."""
        free = shutil.disk_usage(directory).free
        if free >= self.disk_bytes:
            return None
        return (
            f"The disk has {_gigabytes(free)} free and {_gigabytes(self.disk_bytes)} are needed: free some space, or"
            " keep fewer checkpoints (checkpoints_total_limit)."
        )


NOT_MEASURED = (
    "Not measured yet on this machine with these settings: a few steps will tell how long it takes."
)


def estimate(config: TrainingConfig, measurements: Path) -> Estimate | None:
    """What a run will need by what was measured before; None where nothing was. Raises PhotoError without photos."""
    file = _file(config, measurements)
    if not file.is_file():
        return None
    measured = Measurement(**json.loads(file.read_text(encoding="utf-8"))["measurement"])
    return scaled(measured, config, *_counts(config, measured.resolution))


def measure(
    config: TrainingConfig,
    measurements: Path,
    on_progress: Callable[[int, int], None] | None = None,
    should_stop: Callable[[], bool] | None = None,
) -> Estimate | None:
    """Train a few steps in a process of its own, write down what they took, and estimate by that; None where stopped.

    Takes the whole device for seconds (on a CPU with a large base, minutes): hold it for the time being.
    `on_progress(done, total)` counts phases and steps. Raises PhotoError without photos, OutOfMemoryError where even these steps do not fit, TrainingError for whatever else went
    wrong with them.
    """
    preparation.check_photos(config)
    measurements.mkdir(parents=True, exist_ok=True)
    for leftover in measurements.glob(f"{UNFINISHED}*"):
        concept.remove(leftover)
    with tempfile.TemporaryDirectory(dir=measurements, prefix=UNFINISHED) as folder:
        short = shortened(config, Path(folder))
        if not _run(short, on_progress or _untold, should_stop or _never):
            return None
        measured = _read(short)
    text = json.dumps({"of": _key(config), "measurement": asdict(measured)}, indent=1)
    concept.replace_text(_file(config, measurements), text)
    return scaled(measured, config, *_counts(config, measured.resolution))


def shortened(config: TrainingConfig, folder: Path) -> TrainingConfig:
    """The same for the machine, in STEPS steps and with one batch of class images, all under `folder`."""
    subject = config.concepts[0]
    changes: dict[str, Any] = {
        "concepts_list": (),
        "instance_data_dir": subject.instance_data_dir,
        "instance_prompt": subject.instance_prompt,
        "class_prompt": subject.class_prompt,
        "class_data_dir": str(folder / "class_images"),
        "num_class_images": config.sample_batch_size,
        "max_train_steps": STEPS,
        "checkpointing_steps": MIDDLE,
        "checkpoints_total_limit": None,
        "resume_from_checkpoint": None,
        "validation_prompt": config.validation_prompt or subject.instance_prompt,
        "validation_steps": MIDDLE,
        "validation_epochs": None,
        "validation_min_steps": 0,
        "num_validation_images": 1,
        "keep": "last",
        "log_interval": 1,
        "report_to": "none",
        "output_dir": str(folder / "concept"),
    }
    return config.model_copy(update=changes)


def _untold(done: int, total: int) -> None:
    """Nobody asked."""


def _never() -> bool:
    return False


def _run(
    config: TrainingConfig, on_progress: Callable[[int, int], None], should_stop: Callable[[], bool]
) -> bool:
    """Train by `config` in a process of its own; False where it was stopped."""
    directory = Path(config.output_dir)
    concept.write_settings(directory, config)
    command = [sys.executable, "-m", "trainer", "train", "--config", str(directory / concept.SETTINGS_FILE)]
    paths = [str(Path(__file__).resolve().parent.parent), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(paths)}
    end = time.monotonic() + TIME_LIMIT
    with tempfile.TemporaryFile("w+") as said:
        process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=said)
        try:
            while process.poll() is None:
                if should_stop():
                    return False
                if time.monotonic() > end:
                    raise TrainingError(
                        f"{STEPS} steps took more than {TIME_LIMIT // 60} minutes: this machine is too slow for this base."
                    )
                on_progress(_passed(directory), len(PHASES) + STEPS)
                with suppress(subprocess.TimeoutExpired):
                    process.wait(LOOK_SECONDS)
        finally:
            process.kill()
            process.wait()
        if process.returncode:
            said.seek(0)
            _raise(directory, said.read().strip().splitlines() or [f"exit status {process.returncode}"])
    return True


def _passed(directory: Path) -> int:
    """How many phases have begun and steps have ended."""
    events = concept.read_events(directory)
    begun = max(
        (PHASES.index(event["phase"]) + 1 for event in events if event["event"] == "phase"), default=0
    )
    return begun + sum(1 for event in events if event["event"] == "step")


def _raise(directory: Path, said: list[str]) -> NoReturn:
    events = concept.read_events(directory)
    if any(event.get("kind") == OutOfMemoryError.__name__ for event in events):
        raise OutOfMemoryError(events[-1]["message"])
    raise TrainingError(f"The measurement failed: {said[-1]}")


def _read(config: TrainingConfig) -> Measurement:
    """From the events, and the files, that the short run left."""
    directory = Path(config.output_dir)
    events = concept.read_events(directory)
    at = {event["phase"]: event["time"] for event in reversed(events) if event["event"] == "phase"}
    last = {event["event"]: event["time"] for event in events}
    middle = next(event for event in events if event["event"] == "step" and event["step"] == MIDDLE)
    steps = [event for event in events if event["event"] == "step"]
    paces = [1 / event["steps_per_second"] for event in steps[1:]]  # the first sets everything up
    images = [event["time"] for event in events if event.get("phase") == "class_images" and "done" in event]
    class_seconds = images[-1] - at["class_images"] if images else 0.0
    count = len(photos.list_photos(config.instance_data_dir or "")) + config.num_class_images * bool(images)
    (preview,) = (directory / event["path"] for event in events if event["event"] == "sample")
    checkpoint = directory / f"checkpoint-{MIDDLE}"
    made = [path for path in directory.iterdir() if path.name not in (checkpoint.name, preview.parent.name)]
    with Image.open(preview) as image:
        resolution = image.width
    return Measurement(
        resolution=resolution,
        load_seconds=at["encode"] - at["load"] - class_seconds,
        class_image_seconds=class_seconds / config.num_class_images,
        encode_seconds=(at["build"] - at["encode"]) / count,
        build_seconds=at["train"] - at["build"],
        step_seconds=statistics.median(paces),
        spread=(max(paces) - min(paces)) / 2 / statistics.median(paces),
        checkpoint_seconds=last["checkpoint"] - middle["time"],
        preview_seconds=last["sample"] - last["checkpoint"],
        finish_seconds=last["finished"] - at["save"],
        memory_bytes=max(event["memory"] for event in steps),
        checkpoint_bytes=_size(checkpoint),
        finished_bytes=sum(map(_size, made)),
        image_bytes=preview.stat().st_size,
    )


def _counts(config: TrainingConfig, resolution: int) -> tuple[int, int, int]:
    """(photos, class images, those of them to be made)."""
    own = sum(len(photos.list_photos(each.instance_data_dir)) for each in config.concepts)
    if not config.with_prior_preservation:
        return own, 0, 0
    directories = preparation.class_directories(config, resolution)
    missing = sum(generation.missing_class_images(each, config.num_class_images) for each in directories)
    return own, config.num_class_images * len(directories), missing


def scaled(measured: Measurement, config: TrainingConfig, own: int, classes: int, missing: int) -> Estimate:
    """A measurement's figures for a run of `config` with `own` photos and `classes` class images, `missing` to be made."""
    batch = config.train_batch_size * config.gradient_accumulation_steps
    epoch = math.ceil(max(own, classes) / batch)
    steps = config.max_train_steps or epoch * config.num_train_epochs
    plan = exam.plan(config, steps)
    judged = plan.steps if config.keep == "best" and exam.encoder_of(config) is not None else []
    # what is judged is kept, at the end too
    checkpoints = steps // config.checkpointing_steps + bool(judged and steps % config.checkpointing_steps)
    every = config.validation_epochs * epoch if config.validation_epochs else config.validation_steps
    previews = steps // every * config.num_validation_images if config.validation_prompt else 0
    seconds = (
        measured.load_seconds
        + missing * measured.class_image_seconds
        + (own + classes) * measured.encode_seconds
        + measured.build_seconds
        + (steps + (plan.cost if judged else 0)) * measured.step_seconds
        + checkpoints * measured.checkpoint_seconds
        + previews * measured.preview_seconds
        + measured.finish_seconds
    )
    limit = config.checkpoints_total_limit
    # one more than are kept: the oldest goes when the newest is whole; and the best
    kept = checkpoints if limit is None else min(checkpoints, limit + 1 + bool(judged))
    # twice: a concept that is there already is replaced when the new one is whole
    disk = (
        kept * measured.checkpoint_bytes
        + (1 + concept.has_weights(Path(config.output_dir))) * measured.finished_bytes
        + (missing + previews) * measured.image_bytes
    )
    return Estimate(seconds, max(AT_LEAST_UNCERTAIN, measured.spread), measured.memory_bytes, disk)


@cache
def machine() -> str:
    """What computes here: the GPU, or the processor with the cores and threads that may be used."""
    if torch.cuda.is_available():
        return f"{torch.cuda.get_device_name()} x{torch.cuda.device_count()}"
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    threads = os.environ.get("OMP_NUM_THREADS", "all")
    return f"{names[0] if names else platform.processor()}, {cores} cores, {threads} threads"


def _key(config: TrainingConfig) -> dict[str, Any]:
    settings = config.model_dump(mode="json", include=set(SHAPING))
    base = Path(config.pretrained_model_name_or_path)
    if base.is_dir():
        settings["pretrained_model_name_or_path"] = str(base.resolve())
    versions = {
        name: version for name, version in concept.versions().items() if name in ("torch", "diffusers")
    }
    return {"machine": machine()} | versions | settings


def _file(config: TrainingConfig, measurements: Path) -> Path:
    digest = hashlib.sha256(json.dumps(_key(config), sort_keys=True).encode()).hexdigest()
    return measurements / f"{digest[:16]}.json"


def _size(path: Path) -> int:
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files if file.is_file())


def _minutes(seconds: float) -> str:
    if seconds < 90:
        return f"{max(10, round(seconds / 10) * 10)} s"
    if seconds < 90 * 60:
        return f"{round(seconds / 60)} min"
    return f"{seconds / 3600:.1f} h"


def _gigabytes(count: int) -> str:
    return f"{count / 1e9:.1f} GB" if count >= 1e8 else f"{max(1, round(count / 1e6))} MB"
