"""Steps per second, and losses, of `python -m trainer train` against diffusers' `train_dreambooth.py`.

    python tests/bench_training.py --script PATH/train_dreambooth.py             # speed
    python tests/bench_training.py --script PATH/train_dreambooth.py --losses    # the same losses?

Needed: what requirements.txt installs, torchvision of the same release as torch (the script imports its transforms;
where only another build's wheel is to be had, `pip install --no-deps` is enough), and the script, which is
examples/dreambooth/train_dreambooth.py in the repository of diffusers, of a version that takes the one installed.

Both are given the same flags: full fine-tuning of the UNet in float32 with AdamW, prior preservation, one photo and one
class image a step, gradients clipped to the same norm. Everything else is as it is for whoever runs them so.

Speed: every block is a process of its own per trainer, the two in turn, and the first of them in turn too. Each is held
to the same cores by taskset, where there is one, and to as many threads. A hook after each optimizer step notes the time;
the first --warmup steps are left out. Steps per second are those of the rest by the clock; the ratio is of each block's
two, and the median of these ratios is the result. The median step is told beside it: it is not moved by another
program's short work, but does not see what is done once in some steps either. Loading and saving are outside.

Losses: ours is run first, on its own noise, timesteps and order of photos, all written down by a `draw` and a look at
each batch. The script then runs with these in place of torch.randn_like, torch.randint, the posterior's sample() and
the order of RandomSampler. Both losses are read where they are handed to Accelerator.backward. Exits with 1 where one
differs by more than 1e-4 of itself. The weights are compared as well: over a few small steps, losses alone would hardly
see another optimizer.
"""

import argparse
import json
import os
import runpy
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.optim.optimizer import register_optimizer_step_post_hook

ROOT = Path(__file__).resolve().parent.parent
SIDES = ("ours", "theirs")
TOLERANCE = 1e-4  # of a loss: float32 sums in another order differ by less
STREAM = "stream.safetensors"


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Ours against diffusers' train_dreambooth.py.")
    parser.add_argument("--script", type=Path, required=True, help="diffusers' train_dreambooth.py")
    parser.add_argument("--base", type=Path, default=ROOT / "examples/toybox", help="base model's folder")
    photos = ROOT / "examples/teddy-bear/instance_images"
    parser.add_argument(
        "--instance_data_dir", type=Path, default=photos, help="folder of photos, nothing else in it"
    )
    parser.add_argument("--losses", action="store_true", help="compare losses instead of speed")
    parser.add_argument("--steps", type=int, default=50, help="steps that count [50]")
    parser.add_argument("--warmup", type=int, default=10, help="steps before them, for speed [10]")
    parser.add_argument("--blocks", type=int, default=5, help="runs of each, for speed [5]")
    parser.add_argument("--resolution", type=int, help="in pixels [the base's own]")
    parser.add_argument("--learning_rate", default="5e-6")
    cores = (
        sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else range(os.cpu_count() or 1)
    )
    parser.add_argument("--cores", default=",".join(map(str, cores)), help="as taskset takes them, 0,1 [all]")
    return parser.parse_args()


# The process that measures


def own_resolution(base: Path) -> int:
    """Side in pixels of what a base model makes."""
    unet, vae = (json.loads((base / part / "config.json").read_text()) for part in ("unet", "vae"))
    return int(unet["sample_size"] * 2 ** (len(vae["block_out_channels"]) - 1))


def make_class_images(directory: Path, count: int, side: int) -> None:
    """Coloured clouds. Only their size matters here, and that the script finds enough of them."""
    directory.mkdir()
    random = np.random.default_rng(0)
    for index in range(count):
        cloud = Image.fromarray(random.integers(0, 256, (6, 6, 3), dtype=np.uint8))
        cloud.resize((side, side), Image.Resampling.BICUBIC).save(directory / f"{index}.jpg")


def shared_flags(options: argparse.Namespace, directory: Path, steps: int) -> list[str]:
    """What both are told. 2n - 1 class images, which n photos never divide: see `dataset_order`."""
    photos = len(list(options.instance_data_dir.iterdir()))
    count, side = 2 * photos - 1, options.resolution or own_resolution(options.base)
    make_class_images(directory / "class", count, side)
    values = {
        "pretrained_model_name_or_path": options.base,
        "instance_data_dir": options.instance_data_dir,
        "instance_prompt": "a photo of sks teddy bear",
        "class_data_dir": directory / "class",
        "class_prompt": "a photo of a teddy bear",
        "num_class_images": count,
        "resolution": side,
        "train_batch_size": 1,
        "learning_rate": options.learning_rate,
        "lr_scheduler": "constant",
        "lr_warmup_steps": 0,
        "max_train_steps": steps,
        "checkpointing_steps": 1_000_000,
        "seed": 0,
    }
    flags = [f"--{name}={value}" for name, value in values.items()]
    return [*flags, "--with_prior_preservation", "--center_crop"]


