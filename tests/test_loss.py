"""The loss against values worked out by hand, and against diffusers' own schedule."""

import pytest
import torch
from diffusers import DDPMScheduler
from pytest import approx

from trainer import loss

# alphas_cumprod with round signal-to-noise ratios: 9, 1, 1/4, 0
BARS = torch.tensor([0.9, 0.5, 0.2, 0.0])
STEPS = torch.arange(4)


def test_snr_by_hand() -> None:
    assert loss.snr(BARS, STEPS).tolist() == approx([9.0, 1.0, 0.25, 0.0])


@pytest.mark.parametrize(
    ("prediction_type", "expected"),
    [
        ("epsilon", [5 / 9, 1.0, 1.0, 1.0]),
        ("v_prediction", [5 / 10, 1 / 2, 0.25 / 1.25, 0.0]),
        ("sample", [5.0, 1.0, 0.25, 0.0]),
    ],
)
def test_min_snr_weights_by_hand(prediction_type: str, expected: list[float]) -> None:
    weights = loss.min_snr_weights(loss.snr(BARS, STEPS), 5.0, prediction_type)
    assert weights.tolist() == approx(expected)


def test_min_snr_meets_prior_preservation_by_hand() -> None:
    """Weights apply to each of the 2N examples, then instance and class are averaged apart.

    Losses 2, 4 (instance) and 6, 8 (class), epsilon, gamma 5, snr 9, 1, 1/4, 9: weights 5/9, 1, 1, 5/9.
    Instance (2*5/9 + 4*1) / 2 = 23/9, class (6*1 + 8*5/9) / 2 = 47/9, with prior_loss_weight 0.5: 46.5/9.
    """
    losses = torch.tensor([2.0, 4.0, 6.0, 8.0])
    weights = loss.min_snr_weights(loss.snr(BARS, torch.tensor([0, 1, 2, 0])), 5.0, "epsilon")
    is_prior = torch.tensor([False, False, True, True])
    assert loss.dreambooth_loss(losses, weights, is_prior, 0.5).item() == approx(46.5 / 9)


def test_n_losses_must_meet_n_weights() -> None:
    losses, is_prior = torch.ones(2), torch.tensor([False, True])
    with pytest.raises(AssertionError):
        loss.dreambooth_loss(losses, torch.ones(4), is_prior, 1.0)


def test_without_class_images_it_is_the_mean() -> None:
    losses, is_prior = torch.tensor([1.0, 3.0]), torch.tensor([False, False])
    assert loss.dreambooth_loss(losses, None, is_prior, 7.0).item() == 2.0


def test_order_of_examples_does_not_matter() -> None:
    losses, is_prior = torch.tensor([6.0, 2.0, 4.0, 8.0]), torch.tensor([True, False, False, True])
    assert loss.dreambooth_loss(losses, None, is_prior, 0.5).item() == approx(3 + 0.5 * 7)


def test_example_losses_are_means_over_each_example() -> None:
    prediction = torch.tensor([[1.0, 2.0], [0.0, 0.0]]).reshape(2, 2, 1, 1)
    assert loss.example_losses(prediction, torch.zeros(2, 2, 1, 1)).tolist() == [2.5, 0.0]
    assert loss.example_losses(prediction.bfloat16(), torch.zeros(2, 2, 1, 1)).dtype == torch.float32


@pytest.mark.parametrize("prediction_type", ["epsilon", "v_prediction"])
def test_forward_process_and_target_are_diffusers(prediction_type: str) -> None:
    scheduler = DDPMScheduler(
        beta_schedule="scaled_linear", beta_start=0.00085, beta_end=0.012, prediction_type=prediction_type
    )
    latents, noise = torch.randn(3, 4, 5, 5), torch.randn(3, 4, 5, 5)
    timesteps = torch.tensor([0, 500, 999])
    noisy = loss.noisy_latents(latents, noise, scheduler.alphas_cumprod, timesteps)
    torch.testing.assert_close(noisy, scheduler.add_noise(latents, noise, timesteps))
    wanted = noise if prediction_type == "epsilon" else scheduler.get_velocity(latents, noise, timesteps)
    found = loss.target(prediction_type, latents, noise, scheduler.alphas_cumprod, timesteps)
    torch.testing.assert_close(found, wanted)


def test_sample_target_and_unknown_types() -> None:
    latents, noise = torch.zeros(1, 1, 1, 1), torch.ones(1, 1, 1, 1)
    assert loss.target("sample", latents, noise, BARS, torch.tensor([1])) is latents
    with pytest.raises(ValueError, match="flow"):
        loss.target("flow", latents, noise, BARS, torch.tensor([1]))
    with pytest.raises(ValueError, match="flow"):
        loss.min_snr_weights(torch.ones(1), 5.0, "flow")
