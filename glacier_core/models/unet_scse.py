"""The U-Net with concurrent spatial and channel squeeze & excitation after every pair of convolutions.

Roy, Navab and Wachinger 2018 (doi:10.1007/978-3-030-00928-1_48, arXiv:1803.02579): the features times a gate for each
channel, plus the features times a gate for each pixel; the channels' gates come through a bottleneck of half as many.

A channel's gate depends on its mean over everything that the network is given at once: a chip in training, in
prediction a window of constant size, which the tile and its halo fill. `halo()` covers all else. Tiles therefore give
what the whole image gives but for the difference between the means of two large windows; `predict_tiled` lays its
windows on a grid that depends on the scene's size alone, so that a scene always gives the same result.

Parameters: `unet_scse` 478,521 with bands=3, classes=2, width=16, depth=3.

Shapes: B images, C channels (dates x bands, date by date), H rows, W columns.
"""

from __future__ import annotations

from torch import Tensor, nn

from glacier_core.models.unet import UNet


class UNetScSE(UNet):
    """Class scores for each pixel; the arguments are those of `UNet`."""

    def refine(self, channels: int, *, bottom: bool) -> list[nn.Module]:  # noqa: ARG002 - alike on all levels
        """Squeeze & excitation after every pair of convolutions."""
        return [SqueezeExcitation(channels)]


class SqueezeExcitation(nn.Module):
    """Gates for channels and for pixels, applied side by side and added.

    Args:
        channels: of the features.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        inner = max(1, channels // 2)
        self.channel = nn.Sequential(
            nn.Conv2d(channels, inner, kernel_size=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(inner, channels, kernel_size=1),
            nn.Sigmoid(),
        )
        self.pixel = nn.Sequential(nn.Conv2d(channels, 1, kernel_size=1), nn.Sigmoid())

    def forward(self, x_BCHW: Tensor) -> Tensor:  # noqa: N803 - shape suffixes
        """The features (B, C, H, W), each weighed by the sum of its channel's and its pixel's gate."""
        gated: Tensor = x_BCHW * (self.channel(self.squeeze(x_BCHW)) + self.pixel(x_BCHW))
        return gated

    @staticmethod
    def squeeze(x_BCHW: Tensor) -> Tensor:  # noqa: N803 - shape suffixes
        """The mean of each channel over the image, (B, C, 1, 1)."""
        return x_BCHW.mean(dim=(2, 3), keepdim=True)
