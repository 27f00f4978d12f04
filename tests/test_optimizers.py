"""bf16 with a residual learns what float32 learns; 8-bit runs here; schedules count optimizer steps."""

import copy
import sys
from collections.abc import Callable
from typing import Any

import pytest
import torch
from pytest import approx
from torch import Tensor, nn

from trainer import optimizers
from trainer.errors import ConfigError

RATE = 5e-6  # DreamBooth's
DECAY: dict[str, Any] = {"weight_decay": 1e-2}


def weights(size: int = 5000) -> nn.Parameter:
    return nn.Parameter(torch.randn(size, generator=torch.Generator().manual_seed(1)) * 0.05)


def gradients(steps: int, size: int = 5000) -> list[Tensor]:
    generator = torch.Generator().manual_seed(2)
    return [torch.randn(size, generator=generator).bfloat16() for _ in range(steps)]


def run(parameter: nn.Parameter, optimizer: torch.optim.Optimizer, steps: list[Tensor]) -> None:
    for gradient in steps:
        parameter.grad = gradient.to(parameter.dtype)
        optimizer.step()


def test_split_and_join_lose_nothing() -> None:
    values = torch.cat([torch.randn(10000) * 10.0**power for power in range(-30, 30, 7)])
    values = torch.cat([values, torch.tensor([0.0, -0.0, 1.0, -1.0, 1e-40, float("inf")])])
    weight, residual = optimizers.split(values)
    assert torch.equal(optimizers.join(weight, residual), values)
    nearest = (weight.float() - values).abs() <= (values.bfloat16().float() - values).abs()
    assert nearest[values.isfinite()].all()


def test_bf16_with_residual_is_float32_bit_for_bit() -> None:
    steps = gradients(60)
    exact, halved = weights(), weights()
    start = exact.detach().clone()
    run(exact, torch.optim.AdamW([exact], lr=RATE, fused=True, **DECAY), steps)
    optimizer = optimizers.ResidualAdamW([halved], lr=RATE, **DECAY)
    assert halved.dtype == torch.bfloat16
    run(halved, optimizer, steps)
    optimizers.restore_masters(optimizer)
    assert torch.equal(halved.detach(), exact.detach())
    assert (halved != start).all()


def test_plain_bf16_stalls_where_the_residual_does_not() -> None:
    plain = nn.Parameter(weights().detach().bfloat16())
    start = plain.detach().clone()
    run(plain, torch.optim.AdamW([plain], lr=RATE, fused=True), gradients(1))
    assert (plain != start).float().mean() < 0.2


def test_residual_state_survives_a_round_trip() -> None:
    steps = gradients(6)
    straight, cut = weights(), weights()
    first = optimizers.ResidualAdamW([straight], lr=RATE)
    run(straight, first, steps)
    second = optimizers.ResidualAdamW([cut], lr=RATE)
    run(cut, second, steps[:3])
    state = copy.deepcopy(second.state_dict())
    resumed = nn.Parameter(cut.detach().float())
    third = optimizers.ResidualAdamW([resumed], lr=RATE)
    resumed.data.copy_(cut.detach())
    third.load_state_dict(state)
    assert third.state[resumed]["residual"].dtype == torch.int16
    assert third.state[resumed]["exp_avg"].dtype == torch.float32
    run(resumed, third, steps[3:])
    for optimizer in (first, third):
        optimizers.restore_masters(optimizer)
    assert torch.equal(resumed.detach(), straight.detach())


def test_eight_bit_runs_on_this_machine_and_follows_float32() -> None:
    steps = gradients(40)
    exact, small = weights(), weights()
    start = exact.detach().clone()
    run(exact, torch.optim.AdamW([exact], lr=1e-3, fused=True), steps)
    optimizer = make(lambda: [small], use_8bit_adam=True, learning_rate=1e-3)
    run(small, optimizer, steps)
    assert optimizer.state[small]["state1"].dtype == torch.uint8
    moved = (small - exact).norm() / (exact - start).norm()
    assert moved < 0.1


