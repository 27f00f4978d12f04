"""Stable Diffusion's parts: load them safely, freeze them, add LoRA, choose attention, save and restore weights."""

import gc
import json
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from diffusers import (
    AutoencoderKL,
    DDPMScheduler,
    DiffusionPipeline,
    DPMSolverMultistepScheduler,
    StableDiffusionPipeline,
    UNet2DConditionModel,
)
from diffusers.loaders import StableDiffusionLoraLoaderMixin
from diffusers.utils import (
    convert_state_dict_to_diffusers,
    convert_state_dict_to_peft,
    convert_unet_state_dict_to_peft,
)
from diffusers.utils import logging as diffusers_logging
from huggingface_hub import hf_hub_download
from huggingface_hub.constants import HF_HUB_CACHE
from huggingface_hub.file_download import repo_folder_name
from peft import LoraConfig, get_peft_model_state_dict, set_peft_model_state_dict
from safetensors.torch import load_file
from torch import Tensor, nn
from transformers import CLIPTextModel, CLIPTokenizer
from transformers.utils import logging as transformers_logging

from trainer.errors import ModelError

# The attention projections that diffusers' own LoRA scripts train.
UNET_LORA_TARGETS = ["to_k", "to_q", "to_v", "to_out.0"]
# All else in the UNet's blocks that multiplies: convolutions, samplers, and the transformers' other linear layers.
UNET_LORA_OTHERS = [
    "conv1", "conv2", "conv_shortcut", "conv", "time_emb_proj", "proj_in", "proj_out", "ff.net.0.proj", "ff.net.2",
]  # fmt: skip
TEXT_ENCODER_LORA_TARGETS = ["q_proj", "k_proj", "v_proj", "out_proj"]
LORA_FILE = "pytorch_lora_weights.safetensors"
SAFE_LIBRARIES = {"diffusers", "transformers", "stable_diffusion"}
WEIGHTED_PARTS = ("unet", "vae", "text_encoder")


def load_pipeline(
    pretrained_model_name_or_path: str,
    *,
    revision: str | None = None,
    variant: str | None = None,
    pretrained_vae_name_or_path: str | None = None,
    tokenizer_name: str | None = None,
    torch_dtype: torch.dtype = torch.float32,
    **components: Any,
) -> StableDiffusionPipeline:
    """A Stable Diffusion pipeline from a folder or a Hub id, from safetensors only and without remote code.

    `components` are parts already at hand (`unet=...`), used in place of those on disk; None leaves a part out.
    Raises ModelError for a model that is missing, pickle only, of another family, or needs remote code.
    """
    _quiet()
    folder = download(pretrained_model_name_or_path, revision, variant)
    _check_folder(folder, pretrained_model_name_or_path, given=set(components))
    if pretrained_vae_name_or_path:
        components["vae"] = _load_vae(pretrained_vae_name_or_path, torch_dtype)
    if tokenizer_name:
        components["tokenizer"] = _load_tokenizer(tokenizer_name, revision)
    try:
        pipeline = DiffusionPipeline.from_pretrained(
            folder,
            variant=variant,
            use_safetensors=True,
            safety_checker=None,
            requires_safety_checker=False,
            dtype=torch_dtype,
            **components,
        )
    except (OSError, ValueError, RuntimeError, KeyError, TypeError) as error:
        raise ModelError(
            f"{pretrained_model_name_or_path}: cannot be loaded: {_first_line(error)}"
        ) from error
    pipeline.set_progress_bar_config(disable=True)
    _check_family(pipeline, pretrained_model_name_or_path)
    return pipeline


def _quiet() -> None:
    diffusers_logging.disable_progress_bar()
    transformers_logging.disable_progress_bar()


