"""Whole trainings on a tiny model: what they leave, how they resume, and what ends them."""

import errno
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import draw_photo
from diffusers import DDPMScheduler, DiffusionPipeline
from PIL import Image
from safetensors.torch import load_file
from torch import Tensor
from torch.nn import functional as F

from trainer import batches, checkpoint, concept, crops, dataset, loop, models
from trainer.config import training_config
from trainer.errors import CheckpointError, ConfigError, PhotoError, TrainerError, TrainingError

Event = dict[str, Any]


@dataclass
class Trained:
    directory: Path
    events: list[Event]

    def weights(self) -> dict[str, Tensor]:
        files = [*self.directory.glob("unet/*.safetensors"), *self.directory.glob("*.safetensors")]
        files += self.directory.glob("text_encoder/*.safetensors")
        return {f"{file.name}/{name}": tensor for file in files for name, tensor in load_file(file).items()}

    def told(self, kind: str) -> list[Event]:
        return [event for event in self.events if event["event"] == kind]


Train = Callable[..., Trained]


@pytest.fixture
def train(sd1: Path, photos: Path, class_photos: Path, tmp_path: Path) -> Train:
    """Train three steps at 16 px with one photo and one class image each; `name` is the output folder's."""

    def run(name: str = "concept", **changes: Any) -> Trained:
        events: list[Event] = []
        arguments = {key: changes.pop(key) for key in ("should_stop", "draw") if key in changes}
        settings: dict[str, Any] = {
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
            "log_interval": 1,
            "report_to": "none",
            "output_dir": str(tmp_path / name),
        }
        loop.train(training_config(**(settings | changes)), events.append, **arguments)
        return Trained(tmp_path / name, events)

    return run


def assert_same(found: dict[str, Tensor], wanted: dict[str, Tensor]) -> None:
    assert found.keys() == wanted.keys()
    assert all(torch.equal(found[name], wanted[name]) for name in wanted)


def after(steps: int) -> Callable[[], bool]:
    """A should_stop that is true at the `steps`-th question."""
    answers: Iterator[bool] = iter([False] * (steps - 1) + [True] * 100)
    return lambda: next(answers)


def test_full_training_leaves_a_pipeline_that_plain_diffusers_loads(train: Train, sd1: Path) -> None:
    trained = train(checkpointing_steps=2)
    assert sorted(path.name for path in trained.directory.iterdir()) == [
        ".lock",
        "checkpoint-2",
        "dreambooth.json",
        "events.jsonl",
        "model_index.json",
        "scheduler",
        "text_encoder",
        "tokenizer",
        "unet",
        "vae",
    ]
    pipeline = DiffusionPipeline.from_pretrained(trained.directory, use_safetensors=True, safety_checker=None)
    base = models.load_pipeline(str(sd1))
    ours, theirs = pipeline.unet.state_dict(), base.unet.state_dict()
    assert all((ours[name] != theirs[name]).any() for name in ours)
    for part in ("vae", "text_encoder"):
        assert_same(getattr(pipeline, part).state_dict(), getattr(base, part).state_dict())
    assert pipeline("sks dog", num_inference_steps=2, height=16, width=16).images[0].size == (16, 16)


@pytest.mark.parametrize(("prompt", "said"), [("sks dog", 1), ("a photo of sks dog", 0)])
def test_where_no_prompt_can_be_told_otherwise_that_is_said(train: Train, prompt: str, said: int) -> None:
    trained = train(
        vary_wording=True, instance_prompt=prompt, max_train_steps=1, with_prior_preservation=False
    )
    found = [each for each in trained.told("log") if "vary_wording changes nothing" in each["message"]]
    assert len(found) == said


