"""A U-Net whose way down convolves over a third axis as well: over the dates, or over the bands of a single date.

3-D convolutions over dates as in Ji et al. 2018 (doi:10.3390/rs10010075), in the layout of Çiçek et al. 2016
(doi:10.1007/978-3-319-46723-8_49). The third axis keeps its length on the way down; where a level's features leave
towards the 2-D way up, a convolution of the axis' whole length joins them, so that each band or date keeps its part.

Parameters: `cnn3d` 1,101,234 with bands=3, classes=2, width=16, depth=3, and `cnn3d` 1,102,530 with bands=4, classes=2,
dates=3, width=16, depth=3.

Shapes: B images, C channels (dates x bands, date by date), H rows, W columns; S slices along the third axis.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812 - the name by which everybody knows it
from torch import Tensor, nn

from glacier_core.models.unet import UNet


class CNN3D(UNet):
    """Class scores for each pixel; the arguments are those of `UNet`.

    With several dates the slices are the dates and the bands are channels; with one the slices are the bands.
    """

    def __init__(self, *, bands: int, classes: int, dates: int = 1, width: int, depth: int) -> None:
        super().__init__(bands=bands, classes=classes, dates=dates, width=width, depth=depth)
        self.slices = dates if dates > 1 else bands
        widths = [width * 2**level for level in range(depth + 1)]
        first = bands if dates > 1 else 1
        self.down = nn.ModuleList(
            nn.Sequential(Convolution3d(i, o, slices=self.slices), Convolution3d(o, o, slices=self.slices))
            for i, o in zip([first, *widths[:-1]], widths, strict=True)
        )
        self.join = nn.ModuleList(nn.Conv2d(self.slices * w, w, kernel_size=1) for w in widths)

    def forward(self, image_BCHW: Tensor) -> Tensor:  # noqa: N803 - shape suffixes
        """Class scores (logits) (B, classes, H, W) of normalised images (B, dates * bands, H, W)."""
        images, _, height, width = image_BCHW.shape
        x = F.pad(image_BCHW, (0, -width % self.stride, 0, -height % self.stride))
        x = x.reshape(images * self.slices, -1, *x.shape[-2:])
        joined = []
        for level, block in enumerate(self.down):
            x = block(x if level == 0 else F.max_pool2d(x, 2))
            joined.append(self.join[level](x.reshape(images, -1, *x.shape[-2:])))
        return self.rise(joined)[..., :height, :width]


class Convolution3d(nn.Module):
    """A 3x3x3 convolution, normalised and rectified, over slices that lie one after another in the batch.

    It is computed as a 2-D convolution of each slice with its two neighbours, for which processors are faster.

    Args:
        channels: of the features before.
        width: channels of the features after.
        slices: length of the third axis.
    """

    def __init__(self, channels: int, width: int, *, slices: int) -> None:
        super().__init__()
        self.slices = slices
        self.convolution = nn.Sequential(
            nn.Conv2d(3 * channels, width, kernel_size=3, padding=1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(inplace=True),
        )

    def forward(self, x_NCHW: Tensor) -> Tensor:  # noqa: N803 - shape suffixes
        """Features (B * S, width, H, W) of features (B * S, C, H, W)."""
        slices = x_NCHW.reshape(-1, self.slices, *x_NCHW.shape[1:])
        around = F.pad(slices, (0, 0, 0, 0, 0, 0, 1, 1))
        near = torch.cat([around[:, :-2], slices, around[:, 2:]], dim=2).flatten(0, 1)
        convolved: Tensor = self.convolution(near)
        return convolved
