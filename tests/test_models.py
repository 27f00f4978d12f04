"""Only safe models of the right family load; LoRA and checkpoints give back what was trained."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import DiffusionPipeline, DPMSolverMultistepScheduler

from trainer import models
from trainer.errors import ModelError


@pytest.fixture
def copy(sd1: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(sd1, tmp_path / "base"))


def edit(file: Path, **changes: Any) -> None:
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


def refused(folder: Path | str, reason: str) -> None:
    with pytest.raises(ModelError, match=reason):
        models.load_pipeline(str(folder))


def test_loads_both_families(sd1: Path, sd2: Path) -> None:
    first, second = models.load_pipeline(str(sd1)), models.load_pipeline(str(sd2))
    assert (models.vae_factor(first), models.base_resolution(first)) == (2, 16)
    assert (models.vae_factor(second), models.base_resolution(second)) == (4, 32)
    assert models.noise_scheduler(first).config.prediction_type == "epsilon"
    assert models.noise_scheduler(second).config.prediction_type == "v_prediction"
    assert models.noise_scheduler(first).config.beta_schedule == "scaled_linear"


def test_fast_scheduler_keeps_betas_and_prediction(sd2: Path) -> None:
    scheduler = models.fast_scheduler(models.load_pipeline(str(sd2)).scheduler)
    assert isinstance(scheduler, DPMSolverMultistepScheduler)
    assert scheduler.config.prediction_type == "v_prediction"
    assert scheduler.config.beta_end == 0.012
    assert scheduler.config.algorithm_type == "dpmsolver++"


def test_fast_scheduler_is_stochastic_where_the_base_is() -> None:
    own = DPMSolverMultistepScheduler(algorithm_type="sde-dpmsolver++")
    assert models.fast_scheduler(own).config.algorithm_type == "sde-dpmsolver++"


def test_missing_is_refused(tmp_path: Path) -> None:
    refused(tmp_path / "nowhere", "no such folder")
    refused("a/b/c", "no such folder")
    refused("someone/some-model", "neither a folder here nor a model that the Hub would give")
    refused(tmp_path, r"no model_index\.json")


def test_pickle_only_is_refused(copy: Path) -> None:
    weights = copy / "unet" / "diffusion_pytorch_model.safetensors"
    weights.rename(weights.with_suffix(".bin"))
    refused(copy, "its unet has only pickled weights")
    weights.with_suffix(".bin").unlink()
    refused(copy, "its unet has no weights")


def test_remote_code_is_refused_and_never_run(copy: Path) -> None:
    trap = copy / "ran"
    (copy / "pipeline.py").write_text(f"open({str(trap)!r}, 'w')\n")
    (copy / "unet" / "mine.py").write_text(f"open({str(trap)!r}, 'w')\n")
    edit(copy / "model_index.json", unet=["mine", "UNet"])
    refused(copy, "its unet needs remote code")
    edit(
        copy / "model_index.json",
        unet=["diffusers", "UNet2DConditionModel"],
        _class_name=["pipeline", "Mine"],
    )
    refused(copy, "its pipeline needs remote code")
    edit(copy / "model_index.json", _class_name="StableDiffusionPipeline")
    edit(copy / "text_encoder" / "config.json", auto_map={"AutoModel": "mine.Model"})
    refused(copy, "its text_encoder needs remote code")
    assert not trap.exists()


def test_a_tokenizer_without_its_files_is_refused(copy: Path) -> None:
    for file in (copy / "tokenizer").glob("*[!g].json"):  # all but tokenizer_config.json
        file.unlink()
    (copy / "tokenizer" / "merges.txt").unlink(missing_ok=True)
    refused(copy, "its tokenizer has 2 entries")


def test_other_families_are_refused(copy: Path) -> None:
    edit(copy / "model_index.json", vae=[None, None])
    refused(copy, "without vae")
    edit(copy / "model_index.json", vae=["diffusers", "AutoencoderKL"])
    edit(copy / "unet" / "config.json", in_channels=9)
    refused(copy, "inpainting|cannot be loaded")
    (copy / "model_index.json").write_text("{")
    refused(copy, "not valid JSON")


def test_other_vae_and_tokenizer(sd1: Path, sd2: Path) -> None:
    pipeline = models.load_pipeline(
        str(sd1), pretrained_vae_name_or_path=str(sd2), tokenizer_name=str(sd2 / "tokenizer")
    )
    assert models.vae_factor(pipeline) == 4
    with pytest.raises(ModelError, match="the VAE"):
        models.load_pipeline(str(sd1), pretrained_vae_name_or_path=str(sd1 / "scheduler"))
    with pytest.raises(ModelError, match="the tokenizer"):
        models.load_pipeline(str(sd1), tokenizer_name=str(sd1 / "nowhere"))


def trained_lora(pipeline: Any, layers: str = "attention") -> torch.Tensor:
    """Add LoRA to both parts, move it, and return the pipeline's answer."""
    torch.manual_seed(1)
    for module in (pipeline.unet, pipeline.text_encoder):
        models.add_lora(module, 2, layers=layers)
        for parameter in models.trainable(module):
            parameter.data.add_(0.1 * torch.randn_like(parameter))
    return models.probe(pipeline, "a dog")


