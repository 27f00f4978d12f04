"""Class images, samples, concepts and saved images, on tiny real pipelines."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import StableDiffusionPipeline
from PIL import Image
from safetensors.torch import save_file

from trainer import concept, models
from trainer.config import GenerationConfig, generation_config, training_config
from trainer.errors import ConceptError, ConfigError, ModelError, PhotoError
from trainer.generation import (
    class_images,
    class_images_directory,
    cull_class_image,
    generate,
    load_concept,
    missing_class_images,
    save_images,
)
from trainer.metadata import read_settings

PROMPT = "photo of dog"


@pytest.fixture(scope="module")
def pipeline(sd1: Path) -> StableDiffusionPipeline:
    return models.load_pipeline(str(sd1))


def config(**changes: Any) -> GenerationConfig:
    settings = {"concept": "bear", "prompt": PROMPT, "num_samples": 2, "num_inference_steps": 2, "seed": 5}
    return generation_config(**(settings | changes))


def pixels(image: Image.Image | Path) -> np.ndarray:
    opened = Image.open(image) if isinstance(image, Path) else image
    return np.asarray(opened.convert("RGB")).astype(int)


def same(one: Image.Image | Path, other: Image.Image | Path) -> bool:
    """Equal up to the rounding of batched arithmetic: one grey level."""
    return bool(np.abs(pixels(one) - pixels(other)).max() <= 1)


def make(pipeline: StableDiffusionPipeline, directory: Path, count: int, **changes: Any) -> list[Path]:
    settings = {"batch_size": 2, "resolution": 16, "seed": 7, "num_inference_steps": 2}
    return class_images(pipeline, PROMPT, count, directory, **(settings | changes))


def names(paths: list[Path]) -> list[str]:
    return [path.name for path in paths]


# generate


def test_images_have_the_base_s_own_size_and_are_the_same_each_time(
    pipeline: StableDiffusionPipeline,
) -> None:
    first, again = generate(pipeline, config()), generate(pipeline, config())
    assert [image.size for image in first] == [(16, 16)] * 2
    assert [image.tobytes() for image in first] == [image.tobytes() for image in again]
    assert not same(first[0], first[1])


def test_the_nth_image_does_not_depend_on_how_many_are_asked_for(pipeline: StableDiffusionPipeline) -> None:
    many, few = generate(pipeline, config(num_samples=10)), generate(pipeline, config(num_samples=3))
    assert len(many) == 10
    assert all(same(one, other) for one, other in zip(many, few, strict=False))
    assert same(many[9], generate(pipeline, config(num_samples=1, seed=5 + 9))[0])


def test_height_and_width_count_each_alone(pipeline: StableDiffusionPipeline) -> None:
    assert generate(pipeline, config(width=32))[0].size == (32, 16)
    assert generate(pipeline, config(height=40))[0].size == (16, 40)


def test_guidance_and_negative_prompt_change_the_image(pipeline: StableDiffusionPipeline) -> None:
    plain = generate(pipeline, config(num_samples=1))[0]
    assert not same(plain, generate(pipeline, config(num_samples=1, negative_prompt="bear"))[0])
    assert not same(plain, generate(pipeline, config(num_samples=1, guidance_scale=1))[0])


def test_nul_in_a_prompt_is_refused() -> None:
    with pytest.raises(ConfigError, match="prompt"):
        config(prompt="a\0b")


def test_steps_are_counted_over_all_batches(pipeline: StableDiffusionPipeline) -> None:
    seen: list[tuple[int, int]] = []
    generate(pipeline, config(num_samples=9), on_step=lambda done, total: seen.append((done, total)))
    assert seen == [(1, 4), (2, 4), (3, 4), (4, 4)]


def test_stopping_keeps_the_finished_images(pipeline: StableDiffusionPipeline) -> None:
    steps = 0

    def should_stop() -> bool:
        return steps >= 3

    def on_step(done: int, total: int) -> None:
        nonlocal steps
        steps = done

    images = generate(pipeline, config(num_samples=10), on_step, should_stop)
    assert len(images) == 8
    assert steps == 3
    assert generate(pipeline, config(), should_stop=lambda: True) == []


# class images


def test_class_images_do_not_depend_on_the_batch_size(
    pipeline: StableDiffusionPipeline, tmp_path: Path
) -> None:
    threes, singles = (make(pipeline, tmp_path / str(size), 5, batch_size=size) for size in (3, 1))
    assert names(threes) == [f"class-00000{index}.png" for index in range(5)]
    assert [pixels(path).shape for path in threes] == [(16, 16, 3)] * 5
    assert all(same(one, other) for one, other in zip(threes, singles, strict=True))
    assert not any(same(threes[0], other) for other in threes[1:])


def test_only_missing_images_are_made(pipeline: StableDiffusionPipeline, tmp_path: Path) -> None:
    events: list[dict[str, Any]] = []
    before = {path: path.stat().st_mtime_ns for path in make(pipeline, tmp_path, 2)}
    assert missing_class_images(tmp_path, 5) == 3
    after = make(pipeline, tmp_path, 5, on_event=events.append)
    assert {path: path.stat().st_mtime_ns for path in after[:2]} == before
    assert [(event["phase"], event["done"], event["total"]) for event in events] == [
        ("class_images", 4, 5),
        ("class_images", 5, 5),
    ]
    events.clear()
    assert make(pipeline, tmp_path, 5, on_event=events.append) == after
    assert make(pipeline, tmp_path, 2) == after[:2]
    assert events == []


def test_a_removed_image_is_replaced_by_another(pipeline: StableDiffusionPipeline, tmp_path: Path) -> None:
    paths = make(pipeline, tmp_path, 4)
    kept = pixels(paths[3])
    paths[1].unlink()
    paths[3].unlink()
    topped_up = make(pipeline, tmp_path, 4)
    assert names(topped_up) == [f"class-00000{index}.png" for index in (0, 2, 4, 5)]
    assert not any(np.abs(pixels(path) - kept).max() <= 1 for path in topped_up)


def test_a_class_image_is_culled_by_its_name_alone(
    pipeline: StableDiffusionPipeline, photos: Path, tmp_path: Path
) -> None:
    directory = tmp_path / "dogs"
    make(pipeline, directory, 3)
    cull_class_image(directory, "class-000001.png")
    assert missing_class_images(directory, 3) == 1
    inside = f"../{photos.name}/000.png"
    for name in ("class-000001.png", "class-images.json", inside, str(photos / "000.png"), "..", "", "<b>"):
        with pytest.raises(PhotoError, match="There is no class image called"):
            cull_class_image(directory, name)
    assert (photos / "000.png").is_file()
    make(pipeline, directory, 3)
    assert sorted(path.name for path in directory.glob("*.png")) == [
        "class-000000.png", "class-000002.png", "class-000003.png",
    ]  # fmt: skip


def test_a_run_that_was_killed_goes_on_to_the_same_images(
    pipeline: StableDiffusionPipeline, tmp_path: Path
) -> None:
    whole = make(pipeline, tmp_path / "whole", 5, batch_size=3)
    cut = tmp_path / "cut"
    make(pipeline, cut, 5, batch_size=3)
    for index in (2, 3, 4):  # as if killed after the second image, before the record of that batch
        (cut / f"class-00000{index}.png").unlink()
    (cut / "class-images.json").unlink()
    assert [path.read_bytes() for path in make(pipeline, cut, 5, batch_size=3)] == [
        p.read_bytes() for p in whole
    ]


def test_a_kill_while_writing_leaves_no_half_image(
    pipeline: StableDiffusionPipeline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(descriptor: int) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("trainer.generation.os.fsync", killed)
        with pytest.raises(KeyboardInterrupt):
            make(pipeline, tmp_path, 1)
    (leftover,) = tmp_path.iterdir()
    assert leftover.name.startswith(".class-000000.png.")
    monkeypatch.setattr("trainer.generation.STALE_SECONDS", -1)
    assert names(make(pipeline, tmp_path, 1)) == ["class-000000.png"]
    assert not leftover.exists()


def test_stopping_returns_what_is_there(pipeline: StableDiffusionPipeline, tmp_path: Path) -> None:
    events: list[dict[str, Any]] = []
    paths = make(pipeline, tmp_path, 6, on_event=events.append, should_stop=lambda: bool(events))
    assert names(paths) == ["class-000000.png", "class-000001.png"]


def test_the_user_s_own_class_images_are_used_and_topped_up(
    pipeline: StableDiffusionPipeline, class_photos: Path
) -> None:
    own = {path.name: path.read_bytes() for path in class_photos.iterdir()}
    paths = make(pipeline, class_photos, 6)
    assert names(paths) == [*sorted(own), "class-000000.png", "class-000001.png"]
    assert {name: (class_photos / name).read_bytes() for name in own} == own
    assert names(make(pipeline, class_photos, 3)) == sorted(own)[:3]


def test_class_images_are_never_put_among_the_photos(pipeline: StableDiffusionPipeline, photos: Path) -> None:
    link = photos.parent / "link"
    link.symlink_to(photos)
    before = sorted(photos.iterdir())
    with pytest.raises(PhotoError, match="folder of their own"):
        make(pipeline, link, 6, instance_data_dirs=[str(photos)])
    assert sorted(photos.iterdir()) == before


def test_images_of_another_prompt_in_the_folder_are_said(
    pipeline: StableDiffusionPipeline, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    make(pipeline, tmp_path, 1)
    class_images(pipeline, "bear", 1, tmp_path, batch_size=1, resolution=16, seed=0)
    assert "holds images of 'photo of dog', not 'bear'" in caplog.text


def test_a_damaged_record_is_named(pipeline: StableDiffusionPipeline, tmp_path: Path) -> None:
    (tmp_path / "class-images.json").write_text("[]")
    with pytest.raises(PhotoError, match=r"class-images\.json: unreadable"):
        make(pipeline, tmp_path, 1)


def test_the_pipeline_gets_its_scheduler_back(pipeline: StableDiffusionPipeline, tmp_path: Path) -> None:
    own = pipeline.scheduler
    make(pipeline, tmp_path, 1)
    assert pipeline.scheduler is own


def test_the_folder_of_class_images_depends_on_all_that_shapes_them(tmp_path: Path) -> None:
    key = {
        "base": "runwayml/stable-diffusion-v1-5",
        "revision": None,
        "class_prompt": "a photo of a Teddy-Bear!",
        "resolution": 128,
        "seed": 0,
    }
    changes = [
        {},
        {"base": "other/base"},
        {"revision": "fp16"},
        {"class_prompt": "a photo of a teddy bear"},
        {"resolution": 256},
        {"seed": 1},
        {"vae": "some/vae"},
        {"sampler": "ddim"},
        {"num_inference_steps": 50},
        {"guidance_scale": 4.0},
    ]
    folders = [class_images_directory(tmp_path, **(key | change)) for change in changes]  # type: ignore[arg-type]
    assert len(set(folders)) == len(changes)
    assert folders[0].parent == tmp_path
    assert folders[0].name.startswith("a-photo-of-a-teddy-bear-128px-")
    assert class_images_directory(tmp_path, **key) == folders[0]  # type: ignore[arg-type]


def test_a_base_trained_again_in_place_gets_new_class_images(sd1: Path, tmp_path: Path) -> None:
    def folder(base: Path) -> Path:
        return class_images_directory(
            tmp_path, base=str(base), revision=None, class_prompt="dog", resolution=16, seed=0
        )

    base = tmp_path / "base"
    shutil.copytree(sd1, base)
    assert folder(base) == folder(sd1)
    again = models.load_pipeline(str(base))
    torch.nn.init.ones_(again.unet.conv_out.bias)
    again.unet.save_pretrained(base / "unet")
    assert folder(base) != folder(sd1)


# concepts


def train_settings(base: Path, directory: Path, method: str) -> None:
    """dreambooth.json as a training of `base` into `directory` writes it."""
    concept.write_settings(
        directory,
        training_config(
            pretrained_model_name_or_path=str(base),
            instance_data_dir="photos",
            instance_prompt="photo of sks dog",
            output_dir=str(directory),
            method=method,
        ),
    )


@pytest.fixture(scope="module")
def lora(sd1: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A LoRA concept folder whose adapters, on UNet and text encoder, were not left at zero."""
    directory = tmp_path_factory.mktemp("lora")
    train_settings(sd1, directory, "lora")
    trained = models.load_pipeline(str(sd1))
    models.add_lora(trained.unet, 4)
    models.add_lora(trained.text_encoder, 4)
    torch.manual_seed(1)
    for parameter in models.trainable(trained.unet, trained.text_encoder):
        torch.nn.init.normal_(parameter, std=0.5)
    models.save_lora(directory, trained.unet, trained.text_encoder)
    return directory


