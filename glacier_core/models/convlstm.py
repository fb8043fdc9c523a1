"""A convolutional LSTM that encodes the past and unrolls into the leads.

Shi et al. 2015 (arXiv:1506.04214): two layers encode; two layers of the same kind go on from their states, one step a
lead. A step's input is what is known of its lead and the last frame; the forecast is made of the input and of both
layers' states. Peepholes are left out, and forget gates start open (Jozefowicz, Zaremba and Sutskever 2015,
proceedings.mlr.press/v37/jozefowicz15).

Parameters: `convlstm` 98,475 with channels=4, known=10, outputs=1, width=16, depth=3.

Shapes: B sequences, T past steps, L leads, C channels, K channels known of a lead, O outputs, W features, H rows and
columns of pixels, h and w rows and columns of patches of 2^depth pixels.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from glacier_core.models.forecasting import FrameEncoder, LeadDecoder, in_sequences

LAYERS = 2

State = tuple[Tensor, Tensor]


class ConvLSTM(nn.Module):
    """The change of each lead to a forecast that the caller has.

    Args:
        channels: of a past frame.
        known: channels that are known of a lead.
        outputs: channels of the forecast.
        width: features.
        depth: how often the resolution is halved before the recurrence.
    """

    latent = 0
    """No noise: one forecast."""

    def __init__(self, *, channels: int, known: int, outputs: int = 1, width: int, depth: int) -> None:
        super().__init__()
        self.past = FrameEncoder(channels, width=width, depth=depth)
        self.ahead = FrameEncoder(known, width=width, depth=depth)
        self.encoder = nn.ModuleList(Recurrence(width) for _ in range(LAYERS))
        self.forecaster = nn.ModuleList(Recurrence(width) for _ in range(LAYERS))
        self.decoder = LeadDecoder((LAYERS + 1) * width, known=known, outputs=outputs, width=width, depth=depth)

    def forward(self, past_BTCHW: Tensor, known_BLKHW: Tensor, noise_BZ: Tensor | None = None) -> Tensor:  # noqa: ARG002, N803 - the family's interface; shape suffixes
        """The change (B, L, O, H, W) from the past (B, T, C, H, W) and what is known of the leads (B, L, K, H, W)."""
        past, states = self.past(past_BTCHW), []
        steps = past
        for layer in self.encoder:
            steps, state = layer(steps)
            states.append(state)
        steps = self.ahead(known_BLKHW) + past[:, -1:]
        found = [steps]
        for layer, state in zip(self.forecaster, states, strict=True):
            steps, _ = layer(steps, state)
            found.append(steps)
        change: Tensor = self.decoder(torch.cat(found, dim=2), known_BLKHW)
        return change


class Recurrence(nn.Module):
    """One layer: an LSTM whose gates are 3x3 convolutions.

    Args:
        width: features of the input and of the state.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.input = nn.Conv2d(width, 4 * width, kernel_size=3, padding=1)
        self.state = nn.Conv2d(width, 4 * width, kernel_size=3, padding=1, bias=False)
        if self.input.bias is not None:
            with torch.no_grad():
                self.input.bias[width : 2 * width] += 1.0  # forget gates start open

    def forward(self, steps_BTWhw: Tensor, state: State | None = None) -> tuple[Tensor, State]:  # noqa: N803 - shape suffixes
        """The states after each step (B, T, W, h, w), and the last state with its cell; they start at zero if None."""
        if state is None:
            zeros = torch.zeros_like(steps_BTWhw[:, 0])
            state = (zeros, zeros)
        hidden, cell = state
        # the inputs' share of the gates does not wait for the states: all steps at once
        shares = in_sequences(self.input(steps_BTWhw.flatten(0, 1)), steps_BTWhw)
        found = []
        for share in shares.unbind(dim=1):
            keep_in, forget, keep_out, new = (share + self.state(hidden)).chunk(4, dim=1)
            cell = torch.sigmoid(forget) * cell + torch.sigmoid(keep_in) * torch.tanh(new)
            hidden = torch.sigmoid(keep_out) * torch.tanh(cell)
            found.append(hidden)
        return torch.stack(found, dim=1), (hidden, cell)
