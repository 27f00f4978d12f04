import json
import math
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from trainer.config import (
    GenerationConfig,
    TrainingConfig,
    advice,
    check_instance_data,
    generation_config,
    training_config,
)
from trainer.errors import ConfigError
from trainer.fields import allowed, extra

NEEDED: dict[str, Any] = {"instance_data_dir": "photos", "instance_prompt": "a photo of sks dog"}
CLASS_PROMPT = "a photo of a dog"


def refusal(**values: Any) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        training_config(**NEEDED | values)
    return str(caught.value).splitlines()


def test_defaults_are_those_of_diffusers_scripts() -> None:
    config = training_config(**NEEDED)
    assert (config.learning_rate, config.lr_scheduler, config.lr_warmup_steps, config.lr_power) == (
        5e-6,
        "constant",
        500,
        1.0,
    )
    assert (config.adam_beta1, config.adam_beta2, config.adam_weight_decay, config.adam_epsilon) == (
        0.9,
        0.999,
        1e-2,
        1e-8,
    )
    assert (config.max_grad_norm, config.prior_loss_weight, config.num_class_images) == (1.0, 1.0, 100)
    assert (config.train_batch_size, config.sample_batch_size, config.num_train_epochs) == (4, 4, 1)
    assert (
        config.checkpointing_steps,
        config.validation_steps,
        config.num_validation_images,
        config.rank,
    ) == (500, 100, 4, 4)
    assert (config.max_train_steps, config.snr_gamma, config.resolution, config.concepts_list) == (
        None,
        None,
        None,
        (),
    )
    assert not (config.center_crop or config.scale_lr or config.use_8bit_adam or config.train_text_encoder)


def test_a_lora_has_a_larger_learning_rate_unless_one_is_given() -> None:
    assert training_config(**NEEDED, method="lora").learning_rate == 5e-4
    assert training_config(**NEEDED, method="lora", learning_rate=1e-4).learning_rate == 1e-4


@pytest.mark.parametrize("model", [TrainingConfig, GenerationConfig])
def test_every_field_is_documented_and_every_number_has_a_range(model: type[TrainingConfig]) -> None:
    for name, info in model.model_fields.items():
        assert info.description, name
        assert extra(info)["group"], name
        assert isinstance(extra(info)["unit"], str), name
        if "number" in (range_ := allowed(info)):
            assert "from " in range_ or "above " in range_, name
            assert "up to " in range_ or "below " in range_, name


@pytest.mark.parametrize(
    ("name", "value", "range_"),
    [
        ("max_train_steps", 0, "a whole number, from 1, up to 1,000,000"),
        ("max_train_steps", -1, "a whole number, from 1, up to 1,000,000"),
        ("max_train_steps", 1e9, "a whole number, from 1, up to 1,000,000"),
        ("max_train_steps", 1.5, "a whole number, from 1, up to 1,000,000"),
        ("learning_rate", math.nan, "a finite number, above 0, up to 1"),
        ("learning_rate", math.inf, "a finite number, above 0, up to 1"),
        ("learning_rate", 0, "a finite number, above 0, up to 1"),
        ("resolution", 511, "a whole number (px), from 32, up to 2,048, a multiple of 8"),
        ("resolution", 24, "a whole number (px), from 32, up to 2,048, a multiple of 8"),
        ("adam_beta1", 1, "a finite number, from 0, below 1"),
        ("method", "dora", "one of full, lora"),
        ("mixed_precision", "fp8", "one of no, fp16, bf16"),
        ("center_crop", "perhaps", "true or false"),
        ("output_dir", "", "text, not empty"),
        ("seed", 2**32, "a whole number, from 0, up to 4,294,967,295"),
        ("concepts_list", 3, "a list of objects"),
    ],
)
def test_out_of_range_names_field_value_and_range(name: str, value: object, range_: str) -> None:
    assert refusal(**{name: value}) == [f"{name}: {value!r} is refused; it takes {range_}"]


def test_every_wrong_setting_is_told_at_once() -> None:
    assert [line.split(":")[0] for line in refusal(resolution=511, seed=-1, rank=0)] == [
        "rank",
        "resolution",
        "seed",
    ]


def test_a_wrong_method_does_not_make_the_learning_rate_wrong() -> None:
    assert refusal(method="dora") == ["method: 'dora' is refused; it takes one of full, lora"]


def test_a_long_wrong_value_is_cut() -> None:
    (line,) = refusal(validation_prompt="x" * 100_000)
    assert line.endswith("...' is refused; it takes text, at most 2,000 characters".replace("'", ""))
    assert len(line) < 150


def test_unknown_settings_name_the_nearest() -> None:
    assert refusal(instance_prompts="x") == [
        "instance_prompts: no such setting, did you mean instance_prompt?"
    ]
    assert refusal(zzz="x") == ["zzz: no such setting"]
    with pytest.raises(ConfigError, match=r"^guidance: no such setting, did you mean guidance_scale\?$"):
        generation_config(concept="c", prompt="p", guidance=3)


def test_nul_is_refused() -> None:
    assert refusal(validation_prompt="a\0b") == ["validation_prompt: contains a NUL character; remove it"]


