"""What is trained and what trains it: modules, optimizer, schedule; and their state in a checkpoint."""

from pathlib import Path
from typing import Any

import torch
from diffusers import UNet2DConditionModel
from torch import nn

from trainer import checkpoint, models, optimizers
from trainer.config import TrainingConfig

DTYPES = {"no": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}


def bf16_weights(config: TrainingConfig) -> bool:
    """Whether the trained weights are bf16 themselves (with residuals), and so need no autocast."""
    return config.mixed_precision == "bf16" and config.method == "full"


class Learner:
    """The UNet (and the text encoder, or None where it is frozen) made trainable, with optimizer and schedule.

    Full: float32 weights, or bf16 with residuals. LoRA: float32 adapters on a frozen base of `mixed_precision`.
    """

    def __init__(
        self,
        config: TrainingConfig,
        unet: UNet2DConditionModel,
        text_encoder: nn.Module | None,
        *,
        processes: int,
        training_steps: int,
    ) -> None:
        self.config, self.unet, self.text_encoder = config, unet, text_encoder
        self.lora = config.method == "lora"
        self.modules: list[nn.Module] = [unet] if text_encoder is None else [unet, text_encoder]
        # What the UNet is fed in: autocast takes float32 where the weights are float32.
        self.dtype = DTYPES[config.mixed_precision] if self.lora or bf16_weights(config) else torch.float32
        for module in self.modules:
            if self.lora:
                models.cast(module, self.dtype)
                models.add_lora(module, config.rank, config.lora_dropout, config.lora_layers)
            else:
                module.requires_grad_(True)
            module.train()
        self.attention = models.set_attention(
            unet, unet.device, xformers=config.enable_xformers_memory_efficient_attention
        )
        if config.gradient_checkpointing:
            models.enable_gradient_checkpointing(unet, text_encoder)
        self.parameters = list(models.trainable(*self.modules))
        unet_lr, text_encoder_lr = (
            optimizers.peak_learning_rate(
                rate,
                scale_lr=config.scale_lr,
                train_batch_size=config.train_batch_size,
                gradient_accumulation_steps=config.gradient_accumulation_steps,
                processes=processes,
            )
            for rate in (config.learning_rate, config.text_encoder_lr or config.learning_rate)
        )
        own = (
            [] if text_encoder is None or text_encoder_lr == unet_lr else list(models.trainable(text_encoder))
        )
        self.optimizer = optimizers.create_optimizer(
            self.parameters[: len(self.parameters) - len(own)],
            *([(own, text_encoder_lr)] if own else []),
            learning_rate=unet_lr,
            betas=(config.adam_beta1, config.adam_beta2),
            weight_decay=config.adam_weight_decay,
            epsilon=config.adam_epsilon,
            use_8bit_adam=config.use_8bit_adam,
            bf16_weights=bf16_weights(config),
        )
        self.lr_scheduler = optimizers.create_lr_scheduler(
            self.optimizer,
            config.lr_scheduler,
            warmup_steps=config.lr_warmup_steps,
            training_steps=training_steps,
            num_cycles=config.lr_num_cycles,
            power=config.lr_power,
        )

    def save(self, directory: Path, more: dict[str, Any]) -> None:
        """Write trained weights and state, with `more` state of others, into a checkpoint's side folder."""
        models.save_weights(directory, self.unet, self.text_encoder, lora=self.lora)
        own = {"optimizer": self.optimizer.state_dict(), "lr_scheduler": self.lr_scheduler.state_dict()}
        checkpoint.write_state(directory, own | {"random": checkpoint.random_state()} | more)

    def load(self, directory: Path) -> dict[str, Any]:
        """Put back what `save` wrote, the global random generators too; returns the state of others.

        Before the modules are wrapped for several processes.
        """
        models.load_weights(directory, self.unet, self.text_encoder, lora=self.lora)
        state: dict[str, Any] = checkpoint.read_state(directory)
        self.optimizer.load_state_dict(state.pop("optimizer"))
        self.lr_scheduler.load_state_dict(state.pop("lr_scheduler"))
        checkpoint.set_random_state(state.pop("random"))
        return state