def test_eight_bit_with_residual_is_eight_bit_on_float32() -> None:
    steps = gradients(20)
    exact, halved = weights(), weights()
    run(exact, make(lambda: [exact], use_8bit_adam=True), steps)
    optimizer = make(lambda: [halved], use_8bit_adam=True, bf16_weights=True)
    run(halved, optimizer, steps)
    assert halved.dtype == torch.bfloat16
    optimizers.restore_masters(optimizer)
    assert torch.equal(halved.detach(), exact.detach())


def make(parameters: Callable[[], list[nn.Parameter]], **options: Any) -> torch.optim.Optimizer:
    defaults: dict[str, Any] = {
        "learning_rate": RATE,
        "betas": (0.9, 0.999),
        "weight_decay": 1e-2,
        "epsilon": 1e-8,
        "use_8bit_adam": False,
        "bf16_weights": False,
    }
    return optimizers.create_optimizer(parameters(), **(defaults | options))


def test_create_optimizer_is_fused_with_the_settings_given() -> None:
    optimizer = make(lambda: [weights(4)], betas=(0.8, 0.9), weight_decay=0.5, epsilon=1e-6)
    group = optimizer.param_groups[0]
    assert group["fused"] is True
    assert (group["lr"], group["betas"], group["weight_decay"], group["eps"]) == (RATE, (0.8, 0.9), 0.5, 1e-6)


@pytest.mark.parametrize("options", [{}, {"use_8bit_adam": True}, {"bf16_weights": True}])
def test_others_have_a_learning_rate_of_their_own(options: dict[str, Any]) -> None:
    """Adam's first update is the learning rate, whatever the gradient."""
    slow, fast = nn.Parameter(torch.zeros(4)), nn.Parameter(torch.zeros(4))
    optimizer = optimizers.create_optimizer(
        [fast],
        ([slow], 1e-4),
        **{
            "learning_rate": 1e-2,
            "betas": (0.9, 0.999),
            "weight_decay": 0.0,
            "epsilon": 1e-8,
            "use_8bit_adam": False,
            "bf16_weights": False,
            **options,
        },
    )
    slow.grad, fast.grad = torch.ones_like(slow), torch.ones_like(fast)
    optimizer.step()
    assert fast.detach().float().numpy() == approx(-1e-2, rel=1e-2)
    assert slow.detach().float().numpy() == approx(-1e-4, rel=1e-2)


def test_missing_bitsandbytes_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "bitsandbytes", None)
    with pytest.raises(ConfigError, match="pip install bitsandbytes"):
        make(lambda: [weights(4)], use_8bit_adam=True)


def test_peak_learning_rate() -> None:
    sizes = {"train_batch_size": 2, "gradient_accumulation_steps": 3, "processes": 4}
    assert optimizers.peak_learning_rate(1e-6, scale_lr=False, **sizes) == 1e-6
    assert optimizers.peak_learning_rate(1e-6, scale_lr=True, **sizes) == approx(24e-6)


def rates(name: str, warmup_steps: int, training_steps: int) -> list[float]:
    optimizer = make(lambda: [weights(4)], learning_rate=1.0)
    scheduler = optimizers.create_lr_scheduler(
        optimizer, name, warmup_steps=warmup_steps, training_steps=training_steps, num_cycles=1, power=1.0
    )
    found = []
    for _ in range(training_steps):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return found


def test_schedules_by_hand() -> None:
    assert rates("constant", 2, 3) == [1.0, 1.0, 1.0]
    assert rates("constant_with_warmup", 2, 4) == [0.0, 0.5, 1.0, 1.0]
    assert rates("linear", 2, 6) == approx([0.0, 0.5, 1.0, 0.75, 0.5, 0.25])
    assert rates("cosine", 0, 4) == approx([1.0, 0.853553, 0.5, 0.146447], abs=1e-6)