def test_events_tell_the_run(train: Train) -> None:
    trained = train(checkpointing_steps=2, lr_scheduler="linear", lr_warmup_steps=0)
    phases = [event["phase"] for event in trained.told("phase")]
    assert list(dict.fromkeys(phases)) == [
        "load", "class_images", "encode", "build", "train", "save", "verify",
    ]  # fmt: skip
    steps = trained.told("step")
    assert [event["step"] for event in steps] == [1, 2, 3]
    assert [event["learning_rate"] for event in steps] == pytest.approx([1e-3 * 2 / 3, 1e-3 / 3, 0])
    assert all(event["total"] == 3 and event["loss"] > 0 and event["memory"] > 0 for event in steps)
    assert [event["path"] for event in trained.told("checkpoint")] == ["checkpoint-2"]
    assert trained.events[-1] | {"time": 0} == {
        "event": "finished", "time": 0, "stopped": False, "step": 3, "published": True,
    }  # fmt: skip
    assert concept.read_events(trained.directory) == trained.events
    assert concept.status(trained.directory) == "finished"
    settings = concept.read_settings(trained.directory)
    assert settings["config"]["learning_rate"] == 1e-3


def test_lora_training_leaves_a_file_that_plain_diffusers_loads(train: Train, sd1: Path) -> None:
    trained = train(method="lora", rank=2, train_text_encoder=True)
    assert (trained.directory / "pytorch_lora_weights.safetensors").is_file()
    assert not (trained.directory / "unet").exists()
    pipeline = models.load_pipeline(str(sd1))
    before = models.probe(pipeline, "a photo of sks dog")
    pipeline.load_lora_weights(str(trained.directory))
    assert not torch.equal(models.probe(pipeline, "a photo of sks dog"), before)
    names = load_file(trained.directory / "pytorch_lora_weights.safetensors")
    assert {name.split(".")[0] for name in names} == {"unet", "text_encoder"}
    assert {tensor.dtype for tensor in names.values()} == {torch.float32}


def test_the_text_encoder_has_a_learning_rate_of_its_own(train: Train, sd1: Path) -> None:
    trained = train(train_text_encoder=True, text_encoder_lr=1e-6)  # three steps, the UNet's at 1e-3
    pipeline, base = models.load_pipeline(str(trained.directory)), models.load_pipeline(str(sd1))

    def moved(part: str) -> float:
        before, after = getattr(base, part).state_dict(), getattr(pipeline, part).state_dict()
        return max(float((after[name] - before[name]).abs().max()) for name in before)

    assert 1e-7 < moved("text_encoder") < 4e-6
    assert moved("unet") > 5e-4


RESUMED = [
    {"gradient_accumulation_steps": 2, "lr_scheduler": "cosine", "lr_warmup_steps": 2},
    {"method": "lora", "train_text_encoder": True, "lora_dropout": 0.3, "lora_layers": "all"},
    {
        "train_text_encoder": True,
        "text_encoder_lr": 1e-4,
        "use_8bit_adam": True,
        "cache_latents": False,
        "hflip": True,
        "snr_gamma": 5.0,
    },
    {
        "mixed_precision": "bf16",
        "use_8bit_adam": True,
        "offset_noise": True,
        "with_prior_preservation": False,
    },
]


@pytest.mark.parametrize("changes", RESUMED, ids=lambda changes: "-".join(changes))
def test_resumed_is_bit_identical(train: Train, changes: dict[str, Any]) -> None:
    """Five steps over three photos: the stop after three is in the middle of an epoch."""
    straight = train("straight", max_train_steps=5, **changes)
    stopped = train("cut", max_train_steps=5, should_stop=after(3), checkpointing_steps=2, **changes)
    assert [event["path"] for event in stopped.told("checkpoint")] == ["checkpoint-2", "checkpoint-3"]
    assert stopped.events[-1]["stopped"] is True
    resumed = train("cut", max_train_steps=5, resume_from_checkpoint="latest", **changes)
    assert [event["step"] for event in resumed.told("step")] == [4, 5]
    for name in ("loss", "learning_rate"):
        assert [event[name] for event in resumed.told("step")] == [
            event[name] for event in straight.told("step")[3:]
        ]
    assert_same(resumed.weights(), straight.weights())


