"""A convolutional autoencoder of frames, and a forecast that is made between its two halves, in latent space.

Hinton and Salakhutdinov 2006 (doi:10.1126/science.1127647), with strided convolutions; the latent frames of the past
are summed with weights that each position learns to give them, and from the last of them a step for each lead adds
what has changed (as recurrent models of latent video frames do: Srivastava, Mansimov and Salakhutdinov 2015,
arXiv:1502.04681). What the decoded latent forecast says beyond the decoded last frame is part of the change.

`auxiliary_loss` is what training adds so that the latent frames stand for frames.

Parameters: `autoencoder` 41,488 with channels=4, known=10, outputs=1, width=16, depth=3.

Shapes: B sequences, T past steps, L leads, N frames, C channels, K channels known of a lead, O outputs, W features, H
rows and columns of pixels, h and w rows and columns of latent frames, 2^depth pixels each.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812 - the name by which everybody knows it
from torch import Tensor, nn

from glacier_core.models.forecasting import (
    ChannelNorm,
    FrameEncoder,
    LeadDecoder,
    Residual,
    in_sequences,
    to_multiple,
    zeroed,
)

FIRST_HALVINGS = 2
"""Halvings at once, by taking frames apart: where most of the pixels are, convolutions cost most."""
RECONSTRUCTED = 2
"""Frames of a sequence that the auxiliary loss reconstructs."""


class Autoencoder(nn.Module):
    """The change of each lead to a forecast that the caller has.

    Args:
        channels: of a past frame.
        known: channels that are known of a lead.
        outputs: channels of the forecast.
        width: features of a latent frame.
        depth: how often the resolution is halved.
    """

    latent = 0
    """No noise: one forecast."""

    def __init__(self, *, channels: int, known: int, outputs: int = 1, width: int, depth: int) -> None:
        super().__init__()
        self.side = 2**depth
        first = min(depth, FIRST_HALVINGS)
        taken_apart = channels * 4**first
        down: list[nn.Module] = [
            nn.PixelUnshuffle(2**first),
            nn.Conv2d(taken_apart, width, kernel_size=3, padding=1),
        ]
        up: list[nn.Module] = []
        for _ in range(depth - first):
            down += [nn.GELU(), ChannelNorm(width), nn.Conv2d(width, width, kernel_size=3, stride=2, padding=1)]
            up += [nn.Upsample(scale_factor=2), nn.Conv2d(width, width, kernel_size=3, padding=1), nn.GELU()]
        up += [nn.Conv2d(width, taken_apart, kernel_size=3, padding=1), nn.PixelShuffle(2**first)]
        self.encoder = nn.Sequential(*down)
        self.unfold = nn.Sequential(*up)
        self.ahead = FrameEncoder(known, width=width, depth=depth)
        self.score = nn.Conv2d(width, 1, kernel_size=1)
        self.join = nn.Conv2d(3 * width, width, kernel_size=1)
        self.step = Residual(width)
        self.decoder = LeadDecoder(width, known=known, outputs=outputs, width=width, depth=depth)
        self.develop = zeroed(nn.Conv2d(channels, outputs, kernel_size=1, bias=False))

    def forward(self, past_BTCHW: Tensor, known_BLKHW: Tensor, noise_BZ: Tensor | None = None) -> Tensor:  # noqa: ARG002, N803 - the family's interface; shape suffixes
        """The change (B, L, O, H, W) from the past (B, T, C, H, W) and what is known of the leads (B, L, K, H, W)."""
        height, width = known_BLKHW.shape[-2:]
        latent = in_sequences(self.encode(past_BTCHW.flatten(0, 1)), past_BTCHW)
        ahead = self.forecast(latent, self.ahead(known_BLKHW))
        frames = torch.cat([latent[:, -1:], ahead], dim=1)
        decoded = in_sequences(self.decode(frames.flatten(0, 1))[..., :height, :width], frames)
        developed = in_sequences(self.develop((decoded[:, 1:] - decoded[:, :1]).flatten(0, 1)), known_BLKHW)
        change: Tensor = self.decoder(ahead, known_BLKHW) + developed
        return change

    def encode(self, frames_NCHW: Tensor) -> Tensor:  # noqa: N803 - shape suffixes
        """Latent frames (N, W, h, w) of frames (N, C, H, W) of any size."""
        latent: Tensor = self.encoder(to_multiple(frames_NCHW, self.side))
        return latent

    def decode(self, latent_NWhw: Tensor) -> Tensor:  # noqa: N803 - shape suffixes
        """Frames (N, C, h * 2^depth, w * 2^depth) of latent frames."""
        frames: Tensor = self.unfold(latent_NWhw)
        return frames

    def reconstruct(self, past_BTCHW: Tensor) -> Tensor:  # noqa: N803 - shape suffixes
        """The past (B, T, C, H, W) encoded and decoded again."""
        height, width = past_BTCHW.shape[-2:]
        frames = self.decode(self.encode(past_BTCHW.flatten(0, 1)))
        return in_sequences(frames[..., :height, :width], past_BTCHW)

    def auxiliary_loss(self, past_BTCHW: Tensor) -> Tensor:  # noqa: N803 - shape suffixes
        """The mean squared error of the reconstruction of the last frames, a scalar; others are last elsewhere."""
        last = past_BTCHW[:, -RECONSTRUCTED:]
        return F.mse_loss(self.reconstruct(last), last)

    def forecast(self, latent_BTWhw: Tensor, ahead_BLWhw: Tensor) -> Tensor:  # noqa: N803 - shape suffixes
        """Latent frames of the leads (B, L, W, h, w), from those of the past and what is known, in latent form."""
        scores = in_sequences(self.score(latent_BTWhw.flatten(0, 1)), latent_BTWhw)
        summary = (scores.softmax(dim=1) * latent_BTWhw).sum(dim=1)
        latent, found = latent_BTWhw[:, -1], []
        for known in ahead_BLWhw.unbind(dim=1):
            latent = latent + self.step(self.join(torch.cat([latent, summary, known], dim=1)))
            found.append(latent)
        return torch.stack(found, dim=1)
