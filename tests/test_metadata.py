"""The settings in a PNG: what other programs see, what is kept private, what is refused."""

from pathlib import Path
from typing import get_args

import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from trainer import concept
from trainer.config import Scheduler, generation_config
from trainer.errors import ConfigError
from trainer.generation import save_images
from trainer.metadata import SAMPLERS, read_settings
from trainer.sampling import SCHEDULERS


def test_every_scheduler_has_a_name_and_a_class() -> None:
    assert set(get_args(Scheduler)) == SAMPLERS.keys() == SCHEDULERS.keys()


def test_other_programs_read_the_parameters(tmp_path: Path) -> None:
    asked = generation_config(
        concept="owner/my: bear, 2",
        prompt="photo of dog",
        negative_prompt="blurry",
        guidance_scale=6,
        num_inference_steps=2,
        seed=5,
        scheduler="euler_a",
    )
    (path,) = save_images([Image.new("RGB", (16, 24))], asked, tmp_path)
    prompt, negative, fields = Image.open(path).info["parameters"].split("\n")
    assert (prompt, negative) == ("photo of dog", "Negative prompt: blurry")
    assert fields == (
        "Steps: 2, Sampler: Euler a, CFG scale: 6.0, Seed: 5, Size: 16x24, "
        f'Model: "owner/my: bear, 2", Version: diffusers {concept.versions()["diffusers"]}'
    )


def test_an_image_does_not_tell_its_maker_s_folders(tmp_path: Path) -> None:
    folder = tmp_path / "private" / "teddy"
    folder.mkdir(parents=True)
    out = str(tmp_path / "private" / "out")
    asked = generation_config(concept=str(folder), prompt="photo of dog", output_dir=out)
    (path,) = save_images([Image.new("RGB", (8, 8))], asked, out)
    assert read_settings(path)["settings"]["concept"] == "teddy"
    assert b"private" not in path.read_bytes()


def test_a_file_without_settings_is_named(tmp_path: Path) -> None:
    Image.new("RGB", (8, 8)).save(tmp_path / "plain.png")
    (tmp_path / "text.png").write_text("not an image")
    for name, settings in (("list", "[1]"), ("torn", '{"settings": '), ("other", '{"settings": 1}')):
        chunk = PngInfo()
        chunk.add_text("dreambooth", settings)
        Image.new("RGB", (8, 8)).save(tmp_path / f"{name}.png", pnginfo=chunk)
    expected = {
        "plain": "carries no settings",
        "text": "not a PNG that can be read",
        "missing": "not a PNG that can be read",
        "list": "damaged",
        "torn": "damaged",
        "other": "damaged",
    }
    for name, message in expected.items():
        with pytest.raises(ConfigError, match=rf"{name}\.png: .*{message}"):
            read_settings(tmp_path / f"{name}.png")
