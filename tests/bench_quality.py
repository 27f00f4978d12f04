"""DreamBooth's own protocol (arXiv:2208.12242, section 4): subjects x 25 prompts x 4 images, ours beside diffusers' scripts.

    python tests/bench_quality.py --photos DIR --output DIR --scripts DIR

--photos is laid out as google/dreambooth's `dataset`: prompts_and_classes.txt, and beside it a folder of photos for each
subject. --scripts holds train_dreambooth.py and train_dreambooth_lora.py, of a version of diffusers that takes the one
installed; they need torchvision, as tests/bench_training.py says. Without it only ours is trained. What was done is not
done again: after a kill, the same command goes on, training by training and prompt by prompt; two commands with other
--subjects can share an --output, and one for all of them then writes the table. Other settings take another --output.

Every method gets the same photos and prompts, the same class images (made for ours, which is first), the same seeds,
sampler and guidance, and as much time: the scripts' --max_train_steps is what they do in the time that ours took from its
first step to its last, judging included, by a trial of --trial steps. Ours is at its preset's settings for this machine, or
--config's; the scripts are at their README's, but for the learning rates, which are for Stable Diffusion: another base needs
others (--full_learning_rate, --lora_learning_rate).

On a machine with a GPU and the Hub, the paper's table for Stable Diffusion, all 30 subjects:

    python tests/bench_quality.py --photos dataset --output out --scripts diffusers/examples/dreambooth \\
        --base CompVis/stable-diffusion-v1-4 --guidance_scale 7.5 \\
        --evaluation_encoder openai/clip-vit-base-patch32 --subject_encoder facebook/dino-vits16

Figures: DINO, CLIP-I and CLIP-T as in the paper; PRES, the likeness of the class alone to the photos (less is better); DIV,
how much images of one prompt differ, by the encoder in DINO's place where the paper has LPIPS; the samples that repeat a
photo (trainer/copying.py). `both` is what ours chooses its checkpoints by (trainer/choice.py): the harmonic
mean of the way from the base to the photos and of what is left of the base's agreement with the prompts.
"""

import argparse
import json
import os
import re
import runpy
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from statistics import fmean
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # run as a script, from anywhere

from bench_training import import_torchvision  # noqa: E402
from PIL import Image  # noqa: E402

OURS, FULL, LORA = "ours", "train_dreambooth", "train_dreambooth_lora"
TOKEN = "sks"
LIVE = {"cat", "dog"}  # the classes that get the prompts for live subjects
CLASS_IMAGES = 20  # of the class alone, for PRES
FORGETTABLE = 5  # steps at the start of a trial that are not counted
SHOWN = (0, 1, 2, 4, 7, 12, 13, 20, 22)  # prompts of the grid, by number


@dataclass(frozen=True)
class Subject:
    """One folder of photos."""

    name: str
    kind: str  # its class noun
    photos: Path
    prompts: tuple[str, ...]  # with {} for what is asked for

    def asked(self, token: str = f"{TOKEN} ") -> list[str]:
        return [prompt.format(f"{token}{self.kind}") for prompt in self.prompts]


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--photos", type=Path, required=True, help="laid out as google/dreambooth's dataset")
    parser.add_argument("--output", type=Path, required=True, help="all is kept here")
    parser.add_argument(
        "--scripts", type=Path, help="folder of diffusers' train_dreambooth.py and train_dreambooth_lora.py"
    )
    parser.add_argument("--base", default=str(ROOT / "examples/toybox"), help="a folder or a name on the Hub")
    parser.add_argument("--subjects", nargs="+", help="names of folders [all that have photos]")
    parser.add_argument("--config", type=Path, help="ours' settings, a dreambooth.json [the preset's]")
    parser.add_argument("--num_samples", type=int, default=4, help="images a prompt [4]")
    parser.add_argument(
        "--guidance_scale", type=float, default=3.0, help="of every image [3, for the toybox]"
    )
    for name, folder in (("evaluation_encoder", "clip"), ("subject_encoder", "subject_encoder")):
        default = str(ROOT / "examples/toybox" / folder)
        parser.add_argument(f"--{name}", default=default, help="a folder or a name on the Hub")
    parser.add_argument("--full_learning_rate", default="5e-6", help="of train_dreambooth.py [its README's]")
    parser.add_argument("--lora_learning_rate", default="1e-4", help="of train_dreambooth_lora.py [likewise]")
    parser.add_argument("--trial", type=int, default=25, help="steps by which a script's speed is known [25]")
    options = parser.parse_args()
    if options.scripts and not find_spec("torchvision"):
        parser.error("the scripts need torchvision: tests/bench_training.py says how to have it")
    return options


