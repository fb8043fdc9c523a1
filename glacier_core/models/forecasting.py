"""What the networks that forecast have in common: how frames become coarse features, and how those become a change.

Frames are taken apart into patches of 2^depth x 2^depth pixels (space to depth: Shi et al. 2016,
doi:10.1109/CVPR.2016.207), so that everything between works on 4^-depth of the positions. On the way out each pixel
gets, beside what the coarse features say of its patch, a blend of what is known of it: forecasts that others have made
are mixed at full resolution, by weights that depend on the coarse features. The three last layers start at zero: a
fresh network changes nothing.

Nothing is normalised over frames, leads or places, so that a lead's forecast depends on no later lead, and what was
learnt from one size of grid holds for another.

Shapes: B sequences, T past steps, L leads, C channels, K channels that are known of a lead, W features, H rows and
columns of pixels, h and w rows and columns of patches, O outputs.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812 - the name by which everybody knows it
from torch import Tensor, nn

LARGEST_TENSOR = 2**22
"""Values of a tensor at full resolution: above eight times as many bytes, memory is asked anew from the kernel."""


class FrameEncoder(nn.Module):
    """Coarse features of each frame by itself.

    Args:
        channels: of a frame.
        width: features.
        depth: how often the resolution is halved.
    """

    def __init__(self, channels: int, *, width: int, depth: int) -> None:
        super().__init__()
        self.side = 2**depth
        self.embed = nn.Conv2d(channels, width, kernel_size=self.side, stride=self.side)
        self.look = Residual(width)

    def forward(self, frames_BTCHW: Tensor) -> Tensor:  # noqa: N803 - shape suffixes
        """Features (B, T, W, h, w) of frames (B, T, C, H, W) of any size."""
        frames = frames_BTCHW.flatten(0, 1)
        features: Tensor = self.look(self.embed(to_multiple(frames, self.side)))
        return in_sequences(features, frames_BTCHW)


class LeadDecoder(nn.Module):
    """The change that coarse features mean at each pixel.

    Args:
        features: of the coarse features.
        known: channels known of a lead.
        outputs: channels of the change.
        width: features, also of each pixel at full resolution.
        depth: how often the resolution was halved.
    """

    def __init__(self, features: int, *, known: int, outputs: int, width: int, depth: int) -> None:
        super().__init__()
        self.side = 2**depth
        self.outputs = outputs
        self.detail = zeroed(nn.Conv2d(features, outputs * 4**depth, kernel_size=1))
        self.weigh = zeroed(nn.Conv2d(features, outputs * known, kernel_size=1))
        fine = width
        self.context = nn.Conv2d(features, fine, kernel_size=1)
        self.pixel = nn.Conv2d(known, fine, kernel_size=1)
        self.think = nn.Conv2d(fine, fine, kernel_size=1)
        self.correct = zeroed(nn.Conv2d(fine, outputs, kernel_size=1))

    def forward(self, coarse_BLWhw: Tensor, known_BLKHW: Tensor) -> Tensor:  # noqa: N803 - shape suffixes
        """The change (B, L, O, H, W) from coarse features and what is known of each pixel."""
        coarse, known = coarse_BLWhw.flatten(0, 1), known_BLKHW.flatten(0, 1)
        parts = -(-max(known.shape[1], self.pixel.out_channels) * known[:, 0].numel() // LARGEST_TENSOR)
        shares = zip(coarse.chunk(parts), known.chunk(parts), strict=True)
        return in_sequences(torch.cat([self._change(*share) for share in shares]), known_BLKHW)

    def _change(self, coarse: Tensor, known: Tensor) -> Tensor:
        """The change of some frames."""
        size = known.shape[-2:]
        detail = F.pixel_shuffle(self.detail(coarse), self.side)[..., : size[0], : size[1]]
        weights = self._at_pixels(self.weigh(coarse), size)
        blend = (weights.reshape(-1, self.outputs, *known.shape[1:]) * known[:, None]).sum(dim=2)
        fine = F.gelu(self.pixel(known) + self._at_pixels(self.context(coarse), size))
        change: Tensor = self.correct(F.gelu(self.think(fine)))
        return change + detail + blend

    def _at_pixels(self, coarse: Tensor, size: torch.Size) -> Tensor:
        """Coarse maps, smoothly at full resolution."""
        # as two products of matrices, which is several times quicker than interpolation, there and back
        rows, columns = (_bilinear(length, self.side, like=coarse) for length in coarse.shape[-2:])
        fine: Tensor = rows[: size[0]] @ coarse @ columns[: size[1]].T
        return fine


class ChannelNorm(nn.LayerNorm):
    """Layer normalisation over the channels of each position by itself (Ba, Kiros and Hinton 2016, arXiv:1607.06450).

    Args:
        channels: of the features.
    """

    def forward(self, x_BCHW: Tensor) -> Tensor:  # noqa: N803 - shape suffixes
        """The features (B, C, H, W), each position's with zero mean and unit spread."""
        return super().forward(x_BCHW.movedim(1, -1)).movedim(-1, 1)


class Residual(nn.Module):
    """What a 3x3 convolution adds to features.

    Args:
        width: features.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = ChannelNorm(width)
        self.see = nn.Conv2d(width, width, kernel_size=3, padding=1)
        self.add = nn.Conv2d(width, width, kernel_size=1)

    def forward(self, x_BCHW: Tensor) -> Tensor:  # noqa: N803 - shape suffixes
        """The features (B, W, H, W), with what their neighbours say."""
        added: Tensor = self.add(F.gelu(self.see(self.norm(x_BCHW))))
        return x_BCHW + added


def _bilinear(length: int, side: int, *, like: Tensor) -> Tensor:
    """Weights (length * side, length) by which bilinear interpolation makes a line `side` times as long."""
    eye = torch.eye(length, device=like.device, dtype=torch.float32)[None]
    fine = F.interpolate(eye, scale_factor=float(side), mode="linear", align_corners=False)[0]
    return fine.T.to(like.dtype)


def in_sequences(x_NCHW: Tensor, like_BT: Tensor) -> Tensor:  # noqa: N803 - shape suffixes
    """Frames (B * T, C, H, W) as (B, T, C, H, W), with as many sequences and steps as `like_BT` has."""
    return x_NCHW.reshape(*like_BT.shape[:2], *x_NCHW.shape[1:])


def to_multiple(frames_BCHW: Tensor, side: int) -> Tensor:  # noqa: N803 - shape suffixes
    """The frames with their last row and column repeated until both are multiples of `side`."""
    height, width = frames_BCHW.shape[-2:]
    if height % side == width % side == 0:
        return frames_BCHW
    return F.pad(frames_BCHW, (0, -width % side, 0, -height % side), mode="replicate")


def zeroed(layer: nn.Conv2d) -> nn.Conv2d:
    """The layer with all weights at zero."""
    nn.init.zeros_(layer.weight)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer
