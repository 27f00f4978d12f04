"""Every setting once: its name (diffusers' own), default, range, unit and help.

The command line, `dreambooth.json` and the app are all built from these fields. Importing this needs neither torch
nor diffusers. Defaults are those of diffusers' `train_dreambooth.py` and `train_dreambooth_lora.py` unless the help
says otherwise.
"""

from pathlib import Path
from typing import Any, Literal, Self

from pydantic import model_validator

from trainer.errors import ConfigError
from trainer.fields import Settings, field, validated

MAX_PROMPT_CHARACTERS = 2000  # CLIP reads 77 tokens; this only stops what is no prompt at all
MAX_SEED = 2**32 - 1  # numpy's generators take no larger one
Scheduler = Literal["dpm++", "unipc", "ddim", "pndm", "euler", "euler_a"]


class Concept(Settings):
    """One subject: its photos, its prompt, and the class it belongs to."""

    instance_data_dir: str = field(..., "data", "folder with the photos of the subject", min_length=1)
    instance_prompt: str = field(
        ...,
        "data",
        "prompt naming the subject by a unique identifier and its class noun, as in 'a photo of sks dog'",
        min_length=1,
        max_length=MAX_PROMPT_CHARACTERS,
    )
    class_data_dir: str | None = field(
        None,
        "prior preservation",
        "folder of class images; where there are too few, the base model adds its own",
    )
    class_prompt: str | None = field(
        None,
        "prior preservation",
        "prompt naming the class alone, as in 'a photo of a dog'",
        max_length=MAX_PROMPT_CHARACTERS,
    )


def _learning_rate(data: dict[str, Any]) -> float:
    """diffusers' own: `train_dreambooth.py` has 5e-6, `train_dreambooth_lora.py` 5e-4."""
    return 5e-4 if data.get("method") == "lora" else 5e-6


class TrainingConfig(Settings):
    """What is asked of one training run. Frozen: derived values belong into locals of whoever derives them."""

    method: Literal["full", "lora"] = field(
        "full", "model", "fine-tune all weights, or train a small LoRA beside them"
    )
    pretrained_model_name_or_path: str = field(
        "examples/toybox",
        "model",
        "base model: a folder in diffusers' format, or a name on the Hub",
        min_length=1,
    )
    pretrained_vae_name_or_path: str | None = field(
        None, "model", "another autoencoder than the base model's own"
    )
    revision: str | None = field(None, "model", "branch, tag or commit of the base model on the Hub")
    variant: str | None = field(None, "model", "variant of the base model's files, as in fp16")
    tokenizer_name: str | None = field(None, "model", "another tokenizer than the base model's own")
    rank: int = field(4, "model", "rank of the LoRA matrices (method lora)", ge=1, le=1024)
    lora_dropout: float = field(0.0, "model", "dropout before the LoRA matrices (method lora)", ge=0, lt=1)
    lora_layers: Literal["attention", "all"] = field(
        "attention",
        "model",
        "what LoRA trains in the UNet: its blocks' attention, as diffusers' scripts do, or all their layers; convolutions"
        " hold pattern and texture, and make the file several times as large (method lora)",
    )
    train_text_encoder: bool = field(False, "model", "train the text encoder too, instead of the UNet alone")

    instance_data_dir: str | None = field(None, "data", "folder with the photos of the subject; required")
    instance_prompt: str | None = field(
        None,
        "data",
        "prompt naming the subject by a unique identifier and its class noun, as in 'a photo of sks dog'; required",
        max_length=MAX_PROMPT_CHARACTERS,
    )
    concepts_list: tuple[Concept, ...] = field(
        (),
        "data",
        "several subjects at once: a JSON list of objects with the instance_* and class_* settings",
    )
    read_prompts_from_txts: bool = field(
        False, "data", "take each photo's prompt from the file beside it (photo.png.txt or photo.txt)"
    )
    resolution: int | None = field(
        None,
        "data",
        "side of the square photos are cut to; the base model's own where not given (diffusers: 512)",
        unit="px",
        ge=32,
        le=2048,
        multiple_of=8,
    )
    center_crop: bool = field(False, "data", "cut from the centre, instead of at random")
    hflip: bool = field(False, "data", "mirror half of the photos; not for subjects with writing on them")
    pad_tokens: bool = field(
        True,
        "data",
        "pad prompts to the encoder's length, as diffusers does, and as images are made (the fork: off)",
    )

    with_prior_preservation: bool = field(
        False,
        "prior preservation",
        "keep the class: learn on images of it made by the base model, beside the photos",
    )
    prior_loss_weight: float = field(
        1.0, "prior preservation", "weight of the class images' loss", ge=0, le=100
    )
    class_data_dir: str | None = field(
        None,
        "prior preservation",
        "folder of class images; where there are too few, the base model adds its own. Where not given, a shared"
        " folder keyed by base model and prompt",
    )
    class_prompt: str | None = field(
        None,
        "prior preservation",
        "prompt naming the class alone, as in 'a photo of a dog'; required with with_prior_preservation",
        max_length=MAX_PROMPT_CHARACTERS,
    )
    num_class_images: int = field(100, "prior preservation", "class images to learn on", ge=1, le=100_000)
    class_guidance_scale: float = field(
        7.5,
        "prior preservation",
        "guidance that class images are made with; a small or weak base keeps its class better with less",
        ge=1,
        le=30,
    )
    sample_batch_size: int = field(4, "prior preservation", "class images made at once", ge=1, le=256)

    max_train_steps: int | None = field(
        None,
        "training",
        "optimizer steps; worked out from num_train_epochs where not given",
        ge=1,
        le=1_000_000,
    )
    num_train_epochs: int = field(
        1, "training", "passes over the photos, where max_train_steps is not given", ge=1, le=100_000
    )
    train_batch_size: int = field(4, "training", "photos a step, on each device", ge=1, le=256)
    gradient_accumulation_steps: int = field(
        1, "training", "batches summed up for one optimizer step", ge=1, le=1024
    )
    learning_rate: float = field(
        _learning_rate,
        "training",
        "peak learning rate; 5e-6 where not given, 5e-4 with method lora",
        gt=0,
        le=1,
    )
    text_encoder_lr: float | None = field(
        None,
        "training",
        "the text encoder's own peak learning rate; learning_rate where not given",
        gt=0,
        le=1,
    )
    scale_lr: bool = field(
        False,
        "training",
        "multiply the learning rates by devices, gradient_accumulation_steps and train_batch_size",
    )
    lr_scheduler: Literal[
        "constant", "constant_with_warmup", "linear", "cosine", "cosine_with_restarts", "polynomial"
    ] = field("constant", "training", "how the learning rate moves over the run")
    lr_warmup_steps: int = field(
        500,
        "training",
        "steps until the peak learning rate (not with constant)",
        unit="steps",
        ge=0,
        le=1_000_000,
    )
    lr_num_cycles: int = field(1, "training", "restarts of cosine_with_restarts", ge=1, le=1000)
    lr_power: float = field(1.0, "training", "power of polynomial", gt=0, le=100)
    snr_gamma: float | None = field(
        None, "training", "min-SNR weighting of the loss; 5.0 is usual", gt=0, le=1000
    )
    vary_wording: bool = field(
        False,
        "training",
        "tell half of the time without its medium what each picture shows: 'a sks dog' for 'a photo of a sks dog'",
    )
    offset_noise: bool = field(
        False, "training", "add to the noise a shift per channel, for very dark and bright pictures"
    )
    seed: int = field(
        0,
        "training",
        "the same seed gives the same weights (diffusers: none, a new one each run)",
        ge=0,
        le=MAX_SEED,
    )

    use_8bit_adam: bool = field(False, "optimizer", "AdamW with 8-bit states (bitsandbytes)")
    adam_beta1: float = field(0.9, "optimizer", "decay of AdamW's mean gradient", ge=0, lt=1)
    adam_beta2: float = field(0.999, "optimizer", "decay of AdamW's mean squared gradient", ge=0, lt=1)
    adam_weight_decay: float = field(1e-2, "optimizer", "AdamW's weight decay", ge=0, le=1)
    adam_epsilon: float = field(1e-8, "optimizer", "AdamW's epsilon", gt=0, le=1)
    max_grad_norm: float = field(
        1.0, "optimizer", "gradients longer than this are shortened to it", gt=0, le=1e6
    )
    set_grads_to_none: bool = field(
        False, "optimizer", "taken for diffusers' sake: gradients are dropped between steps either way"
    )

    mixed_precision: Literal["no", "fp16", "bf16"] = field(
        "no",
        "memory and speed",
        "precision of the arithmetic; where not given, what accelerate launch was told, or no",
    )
    gradient_checkpointing: bool = field(False, "memory and speed", "less memory for slower steps")
    enable_xformers_memory_efficient_attention: bool = field(
        False, "memory and speed", "attention by xformers where its kernels run, by torch elsewhere"
    )
    allow_tf32: bool = field(False, "memory and speed", "TF32 matrix products on Ampere and later GPUs")
    cache_latents: bool = field(
        True,
        "memory and speed",
        "encode each photo once, before the first step (diffusers: every step)",
        inverse_names=("not_cache_latents",),
    )

    validation_prompt: str | None = field(
        None,
        "previews",
        "prompt of the previews in samples/; no previews where not given",
        names=("save_sample_prompt",),
        max_length=MAX_PROMPT_CHARACTERS,
    )
    validation_negative_prompt: str | None = field(
        None,
        "previews",
        "what the previews should not show",
        names=("save_sample_negative_prompt",),
        max_length=MAX_PROMPT_CHARACTERS,
    )
    num_validation_images: int = field(
        4, "previews", "previews each time", names=("n_save_sample",), ge=1, le=64
    )
    validation_steps: int = field(100, "previews", "steps between previews", unit="steps", ge=1, le=1_000_000)
    validation_epochs: int | None = field(
        None,
        "previews",
        "passes over the photos between previews, instead of validation_steps",
        ge=1,
        le=100_000,
    )
    validation_min_steps: int = field(
        0,
        "previews",
        "no previews before this step",
        unit="steps",
        names=("save_min_steps",),
        ge=0,
        le=1_000_000,
    )
    validation_guidance_scale: float = field(
        7.5,
        "previews",
        "how strictly previews follow the prompt",
        names=("save_guidance_scale",),
        ge=0,
        le=100,
    )
    validation_num_inference_steps: int = field(
        25,
        "previews",
        "denoising steps of a preview",
        unit="steps",
        names=("save_infer_steps",),
        ge=1,
        le=1000,
    )

    keep: Literal["best", "last"] = field(
        "best",
        "evaluation",
        "which checkpoint becomes the concept: the one judged best, or the last; the last where nothing can judge",
    )
    evaluation_encoder: str | None = field(
        None,
        "evaluation",
        "CLIP that judges checkpoints, a folder or a name on the Hub; where not given the base's own, if it has a clip"
        " folder",
        min_length=1,
    )
    subject_encoder: str | None = field(
        None,
        "evaluation",
        "vision transformer by which likeness is told (DINO), a folder or a name on the Hub; where not given"
        " the base's own, if it has a subject_encoder folder, else the CLIP",
        min_length=1,
    )

    output_dir: str = field("dreambooth-model", "output", "folder of the finished concept", min_length=1)
    checkpointing_steps: int = field(
        500, "output", "steps between checkpoints", unit="steps", ge=1, le=1_000_000
    )
    checkpoints_total_limit: int | None = field(
        None, "output", "checkpoints kept, the newest ones; all where not given", ge=1, le=10_000
    )
    resume_from_checkpoint: str | None = field(
        None, "output", "checkpoint to go on from: a name as checkpoint-500, or latest"
    )
    log_interval: int = field(
        10, "output", "steps between lines in the log", unit="steps", ge=1, le=1_000_000
    )
    report_to: Literal["tensorboard", "none"] = field(
        "tensorboard", "output", "who else gets the loss, beside events.jsonl"
    )
    logging_dir: str = field(
        "logs", "output", "folder of tensorboard's files, inside output_dir", min_length=1
    )

    @property
    def concepts(self) -> tuple[Concept, ...]:
        """The subjects: `concepts_list`, or the single one made of the four settings."""
        if self.concepts_list:
            return self.concepts_list
        assert self.instance_data_dir is not None  # _whole has seen to it
        assert self.instance_prompt is not None
        return (
            Concept(
                instance_data_dir=self.instance_data_dir,
                instance_prompt=self.instance_prompt,
                class_data_dir=self.class_data_dir,
                class_prompt=self.class_prompt,
            ),
        )

    @model_validator(mode="after")
    def _whole(self) -> Self:
        wrong = []
        if not self.concepts_list:
            for name in ("instance_data_dir", "instance_prompt"):
                if not getattr(self, name):
                    wrong.append(f"{name}: required: {Concept.model_fields[name].description}")
        if self.with_prior_preservation:
            prompts = [concept.class_prompt for concept in self.concepts_list] or [self.class_prompt]
            for index, prompt in enumerate(prompts):
                name = f"concepts_list[{index}].class_prompt" if self.concepts_list else "class_prompt"
                if not prompt:
                    wrong.append(f"{name}: required with with_prior_preservation, as in 'a photo of a dog'")
        if wrong:
            raise ValueError("\n".join(wrong))
        return self