def bytes_downloaded(name: str) -> int:
    """How much of a model of the Hub is here, unfinished files included."""
    blobs = Path(HF_HUB_CACHE) / repo_folder_name(repo_id=name, repo_type="model") / "blobs"
    found = 0
    for file in blobs.glob("*"):
        with suppress(FileNotFoundError):  # renamed just now: it is whole
            found += file.stat().st_size
    return found


def download(name: str, revision: str | None = None, variant: str | None = None) -> Path:
    """The folder of a model, a local one or out of the Hub's cache, where it is brought first. Raises ModelError."""
    if Path(name).is_dir():
        return Path(name)
    if name.startswith((".", "/", "~")) or name.count("/") > 1 or Path(name).exists():
        raise ModelError(
            f"{name}: no such folder. Give a folder in the diffusers format, or a Hub id (owner/name)."
        )
    try:
        return Path(
            DiffusionPipeline.download(name, revision=revision, variant=variant, use_safetensors=True)
        )
    except (OSError, ValueError) as error:
        raise ModelError(
            f"{name}: neither a folder here nor a model that the Hub would give: {_first_line(error)}"
        ) from error


def _check_folder(folder: Path, name: str, given: set[str]) -> None:
    index_file = folder / "model_index.json"
    if not index_file.is_file():
        raise ModelError(
            f"{name}: no model_index.json; give a Stable Diffusion folder in the diffusers format."
        )
    try:
        index = json.loads(index_file.read_text())
    except ValueError as error:
        raise ModelError(f"{name}: model_index.json is not valid JSON.") from error
    if not isinstance(index.get("_class_name"), str):
        raise ModelError(
            f"{name}: its pipeline needs remote code, which is never run. Choose another base model."
        )
    parts = {key: value for key, value in index.items() if isinstance(value, list) and value and value[0]}
    missing = [part for part in (*WEIGHTED_PARTS, "tokenizer", "scheduler") if part not in parts]
    if missing:
        raise ModelError(
            f"{name} is a {index['_class_name']} without {', '.join(missing)}; only Stable Diffusion 1.x and 2.x"
            " (a UNet, an autoencoder and a CLIP text encoder) can be trained."
        )
    for part, (library, *_) in parts.items():
        if library not in SAFE_LIBRARIES or _has_auto_map(folder / part / "config.json"):
            raise ModelError(
                f"{name}: its {part} needs remote code, which is never run. Choose another base model."
            )
    for part in set(WEIGHTED_PARTS) - given:
        _check_weights(folder / part, f"{name}: its {part}")


def _has_auto_map(config_file: Path) -> bool:
    return config_file.is_file() and "auto_map" in json.loads(config_file.read_text())


def _check_weights(directory: Path, what: str) -> None:
    if any(directory.glob("*.safetensors")):
        return
    if any(file.suffix in {".bin", ".ckpt", ".pt", ".pth"} for file in directory.glob("*")):
        raise ModelError(f"{what} has only pickled weights, which can run code; convert them to safetensors.")
    raise ModelError(f"{what} has no weights (*.safetensors in {directory.name}/).")


def _check_family(pipeline: DiffusionPipeline, name: str) -> None:
    wanted = {"unet": UNet2DConditionModel, "vae": AutoencoderKL, "text_encoder": CLIPTextModel}
    for part, kind in wanted.items():
        if not isinstance(getattr(pipeline, part, None), kind):
            raise ModelError(
                f"{name}: its {part} is a {type(getattr(pipeline, part, None)).__name__}, not a {kind.__name__};"
                " only Stable Diffusion 1.x and 2.x can be trained."
            )
    words, known = pipeline.text_encoder.config.vocab_size, len(pipeline.tokenizer)
    if not words / 2 < known <= words:  # transformers makes an empty tokenizer where its files are missing
        raise ModelError(
            f"{name}: its tokenizer has {known} entries and its text encoder {words}: they do not belong together,"
            " or the tokenizer's files are missing."
        )
    channels = pipeline.unet.config.in_channels
    if channels != pipeline.vae.config.latent_channels or not isinstance(pipeline, StableDiffusionPipeline):
        raise ModelError(
            f"{name}: its {type(pipeline).__name__} takes {channels} channels beside the latents' own"
            f" {pipeline.vae.config.latent_channels}; inpainting and other variants cannot be trained."
        )


