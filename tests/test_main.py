"""The command line: flags as in diffusers' scripts and the fork, messages, exit codes, signals, one whole run."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from drawings import scene
from PIL import Image

from trainer import loop
from trainer.__main__ import Progress, main, stop_on_signals
from trainer.config import GenerationConfig, TrainingConfig, training_config
from trainer.errors import ConfigError, TrainingError
from trainer.flags import REFUSED, WITHOUT_EFFECT, generate_parser, train_parser, training_values

ROOT = Path(__file__).parent.parent
NEEDED = ["--instance_data_dir", "photos", "--instance_prompt", "a photo of sks dog"]


def parsed(*words: str, environment: dict[str, str] | None = None) -> TrainingConfig:
    """The config that a command line stands for."""
    return training_config(
        **training_values(vars(train_parser().parse([*NEEDED, *words])), environment or {})
    )


def refusal(*words: str) -> str:
    with pytest.raises(ConfigError) as caught:
        parsed(*words)
    return str(caught.value)


# diffusers' flags, as its README gives them


def test_the_command_of_diffusers_readme() -> None:
    config = parsed(
        "--pretrained_model_name_or_path=stable-diffusion-v1-5/stable-diffusion-v1-5", "--train_text_encoder",
        "--class_data_dir=dogs", "--output_dir=out", "--with_prior_preservation", "--prior_loss_weight=0.5",
        "--class_prompt=a photo of dog", "--resolution=512", "--train_batch_size=1", "--use_8bit_adam",
        "--gradient_accumulation_steps=2", "--gradient_checkpointing", "--learning_rate=2e-6",
        "--lr_scheduler=constant", "--lr_warmup_steps=0", "--num_class_images=200", "--max_train_steps=800",
        "--enable_xformers_memory_efficient_attention", "--set_grads_to_none", "--mixed_precision=fp16",
        "--local_rank", "-1", "--dataloader_num_workers", "4", "--allow_tf32", "--report_to=tensorboard",
    )  # fmt: skip
    given = {
        "pretrained_model_name_or_path": "stable-diffusion-v1-5/stable-diffusion-v1-5", "train_text_encoder": True,
        "class_data_dir": "dogs", "output_dir": "out", "with_prior_preservation": True, "prior_loss_weight": 0.5,
        "class_prompt": "a photo of dog", "resolution": 512, "train_batch_size": 1, "use_8bit_adam": True,
        "gradient_accumulation_steps": 2, "gradient_checkpointing": True, "learning_rate": 2e-6,
        "lr_scheduler": "constant", "lr_warmup_steps": 0, "num_class_images": 200, "max_train_steps": 800,
        "enable_xformers_memory_efficient_attention": True, "set_grads_to_none": True, "mixed_precision": "fp16",
        "allow_tf32": True, "report_to": "tensorboard",
    }  # fmt: skip
    assert config == training_config(
        instance_data_dir="photos", instance_prompt="a photo of sks dog", **given
    )


def test_the_forks_names_mean_the_same_settings() -> None:
    config = parsed(
        "--save_sample_prompt=a dog", "--save_sample_negative_prompt=ugly", "--n_save_sample=2",
        "--save_guidance_scale=5", "--save_infer_steps=30", "--save_interval=200", "--save_min_steps=100",
        "--log_interval=7", "--not_cache_latents", "--pad_tokens", "--read_prompts_from_txts", "--hflip",
    )  # fmt: skip
    assert config == parsed(
        "--validation_prompt=a dog", "--validation_negative_prompt=ugly", "--num_validation_images=2",
        "--validation_guidance_scale=5", "--validation_num_inference_steps=30", "--checkpointing_steps=200",
        "--validation_steps=200", "--validation_min_steps=100", "--log_interval=7", "--cache_latents=false",
        "--pad_tokens=true", "--read_prompts_from_txts=true", "--hflip=true",
    )  # fmt: skip
    assert (config.cache_latents, config.validation_steps, config.validation_prompt) == (False, 200, "a dog")


def test_diffusers_names_win_over_save_interval() -> None:
    config = parsed("--checkpointing_steps=50", "--save_interval=200")
    assert (config.checkpointing_steps, config.validation_steps) == (50, 200)


@pytest.mark.parametrize(
    "off", ["--cache_latents false", "--no-cache_latents", "--no_cache_latents", "--not_cache_latents"]
)
def test_a_switch_can_be_off(off: str) -> None:
    assert parsed(*off.split()).cache_latents is False


@pytest.mark.parametrize("on", ["--center_crop", "--center_crop true", "--center_crop=1"])
def test_a_switch_can_be_on(on: str) -> None:
    assert parsed(*on.split()).center_crop is True


def test_every_field_has_its_flag() -> None:
    flags = train_parser()._option_string_actions.keys()
    assert {f"--{name}" for name in TrainingConfig.model_fields} <= flags
    assert {
        f"--{name}" for name in GenerationConfig.model_fields
    } <= generate_parser()._option_string_actions.keys()


@pytest.mark.parametrize("flag", sorted(REFUSED))
def test_what_cannot_be_followed_is_refused_with_the_way_out(flag: str) -> None:
    message = refusal(f"--{flag}", "secret-value")
    assert message.startswith(f"--{flag}: refused: ")
    assert "eave it out" in message
    assert "secret-value" not in message
    assert "secret-value" not in refusal(f"--{flag}=secret-value")


@pytest.mark.parametrize("flag", sorted(WITHOUT_EFFECT))
def test_what_has_no_effect_changes_nothing(flag: str) -> None:
    assert parsed(f"--{flag}", "1") == parsed(f"--{flag.replace('_', '-')}=1") == parsed()


def test_embeddings_cannot_be_computed_before_with_a_trained_encoder() -> None:
    assert (
        parsed("--pre_compute_text_embeddings", "--train_text_encoder", "false").train_text_encoder is False
    )
    assert refusal("--pre_compute_text_embeddings", "--train_text_encoder").startswith(
        "pre_compute_text_embeddings: "
    )


def test_unknown_flags_name_the_nearest() -> None:
    assert refusal("--max_train_step=3", "--instance_dir", "x") == (
        "--max_train_step: no such flag, did you mean --max_train_steps?\n"
        "--instance_dir: no such flag, did you mean --instance_data_dir?"
    )
    assert refusal("--qqqq") == "--qqqq: no such flag; --help lists them"
    assert refusal("stray") == "'stray' belongs to no flag"


def test_a_flag_without_its_value_is_refused() -> None:
    assert refusal("--seed") == "argument --seed: expected one argument; see python -m trainer train --help"


def test_accelerates_precision_is_taken_unless_another_is_given(tmp_path: Path) -> None:
    told = {"ACCELERATE_MIXED_PRECISION": "bf16"}
    file = tmp_path / "dreambooth.json"
    file.write_text('{"mixed_precision": "fp16"}')
    assert parsed(environment=told).mixed_precision == "bf16"
    assert parsed("--mixed_precision=no", environment=told).mixed_precision == "no"
    assert parsed(f"--config={file}", environment=told).mixed_precision == "fp16"


# files


def test_a_written_config_reruns_and_flags_win(tmp_path: Path) -> None:
    config = parsed("--seed=5", "--method=lora", "--rank=8", "--snr_gamma=5")
    file = tmp_path / "dreambooth.json"
    file.write_text(json.dumps({"config": config.model_dump(mode="json"), "versions": {"torch": "2.13.0"}}))
    words = ["--config", str(file)]
    assert training_config(**training_values(vars(train_parser().parse(words)), {})) == config
    words += ["--seed=6", "--cache_latents=false"]
    changed = training_config(**training_values(vars(train_parser().parse(words)), {}))
    assert changed == config.model_copy(update={"seed": 6, "cache_latents": False})


def test_a_bare_mapping_is_a_config_too(tmp_path: Path) -> None:
    (tmp_path / "settings.json").write_text('{"seed": 7}')
    assert parsed("--config", str(tmp_path / "settings.json")).seed == 7


def test_concepts_list_is_read_from_its_file(tmp_path: Path) -> None:
    concepts = [
        {"instance_data_dir": name, "instance_prompt": f"a photo of {name}"} for name in ("sks", "zwx")
    ]
    (tmp_path / "concepts.json").write_text(json.dumps(concepts))
    config = parsed("--concepts_list", str(tmp_path / "concepts.json"))
    assert [concept.instance_prompt for concept in config.concepts] == ["a photo of sks", "a photo of zwx"]


@pytest.mark.parametrize("flag", ["config", "concepts_list"])
def test_files_that_cannot_be_read_are_named(flag: str, tmp_path: Path) -> None:
    assert (
        refusal(f"--{flag}", f"{tmp_path}/none.json")
        == f"{flag}: {tmp_path}/none.json cannot be read: No such file or directory"
    )
    (tmp_path / "bad.json").write_text("{")
    assert refusal(f"--{flag}", f"{tmp_path}/bad.json").startswith(
        f"{flag}: {tmp_path}/bad.json is not JSON: "
    )
    (tmp_path / "binary.json").write_bytes(b"\xff\xfe")
    assert refusal(f"--{flag}", f"{tmp_path}/binary.json").startswith(
        f"{flag}: {tmp_path}/binary.json is not JSON: "
    )


@pytest.mark.parametrize("content", ["[]", '{"config": 3}', "3"])
def test_a_config_that_is_no_mapping_is_refused(content: str, tmp_path: Path) -> None:
    (tmp_path / "odd.json").write_text(content)
    assert "odd.json holds no settings" in refusal("--config", str(tmp_path / "odd.json"))


# exit codes and messages


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        ([], 2, ""),
        (["--help"], 0, ""),
        (["trian"], 2, "'trian' is no command, did you mean train?"),
        (
            ["train", *NEEDED, "--resolution", "511"],
            2,
            "resolution: '511' is refused; it takes a whole number (px)",
        ),
        (["train", *NEEDED], 2, "instance_data_dir: there is no folder photos"),
        (["generate", "--concept", "x"], 2, "prompt: required: what the images show"),
        (["generate", "--concept", "no/such", "--prompt", "x"], 1, "no/such"),
        (["check"], 2, "the following arguments are required: DIR"),
        (["check", "no/such"], 1, "no/such"),
        (["check", ".", "--resolution", "30"], 2, "resolution: '30' is refused"),
    ],
)
def test_errors_are_told_on_stderr_by_exit_code(
    words: list[str],
    code: int,
    said: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(words) == code
    output = capsys.readouterr()
    assert said in output.err
    assert "Traceback" not in output.err
    assert ("usage:" in output.out) == (not words or words == ["--help"])


def test_help_is_quick_and_whole() -> None:
    code = "import sys; from trainer.__main__ import main\ntry: main(['train', '--help'])\nexcept SystemExit: pass\n"
    code += "print(sorted({'torch', 'diffusers', 'PIL', 'numpy'} & sys.modules.keys()))"
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert run.stdout.endswith("\n[]\n"), run.stderr
    for name in TrainingConfig.model_fields:
        assert f"--{name}" in run.stdout
    assert "(a whole number (px)," in " ".join(run.stdout.split())


def test_check_gives_a_verdict_a_photo(photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (photos / "broken.png").write_text("no image")
    assert main(["check", str(photos)]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[:2] for line in lines[:4]] == [
        ["refused", "000.png:"], ["refused", "001.png:"], ["refused", "002.png:"], ["refused", "broken.png:"]
    ]  # fmt: skip
    assert main(["check", str(photos), "--json"]) == 1
    report = json.loads(capsys.readouterr().out)
    assert [photo["name"] for photo in report["photos"]] == ["000.png", "001.png", "002.png", "broken.png"]
    assert report["gate"] == "blocked"


def test_check_shows_the_set_by_its_kind_and_reads_words(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for seed in range(5):
        scene(seed).save(tmp_path / f"{seed}.png")
    assert main(["check", str(tmp_path), "--resolution", "128"]) == 0
    *verdicts, _, summary = capsys.readouterr().out.splitlines()
    assert verdicts == [f"ok       {seed}.png" for seed in range(5)]
    assert summary == "5 distinct photos. Not checked yet: not checked: text and watermarks"
    assert main(["check", str(tmp_path), "--resolution", "128", "--words"]) == 0
    assert capsys.readouterr().out.endswith("\n5 distinct photos. Ready\n")
    assert main(["check", str(tmp_path), "--kind", "style"]) == 0
    assert (
        "Needs attention: only 5 distinct photos: bring 10 to 60, of different things"
        in capsys.readouterr().out
    )
    assert main(["check", str(tmp_path), "--kind", "pet"]) == 2


# training


def train_with(fake: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, photos: Path, *words: str) -> int:
    monkeypatch.setattr(loop, "train", fake)
    return main(["train", "--instance_data_dir", str(photos), "--instance_prompt", "sks", *words])


def test_train_hands_the_config_on_and_says_where_the_concept_is(
    photos: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    seen: list[Any] = []

    def fake(config: TrainingConfig, on_event: Callable[..., None], should_stop: Callable[[], bool]) -> Path:
        seen.extend([config, should_stop()])
        on_event({"event": "finished", "stopped": False})
        return Path(config.output_dir)

    assert train_with(fake, monkeypatch, photos, "--output_dir", "bear", "--class_prompt", "a dog") == 0
    assert seen == [
        training_config(
            instance_data_dir=str(photos), instance_prompt="sks", output_dir="bear", class_prompt="a dog"
        ),
        False,
    ]
    output = capsys.readouterr()
    assert output.out == "the concept is in bear\n"
    assert "note: class_prompt, class_data_dir: not used without with_prior_preservation" in output.err


def test_only_the_first_process_speaks(
    photos: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("RANK", "1")
    assert train_with(lambda config, **_: Path("bear"), monkeypatch, photos, "--class_prompt", "a dog") == 0
    assert capsys.readouterr() == ("", "")


def test_trouble_in_training_is_told_without_a_traceback(
    photos: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fake(config: TrainingConfig, **_: object) -> Path:
        raise TrainingError("the loss is not finite at step 3; lower learning_rate")

    assert train_with(fake, monkeypatch, photos) == 1
    assert capsys.readouterr().err == "the loss is not finite at step 3; lower learning_rate\n"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_asks_training_to_stop(
    number: signal.Signals, photos: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def fake(config: TrainingConfig, on_event: Callable[..., None], should_stop: Callable[[], bool]) -> Path:
        assert not should_stop()
        os.kill(os.getpid(), number)
        assert should_stop()
        on_event({"event": "finished", "stopped": True})
        return Path("bear")

    before = signal.getsignal(number)
    assert train_with(fake, monkeypatch, photos) == 128 + number
    assert signal.getsignal(number) is before
    output = capfd.readouterr()
    assert (
        "stopped early in bear; the same command with --resume_from_checkpoint latest goes on" in output.out
    )
    assert "stopping after this step; once more to kill" in output.err


def test_a_second_signal_kills() -> None:
    with stop_on_signals() as stopped_by:
        os.kill(os.getpid(), signal.SIGINT)
        assert stopped_by() == signal.SIGINT
        assert signal.getsignal(signal.SIGINT) == signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


def test_progress_shows_steps_loss_and_files(capsys: pytest.CaptureFixture[str]) -> None:
    with Progress() as progress:
        progress({"event": "phase", "phase": "load"})
        progress({"event": "phase", "phase": "class_images", "total": 8})
        progress({"event": "phase", "phase": "class_images", "done": 4, "total": 8})
        progress({"event": "phase", "phase": "train", "step": 40, "total": 50})
        progress({"event": "step", "step": 45, "total": 50, "loss": 0.12345, "learning_rate": 5e-6})
        progress({"event": "checkpoint", "step": 45, "path": "checkpoint-45"})
        progress({"event": "log", "message": "attention: torch"})
        progress({"event": "step", "step": 50, "total": 50, "loss": 0.5, "learning_rate": 5e-6})
        progress({"event": "later", "unknown": 1})
        assert not progress.finished
        progress({"event": "finished"})
    assert progress.finished
    shown = capsys.readouterr().err
    assert "class_images:   0%|          | 0/8" in shown
    assert "train:  80%" in shown
    assert "learning_rate=5e-06, loss=0.5" in shown
    assert "checkpoint: checkpoint-45\n" in shown
    assert "attention: torch\n" in shown
    assert "50/50" in shown


def test_train_then_generate_for_real(
    sd1: Path, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    concept, images = tmp_path / "concept", tmp_path / "images"
    run = subprocess.run(
        [
            sys.executable, "-m", "trainer", "train", "--pretrained_model_name_or_path", str(sd1),
            "--instance_data_dir", str(photos), "--instance_prompt", "a photo of sks dog", "--max_train_steps", "2",
            "--train_batch_size", "1", "--learning_rate", "1e-3", "--report_to", "none", "--output_dir", str(concept),
        ],
        cwd=ROOT, env=os.environ | {"OMP_NUM_THREADS": "1"}, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    assert run.stdout == f"the concept is in {concept}\n"
    assert "2/2" in run.stderr
    words = ["--num_samples", "2", "--num_inference_steps", "2", "--seed", "3", "--output_dir", str(images)]
    assert main(["generate", "--concept", str(concept), "--prompt", "a photo of sks dog", *words]) == 0
    files = [Path(line) for line in capsys.readouterr().out.splitlines()]
    assert [file.parent for file in files] == [images, images]
    assert [Image.open(file).size for file in files] == [(16, 16), (16, 16)]
    first, second = (Image.open(file).tobytes() for file in files)
    assert first != second


def test_evaluate_prints_a_concept_s_figures(
    full: Path, judge: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    concept = ["evaluate", "--concept", str(full)]
    assert main([*concept, "--num_samples", "0"]) == 2
    assert "--num_samples: '0' is refused; it takes a whole number, from 1" in capsys.readouterr().err
    assert main(concept) == 2
    assert "--evaluation_encoder: required: this base has no CLIP" in capsys.readouterr().err
    assert main([*concept, "--evaluation_encoder", str(full)]) == 1
    assert "no CLIP can be loaded from there" in capsys.readouterr().err
    assert main([*concept, "--evaluation_encoder", str(judge), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert len(found["copied"]) == 20 and found["dino"] is None and found["drift"] is None
    assert -1 <= found["clip_i"]["concept"] <= 1 and found["clip_i"]["concept"] != found["clip_i"]["base"]