class GenerationConfig(Settings):
    """What is asked of one call of `generate`."""

    concept: str = field(
        ..., "concept", "folder of a finished concept (the --output_dir of train)", min_length=1
    )
    prompt: str = field(..., "images", "what the images show", min_length=1, max_length=MAX_PROMPT_CHARACTERS)
    negative_prompt: str = field(
        "", "images", "what the images should not show", max_length=MAX_PROMPT_CHARACTERS
    )
    num_samples: int = field(4, "images", "number of images", ge=1, le=1000)
    guidance_scale: float = field(7.5, "images", "how strictly the images follow the prompt", ge=0, le=100)
    num_inference_steps: int = field(25, "images", "denoising steps", unit="steps", ge=1, le=1000)
    seed: int = field(0, "images", "the same seed gives the same images", ge=0, le=MAX_SEED)
    height: int | None = field(
        None, "images", "the base model's own where not given", unit="px", ge=8, le=2048, multiple_of=8
    )
    width: int | None = field(
        None, "images", "the base model's own where not given", unit="px", ge=8, le=2048, multiple_of=8
    )
    scheduler: Scheduler = field(
        "dpm++", "images", "sampler; dpm++ is stochastic where the base's own scheduler is"
    )
    output_dir: str = field("generated", "output", "folder the images are written to", min_length=1)