def _load_vae(name: str, torch_dtype: torch.dtype) -> AutoencoderKL:
    folder = Path(name)
    directory = folder / "vae" if (folder / "vae").is_dir() else folder
    if directory.is_dir():
        _check_weights(directory, f"the VAE {name}")
    try:
        return AutoencoderKL.from_pretrained(str(directory), use_safetensors=True, dtype=torch_dtype)
    except (OSError, ValueError) as error:
        raise ModelError(f"the VAE {name} cannot be loaded: {_first_line(error)}") from error


def _load_tokenizer(name: str, revision: str | None) -> CLIPTokenizer:
    folder = Path(name)
    directory = folder / "tokenizer" if (folder / "tokenizer").is_dir() else folder
    try:
        return CLIPTokenizer.from_pretrained(str(directory), revision=revision)
    except (OSError, ValueError) as error:
        raise ModelError(f"the tokenizer {name} cannot be loaded: {_first_line(error)}") from error


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


def vae_factor(pipeline: StableDiffusionPipeline) -> int:
    """Pixels per latent along one side (8 for Stable Diffusion's own)."""
    return int(2 ** (len(pipeline.vae.config.block_out_channels) - 1))


def base_resolution(pipeline: StableDiffusionPipeline) -> int:
    """The side in pixels that the base was made for: `unet.config.sample_size` latents times the VAE's factor."""
    return int(pipeline.unet.config.sample_size) * vae_factor(pipeline)


def resolution_of(pretrained_model_name_or_path: str, revision: str | None = None) -> int:
    """`base_resolution` by the base's configs alone: nothing is loaded, and of a Hub model only these two small files.

    Raises ModelError where they are not to be had.
    """
    unet, vae = (_part_config(pretrained_model_name_or_path, revision, part) for part in ("unet", "vae"))
    try:
        return int(unet["sample_size"] * 2 ** (len(vae["block_out_channels"]) - 1))
    except (KeyError, TypeError) as error:
        raise ModelError(
            f"{pretrained_model_name_or_path}: its configs do not say its resolution."
        ) from error


def _part_config(name: str, revision: str | None, part: str) -> dict[str, Any]:
    try:
        if not Path(name).is_dir():
            file = Path(hf_hub_download(name, f"{part}/config.json", revision=revision))
        else:
            file = Path(name) / part / "config.json"
        config: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(f"{name}: its {part} cannot be looked at: {_first_line(error)}") from error
    return config


def noise_scheduler(pipeline: StableDiffusionPipeline) -> DDPMScheduler:
    """The forward process of training: the base's betas and prediction type, whatever sampler it came with."""
    return DDPMScheduler.from_config(pipeline.scheduler.config)


def fast_scheduler(scheduler: Any) -> DPMSolverMultistepScheduler:
    """A multistep DPM-Solver++ (arXiv 2211.01095) for the same betas and prediction type: 25 steps are enough.

    Stochastic where the base's own scheduler is: the fresh noise of each step mends what a small model gets wrong.
    """
    stochastic = str(scheduler.config.get("algorithm_type", "")).startswith("sde-")
    algorithm_type = "sde-dpmsolver++" if stochastic else "dpmsolver++"
    return DPMSolverMultistepScheduler.from_config(scheduler.config, algorithm_type=algorithm_type)


def tokenize(tokenizer: CLIPTokenizer, prompts: list[str], *, pad_tokens: bool = True) -> Tensor:
    """Token ids, int64 (B, L): L is the tokenizer's `model_max_length`, or the longest prompt's without padding."""
    padding = "max_length" if pad_tokens else "longest"
    tokens = tokenizer(
        prompts, padding=padding, truncation=True, max_length=tokenizer.model_max_length, return_tensors="pt"
    )
    ids: Tensor = tokens.input_ids
    return ids