def test_rerun_is_bit_identical_down_to_its_checkpoints(train: Train) -> None:
    manifests = []
    for name in ("first", "second"):
        trained = train(name, checkpointing_steps=3)
        manifests.append(json.loads((trained.directory / "checkpoint-3" / "manifest.json").read_text()))
    files = [manifest["files"] for manifest in manifests]
    assert files[0] == files[1]
    assert {"unet/diffusion_pytorch_model.safetensors", "state.safetensors", "run.json"} <= files[0].keys()


def test_a_stop_is_prompt_and_keeps_what_was_learnt(train: Train) -> None:
    trained = train(max_train_steps=50, should_stop=after(2))
    assert [event["step"] for event in trained.told("step")] == [1, 2]
    assert trained.events[-1]["stopped"] is True
    assert concept.status(trained.directory) == "stopped"
    assert checkpoint.find(trained.directory, "latest") == trained.directory / "checkpoint-2"
    DiffusionPipeline.from_pretrained(trained.directory, use_safetensors=True, safety_checker=None)


def test_settings_are_of_the_weights_that_are_there(train: Train) -> None:
    """A training that publishes nothing leaves what is told of the older weights; its own settings can be gone on with."""
    directory = train().directory
    with pytest.raises(TrainerError):
        train(instance_prompt="a photo of zwx dog", pretrained_model_name_or_path="nowhere/at-all")
    assert concept.read_settings(directory)["identifier"] == "sks"
    assert concept.read_run_settings(directory)["identifier"] == "zwx"
    train(instance_prompt="a photo of zwx dog")
    assert concept.read_settings(directory)["identifier"] == "zwx"
    assert not (directory / concept.RUN_FILE).exists()


def test_a_stop_while_class_images_are_made_publishes_nothing(train: Train, tmp_path: Path) -> None:
    trained = train(class_data_dir=str(tmp_path / "made"), should_stop=lambda: True)
    assert (trained.events[-1]["event"], trained.events[-1]["published"]) == ("finished", False)
    assert not concept.has_weights(trained.directory)


def test_class_images_are_made_by_the_base_and_reused(train: Train, tmp_path: Path) -> None:
    options = {"class_data_dir": None, "num_class_images": 2, "max_train_steps": 1}
    train("first", **options)
    made = sorted((tmp_path / "class_images").glob("*/*.png"))
    assert len(made) == 2
    assert {Image.open(path).size for path in made} == {(16, 16)}
    times = [path.stat().st_mtime_ns for path in made]
    train("second", **options)
    assert sorted((tmp_path / "class_images").glob("*/*.png")) == made
    assert [path.stat().st_mtime_ns for path in made] == times


def recorded(count: int, groups: int) -> tuple[list[batches.Draw], batches.DrawFunction]:
    generator = torch.Generator().manual_seed(5)
    shape = (groups, 1, 4, 8, 8)
    draws = [batches.draw(generator, shape, 1000, offset_noise=False) for _ in range(count)]
    stream = iter(draws)
    return draws, lambda *_, **__: next(stream)


@pytest.mark.parametrize(
    "changes",
    [
        {"mixed_precision": "bf16"},
        {
            "mixed_precision": "bf16",
            "method": "lora",
            "train_text_encoder": True,
            "gradient_checkpointing": True,
        },
    ],
)
def test_previews_in_bf16(train: Train, changes: dict[str, Any]) -> None:
    trained = train(
        validation_prompt="sks dog",
        validation_steps=3,
        num_validation_images=1,
        validation_num_inference_steps=2,
        **changes,
    )
    (sample,) = trained.told("sample")
    low, high = Image.open(trained.directory / sample["path"]).convert("L").getextrema()
    assert high > low


