"""A compact U-Net for the segmentation of images of any size.

Ronneberger, Fischer and Brox 2015 (doi:10.1007/978-3-319-24574-4_28), with padded convolutions, batch normalisation
(Ioffe and Szegedy 2015, arXiv:1502.03167) and nearest-neighbour upsampling after a 1x1 convolution in place of the
transposed convolution. At prediction time every operation is local, so that tiles with a halo of `halo()` pixels give
what the whole image gives; group or instance normalisation would not.

Parameters: `unet` 450,498 with bands=3, classes=2, width=16, depth=3.

Shapes: B images, C channels (dates x bands, date by date), H rows, W columns.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812 - the name by which everybody knows it
from torch import Tensor, nn


class UNet(nn.Module):
    """Class scores for each pixel.

    Args:
        bands: channels of the image at each date.
        classes: channels of the result.
        dates: images of one place that are seen together.
        width: channels of the first level; each level below has twice as many.
        depth: how often the resolution is halved.
    """

    bottleneck_reach = 0
    """Pixels of the coarsest level on each side that what stands there after its convolutions depends on."""

    def __init__(self, *, bands: int, classes: int, dates: int = 1, width: int, depth: int) -> None:
        super().__init__()
        bands *= dates
        widths = [width * 2**level for level in range(depth + 1)]
        self.depth = depth
        self.down = nn.ModuleList(
            nn.Sequential(*_block(i, o), *self.refine(o, bottom=level == depth))
            for level, (i, o) in enumerate(zip([bands, *widths[:-1]], widths, strict=True))
        )
        self.narrow = nn.ModuleList(nn.Conv2d(2 * w, w, kernel_size=1) for w in widths[:-1])
        self.up = nn.ModuleList(nn.Sequential(*_block(2 * w, w), *self.refine(w, bottom=False)) for w in widths[:-1])
        self.head = nn.Conv2d(width, classes, kernel_size=1)

    def refine(self, channels: int, *, bottom: bool) -> list[nn.Module]:  # noqa: ARG002 - they may need both
        """What follows a pair of convolutions: nothing here, something in networks made from this one.

        Args:
            channels: of the features there.
            bottom: whether it is the coarsest level.
        """
        return []

    def forward(self, image_BCHW: Tensor) -> Tensor:  # noqa: N803 - shape suffixes
        """Class scores (logits) (B, classes, H, W) of normalised images (B, dates * bands, H, W)."""
        height, width = image_BCHW.shape[-2:]
        x = F.pad(image_BCHW, (0, -width % self.stride, 0, -height % self.stride))
        skipped = []
        for level, block in enumerate(self.down):
            x = block(x if level == 0 else F.max_pool2d(x, 2))
            skipped.append(x)
        return self.rise(skipped)[..., :height, :width]

    def rise(self, levels: list[Tensor]) -> Tensor:
        """Class scores from the features of each level, the finest first; the list is emptied on the way."""
        x = levels.pop()
        for level in reversed(range(self.depth)):
            coarse = F.interpolate(self.narrow[level](x), scale_factor=2.0, mode="nearest")
            x = self.up[level](torch.cat([levels.pop(), coarse], dim=1))
        scores: Tensor = self.head(x)
        return scores

    @property
    def stride(self) -> int:
        """Tiles must start at multiples of this many pixels to give what the whole image gives."""
        return int(2**self.depth)

    def halo(self) -> int:
        """Pixels around a tile that its result depends on, as a multiple of `stride`."""
        reach = max(max(p - first, last - p) for p in range(self.stride) for first, last in [self._needs(p, p, 0)])
        return -(-reach // self.stride) * self.stride

    def _needs(self, first: int, last: int, level: int) -> tuple[int, int]:
        """First and last pixel of the image on which the pixels `first` to `last` of a level's result depend."""
        first, last = first - 2, last + 2  # two 3x3 convolutions
        if level == self.depth:
            return self._sees(first - self.bottleneck_reach, last + self.bottleneck_reach, level)
        below = self._needs(first // 2, last // 2, level + 1)
        beside = self._sees(first - 2, last + 2, level)
        return min(below[0], beside[0]), max(below[1], beside[1])

    def _sees(self, first: int, last: int, level: int) -> tuple[int, int]:
        """First and last pixel of the image on which a level's input depends: the way down to it."""
        for _ in range(level):
            first, last = 2 * first - 2, 2 * last + 1 + 2  # pooling, then the two convolutions of the level above
        return first, last


def _block(channels: int, width: int) -> list[nn.Module]:
    """Two 3x3 convolutions, each normalised and rectified."""
    layers: list[nn.Module] = []
    for i in (channels, width):
        layers += [
            nn.Conv2d(i, width, kernel_size=3, padding=1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(inplace=True),
        ]
    return layers