def training_config(**values: Any) -> TrainingConfig:
    """Raises ConfigError with one line for each wrong setting: its name, its value, what it takes."""
    return validated(TrainingConfig, values)


def generation_config(**values: Any) -> GenerationConfig:
    """Raises ConfigError with one line for each wrong setting: its name, its value, what it takes."""
    return validated(GenerationConfig, values)


def check_instance_data(config: TrainingConfig) -> None:
    """Raises ConfigError, naming the folder, unless every subject's folder exists and holds a file."""
    for concept in config.concepts:
        directory = Path(concept.instance_data_dir)
        if not directory.is_dir():
            raise ConfigError(
                f"instance_data_dir: there is no folder {directory}; give the one with the photos"
            )
        if not any(path.is_file() and not path.name.startswith(".") for path in directory.iterdir()):
            raise ConfigError(
                f"instance_data_dir: {directory} is empty; put at least one photo there, better 4 to 20"
            )


def advice(config: TrainingConfig) -> list[str]:
    """What is allowed but probably not meant, one sentence each."""
    found = []
    single = [name for name in Concept.model_fields if getattr(config, name) is not None]
    if config.concepts_list and single:
        found.append(f"{', '.join(single)}: not used, concepts_list is given")
    if not config.with_prior_preservation and any(
        c.class_prompt or c.class_data_dir for c in config.concepts
    ):
        found.append("class_prompt, class_data_dir: not used without with_prior_preservation")
    for concept in config.concepts:
        words = set(concept.instance_prompt.lower().split())
        if concept.class_prompt and words <= set(concept.class_prompt.lower().split()):
            found.append(
                f"instance_prompt: {concept.instance_prompt!r} has no identifier of its own, as sks in"
                " 'a photo of sks dog'; the subject would replace its whole class"
            )
    of_lora = ("rank", "lora_dropout", "lora_layers")
    if config.method == "full" and any(
        getattr(config, name) != TrainingConfig.model_fields[name].default for name in of_lora
    ):
        found.append(f"{', '.join(of_lora)}: not used with method full")
    if config.text_encoder_lr is not None and not config.train_text_encoder:
        found.append("text_encoder_lr: not used without train_text_encoder")
    if config.lr_scheduler != "constant" and config.lr_warmup_steps >= (config.max_train_steps or 10**9):
        found.append(
            f"lr_warmup_steps: {config.lr_warmup_steps} is no less than max_train_steps, so the learning rate"
            " never gets to its peak"
        )
    return found