def encode_prompts(text_encoder: nn.Module, input_ids: Tensor) -> Tensor:
    """The text encoder's last hidden state, (B, L, D), as Stable Diffusion is conditioned on it."""
    embeddings: Tensor = text_encoder(input_ids, return_dict=False)[0]
    return embeddings


def freeze(*modules: nn.Module) -> None:
    """No gradients, evaluation mode."""
    for module in modules:
        module.requires_grad_(False).eval()


def trainable(*modules: nn.Module) -> Iterator[nn.Parameter]:
    """The parameters that the optimizer gets."""
    return (parameter for module in modules for parameter in module.parameters() if parameter.requires_grad)


def add_lora(module: nn.Module, rank: int, dropout: float = 0.0, layers: str = "attention") -> None:
    """Freeze a UNet or text encoder and add a LoRA adapter (arXiv 2106.09685) of `rank` to its attention, in float32.

    With `layers` "all", to every layer of the UNet's blocks.

    alpha equals rank, as in diffusers' scripts, so the adapter's scale is 1. The first factor is drawn from torch's
    global generator, the second is zero: the module's output is unchanged at first.
    """
    freeze(module)
    in_unet = UNET_LORA_TARGETS + (UNET_LORA_OTHERS if layers == "all" else [])
    targets = in_unet if isinstance(module, UNet2DConditionModel) else TEXT_ENCODER_LORA_TARGETS
    config = LoraConfig(
        r=rank, lora_alpha=rank, lora_dropout=dropout, init_lora_weights="gaussian", target_modules=targets
    )
    module.add_adapter(config)  # type: ignore[operator]
    for parameter in trainable(module):
        parameter.data = parameter.data.float()


def lora_state(module: nn.Module) -> dict[str, Tensor]:
    """The adapter's weights under diffusers' names."""
    state: dict[str, Tensor] = convert_state_dict_to_diffusers(get_peft_model_state_dict(module))
    # which diffusers itself only gives the attention's; it reads a file whose names are all of one kind
    return {
        name.replace(".lora_A.", ".lora.down.").replace(".lora_B.", ".lora.up."): weight
        for name, weight in state.items()
    }


def save_lora(directory: Path, unet: nn.Module, text_encoder: nn.Module | None) -> None:
    """Write `pytorch_lora_weights.safetensors`, which `pipe.load_lora_weights(directory)` takes."""
    StableDiffusionLoraLoaderMixin.save_lora_weights(
        str(directory),
        unet_lora_layers=lora_state(unet),
        text_encoder_lora_layers=None if text_encoder is None else lora_state(text_encoder),
        weight_name=LORA_FILE,
        safe_serialization=True,
    )


def load_lora(directory: Path, unet: nn.Module, text_encoder: nn.Module | None) -> None:
    """Put the weights of `save_lora` back into adapters that `add_lora` made."""
    state = load_file(directory / LORA_FILE)
    parts = [("unet.", unet, convert_unet_state_dict_to_peft)]
    if text_encoder is not None:
        parts.append(("text_encoder.", text_encoder, convert_state_dict_to_peft))
    for prefix, module, convert in parts:
        own = {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}
        expected = get_peft_model_state_dict(module)
        loaded = convert(own)
        if any(key not in loaded or loaded[key].shape != expected[key].shape for key in expected):
            raise ModelError(
                f"{directory / LORA_FILE} does not fit this model's {prefix[:-1]} (another rank or base?)"
            )
        set_peft_model_state_dict(module, loaded)


