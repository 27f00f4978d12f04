"""A head start for the autoencoder: its convolutions alone, without norms, activations and residual branches, are a
linear autoencoder, which learns in two minutes what the whole takes an hour to find. Its weights are then put into the
whole in such a way that the whole computes the same; training goes on from there.

Group norm would take away brightness and contrast, and SiLU bends. So features stand before the last norm as f, -f and
constants: the constants dominate the variance, which makes the norm a division by a known number, and
silu(x) - silu(-x) = x makes the activation straight.
"""

from collections.abc import Callable

import torch
from diffusers import AutoencoderKL
from diffusers.models.resnet import ResnetBlock2D
from torch import Tensor, nn
from torch.nn import functional as F

ANCHOR = 3.0


class Linear(nn.Module):
    """The skeleton: (B, 3, H, W) to latents (B, C, H/4, W/4) and back."""

    def __init__(self, widths: tuple[int, int, int], latent_channels: int) -> None:
        super().__init__()
        a, b, c = widths
        self.inner, self.outer = (
            c // 4,
            a // 3,
        )  # features before the last norm of the encoder, of the decoder
        self.down = nn.ModuleList(
            [
                nn.Conv2d(3, a, 3, padding=1),
                nn.Conv2d(a, a, 3, stride=2),
                nn.Conv2d(a, b, 1),
                nn.Conv2d(b, b, 3, stride=2),
                nn.Conv2d(b, self.inner, 1),
                nn.Conv2d(self.inner, latent_channels, 3, padding=1),
            ]
        )
        self.up = nn.ModuleList(
            [
                nn.Conv2d(latent_channels, c, 3, padding=1),
                nn.Conv2d(c, c, 3, padding=1),
                nn.Conv2d(c, b, 1),
                nn.Conv2d(b, b, 3, padding=1),
                nn.Conv2d(b, self.outer, 1),
                nn.Conv2d(self.outer, 3, 3, padding=1),
            ]
        )

    def encode(self, x: Tensor) -> Tensor:
        for conv in self.down:
            x = conv(
                F.pad(x, (0, 1, 0, 1)) if conv.stride == (2, 2) else x
            )  # as diffusers' Downsample2D pads
        return x

    def decode(self, x: Tensor) -> Tensor:
        for index, conv in enumerate(self.up):
            x = conv(F.interpolate(x, scale_factor=2.0) if index in {1, 3} else x)
        return x


def train(
    widths: tuple[int, int, int],
    latent_channels: int,
    crops: Callable[[int], Tensor],
    *,
    steps: int,
    learning_rate: float = 2e-3,
) -> Linear:
    """Least squares by Adam; `crops(step)` gives (B, 3, H, W)."""
    torch.manual_seed(0)
    model = Linear(widths, latent_channels)
    optimizer = torch.optim.Adam(model.parameters(), lr=learning_rate, fused=True)
    total = torch.zeros(())
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = learning_rate * min(1.0, (step + 1) / 30, 3 * (1 - step / steps) + 0.01)
        pixels = crops(step)
        latents = model.encode(pixels)
        loss = F.mse_loss(model.decode(latents + 0.02 * torch.randn_like(latents)), pixels)
        loss = loss + 1e-3 * (latents.square().mean() - 1).square()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        total += loss.detach()
        if (step + 1) % 50 == 0:
            print(f"linear start {step + 1}/{steps}  {-10 * torch.log10(total / 50 / 4):.2f} dB", flush=True)
            total.zero_()
    return model


def _put(target: nn.Conv2d, source: nn.Conv2d) -> None:
    target.weight.copy_(source.weight)
    target.bias.copy_(source.bias)


def _mirrored(shortcut: nn.Conv2d, features: nn.Conv2d) -> None:
    """The shortcut's channels become f, -f, and constants of alternating sign."""
    count = features.out_channels
    shortcut.weight.zero_()
    shortcut.weight[:count], shortcut.weight[count : 2 * count] = features.weight, -features.weight
    shortcut.bias[:count], shortcut.bias[count : 2 * count] = features.bias, -features.bias
    rest = shortcut.bias[2 * count :]
    rest.copy_(torch.where(torch.arange(len(rest)) % 2 == 0, ANCHOR, -ANCHOR))


def _straight(norm: nn.GroupNorm, conv: nn.Conv2d, features: nn.Conv2d) -> None:
    """Makes norm, SiLU and `conv` together compute `features` of f."""
    count, channels = features.in_channels, conv.in_channels
    deviation = ANCHOR * ((channels - 2 * count) / channels) ** 0.5
    norm.weight.fill_(1.0)
    norm.bias.zero_()
    conv.weight.zero_()
    conv.weight[: features.out_channels, :count] = features.weight * deviation
    conv.weight[: features.out_channels, count : 2 * count] = -features.weight * deviation
    conv.bias.zero_()
    conv.bias[: features.out_channels] = features.bias


@torch.no_grad()
def put_into(vae: AutoencoderKL, linear: Linear) -> None:
    """`vae` (one group to a norm, no attention) now computes what `linear` does, with narrow posteriors."""
    for module in vae.modules():
        if isinstance(module, ResnetBlock2D):
            module.conv2.weight.zero_()
            module.conv2.bias.zero_()
    encoder, decoder, latents = vae.encoder, vae.decoder, vae.config.latent_channels
    first, second, third = encoder.down_blocks
    _put(encoder.conv_in, linear.down[0])
    _put(first.downsamplers[0].conv, linear.down[1])
    _put(second.resnets[0].conv_shortcut, linear.down[2])
    _put(second.downsamplers[0].conv, linear.down[3])
    _mirrored(third.resnets[0].conv_shortcut, linear.down[4])
    _straight(encoder.conv_norm_out, encoder.conv_out, linear.down[5])
    vae.quant_conv.weight.copy_(torch.eye(2 * latents)[:, :, None, None])
    vae.quant_conv.weight[latents:].zero_()
    vae.quant_conv.bias.zero_()
    vae.quant_conv.bias[latents:].fill_(-6.0)

    vae.post_quant_conv.weight.copy_(torch.eye(latents)[:, :, None, None])
    vae.post_quant_conv.bias.zero_()
    first, second, third = decoder.up_blocks
    _put(decoder.conv_in, linear.up[0])
    _put(first.upsamplers[0].conv, linear.up[1])
    _put(second.resnets[0].conv_shortcut, linear.up[2])
    _put(second.upsamplers[0].conv, linear.up[3])
    _mirrored(third.resnets[0].conv_shortcut, linear.up[4])
    _straight(decoder.conv_norm_out, decoder.conv_out, linear.up[5])
