"""The U-Net with half the channels and atrous spatial pyramid pooling in its bottleneck.

Atrous spatial pyramid pooling: Chen et al. 2018 (doi:10.1109/TPAMI.2017.2699184, arXiv:1606.00915), side by side 3x3
convolutions with holes, and a 1x1 convolution that joins them. As the segmentation baseline of calving fronts has it
(Gourmelon et al. 2022, doi:10.5194/essd-14-4287-2022). The branch that pools over the whole image, of a later
version of the method, is left out: it would make each tile's result depend on where the tile ends.

Parameters: `unet_aspp` 154,338 with bands=3, classes=2, width=16, depth=3.

Shapes: B images, C channels (dates x bands, date by date), H rows, W columns.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from glacier_core.models.unet import UNet

RATES = (1, 2, 4, 8)
"""Distances between the pixels that a branch's convolution sees, in pixels of the coarsest level."""


class UNetASPP(UNet):
    """Class scores for each pixel; the arguments are those of `UNet`, and its first level has half of `width`."""

    bottleneck_reach = max(RATES)

    def __init__(self, *, bands: int, classes: int, dates: int = 1, width: int, depth: int) -> None:
        super().__init__(bands=bands, classes=classes, dates=dates, width=max(1, width // 2), depth=depth)

    def refine(self, channels: int, *, bottom: bool) -> list[nn.Module]:
        """Pyramid pooling on the coarsest level."""
        return [PyramidPooling(channels)] if bottom else []


class PyramidPooling(nn.Module):
    """The same features seen at several distances.

    Args:
        channels: of the features, before and after.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        inner = max(1, channels // len(RATES))
        self.branches = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(channels, inner, kernel_size=3, padding=rate, dilation=rate, bias=False),
                nn.BatchNorm2d(inner),
                nn.ReLU(inplace=True),
            )
            for rate in RATES
        )
        self.join = nn.Sequential(
            nn.Conv2d(inner * len(RATES), channels, kernel_size=1, bias=False),
            nn.BatchNorm2d(channels),
            nn.ReLU(inplace=True),
        )

    def forward(self, x_BCHW: Tensor) -> Tensor:  # noqa: N803 - shape suffixes
        """The features (B, C, H, W) in their surroundings."""
        joined: Tensor = self.join(torch.cat([branch(x_BCHW) for branch in self.branches], dim=1))
        return joined