@pytest.mark.parametrize("layers", ["attention", "all"])
@pytest.mark.parametrize("base", ["sd1", "sd2"])
def test_lora_loads_with_plain_diffusers(
    base: str, layers: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    folder = str(request.getfixturevalue(base))
    pipeline = models.load_pipeline(folder)
    untrained = models.probe(pipeline, "a dog")
    answer = trained_lora(pipeline, layers)
    models.save_lora(tmp_path, pipeline.unet, pipeline.text_encoder)
    plain = DiffusionPipeline.from_pretrained(folder, use_safetensors=True, safety_checker=None)
    plain.load_lora_weights(str(tmp_path))
    torch.testing.assert_close(models.probe(plain, "a dog"), answer)
    assert not torch.allclose(answer, untrained, atol=1e-3)


def test_lora_starts_unchanged_frozen_and_float32(sd1: Path) -> None:
    pipeline = models.load_pipeline(str(sd1))
    before = models.probe(pipeline, "a dog")
    models.cast(pipeline.unet, torch.bfloat16)
    models.add_lora(pipeline.unet, 4)
    parameters = list(models.trainable(pipeline.unet))
    assert {parameter.dtype for parameter in parameters} == {torch.float32}
    # 4 attention blocks with self- and cross-attention, 4 projections, 2 factors
    assert len(parameters) == 64
    assert {min(parameter.shape) for parameter in parameters} == {4}
    models.cast(pipeline.unet, torch.float32)
    torch.testing.assert_close(models.probe(pipeline, "a dog"), before, atol=0.05, rtol=0.05)


def test_lora_of_all_layers_leaves_none_of_the_blocks_out(sd1: Path) -> None:
    unet = models.load_pipeline(str(sd1)).unet
    multiplying = {
        name
        for name, module in unet.named_modules()
        if isinstance(module, torch.nn.Linear | torch.nn.Conv2d) and "block" in name
    }
    models.add_lora(unet, 4, layers="all")
    adapted = {
        name.removesuffix(".base_layer") for name, _ in unet.named_modules() if name.endswith(".base_layer")
    }
    assert adapted == multiplying and len(multiplying) > 64


@pytest.mark.parametrize("layers", ["", "attention", "all"])
def test_weights_of_a_checkpoint_come_back_bit_for_bit(sd1: Path, tmp_path: Path, layers: str) -> None:
    lora = bool(layers)
    pipeline, other = models.load_pipeline(str(sd1)), models.load_pipeline(str(sd1))
    if lora:
        answer = trained_lora(pipeline, layers)
        for module in (other.unet, other.text_encoder):
            models.add_lora(module, 2, layers=layers)
    else:
        for module in (pipeline.unet, pipeline.text_encoder):
            for parameter in module.parameters():
                parameter.data.mul_(1.01)
        answer = models.probe(pipeline, "a dog")
    models.save_weights(tmp_path, pipeline.unet, pipeline.text_encoder, lora=lora)
    models.load_weights(tmp_path, other.unet, other.text_encoder, lora=lora)
    for part in ("unet", "text_encoder"):
        ours, theirs = getattr(pipeline, part).state_dict(), getattr(other, part).state_dict()
        assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    assert torch.equal(models.probe(other, "a dog"), answer)


def test_lora_of_another_rank_is_refused(sd1: Path, tmp_path: Path) -> None:
    pipeline, other = models.load_pipeline(str(sd1)), models.load_pipeline(str(sd1))
    trained_lora(pipeline)
    models.save_lora(tmp_path, pipeline.unet, None)
    models.add_lora(other.unet, 3)
    with pytest.raises(ModelError, match="another rank"):
        models.load_lora(tmp_path, other.unet, None)


def test_xformers_falls_back_in_one_plain_line(sd1: Path) -> None:
    unet = models.load_pipeline(str(sd1)).unet
    processors = {type(processor).__name__ for processor in unet.attn_processors.values()}
    assert not models.xformers_works(torch.device("cpu"))
    line = models.set_attention(unet, torch.device("cpu"), xformers=True)
    assert line == (
        "attention: xformers has no kernels for cpu here; using torch scaled_dot_product_attention"
    )
    assert {type(processor).__name__ for processor in unet.attn_processors.values()} == processors


def test_gradient_checkpointing_changes_no_gradient(sd1: Path) -> None:
    found = []
    for checkpointing in (False, True):
        pipeline = models.load_pipeline(str(sd1))
        unet, text_encoder = pipeline.unet.train(), pipeline.text_encoder.train()
        if checkpointing:
            models.enable_gradient_checkpointing(unet, text_encoder)
            assert unet.is_gradient_checkpointing
        ids = models.tokenize(pipeline.tokenizer, ["a dog"])
        noise = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(0))
        unet(
            noise, torch.tensor([5]), models.encode_prompts(text_encoder, ids)
        ).sample.square().mean().backward()
        found.append([parameter.grad for parameter in (*unet.parameters(), *text_encoder.parameters())])
    for plain, recomputed in zip(*found, strict=True):
        assert (plain is None) == (recomputed is None)
        if plain is not None:
            torch.testing.assert_close(plain, recomputed)


def test_the_resolution_without_loading(sd1: Path, sd2: Path, tmp_path: Path) -> None:
    assert [models.resolution_of(str(base)) for base in (sd1, sd2)] == [16, 32]
    for name in (str(tmp_path), "nobody/nothing", "../../etc"):
        with pytest.raises(ModelError, match="its unet cannot be looked at"):
            models.resolution_of(name)