@pytest.mark.parametrize("base", ["sd1", "sd2"])
def test_losses_are_those_of_diffusers_script(
    train: Train, base: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    """One photo, one class image, three steps of diffusers' train_dreambooth.py on one recorded stream of noise."""
    folder = str(request.getfixturevalue(base))
    for name in ("dog", "dogs"):
        (tmp_path / name).mkdir()
        draw_photo(len(name), (32, 32)).save(tmp_path / name / "0.png")
    draws, draw = recorded(3, 2)
    factor = models.vae_factor(models.load_pipeline(folder))
    resolution = 8 * factor if factor == 4 else 32
    if factor == 2:
        draws = [
            batches.Draw(*(noise.repeat(1, 1, 1, 2, 2) for noise in (d.posterior, d.noise)), d.timesteps)
            for d in draws
        ]
        stream = iter(draws)
        draw = lambda *_, **__: next(stream)  # noqa: E731
    trained = train(
        pretrained_model_name_or_path=folder,
        instance_data_dir=str(tmp_path / "dog"),
        class_data_dir=str(tmp_path / "dogs"),
        num_class_images=1,
        resolution=resolution,
        prior_loss_weight=0.7,
        draw=draw,
    )
    found = [event["loss"] for event in trained.told("step")]
    wanted = diffusers_losses(
        folder, [tmp_path / "dog" / "0.png", tmp_path / "dogs" / "0.png"], draws, resolution
    )
    assert found == pytest.approx(wanted, rel=1e-4)


def diffusers_losses(
    folder: str, paths: list[Path], draws: list[batches.Draw], resolution: int
) -> list[float]:
    """The arithmetic of diffusers' train_dreambooth.py: encodes and embeds every step, plain AdamW."""
    pipeline = models.load_pipeline(folder)
    unet, vae, text_encoder = pipeline.unet.train().requires_grad_(True), pipeline.vae, pipeline.text_encoder
    scheduler = DDPMScheduler.from_config(pipeline.scheduler.config)
    optimizer = torch.optim.AdamW(unet.parameters(), lr=1e-3, weight_decay=1e-2, eps=1e-8)
    crop = crops.Crop(0, 0, False)
    examples = dataset.read_examples(paths, "", resolution)
    pixels = torch.stack([dataset.cut(example.pixels, crop, resolution) for example in examples])
    ids = models.tokenize(pipeline.tokenizer, ["a photo of sks dog", "a photo of a dog"])
    losses = []
    for draw in draws:
        posterior_noise, noise, timesteps = (
            part.flatten(0, 1) for part in (draw.posterior, draw.noise, draw.timesteps)
        )
        with torch.no_grad():
            posterior = vae.encode(pixels).latent_dist
            latents = (posterior.mean + posterior.std * posterior_noise) * vae.config.scaling_factor
            embeddings = text_encoder(ids)[0]
        prediction = unet(scheduler.add_noise(latents, noise, timesteps), timesteps, embeddings).sample
        target = noise
        if scheduler.config.prediction_type == "v_prediction":
            target = scheduler.get_velocity(latents, noise, timesteps)
        own, prior = (F.mse_loss(*pair) for pair in zip(prediction.chunk(2), target.chunk(2), strict=True))
        loss = own + 0.7 * prior
        loss.backward()
        torch.nn.utils.clip_grad_norm_(unet.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    return losses


def test_previews_are_fixed_and_change_nothing(train: Train) -> None:
    plain = train("plain")
    options = {"validation_prompt": "sks dog", "validation_steps": 1, "num_validation_images": 2}
    seen = train("seen", validation_num_inference_steps=2, validation_min_steps=2, **options)
    assert [event["path"] for event in seen.told("sample")] == [
        "samples/000002-0.png", "samples/000002-1.png", "samples/000003-0.png", "samples/000003-1.png",
    ]  # fmt: skip
    images = [Image.open(seen.directory / event["path"]) for event in seen.told("sample")]
    assert {image.size for image in images} == {(16, 16)}
    assert images[0].tobytes() != images[1].tobytes()
    assert json.loads(images[1].info["dreambooth"])["settings"]["seed"] == 1
    again = train("again", validation_num_inference_steps=2, validation_min_steps=2, **options)
    for event in again.told("sample"):
        assert Image.open(again.directory / event["path"]).tobytes() == (
            Image.open(seen.directory / event["path"]).tobytes()
        )
    assert_same(seen.weights(), plain.weights())


def test_previews_begin_again_with_the_first_seed_after_the_last(train: Train) -> None:
    trained = train(
        seed=2**32 - 1,
        validation_prompt="sks dog",
        validation_steps=3,
        num_validation_images=2,
        validation_num_inference_steps=2,
    )
    images = [Image.open(trained.directory / event["path"]) for event in trained.told("sample")]
    seeds = [json.loads(image.info["dreambooth"])["settings"]["seed"] for image in images]
    assert seeds == [2**32 - 1, 0]


def test_epochs_become_steps(train: Train) -> None:
    trained = train(max_train_steps=None, num_train_epochs=3, gradient_accumulation_steps=2, log_interval=100)
    assert (
        trained.events[-1]["step"] == 6
    )  # four class images, batches of one, two an update: two updates an epoch
    assert [event["step"] for event in trained.told("step")] == [6]


def test_several_concepts_with_captions(train: Train, photos: Path, tmp_path: Path) -> None:
    (tmp_path / "cat").mkdir()
    draw_photo(7, (20, 20)).save(tmp_path / "cat" / "only.png")
    for path in [*photos.glob("*.png"), tmp_path / "cat" / "only.png"]:
        path.with_suffix(".txt").write_text(f"a photo of {path.stem}")
    concepts = [
        {"instance_data_dir": str(folder), "instance_prompt": "a photo of sks"}
        for folder in (photos, tmp_path / "cat")
    ]
    trained = train(concepts_list=concepts, read_prompts_from_txts=True, with_prior_preservation=False)
    assert [event["photos"] for event in trained.told("phase") if event["phase"] == "encode"] == [4]
    assert trained.events[-1]["published"] is True


def test_nan_stops_and_publishes_nothing(train: Train, tmp_path: Path) -> None:
    def poisoned(*arguments: Any, **options: Any) -> batches.Draw:
        drawn = batches.draw(*arguments, **options)
        return batches.Draw(drawn.posterior, drawn.noise * float("nan"), drawn.timesteps)

    with pytest.raises(TrainingError, match="the loss is nan by step 2"):
        train(draw=poisoned, log_interval=2, checkpointing_steps=2)
    assert sorted(path.name for path in (tmp_path / "concept").iterdir()) == [
        ".lock", "dreambooth.json", "events.jsonl",
    ]  # fmt: skip
    assert concept.read_events(tmp_path / "concept")[-1]["event"] == "error"
    assert concept.status(tmp_path / "concept") == "failed"


def test_what_learnt_nothing_is_not_published(train: Train, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="exactly as the base"):
        train(learning_rate=1e-30, max_train_steps=1)
    assert not concept.has_weights(tmp_path / "concept")


def test_a_stop_before_anything_was_learnt_is_no_error(train: Train) -> None:
    trained = train(lr_scheduler="constant_with_warmup", lr_warmup_steps=10, should_stop=after(1))
    assert (trained.events[-1]["stopped"], trained.events[-1]["published"]) == (True, False)
    assert [path.name for path in trained.directory.glob("*checkpoint*")] == ["checkpoint-1"]


def test_full_disk_is_named_and_spares_the_checkpoint_before(
    train: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_state, calls = checkpoint.write_state, iter(range(10))

    def full(directory: Path, state: Any) -> None:
        if next(calls):
            raise OSError(errno.ENOSPC, "No space left on device")
        write_state(directory, state)

    monkeypatch.setattr(checkpoint, "write_state", full)
    with pytest.raises(TrainingError, match="is full; earlier checkpoints are whole"):
        train(checkpointing_steps=1, checkpoints_total_limit=1)
    assert [path.name for path in (tmp_path / "concept").glob("*checkpoint*")] == ["checkpoint-1"]
    assert checkpoint.find(tmp_path / "concept", "latest") == tmp_path / "concept" / "checkpoint-1"


def test_refused_before_anything_is_spent(train: Train, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for error, match, changes in [
        (ConfigError, "fp16 needs a GPU; use bf16 or no", {"mixed_precision": "fp16"}),
        (PhotoError, "no photos; put at least one", {"instance_data_dir": str(tmp_path / "empty")}),
        (
            PhotoError,
            "no such folder|no folder|not a folder",
            {"instance_data_dir": str(tmp_path / "nowhere")},
        ),
    ]:
        with pytest.raises(error, match=match):
            train(**changes)
        assert not (tmp_path / "concept" / "dreambooth.json").exists()


def test_a_bad_photo_is_told_before_class_images_are_made(train: Train, photos: Path, tmp_path: Path) -> None:
    (photos / "003.png").write_text("no photo")
    with pytest.raises(PhotoError, match=r"003\.png"):
        train(class_data_dir=str(tmp_path / "made"))
    assert not (tmp_path / "made").exists()


def test_resuming_another_run_is_refused_by_name(train: Train, photos: Path) -> None:
    train(checkpointing_steps=2)
    with pytest.raises(CheckpointError, match=r"learning_rate was 0\.001, is 0\.002"):
        train(resume_from_checkpoint="latest", learning_rate=2e-3)
    draw_photo(77, (40, 40)).save(photos / "001.png")
    with pytest.raises(CheckpointError, match=r"instance_data_dir\[0\]/001\.png"):
        train(resume_from_checkpoint="checkpoint-2")
    with pytest.raises(
        CheckpointError, match=r"checkpoint-9 .* it is not there\. Checkpoints there: checkpoint-2"
    ):
        train(resume_from_checkpoint="checkpoint-9")


def test_resume_latest_without_any_starts_afresh(train: Train) -> None:
    trained = train(resume_from_checkpoint="latest", max_train_steps=1)
    assert trained.told("log")[0]["message"] == "no whole checkpoint to resume from: starting afresh"
    assert trained.events[-1]["step"] == 1


def test_resume_goes_further_with_more_steps(train: Train) -> None:
    straight = train("straight", max_train_steps=4)
    train("cut", max_train_steps=2, checkpointing_steps=2)
    further = train("cut", max_train_steps=4, resume_from_checkpoint="checkpoint-2")
    assert_same(further.weights(), straight.weights())


def test_two_trainings_in_one_process_choose_their_own_precision(train: Train) -> None:
    train("bf16", method="lora", mixed_precision="bf16", max_train_steps=1)
    train("no", method="lora", max_train_steps=1)


def test_nothing_in_a_step_waits_for_the_device(train: Train, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    step, item = loop.Run.train_step, Tensor.item

    def watched(run: loop.Run) -> None:
        with monkeypatch.context() as patch:
            patch.setattr(Tensor, "item", lambda tensor: asked.append("item") or item(tensor))
            step(run)

    monkeypatch.setattr(loop.Run, "train_step", watched)
    train(snr_gamma=5.0, gradient_accumulation_steps=2)
    assert asked == []


def test_errors_of_ours_pass_unchanged_and_others_too(train: Train, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(run: loop.Run) -> None:
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr(loop.Run, "train_step", broken)
    with pytest.raises(ZeroDivisionError, match="a bug"):
        train()

    def out_of_memory(run: loop.Run) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(loop.Run, "train_step", out_of_memory)
    with pytest.raises(TrainerError, match=r"out of memory\. Leaner settings: gradient_checkpointing"):
        train()