def run(side: str, options: argparse.Namespace, directory: Path, flags: list[str]) -> dict[str, Any]:
    """One training in a process of its own: {"times": [seconds], "losses": [...]}, one each per step."""
    output, result = directory / side, directory / f"{side}.json"
    shutil.rmtree(output, ignore_errors=True)
    job = {
        "side": side,
        "script": str(options.script.resolve()),
        "flags": [*flags, f"--output_dir={output}"],
        "losses": options.losses,
        "stream": str(directory / STREAM),
        "result": str(result),
    }
    cores = options.cores.split(",")
    pinned = ["taskset", "-c", options.cores] if shutil.which("taskset") else []
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    offline = {"HF_HUB_OFFLINE": "1", "CUDA_VISIBLE_DEVICES": "", "ACCELERATE_USE_CPU": "1"}
    environment = os.environ | offline | {"OMP_NUM_THREADS": str(len(cores)), "PYTHONPATH": path}
    command = [*pinned, sys.executable, __file__, "--worker", json.dumps(job)]
    done = subprocess.run(
        command, env=environment, cwd=directory, capture_output=True, text=True, check=False
    )
    if done.returncode:
        sys.exit(f"{side} ended with {done.returncode}:\n{done.stdout[-2000:]}\n{done.stderr[-6000:]}")
    return json.loads(result.read_text())  # type: ignore[no-any-return]


def measure_speed(options: argparse.Namespace, directory: Path) -> None:
    """Print each block's rates and ratio, then the medians."""
    flags = shared_flags(options, directory, options.warmup + options.steps)
    rates: dict[str, list[float]] = {side: [] for side in SIDES}
    medians: dict[str, list[float]] = {side: [] for side in SIDES}
    print("block   ours   theirs steps/s   ratio     ours   theirs ms, median step   ratio")
    for block in range(options.blocks):
        for side in SIDES if block % 2 == 0 else SIDES[::-1]:
            steps = np.diff(run(side, options, directory, flags)["times"][options.warmup - 1 :])
            assert len(steps) == options.steps
            rates[side].append(options.steps / float(steps.sum()))
            medians[side].append(1000 * float(np.median(steps)))
        print(f"{block + 1:5}", row(rates, medians, block), flush=True)
    ratios = [ours / theirs for ours, theirs in zip(rates["ours"], rates["theirs"], strict=True)]
    print(
        f"medians: ours {statistics.median(rates['ours']):.2f}, theirs {statistics.median(rates['theirs']):.2f} steps/s"
    )
    print(f"ours / theirs: {statistics.median(ratios):.2f} (blocks {min(ratios):.2f} to {max(ratios):.2f})")
    by_step = [theirs / ours for ours, theirs in zip(medians["ours"], medians["theirs"], strict=True)]
    print(f"by the median step: {statistics.median(by_step):.2f}")


def row(rates: dict[str, list[float]], medians: dict[str, list[float]], block: int) -> str:
    rate, median = ([of[side][block] for side in SIDES] for of in (rates, medians))
    return (
        f"{rate[0]:7.2f} {rate[1]:7.2f} {rate[0] / rate[1]:15.2f}"
        f" {median[0]:9.1f} {median[1]:7.1f} {median[1] / median[0]:22.2f}"
    )


def compare_losses(options: argparse.Namespace, directory: Path) -> int:
    """Print the largest relative difference of the losses, and that of the weights; 1 where the losses differ."""
    flags = shared_flags(options, directory, options.steps)
    ours, theirs = (np.array(run(side, options, directory, flags)["losses"]) for side in SIDES)
    assert len(ours) == len(theirs) == options.steps
    differences = np.abs(ours - theirs) / theirs
    worst = int(differences.argmax())
    print(f"losses of {options.steps} steps, {theirs.min():.4f} to {theirs.max():.4f}")
    print(
        f"largest relative difference: {differences.max():.2e} at step {worst + 1}, {ours[worst]} and {theirs[worst]}"
    )
    base, our, their = (weights(folder) for folder in (options.base, *(directory / side for side in SIDES)))
    moved = max(float((their[name] - base[name]).abs().max()) for name in base)
    apart = max(float((their[name] - our[name]).abs().max()) for name in base)
    print(f"weights: moved by up to {moved:.2e}, apart by up to {apart:.2e}")
    return int(not differences.max() <= TOLERANCE)


def weights(folder: Path) -> dict[str, Tensor]:
    """The UNet's, float32, of however many files."""
    files = (folder / "unet").glob("*.safetensors")
    return {name: tensor.float() for file in files for name, tensor in load_file(file).items()}


# The process that trains


def work(job: dict[str, Any]) -> None:
    """Train as the job says, and write down each step's time and loss."""
    import_torchvision()
    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    times: list[float] = []
    register_optimizer_step_post_hook(lambda *_: times.append(time.perf_counter()))
    losses = record_losses() if job["losses"] else []
    if job["side"] == "ours":
        work_ours(job)
    else:
        work_theirs(job)
    Path(job["result"]).write_text(json.dumps({"times": times, "losses": losses}))


