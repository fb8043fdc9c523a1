"""A conditional generator whose noise gives members, and the discriminator that it is trained against.

Goodfellow et al. 2014 (arXiv:1406.2661), conditional as Mirza and Osindero 2014 (arXiv:1411.1784); reconstruction and
an adversary that judges patches as in Isola et al. 2017 (doi:10.1109/CVPR.2017.632). Noise scales and shifts the
features of each layer (Perez et al. 2018, arXiv:1709.07871), so that one draw is one consistent forecast of all leads
and places. The adversary is bounded by spectral normalisation (Miyato et al. 2018, arXiv:1802.05957).

The generator's weights are all but those under `discriminator.`, which forecasting does not need.

Parameters: `gan` 75,373 with channels=4, known=10, outputs=1, width=16, depth=3.

Shapes: B sequences, T past steps, L leads, C channels, K channels known of a lead, O outputs, Z noise, W features, H
rows and columns of pixels, h and w rows and columns of patches of 2^depth pixels.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812 - the name by which everybody knows it
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from glacier_core.models.forecasting import ChannelNorm, FrameEncoder, LeadDecoder, in_sequences, to_multiple

LAYERS = 4


class GAN(nn.Module):
    """The change of each lead to a forecast that the caller has, one for each draw of noise.

    Args:
        channels: of a past frame.
        known: channels that are known of a lead.
        outputs: channels of the forecast.
        width: features.
        depth: how often the resolution is halved.
    """

    latent = 16
    """Length of the noise vector, of unit spread."""

    def __init__(self, *, channels: int, known: int, outputs: int = 1, width: int, depth: int) -> None:
        super().__init__()
        self.past = FrameEncoder(channels, width=width, depth=depth)
        self.ahead = FrameEncoder(known, width=width, depth=depth)
        self.score = nn.Conv2d(width, 1, kernel_size=1)
        self.join = nn.Conv2d(3 * width, width, kernel_size=1)
        self.layers = nn.ModuleList(Modulated(width, latent=self.latent) for _ in range(LAYERS))
        self.decoder = LeadDecoder(width, known=known, outputs=outputs, width=width, depth=depth)
        self.discriminator = Discriminator(channels, known=known, outputs=outputs, width=width, depth=depth)

    def forward(self, past_BTCHW: Tensor, known_BLKHW: Tensor, noise_BZ: Tensor | None = None) -> Tensor:  # noqa: N803 - shape suffixes
        """The change (B, L, O, H, W) from the past (B, T, C, H, W) and what is known of the leads (B, L, K, H, W).

        One member for each draw of noise (B, Z); without, that of noise at zero, the middle of the members.
        """
        past, ahead = self.past(past_BTCHW), self.ahead(known_BLKHW)
        batch, leads = ahead.shape[:2]
        noise = past.new_zeros(batch, self.latent) if noise_BZ is None else noise_BZ
        scores = in_sequences(self.score(past.flatten(0, 1)), past)
        summary = (scores.softmax(dim=1) * past).sum(dim=1)
        before = torch.cat([summary, past[:, -1]], dim=1)[:, None].expand(-1, leads, -1, -1, -1)
        x = self.join(torch.cat([before, ahead], dim=2).flatten(0, 1))
        for layer in self.layers:
            x = layer(x, noise.repeat_interleave(leads, dim=0))
        change: Tensor = self.decoder(in_sequences(x, known_BLKHW), known_BLKHW)
        return change


class Modulated(nn.Module):
    """What a 3x3 convolution adds to features after noise has scaled and shifted them.

    Args:
        width: features.
        latent: length of the noise vector.
    """

    def __init__(self, width: int, *, latent: int) -> None:
        super().__init__()
        self.norm = ChannelNorm(width)
        self.modulate = nn.Linear(latent, 2 * width)
        self.see = nn.Conv2d(width, width, kernel_size=3, padding=1)
        self.add = nn.Conv2d(width, width, kernel_size=1)

    def forward(self, x_NWhw: Tensor, noise_NZ: Tensor) -> Tensor:  # noqa: N803 - shape suffixes
        """The features (N, W, h, w) after the layer, with a noise vector (N, Z) for each."""
        scale, shift = self.modulate(noise_NZ)[..., None, None].chunk(2, dim=1)
        added: Tensor = self.add(F.gelu(self.see(self.norm(x_NWhw) * (1 + scale) + shift)))
        return x_NWhw + added


class Discriminator(nn.Module):
    """How real each patch of a future looks, given the last frame and what is known of each lead.

    Args:
        channels: of a past frame.
        known: channels that are known of a lead.
        outputs: channels of the future.
        width: features.
        depth: how often the resolution is halved.
    """

    def __init__(self, channels: int, *, known: int, outputs: int, width: int, depth: int) -> None:
        super().__init__()
        self.side = 2**depth
        self.judge = nn.Sequential(
            spectral_norm(nn.Conv2d((channels + known + outputs) * 4**depth, 2 * width, kernel_size=1)),
            nn.LeakyReLU(0.2),
            spectral_norm(nn.Conv2d(2 * width, 2 * width, kernel_size=3, padding=1)),
            nn.LeakyReLU(0.2),
            spectral_norm(nn.Conv2d(2 * width, 1, kernel_size=3, padding=1)),
        )

    def forward(self, past_BTCHW: Tensor, known_BLKHW: Tensor, future_BLCHW: Tensor) -> Tensor:  # noqa: N803 - shape suffixes
        """Scores (logits) (B, L, 1, h, w): above zero where the future (B, L, O, H, W) looks like one that happened."""
        leads = known_BLKHW.shape[1]
        last = past_BTCHW[:, -1:].expand(-1, leads, -1, -1, -1)
        seen = torch.cat([last, known_BLKHW, future_BLCHW], dim=2).flatten(0, 1)
        scores = self.judge(F.pixel_unshuffle(to_multiple(seen, self.side), self.side))
        return in_sequences(scores, known_BLKHW)