def save_weights(directory: Path, unet: nn.Module, text_encoder: nn.Module | None, *, lora: bool) -> None:
    """The trained weights of a checkpoint: `unet/` (and `text_encoder/`), or the LoRA file."""
    if lora:
        return save_lora(directory, unet, text_encoder)
    unet.save_pretrained(directory / "unet", safe_serialization=True)  # type: ignore[operator]
    if text_encoder is not None:
        text_encoder.save_pretrained(directory / "text_encoder")  # type: ignore[operator]


def load_weights(directory: Path, unet: nn.Module, text_encoder: nn.Module | None, *, lora: bool) -> None:
    """Put the weights of `save_weights` back, in place, each in the dtype that its parameter has."""
    if lora:
        return load_lora(directory, unet, text_encoder)
    _load_part(directory / "unet", unet)
    if text_encoder is not None:
        _load_part(directory / "text_encoder", text_encoder)


def _load_part(directory: Path, module: nn.Module) -> None:
    own = module.state_dict()
    loaded = type(module).from_pretrained(directory, use_safetensors=True).state_dict()  # type: ignore[attr-defined]
    if own.keys() != loaded.keys() or any(own[key].shape != loaded[key].shape for key in own):
        raise ModelError(f"{directory} does not fit this base model's {directory.name}.")
    module.load_state_dict(loaded)


def xformers_works(device: torch.device) -> bool:
    """Whether xformers' attention kernels run on `device`: the package installs on machines where they cannot."""
    try:
        from xformers.ops import memory_efficient_attention  # type: ignore[import-not-found,import-untyped,unused-ignore]

        query = torch.randn(1, 8, 2, 32, device=device, dtype=torch.float16, requires_grad=True)
        memory_efficient_attention(query, query, query).sum().backward()
    except (ImportError, NotImplementedError, RuntimeError, ValueError):
        return False
    return True


def set_attention(unet: UNet2DConditionModel, device: torch.device, *, xformers: bool) -> str:
    """Use xformers' attention if asked for and it runs here, else torch's own. Returns a line for the log."""
    if not xformers:
        return "attention: torch scaled_dot_product_attention"
    if not xformers_works(device):
        return f"attention: xformers has no kernels for {device.type} here; using torch scaled_dot_product_attention"
    unet.enable_xformers_memory_efficient_attention()
    return "attention: xformers memory_efficient_attention"


def enable_gradient_checkpointing(unet: nn.Module, text_encoder: nn.Module | None) -> None:
    """Recompute activations in the backward pass: slower, far less memory."""
    unet.enable_gradient_checkpointing()  # type: ignore[operator]
    if text_encoder is not None:
        text_encoder.activation_checkpointing_enable({"use_reentrant": False})  # type: ignore[operator]


@torch.no_grad()
def probe(pipeline: StableDiffusionPipeline, prompt: str) -> Tensor:
    """The UNet's output for one fixed noise (its seed is 0) and `prompt` at the middle timestep: (1, C, h, w), CPU.

    Two pipelines that answer alike hold the same model, as far as a user can tell.
    """
    unet, config = pipeline.unet, pipeline.unet.config
    shape = (1, config.in_channels, config.sample_size, config.sample_size)
    noise = torch.randn(shape, generator=torch.Generator().manual_seed(0)).to(unet.device, unet.dtype)
    ids = tokenize(pipeline.tokenizer, [prompt]).to(pipeline.text_encoder.device)
    embeddings = encode_prompts(pipeline.text_encoder, ids).to(unet.dtype)
    middle = torch.tensor([pipeline.scheduler.config.num_train_timesteps // 2], device=unet.device)
    output: Tensor = unet(noise, middle, embeddings, return_dict=False)[0]
    return output.float().cpu()


def cast(module: nn.Module, dtype: torch.dtype) -> None:
    """Change the dtype in place. diffusers' own `to` warns of parts to keep in float32 that these models lack."""
    nn.Module.to(module, dtype=dtype)


def free() -> None:
    """Give the memory of models that were let go back: modules and optimizers hold each other in cycles."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
