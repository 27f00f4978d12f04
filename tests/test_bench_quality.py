"""The benchmark's own arithmetic: which subjects with which prompts, which figures of which images, who was better."""

import argparse
import json
from pathlib import Path
from typing import Any

import bench_quality as bench
import numpy as np
import pytest
import torch
from bench_quality import FULL, OURS, Figures, Subject
from PIL import Image

PLACES = [f"place {number}" for number in range(25)]


def lay_out(folder: Path) -> argparse.Namespace:
    """As google/dreambooth's dataset is: a list of more subjects than have photos, and two lists of prompts."""
    prompts = [
        [f"'a {what}{{0}} {{1}} {place}'.format(unique_token, class_token)," for place in PLACES]
        for what in ("", "live ")
    ]
    lists = ["prompt_list = [\n" + "\n".join(lines)[:-1] + "\n]" for lines in prompts]
    text = f"Classes\n\nsubject_name,class\nbear_plushie,stuffed animal\ncan,can\ndog,dog\n\nObject Prompts\n\n{lists[0]}\n"
    (folder / "prompts_and_classes.txt").write_text(f"{text}\nLive Subject Prompts\n\n{lists[1]}\n")
    for name in ("bear_plushie", "dog"):
        (folder / name).mkdir()
    return argparse.Namespace(photos=folder, subjects=None)


def test_subjects_are_those_with_photos_each_with_the_prompts_of_its_class(tmp_path: Path) -> None:
    options = lay_out(tmp_path)
    bear, dog = bench.subjects(options)
    assert (bear.name, bear.kind, dog.name, dog.kind) == ("bear_plushie", "stuffed animal", "dog", "dog")
    assert (
        bear.asked()[3] == "a sks stuffed animal place 3" and bear.asked("")[3] == "a stuffed animal place 3"
    )
    assert dog.asked()[24] == "a live sks dog place 24" and len(dog.prompts) == 25
    options.subjects = ["dog"]
    assert bench.subjects(options) == [dog]
    options.subjects = ["can"]
    with pytest.raises(SystemExit, match="has no photos of can"):
        bench.subjects(options)


class Colours:
    """A judge to which an image is its colour, and a prompt red."""

    def embed_images(self, images: list[Image.Image]) -> torch.Tensor:
        pixels = torch.tensor([image.getpixel((0, 0)) for image in images], dtype=torch.float32)
        return torch.nn.functional.normalize(pixels, dim=-1)

    embed_subjects = embed_images

    def embed_texts(self, texts: list[str]) -> torch.Tensor:
        return torch.tensor([[1.0, 0, 0]] * len(texts))


def paint(folder: Path, name: str, *colours: tuple[int, int, int]) -> None:
    """Pictures of the same colour are the same, of others nothing like them."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, colour in enumerate(colours):
        image = Image.new("RGB", (64, 64), colour)
        noise = np.random.default_rng(colour).integers(0, 256, (48, 48, 3), dtype=np.uint8)
        image.paste(Image.fromarray(noise), (8, 8))
        image.save(folder / f"{name}-{number:02d}.png")


def test_figures_are_those_of_the_images(tmp_path: Path) -> None:
    subject = Subject("it", "can", tmp_path / "photos", ("a {} here", "a {} there"))
    red, green, blue = (255, 0, 0), (0, 255, 0), (0, 0, 255)
    paint(subject.photos, "photo", green, blue, (0, 255, 255))
    for method, first, second in (("base", (red, red), (red, red)), (OURS, (green, red), (green, green))):
        folder = tmp_path / "it" / method / "images"
        paint(folder, "00", *first)
        paint(folder, "01", *second)
        paint(folder, "class", red)
    found = dict(bench.figures(subject, [OURS], Colours(), tmp_path))
    half = 2**-0.5
    alike = (0 + half + half) / 3
    assert found["photos"].dino == pytest.approx(alike)
    assert vars(found["base"]) == pytest.approx(
        {"dino": 0, "clip_i": 0, "clip_t": 1, "pres": 0, "div": 0, "copied": 0, "both": 0}, abs=1e-6
    )
    ours = found[OURS]
    like = 0.75 * (1 + half) / 3
    learnt, obeyed = like / alike, 0.25
    assert (ours.dino, ours.clip_t, ours.pres) == pytest.approx((like, 0.25, 0), abs=1e-6)
    assert ours.div == pytest.approx(0.5)  # one pair of two apart, the other alike
    assert ours.copied == 0.75
    assert ours.both == pytest.approx(2 * min(1, learnt) * obeyed / (min(1, learnt) + obeyed))


def test_the_report_counts_where_ours_is_better() -> None:
    better, worse = (
        Figures(0.5, 0.5, 0.5, 0.5, 0.5, copied, both) for copied, both in ((0.2, 0.6), (0.1, 0.4))
    )
    rows = {"photos": better, "base": worse}
    found = {"one": rows | {OURS: better, FULL: worse}, "two": rows | {OURS: worse, FULL: better}}
    text = bench.report(found, [OURS, FULL])
    assert "ours is better than train_dreambooth by `both` on 1 of 2, copies more on 1." in text
    assert "| ours | 0.500 | 0.500 | 0.500 | 0.500 | 0.500 | 15% | 0.500 |" in text


def begun(output: Path, **changes: Any) -> argparse.Namespace:
    said = {"photos": Path("photos"), "base": "toybox", "config": None, "num_samples": 4, "subjects": None}
    return argparse.Namespace(output=output, **said | changes)


def test_what_is_there_is_taken_up_by_the_same_settings_alone(tmp_path: Path) -> None:
    output = tmp_path / "out"
    bench.settle(begun(output))
    bench.settle(begun(output, subjects=["dog"]))  # a part of it
    with pytest.raises(
        SystemExit, match="was begun with another base, another num_samples: name another --output"
    ):
        bench.settle(begun(output, base="sd", num_samples=8))
    config = tmp_path / "dreambooth.json"
    config.write_text("{}")
    with pytest.raises(SystemExit, match="another config"):
        bench.settle(begun(output, config=config))


def test_the_scripts_get_ours_precision_and_number_of_class_images() -> None:
    options = argparse.Namespace(base="base", full_learning_rate="5e-6", lora_learning_rate="1e-4")
    settings = {"resolution": 512, "num_class_images": 64, "mixed_precision": "bf16"}
    full, lora = (bench.readme(method, settings, options) for method in (FULL, bench.LORA))
    for said in (full, lora):
        assert (said["mixed_precision"], said["num_class_images"], said["resolution"]) == ("bf16", 64, 512)
    assert (full["learning_rate"], lora["learning_rate"], lora["rank"]) == ("5e-6", "1e-4", 4)


def test_ours_is_trained_by_its_settings_as_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Empty lists and switches that are off among them, as a concept's own dreambooth.json has them."""
    asked = {}

    def run(command: list[str], **_: Any) -> Any:
        job = json.loads(command[-1])
        asked.update(json.loads(Path(job["flags"][0].removeprefix("--config=")).read_text())["config"])
        assert job["flags"][1:] == [f"--output_dir={tmp_path / 'ours/model'}"]
        Path(job["result"]).write_text("[1.0, 2.0]")
        return argparse.Namespace(returncode=0)

    monkeypatch.setattr(bench.subprocess, "run", run)
    settings = {"concepts_list": [], "cache_latents": False, "seed": 3}
    assert bench.run(OURS, settings, tmp_path / "ours", argparse.Namespace()) == [1.0, 2.0]
    assert {name: asked[name] for name in settings} == settings
