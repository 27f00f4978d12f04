"""AdamW in three memory sizes, and the learning rate over a run.

bf16 weights have 8 bits of precision: at 5e-6 most of Adam's updates are smaller than half a step of the weight and
are lost. `ResidualAdamW` keeps the other 16 bits beside each weight, so that it is trained exactly as float32 is.
"""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import AdamW, Optimizer
from torch.optim.lr_scheduler import LRScheduler

from trainer.errors import ConfigError

UINT16 = 1 << 16


def split(master: Tensor) -> tuple[Tensor, Tensor]:
    """float32 -> (the nearest bf16, int16 residual of its bits); `join` gives the float32 back, bit for bit."""
    bits = master.view(torch.int32)
    high = (bits + UINT16 // 2) >> 16
    return high.to(torch.int16).view(torch.bfloat16), (bits - (high << 16)).to(torch.int16)


def join(weight: Tensor, residual: Tensor) -> Tensor:
    """The float32 that `split` took apart."""
    assert weight.shape == residual.shape
    return ((weight.view(torch.int16).to(torch.int32) << 16) + residual).view(torch.float32)


class ResidualAdamW(Optimizer):
    """AdamW (arXiv 1711.05101) over bf16 weights, each with a 16-bit residual; float32 moments.

    Takes float32 parameters and makes them bf16 in place. Given the same gradients its masters are, bit for bit, those
    of `torch.optim.AdamW(fused=True)` on float32.
    """

    def __init__(
        self,
        params: Iterable[nn.Parameter],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
    ) -> None:
        super().__init__(params, {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay})
        halve(self)

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """One update of every parameter that has a gradient. `closure` is not supported."""
        assert closure is None
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self._update(parameter, parameter.grad, group)

    def _update(self, parameter: nn.Parameter, grad: Tensor, group: dict[str, Any]) -> None:
        state = self.state[parameter]
        if "step" not in state:
            state["step"] = torch.zeros((), dtype=torch.float32, device=parameter.device)
            state["exp_avg"] = torch.zeros_like(parameter, dtype=torch.float32)
            state["exp_avg_sq"] = torch.zeros_like(parameter, dtype=torch.float32)
        master = join(parameter, state["residual"])
        state["step"] += 1
        torch._fused_adamw_(
            [master],
            [grad.float()],
            [state["exp_avg"]],
            [state["exp_avg_sq"]],
            [],
            [state["step"]],
            lr=group["lr"],
            beta1=group["betas"][0],
            beta2=group["betas"][1],
            weight_decay=group["weight_decay"],
            eps=group["eps"],
            amsgrad=False,
            maximize=False,
        )
        weight, residual = split(master)
        parameter.copy_(weight)
        state["residual"].copy_(residual)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """As torch's, but keeping each state's own dtype, which torch would make the parameter's (bf16)."""
        super().load_state_dict(state_dict)
        parameters = [parameter for group in self.param_groups for parameter in group["params"]]
        for index, state in state_dict["state"].items():
            parameter = parameters[int(index)]
            self.state[parameter] = {name: value.to(parameter.device) for name, value in state.items()}


def residual_adamw_8bit() -> type[Optimizer]:
    """bitsandbytes' 8-bit AdamW over bf16 weights with a 16-bit residual: 8 bytes a weight, gradient included."""
    bnb = _bitsandbytes()

    class ResidualAdamW8bit(bnb.optim.AdamW8bit):  # type: ignore[misc,name-defined]
        def __init__(self, params: Iterable[nn.Parameter], **options: Any) -> None:
            super().__init__(params, **options)
            self.non_castable_tensor_keys.add("residual")
            halve(self)

        @torch.no_grad()
        def update_step(self, group: dict[str, Any], p: nn.Parameter, gindex: int, pindex: int) -> None:
            if (
                "step" not in self.state[p]
            ):  # bitsandbytes does so only for an empty state, and a residual is there
                self.init_state(group, p, gindex, pindex)
            weight, grad, residual = p.data, p.grad, self.state[p]["residual"]
            assert grad is not None
            p.data, p.grad = join(weight, residual), grad.float()
            super().update_step(group, p, gindex, pindex)
            new_weight, new_residual = split(p.data)
            weight.copy_(new_weight)
            residual.copy_(new_residual)
            p.data, p.grad = weight, grad

    return ResidualAdamW8bit


@torch.no_grad()
def halve(optimizer: Optimizer) -> None:
    """Make an optimizer's float32 parameters bf16 in place, their residuals part of its state."""
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            weight, residual = split(parameter.data.float())
            parameter.data = weight
            optimizer.state[parameter]["residual"] = residual


@torch.no_grad()
def restore_masters(optimizer: Optimizer) -> None:
    """The inverse of `halve`: the parameters become float32 again, with all they learnt. Ends the optimizer's use."""
    for parameter, state in optimizer.state.items():
        if "residual" in state:
            parameter.data = join(parameter.data, state.pop("residual"))


def _bitsandbytes() -> Any:
    try:
        import bitsandbytes
    except ImportError as error:
        raise ConfigError(
            f"use_8bit_adam: bitsandbytes cannot be imported ({error}); pip install bitsandbytes, or leave it out"
        ) from error
    return bitsandbytes


def create_optimizer(
    parameters: Iterable[nn.Parameter],
    *others: tuple[Iterable[nn.Parameter], float],
    learning_rate: float,
    betas: tuple[float, float],
    weight_decay: float,
    epsilon: float,
    use_8bit_adam: bool,
    bf16_weights: bool,
) -> Optimizer:
    """AdamW: torch's fused one, or bitsandbytes' 8-bit one; with `bf16_weights` the parameters become bf16 + residual.

    `others`: further parameters, each with a peak learning rate of their own.
    Raises ConfigError where bitsandbytes is asked for and missing.
    """
    kind: Callable[..., Optimizer]
    options: dict[str, Any] = {
        "lr": learning_rate,
        "betas": betas,
        "eps": epsilon,
        "weight_decay": weight_decay,
    }
    if use_8bit_adam:
        kind = residual_adamw_8bit() if bf16_weights else _bitsandbytes().optim.AdamW8bit
    elif bf16_weights:
        kind = ResidualAdamW
    else:
        kind, options["fused"] = AdamW, True
    groups: list[dict[str, Any]] = [{"params": list(parameters)}]
    groups += [{"params": list(some), "lr": rate} for some, rate in others]
    return kind(groups, **options)


def peak_learning_rate(
    learning_rate: float,
    *,
    scale_lr: bool,
    train_batch_size: int,
    gradient_accumulation_steps: int,
    processes: int,
) -> float:
    """`learning_rate`, or with `scale_lr` that times the examples behind one update (instance images only)."""
    examples = train_batch_size * gradient_accumulation_steps * processes
    return learning_rate * examples if scale_lr else learning_rate


def create_lr_scheduler(
    optimizer: Optimizer, name: str, *, warmup_steps: int, training_steps: int, num_cycles: int, power: float
) -> LRScheduler:
    """diffusers' schedule of that name. Stepped once per optimizer step: all counts are optimizer steps, whatever
    the number of processes and of accumulated batches."""
    from diffusers.optimization import get_scheduler

    scheduler: LRScheduler = get_scheduler(
        name,
        optimizer=optimizer,
        num_warmup_steps=warmup_steps,
        num_training_steps=training_steps,
        num_cycles=num_cycles,
        power=power,
    )
    return scheduler