def test_a_lora_folder_and_the_same_lora_merged_draw_the_same(
    pipeline: StableDiffusionPipeline, lora: Path, tmp_path: Path
) -> None:
    loaded = load_concept(lora, device="cpu")
    drawn = generate(loaded, config())
    assert not any(same(one, other) for one, other in zip(drawn, generate(pipeline, config()), strict=True))
    loaded.fuse_lora()
    loaded.unload_lora_weights()
    loaded.save_pretrained(tmp_path)
    full = generate(load_concept(tmp_path, device="cpu"), config())
    assert all(same(one, other) for one, other in zip(drawn, full, strict=True))


def test_a_lora_on_the_unet_alone_loads_without_a_warning(
    sd1: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    train_settings(sd1, tmp_path, "lora")
    trained = models.load_pipeline(str(sd1))
    models.add_lora(trained.unet, 4)
    models.save_lora(tmp_path, trained.unet, None)
    adapters = load_concept(tmp_path, device="cpu").get_list_adapters()
    assert adapters == {"unet": ["default_0"]}
    assert caplog.text == ""


def test_a_lora_of_another_base_is_refused(sd2: Path, tmp_path: Path) -> None:
    train_settings(sd2, tmp_path, "lora")
    state = {f"unet.mid_block.attentions.0.to_k.lora_{side}.weight": torch.ones(3, 3) for side in ("A", "B")}
    save_file(state, tmp_path / concept.LORA_FILE)
    with pytest.raises(ConceptError, match="does not fit its base"):
        load_concept(tmp_path)


def test_a_lora_without_its_settings_or_its_base_is_refused(lora: Path, tmp_path: Path) -> None:
    shutil.copy(lora / concept.LORA_FILE, tmp_path)
    with pytest.raises(ConceptError, match=r"no dreambooth\.json"):
        load_concept(tmp_path)
    train_settings(tmp_path / "gone", tmp_path, "lora")
    with pytest.raises(ModelError, match="gone: no such folder"):
        load_concept(tmp_path)


def test_a_base_model_is_taken_and_its_dtype_chosen(sd1: Path) -> None:
    loaded = load_concept(str(sd1), torch_dtype=torch.bfloat16, device="cpu")
    assert {loaded.unet.dtype, loaded.vae.dtype, loaded.text_encoder.dtype} == {torch.bfloat16}
    assert generate(loaded, config(num_samples=1))[0].size == (16, 16)


def test_a_concept_without_weights_says_what_to_do(sd1: Path, tmp_path: Path) -> None:
    with pytest.raises(ConceptError, match="holds no concept and no model"):
        load_concept(tmp_path)
    train_settings(sd1, tmp_path, "full")
    with pytest.raises(
        ConceptError, match=r"train again with: python -m trainer train --config .*dreambooth\.json"
    ):
        load_concept(tmp_path)
    (tmp_path / "checkpoint-10").mkdir()
    with pytest.raises(
        ConceptError, match=r"resume with: .*dreambooth\.json --resume_from_checkpoint latest"
    ):
        load_concept(tmp_path)
    with concept.lock(tmp_path), pytest.raises(ConceptError, match="is being trained"):
        load_concept(tmp_path)
    with pytest.raises(ConceptError, match="no such concept, and no such model"):
        load_concept(tmp_path / "nothing")


# saved images


def test_a_saved_image_carries_the_settings_that_make_it_again(
    pipeline: StableDiffusionPipeline, tmp_path: Path
) -> None:
    asked = config(prompt="dog ☃: “x”", negative_prompt="bear", scheduler="ddim", height=32, width=40)
    images = generate(pipeline, asked)
    paths = save_images(images, asked, tmp_path / "out", {"kind": "base"})
    assert [pixels(path).tolist() for path in paths] == [pixels(image).tolist() for image in images]
    record = read_settings(paths[1])
    assert (record["concept"], record["kind"]) == ("bear", "base")
    assert record["versions"]["torch"] == torch.__version__
    again = generation_config(**record["settings"])
    assert again.model_dump(exclude={"output_dir"}) == {
        "concept": "bear",
        "prompt": asked.prompt,
        "negative_prompt": "bear",
        "num_samples": 1,
        "guidance_scale": 7.5,
        "num_inference_steps": 2,
        "seed": 6,
        "height": 32,
        "width": 40,
        "scheduler": "ddim",
    }
    assert same(generate(pipeline, again)[0], images[1])


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    (tmp_path / "00007.png").write_bytes(b"mine")
    (tmp_path / "notes.png").write_bytes(b"mine too")
    image = Image.new("RGB", (8, 8))
    first, second = (save_images([image] * 2, config(), tmp_path) for _ in range(2))
    assert names(first + second) == ["00008.png", "00009.png", "00010.png", "00011.png"]
    assert (tmp_path / "00007.png").read_bytes() == b"mine"
