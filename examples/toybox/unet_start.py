"""A start for the UNet: it says that all it sees is noise.

That is nearly right where noise is strong, and it is what hundreds of steps from random weights go to: passing the
input through to the output. Residual branches start silent, as in Dhariwal and Nichol 2021 (zero_module), which
diffusers does not do; the input travels in pairs of channels x and -x, because SiLU(x) - SiLU(-x) = x, each pair a group
of the last normalisation, which leaves it as it is: noisy latents have a variance of about one at every timestep.
"""

import torch
from diffusers import UNet2DConditionModel


@torch.no_grad()
def start(unet: UNet2DConditionModel) -> None:
    """Sets the first weights; the groups of the UNet's last normalisation must hold two channels each."""
    for name, module in unet.named_modules():
        if name.endswith((".conv2", ".proj_out")):
            torch.nn.init.zeros_(module.weight)
            torch.nn.init.zeros_(module.bias)
    channels = unet.config.in_channels
    assert unet.config.block_out_channels[0] == 2 * unet.conv_norm_out.num_groups >= 2 * channels
    last = unet.up_blocks[-1].resnets[-1]
    skipped = last.conv_shortcut.in_channels - unet.conv_in.out_channels  # the skip connection comes second
    last.conv_shortcut.weight[: 2 * channels] = 0
    last.conv_shortcut.bias[: 2 * channels] = 0
    unet.conv_in.weight[: 2 * channels] = 0
    unet.conv_in.bias[: 2 * channels] = 0
    unet.conv_out.weight.zero_()
    unet.conv_out.bias.zero_()
    for channel in range(channels):
        for sign, pair in ((1.0, 2 * channel), (-1.0, 2 * channel + 1)):
            unet.conv_in.weight[pair, channel, 1, 1] = sign
            last.conv_shortcut.weight[pair, skipped + pair] = 1.0
            unet.conv_out.weight[channel, pair, 1, 1] = sign