def subjects(options: argparse.Namespace) -> list[Subject]:
    """Those of the list that have a folder of photos, in its order; `--subjects` of them."""
    text = (options.photos / "prompts_and_classes.txt").read_text(encoding="utf-8")
    listed = dict(re.findall(r"^(\w+),([\w ]+)$", text, re.MULTILINE))
    listed.pop("subject_name", None)
    objects, _, live = text.partition("Live Subject Prompts")
    wordings = [
        tuple(re.findall(r"'([^']*)'\.format", part.replace("{0} {1}", "{}"))) for part in (objects, live)
    ]
    assert all(len(prompts) == 25 for prompts in wordings)
    found = [
        Subject(name, kind, options.photos / name, wordings[kind in LIVE])
        for name, kind in listed.items()
        if (options.photos / name).is_dir()
    ]
    chosen = options.subjects or [subject.name for subject in found]
    if unknown := set(chosen) - {subject.name for subject in found}:
        sys.exit(f"{options.photos} has no photos of {', '.join(sorted(unknown))}")
    return [subject for subject in found if subject.name in chosen]


def settle(options: argparse.Namespace) -> None:
    """Note with which settings OUTPUT was begun. Ends where they were others: what is there would fill the table."""
    noted = options.output / "options.json"
    known = json.loads(noted.read_text()) if noted.is_file() else None
    free = {"output", "subjects", "scripts", "evaluation_encoder", "subject_encoder"}
    now = {name: str(value) for name, value in vars(options).items() if name not in free}
    if options.config:
        now["config"] = options.config.read_text(encoding="utf-8")
    if known is None:
        options.output.mkdir(parents=True, exist_ok=True)
        write_whole(noted, json.dumps(now, indent=1))
    elif other := [name for name in now if now[name] != known.get(name)]:
        sys.exit(f"{options.output} was begun with another {', another '.join(other)}: name another --output")


def write_whole(file: Path, text: str) -> None:
    part = file.with_suffix(f".{os.getpid()}.part")  # two commands may share an --output
    part.write_text(text, encoding="utf-8")
    part.replace(file)


# Training


def train(method: str, subject: Subject, options: argparse.Namespace) -> None:
    """Fill OUTPUT/SUBJECT/METHOD/model and its trained.json, unless they are there."""
    folder = options.output / subject.name / method
    noted = folder / "trained.json"
    if noted.is_file():
        return
    flags = {
        "pretrained_model_name_or_path": options.base,
        "instance_data_dir": subject.photos.resolve(),
        "instance_prompt": f"a photo of a {TOKEN} {subject.kind}",
        "class_prompt": f"a photo of a {subject.kind}",
        "class_data_dir": options.output.resolve() / "class" / subject.kind.replace(" ", "-"),
    }
    settings = ours(options)
    if method == OURS:
        own = {
            name: value
            for name, value in settings.items()
            if name not in {*flags, "output_dir", "validation_prompt"}
        }
        times = run(method, flags | own, folder, options)
    else:
        script = flags | readme(method, settings, options)
        trial = run(method, script | {"max_train_steps": options.trial}, folder, options)[FORGETTABLE:]
        rate = (len(trial) - 1) / (trial[-1] - trial[0])
        given = json.loads((folder.parent / OURS / "trained.json").read_text())["seconds"]
        times = run(method, script | {"max_train_steps": max(1, round(rate * given))}, folder, options)
    write_whole(noted, json.dumps({"seconds": times[-1] - times[0], "steps": len(times)}))


