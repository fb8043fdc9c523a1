"""A transformer over patches, whose attention is factorised: along time, along rows, along columns.

Vaswani et al. 2017 (arXiv:1706.03762); factorised in space and time as in Bertasius, Wang and Torresani 2021
(arXiv:2102.05095) and, in space, along the axes as in Ho et al. 2019 (arXiv:1912.12180): for p patches, what each layer
costs grows with p^1.5, not with p^2. Layers are normalised before (Xiong et al. 2020, arXiv:2002.04745).

Past frames and leads are one sequence of tokens; those of a lead begin as what is known of it and the last frame. A
token attends to no later one: past frames are seen by all leads, and what is known of a lead is seen by it and by later
leads alone. Places and times are told by sines of their distance from the first row and column and from the last past
step, so that any size and any number of steps go in.

Parameters: `transformer` 33,451 with channels=4, known=10, outputs=1, width=16, depth=3.

Shapes: B sequences, T past steps, L leads, S = T + L tokens in time, C channels, K channels known of a lead, O outputs,
W features, H rows and columns of pixels, h and w rows and columns of patches of 2^depth pixels.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from glacier_core.models.forecasting import FrameEncoder, LeadDecoder

LAYERS = 2
HEAD_WIDTH = 16
"""Features of a head, where `width` is a multiple of it."""
LONGEST_PERIOD = 1000.0
"""Of the sines that tell places and times, in patches and steps."""


class Transformer(nn.Module):
    """The change of each lead to a forecast that the caller has.

    Args:
        channels: of a past frame.
        known: channels that are known of a lead.
        outputs: channels of the forecast.
        width: features of a token.
        depth: how often the resolution is halved: patches have 2^depth x 2^depth pixels.
    """

    latent = 0
    """No noise: one forecast."""

    def __init__(self, *, channels: int, known: int, outputs: int = 1, width: int, depth: int) -> None:
        super().__init__()
        self.past = FrameEncoder(channels, width=width, depth=depth)
        self.ahead = FrameEncoder(known, width=width, depth=depth)
        self.time, self.row, self.column = (nn.Linear(width, width, bias=False) for _ in range(3))
        self.layers = nn.ModuleList(Layer(width) for _ in range(LAYERS))
        self.norm = nn.LayerNorm(width)
        self.decoder = LeadDecoder(width, known=known, outputs=outputs, width=width, depth=depth)

    def forward(self, past_BTCHW: Tensor, known_BLKHW: Tensor, noise_BZ: Tensor | None = None) -> Tensor:  # noqa: ARG002, N803 - the family's interface; shape suffixes
        """The change (B, L, O, H, W) from the past (B, T, C, H, W) and what is known of the leads (B, L, K, H, W)."""
        steps, leads = past_BTCHW.shape[1], known_BLKHW.shape[1]
        past = self.past(past_BTCHW)
        frames = torch.cat([past, self.ahead(known_BLKHW) + past[:, -1:]], dim=1)
        tokens = self._placed(frames.movedim(2, -1), steps=steps)
        for layer in self.layers:
            tokens = layer(tokens)
        change: Tensor = self.decoder(self.norm(tokens[:, -leads:]).movedim(-1, 2), known_BLKHW)
        return change

    def _placed(self, tokens_BShwW: Tensor, *, steps: int) -> Tensor:  # noqa: N803 - shape suffixes
        """The tokens, told where and when they are."""
        _, length, rows, columns, width = tokens_BShwW.shape
        device = tokens_BShwW.device
        when = self.time(sines(torch.arange(length, device=device) - (steps - 1), width))
        row = self.row(sines(torch.arange(rows, device=device), width))
        column = self.column(sines(torch.arange(columns, device=device), width))
        placed: Tensor = tokens_BShwW + when[:, None, None] + row[:, None] + column
        return placed


class Layer(nn.Module):
    """Attention along each axis in turn, then two layers at each token.

    Args:
        width: features of a token.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.along_time, self.along_rows, self.along_columns = (SelfAttention(width) for _ in range(3))
        self.think = nn.Sequential(
            nn.LayerNorm(width), nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width)
        )

    def forward(self, tokens_BShwW: Tensor) -> Tensor:  # noqa: N803 - shape suffixes
        """The tokens (B, S, h, w, W) after the layer."""
        x = tokens_BShwW
        x = x + self.along_time(x.movedim(1, 3), causal=True).movedim(3, 1)
        x = x + self.along_rows(x)
        x = x + self.along_columns(x.transpose(2, 3)).transpose(2, 3)
        after: Tensor = x + self.think(x)
        return after


class SelfAttention(nn.Module):
    """Attention of several heads along the last but one axis.

    Args:
        width: features of a token.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.heads = width // HEAD_WIDTH if width % HEAD_WIDTH == 0 else 1
        self.norm = nn.LayerNorm(width)
        self.parts = nn.Linear(width, 3 * width)
        self.join = nn.Linear(width, width)

    def forward(self, tokens_NxW: Tensor, *, causal: bool = False) -> Tensor:  # noqa: N803 - shape suffixes
        """What tokens (..., n, W) learn from those of their own row of n; from earlier ones alone if `causal`."""
        rows = tokens_NxW.flatten(0, -3)
        parts = self.parts(self.norm(rows)).reshape(*rows.shape[:-1], 3, self.heads, -1)
        asking, asked, answers = parts.permute(2, 0, 3, 1, 4)
        # written out: rows are short and many, for which torch's own takes three times as long on a processor
        scores = (asking * asking.shape[-1] ** -0.5) @ asked.transpose(-1, -2)
        if causal:
            length = rows.shape[1]
            later = torch.ones(length, length, dtype=torch.bool, device=rows.device).triu(1)
            scores = scores.masked_fill(later, -torch.inf)
        found = scores.softmax(dim=-1).to(answers.dtype) @ answers
        joined: Tensor = self.join(found.transpose(1, 2).flatten(-2))
        return joined.reshape(tokens_NxW.shape)


def sines(positions_N: Tensor, width: int) -> Tensor:  # noqa: N803 - shape suffixes
    """Sines and cosines (N, width) of positions, with periods from 2 pi to `LONGEST_PERIOD` times that."""
    pairs = -(-width // 2)
    rates = torch.exp(torch.arange(pairs, device=positions_N.device) * (-math.log(LONGEST_PERIOD) / pairs))
    angles = positions_N[:, None] * rates
    return torch.cat([angles.sin(), angles.cos()], dim=1)[:, :width]