def test_photos_and_prompt_are_required() -> None:
    with pytest.raises(ConfigError) as caught:
        training_config()
    assert [line.split(": ")[:2] for line in str(caught.value).splitlines()] == [
        ["instance_data_dir", "required"],
        ["instance_prompt", "required"],
    ]


def test_prior_preservation_needs_a_class_prompt() -> None:
    assert refusal(with_prior_preservation=True) == [
        "class_prompt: required with with_prior_preservation, as in 'a photo of a dog'"
    ]
    assert (
        training_config(**NEEDED, with_prior_preservation=True, class_prompt=CLASS_PROMPT).class_data_dir
        is None
    )
    assert refusal(
        with_prior_preservation=True, concepts_list=[NEEDED | {"class_prompt": CLASS_PROMPT}, NEEDED]
    ) == ["concepts_list[1].class_prompt: required with with_prior_preservation, as in 'a photo of a dog'"]


def test_errors_inside_concepts_list_say_where() -> None:
    assert refusal(concepts_list=[{"instance_data_dir": "a", "instance_promt": "b"}]) == [
        "concepts_list[0].instance_prompt: required: prompt naming the subject by a unique identifier and its class"
        " noun, as in 'a photo of sks dog'",
        "concepts_list[0].instance_promt: no such setting, did you mean instance_prompt?",
    ]
    assert refusal(concepts_list=["dog"]) == ["concepts_list[0]: 'dog' is refused; it takes an object"]


def test_concepts_are_the_list_or_the_single_one() -> None:
    (single,) = training_config(**NEEDED, class_prompt=CLASS_PROMPT, class_data_dir="dogs").concepts
    assert single.model_dump() == NEEDED | {"class_prompt": CLASS_PROMPT, "class_data_dir": "dogs"}
    second = NEEDED | {"instance_data_dir": "other"}
    assert [c.instance_data_dir for c in training_config(concepts_list=[NEEDED, second]).concepts] == [
        "photos",
        "other",
    ]


def test_json_and_back_is_the_same_config() -> None:
    config = training_config(**NEEDED, concepts_list=[NEEDED], method="lora", snr_gamma=5.0, seed=3)
    assert training_config(**json.loads(json.dumps(config.model_dump(mode="json")))) == config


def test_config_is_frozen() -> None:
    config = training_config(**NEEDED)
    with pytest.raises(ValidationError):
        config.learning_rate = 1.0  # type: ignore[misc]
    assert config.learning_rate == 5e-6


def test_photo_folder_must_exist_and_hold_something(tmp_path: Path) -> None:
    config = training_config(**NEEDED | {"instance_data_dir": str(tmp_path / "photos")})
    with pytest.raises(ConfigError, match=f"there is no folder {tmp_path}/photos"):
        check_instance_data(config)
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / ".DS_Store").touch()
    with pytest.raises(ConfigError, match=f"{tmp_path}/photos is empty; put at least one photo there"):
        check_instance_data(config)
    (tmp_path / "photos" / "a.png").touch()
    check_instance_data(config)


@pytest.mark.parametrize(
    ("values", "advised"),
    [
        ({}, []),
        ({"class_prompt": CLASS_PROMPT}, ["class_prompt, class_data_dir"]),
        ({"class_data_dir": "dogs"}, ["class_prompt, class_data_dir"]),
        ({"class_prompt": CLASS_PROMPT, "with_prior_preservation": True}, []),
        (
            {
                "instance_prompt": "a photo of a Dog",
                "class_prompt": CLASS_PROMPT,
                "with_prior_preservation": True,
            },
            ["instance_prompt"],
        ),
        ({"concepts_list": [NEEDED]}, ["instance_data_dir, instance_prompt"]),
        ({"rank": 8}, ["rank, lora_dropout, lora_layers"]),
        ({"lora_layers": "all"}, ["rank, lora_dropout, lora_layers"]),
        ({"rank": 8, "method": "lora"}, []),
        ({"text_encoder_lr": 1e-6}, ["text_encoder_lr"]),
        ({"text_encoder_lr": 1e-6, "train_text_encoder": True}, []),
        ({"lr_scheduler": "linear", "max_train_steps": 400}, ["lr_warmup_steps"]),
        ({"lr_scheduler": "linear", "max_train_steps": 501}, []),
        ({"lr_scheduler": "constant", "max_train_steps": 400}, []),
    ],
)
def test_advice_names_what_is_probably_not_meant(values: dict[str, Any], advised: list[str]) -> None:
    assert [sentence.split(":")[0] for sentence in advice(training_config(**NEEDED | values))] == advised


def test_generation_defaults_and_ranges() -> None:
    config = generation_config(concept="bear", prompt="a photo of sks bear")
    assert (config.guidance_scale, config.num_samples, config.negative_prompt, config.height) == (
        7.5,
        4,
        "",
        None,
    )
    with pytest.raises(ConfigError, match=r"^height: 100 is refused; it takes a whole number \(px\), from 8"):
        generation_config(concept="bear", prompt="x", height=100)
    with pytest.raises(ConfigError, match=r"^prompt: required: what the images show$"):
        generation_config(concept="bear")