def ours(options: argparse.Namespace) -> dict[str, Any]:
    """Ours' settings: --config's, or the preset that the studio begins with."""
    import torch

    from trainer import presets

    if options.config:
        found: dict[str, Any] = json.loads(options.config.read_text(encoding="utf-8"))
        return found.get("config", found)
    return presets.presets("object", presets.gpu() if torch.cuda.is_available() else "cpu")[0].values()


def readme(method: str, settings: dict[str, Any], options: argparse.Namespace) -> dict[str, Any]:
    """What diffusers' README gives the script, with ours' number of class images and the base's own size."""
    from trainer import models

    side = settings.get("resolution") or models.base_resolution(models.load_pipeline(options.base))
    own = (
        {"learning_rate": options.full_learning_rate}
        if method == FULL
        else {"learning_rate": options.lora_learning_rate, "rank": 4}
    )
    return own | {
        "with_prior_preservation": True,
        "prior_loss_weight": 1.0,
        "num_class_images": settings["num_class_images"],
        "resolution": side,
        "train_batch_size": 1,
        "gradient_accumulation_steps": 1,
        "lr_scheduler": "constant",
        "lr_warmup_steps": 0,
        "mixed_precision": settings.get("mixed_precision"),  # or ours would take more steps in the same time
        "checkpointing_steps": 1_000_000,
        "seed": 0,
    }