def record_losses() -> list[float]:
    """A list that every later Accelerator.backward(loss) adds to."""
    from accelerate import Accelerator

    losses, backward = [], Accelerator.backward

    def recording(self: Accelerator, loss: Tensor, **options: Any) -> None:
        losses.append(loss.item())
        backward(self, loss, **options)

    Accelerator.backward = recording
    return losses


def work_ours(job: dict[str, Any]) -> None:
    from trainer.__main__ import main

    if job["losses"]:
        record_stream(job)
    elif main(["train", *job["flags"]]):
        sys.exit(1)


def record_stream(job: dict[str, Any]) -> None:
    """Train, and write down what was drawn: posterior, noise (N, 2, C, h, w), timesteps (N, 2), examples (N, 2)."""
    from trainer import batches, flags, loop
    from trainer.config import training_config

    draws, examples, next_batch = [], [], batches.Batches.next

    def draw(*given: Any, **options: Any) -> batches.Draw:
        draws.append(batches.draw(*given, **options))
        return draws[-1]

    def next_noted(self: batches.Batches) -> batches.Batch:
        batch = next_batch(self)
        examples.append(batch.examples)
        return batch

    batches.Batches.next = next_noted
    arguments = vars(flags.train_parser().parse(job["flags"]))
    loop.train(training_config(**flags.training_values(arguments, {})), draw=draw)
    names = ("posterior", "noise", "timesteps")
    stream = {name: torch.stack([getattr(each, name).flatten(0, 1) for each in draws]) for name in names}
    save_file(stream | {"examples": torch.tensor(examples)}, job["stream"])


def work_theirs(job: dict[str, Any]) -> None:
    streams = replay(job) if job["losses"] else []
    sys.argv = [job["script"], *job["flags"]]
    runpy.run_path(job["script"], run_name="__main__")
    assert all(next(stream, None) is None for stream in streams), "the script drew less than was recorded"


def import_torchvision() -> None:
    """Also where its own operators are of another build than torch (CUDA and CPU).

    The script does not use them, but it and transformers would fail to import the rest.
    """
    try:
        import torchvision  # noqa: F401
    except RuntimeError:  # "operator torchvision::nms does not exist"
        for operator in ("nms", "qnms"):
            schema = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
            torch.library.define(f"torchvision::{operator}", schema)
        for name in [name for name in sys.modules if name.startswith("torchvision")]:
            del sys.modules[name]


def replay(job: dict[str, Any]) -> list[Any]:
    """Put the recorded stream in place of what the script draws; returns what is left of it, as iterators."""
    from diffusers.models.autoencoders.vae import DiagonalGaussianDistribution
    from torch.utils.data import RandomSampler

    stream = load_file(job["stream"])
    posterior, noise, timesteps = (iter(stream[name]) for name in ("posterior", "noise", "timesteps"))
    order = iter(dataset_order(job, stream["examples"].tolist()))

    def randn_like(like: Tensor) -> Tensor:
        drawn = next(noise)
        assert drawn.shape == like.shape
        return drawn

    def randint(low: int, high: int, size: tuple[int, ...], device: torch.device) -> Tensor:
        drawn = next(timesteps)
        assert low == 0 and drawn.shape == size and drawn.max() < high
        return drawn

    def sample(self: DiagonalGaussianDistribution) -> Tensor:
        return self.mean + self.std * next(posterior)

    torch.randn_like, torch.randint = randn_like, randint
    DiagonalGaussianDistribution.sample = sample
    RandomSampler.__iter__ = lambda _: order
    return [posterior, noise, timesteps, order]


def dataset_order(job: dict[str, Any], examples: list[list[int]]) -> list[int]:
    """What to ask the script's dataset for, to be given these (photo, class image) pairs.

    It gives photo `index % n` with class image `index % m`, in the folders' own order; with n and m coprime there
    is an index for every pair. `examples` count photos sorted by name, then class images.
    """
    given = dict(flag.removeprefix("--").split("=", 1) for flag in job["flags"] if "=" in flag)
    photos, classes = (
        [path.name for path in Path(given[f"{of}_data_dir"]).iterdir()] for of in ("instance", "class")
    )
    n, m = len(photos), len(classes)
    ours = sorted(photos), sorted(classes)
    pairs = [(photos.index(ours[0][own]), classes.index(ours[1][other - n])) for own, other in examples]
    return [next(i for i in range(n * m) if (i % n, i % m) == pair) for pair in pairs]


def main() -> int:
    options = arguments()
    options.base, options.instance_data_dir = options.base.resolve(), options.instance_data_dir.resolve()
    with tempfile.TemporaryDirectory() as directory:
        if options.losses:
            return compare_losses(options, Path(directory))
        measure_speed(options, Path(directory))
    return 0


if __name__ == "__main__":
    if sys.argv[1:2] == ["--worker"]:
        work(json.loads(sys.argv[2]))
    else:
        sys.exit(main())