def run(method: str, settings: dict[str, Any], folder: Path, options: argparse.Namespace) -> list[float]:
    """One training in a process of its own, into FOLDER/model, anew; returns when each step was done, in seconds."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    if method != OURS:  # the scripts take every file there for an image
        alone = shutil.ignore_patterns("*.json")
        settings = settings | {
            "class_data_dir": shutil.copytree(
                settings["class_data_dir"], folder.resolve() / "class", ignore=alone
            )
        }
    if method == OURS:
        config = folder.resolve() / "settings.json"
        config.write_text(json.dumps({"config": settings}, default=str))
        flags = [f"--config={config}"]
    else:
        said = {name: value for name, value in settings.items() if value is not None and value is not False}
        flags = [f"--{name}" if value is True else f"--{name}={value}" for name, value in said.items()]
    job = {
        "script": "" if method == OURS else str((options.scripts / f"{method}.py").resolve()),
        "flags": [*flags, f"--output_dir={folder.resolve() / 'model'}"],
        "result": str(folder.resolve() / "times.json"),
    }
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    command = [sys.executable, str(Path(__file__).resolve()), "--worker", json.dumps(job)]
    with (folder / "log").open("w") as log:
        done = subprocess.run(
            command, env=os.environ | {"PYTHONPATH": path}, stdout=log, stderr=log, check=False
        )
    if done.returncode:
        sys.exit(f"{folder.name} of {folder.parent.name} ended with {done.returncode}: see {folder / 'log'}")
    return json.loads((folder / "times.json").read_text())  # type: ignore[no-any-return]


def work(job: dict[str, Any]) -> None:
    """In the process that trains: as the job says, noting when each step was done."""
    import torch
    from torch.optim.optimizer import register_optimizer_step_post_hook

    # without a GPU the process's own time: what else the machine is doing then does not count
    clock = time.perf_counter if torch.cuda.is_available() else time.process_time
    times: list[float] = []
    seen: dict[str, Any] = {}

    def note(optimizer: Any, *_: Any) -> None:
        # an optimizer a parameter group may be stepped apart: the first that was seen counts
        if seen.setdefault("first", optimizer) is optimizer:
            times.append(clock())

    register_optimizer_step_post_hook(note)
    if job["script"]:
        sys.argv = [job["script"], *job["flags"]]
        runpy.run_path(job["script"], run_name="__main__")
    else:
        from trainer.__main__ import main as trainer_main

        if trainer_main(["train", *job["flags"]]):
            sys.exit(1)
    Path(job["result"]).write_text(json.dumps(times))


# Images


def paint(method: str, subject: Subject, options: argparse.Namespace) -> None:
    """OUTPUT/SUBJECT/METHOD/images: PROMPT-SAMPLE.png for every prompt, class-SAMPLE.png; what is there stays."""
    from trainer import generation, models
    from trainer.config import GenerationConfig

    folder = options.output / subject.name / method
    prompts = dict(enumerate(subject.asked("" if method == "base" else f"{TOKEN} ")))
    wanted: dict[str, tuple[str, int, int]] = {
        f"{number:02d}": (prompt, number * options.num_samples, options.num_samples)
        for number, prompt in prompts.items()
    }
    wanted["class"] = (f"a photo of a {subject.kind}", 0, CLASS_IMAGES)
    missing = {
        name: each
        for name, each in wanted.items()
        if len(list((folder / "images").glob(f"{name}-*.png"))) < each[2]
    }
    if not missing:
        return
    model = folder / "model"
    pipeline = generation.load_concept(options.base if method in ("base", LORA) else model)
    if method == LORA:
        pipeline.load_lora_weights(str(model))
    (folder / "images").mkdir(parents=True, exist_ok=True)
    for name, (prompt, seed, count) in missing.items():
        asked = GenerationConfig(
            concept=str(model),
            prompt=prompt,
            num_samples=count,
            seed=seed,
            guidance_scale=options.guidance_scale,
        )
        for sample, image in enumerate(generation.generate(pipeline, asked)):
            path = folder / "images" / f"{name}-{sample:02d}.png"
            image.save(path.with_suffix(".part"), "PNG")  # half a picture would count as one
            path.with_suffix(".part").replace(path)
    del pipeline
    models.free()  # for the next training, which is another process's
    if method != OURS:
        shutil.rmtree(model, ignore_errors=True)  # gigabytes, and nothing of it is needed any more
    else:
        for checkpoint in model.glob("checkpoint-*"):
            shutil.rmtree(checkpoint)


def images(folder: Path, name: str) -> list[Image.Image]:
    return [Image.open(path).convert("RGB") for path in sorted((folder / "images").glob(f"{name}-*.png"))]


# Figures


@dataclass(frozen=True)
class Figures:
    """Of one method on one subject, or means of them."""

    dino: float
    clip_i: float
    clip_t: float
    pres: float
    div: float
    copied: float
    both: float

    @staticmethod
    def mean(of: Sequence["Figures"]) -> "Figures":
        columns = zip(*(vars(each).values() for each in of), strict=True)
        return Figures(*(fmean(column) for column in columns))

    def row(self, name: str) -> str:
        cells = [f"{value:.3f}" for value in (self.dino, self.clip_i, self.clip_t, self.pres, self.div)]
        return f"| {name} | {' | '.join(cells)} | {self.copied:.0%} | {self.both:.3f} |"


def figures(
    subject: Subject, methods: Sequence[str], judge: Any, output: Path
) -> Iterator[tuple[str, Figures]]:
    """Those of the photos among themselves, of the base, then of each method."""
    from trainer import copying, evaluation, photos
    from trainer.choice import Judged, Yardstick

    taken = [photos.open_photo(path) for path in photos.list_photos(subject.photos)]
    subjects_of, clip_of = judge.embed_subjects(taken), judge.embed_images(taken)
    originals = copying.Originals(taken)
    like, like_by_clip = evaluation.photo_to_photo(subjects_of), evaluation.photo_to_photo(clip_of)
    yield "photos", Figures(like, like_by_clip, 0, 0, 1 - like, 0, 0)
    yardstick = None
    for method in ("base", *methods):
        folder = output / subject.name / method
        groups = [images(folder, f"{number:02d}") for number in range(len(subject.prompts))]
        texts = [text for text, group in zip(subject.asked(""), groups, strict=True) for _ in group]
        samples = [image for group in groups for image in group]
        own, by_clip = judge.embed_subjects(samples), judge.embed_images(samples)
        dino = evaluation.subject_fidelity(own, subjects_of)
        clip_t = evaluation.prompt_fidelity(by_clip, judge.embed_texts(texts))
        yardstick = yardstick or Yardstick(like, dino, clip_t, None)
        apart = own.split([len(group) for group in groups])
        repeated = originals.copied(samples)
        yield (
            method,
            Figures(
                dino=dino,
                clip_i=evaluation.subject_fidelity(by_clip, clip_of),
                clip_t=clip_t,
                pres=evaluation.subject_fidelity(judge.embed_subjects(images(folder, "class")), subjects_of),
                div=fmean(evaluation.diversity(each) for each in apart) if len(groups[0]) > 1 else 0.0,
                copied=sum(photo is not None for photo in repeated) / len(repeated),
                both=Judged(0, dino, clip_t, None, ()).balance(yardstick),
            ),
        )


def report(found: dict[str, dict[str, Figures]], methods: Sequence[str]) -> str:
    """The table: each subject, then means over them, then who was better how often."""
    head = "| DINO | CLIP-I | CLIP-T | PRES | DIV | copied | both |\n|---|---|---|---|---|---|---|---|"
    lines = []
    for name, rows in found.items():
        lines += [f"| **{name}** {head}", *(each.row(method) for method, each in rows.items()), ""]
    if len(found) > 1:
        lines.append(f"| **mean of {len(found)}** {head}")
        names = ("photos", "base", *methods)
        lines += [Figures.mean([rows[name] for rows in found.values()]).row(name) for name in names]
        lines.append("")
    for other in methods[1:]:
        better = [name for name, rows in found.items() if rows[OURS].both > rows[other].both]
        more = [name for name, rows in found.items() if rows[OURS].copied > rows[other].copied]
        lines.append(
            f"{OURS} is better than {other} by `both` on {len(better)} of {len(found)}, copies more on {len(more)}."
        )
    return "\n".join(lines)


def sheet(subject: Subject, methods: Sequence[str], output: Path) -> Image.Image:
    """The photos, then base and methods on the same prompts and seeds."""
    from trainer import photos
    from trainer.grid import labelled_grid

    taken = [photos.open_photo(path) for path in photos.list_photos(subject.photos)][: len(SHOWN)]
    rows = [
        (method, [images(output / subject.name / method, f"{number:02d}")[0] for number in SHOWN])
        for method in ("base", *methods)
    ]
    labels = [subject.asked("")[number] for number in SHOWN]
    return labelled_grid(rows, labels, top_rows=[(f"photos of {subject.name}", taken)])


def main() -> None:
    options = arguments()
    settle(options)
    from trainer import evaluation

    judge = evaluation.load_judge(options.evaluation_encoder, options.subject_encoder)
    methods = [OURS, FULL, LORA] if options.scripts else [OURS]
    found: dict[str, dict[str, Figures]] = {}
    for subject in subjects(options):
        for method in ("base", *methods):
            print(f"{subject.name}: {method}", flush=True)
            if method != "base":
                train(method, subject, options)
            paint(method, subject, options)
        found[subject.name] = dict(figures(subject, methods, judge, options.output))
        sheet(subject, methods, options.output).save(options.output / subject.name / "grid.png")
        print(report({subject.name: found[subject.name]}, methods), flush=True)
    table = report(found, methods)
    (options.output / "table.md").write_text(table + "\n", encoding="utf-8")
    print(f"{table}\nthe table: {options.output / 'table.md'}; a grid.png lies beside each subject's images")


if __name__ == "__main__":
    if find_spec("torchvision"):  # transformers takes it where it is there, of whatever build
        import_torchvision()
    if sys.argv[1:2] == ["--worker"]:
        work(json.loads(sys.argv[2]))
    else:
        main()
