"""An LSTM encoder-decoder over patch sequences that attends to all steps' states; and the same without attention.

Hochreiter and Schmidhuber 1997 (doi:10.1162/neco.1997.9.8.1735) in the encoder-decoder form of Sutskever, Vinyals and
Le 2014 (arXiv:1409.3215); attention after Bahdanau, Cho and Bengio 2015 (arXiv:1409.0473) in the multiplicative form
of Luong, Pham and Manning 2015 (doi:10.18653/v1/D15-1166): the state of each lead asks all states of the encoder, and
what they answer is joined with it. The step of a lead sees what is known of it and the last frame, and the forecast is
made of these beside the state.

Each patch of 2^depth x 2^depth pixels is one sequence, with its neighbours' features in view. One set of weights
serves all patches, past steps of any number and leads of any number.

Parameters: `lstm_attention` 28,059 with channels=4, known=10, outputs=1, width=16, depth=3, and `lstm` 27,275 with
channels=4, known=10, outputs=1, width=16, depth=3.

Shapes: B sequences, T past steps, L leads, C channels, K channels known of a lead, O outputs, W features, H rows and
columns of pixels, h and w rows and columns of patches, P = B * h * w patches.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812 - the name by which everybody knows it
from torch import Tensor, nn

from glacier_core.models.forecasting import FrameEncoder, LeadDecoder

State = tuple[Tensor, Tensor]


class LSTMAttention(nn.Module):
    """The change of each lead to a forecast that the caller has.

    Args:
        channels: of a past frame.
        known: channels that are known of a lead.
        outputs: channels of the forecast.
        width: features.
        depth: how often the resolution is halved: patches have 2^depth x 2^depth pixels.
        attention: whether leads attend to the past's states; without, they have the last state alone.
    """

    latent = 0
    """No noise: one forecast."""

    def __init__(
        self, *, channels: int, known: int, outputs: int = 1, width: int, depth: int, attention: bool = True
    ) -> None:
        super().__init__()
        self.past = FrameEncoder(channels, width=width, depth=depth)
        self.ahead = FrameEncoder(known, width=width, depth=depth)
        self.encoder = Steps(width)
        self.forecaster = Steps(width)
        self.attention = Attention(width) if attention else None
        self.decoder = LeadDecoder(2 * width, known=known, outputs=outputs, width=width, depth=depth)

    def forward(self, past_BTCHW: Tensor, known_BLKHW: Tensor, noise_BZ: Tensor | None = None) -> Tensor:  # noqa: ARG002, N803 - the family's interface; shape suffixes
        """The change (B, L, O, H, W) from the past (B, T, C, H, W) and what is known of the leads (B, L, K, H, W)."""
        past, ahead = self._features(past_BTCHW, known_BLKHW)
        seen, foreseen = self._states(past, ahead)
        if self.attention is not None:
            foreseen, _ = self.attention(foreseen, seen)
        change: Tensor = self.decoder(torch.cat([ahead, _frames(foreseen, ahead)], dim=2), known_BLKHW)
        return change

    def attended(self, past_BTCHW: Tensor, known_BLKHW: Tensor) -> Tensor:  # noqa: N803 - shape suffixes
        """How much each lead of each patch attends to each past step: (B, L, T, h, w), sums to one over T.

        Raises:
            AttributeError: the network has no attention.
        """
        if self.attention is None:
            raise AttributeError("the network was made without attention")
        past, ahead = self._features(past_BTCHW, known_BLKHW)
        seen, foreseen = self._states(past, ahead)
        _, weights = self.attention(foreseen, seen)
        batch, leads, _, rows, columns = ahead.shape
        attended: Tensor = weights.reshape(batch, rows, columns, leads, -1).permute(0, 3, 4, 1, 2)
        return attended

    def _features(self, past_BTCHW: Tensor, known_BLKHW: Tensor) -> tuple[Tensor, Tensor]:  # noqa: N803 - shape suffixes
        """Features of the past frames, and of the leads with the last frame: (B, T, W, h, w) and (B, L, W, h, w)."""
        past = self.past(past_BTCHW)
        return past, self.ahead(known_BLKHW) + past[:, -1:]

    def _states(self, past: Tensor, ahead: Tensor) -> tuple[Tensor, Tensor]:
        """States of the encoder after each past step, and of the forecaster after each lead."""
        seen, last = self.encoder(_sequences(past))
        foreseen, _ = self.forecaster(_sequences(ahead), last)
        return seen, foreseen


class Steps(nn.Module):
    """An LSTM over sequences of features.

    Args:
        width: features of the input and of the state.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.input = nn.Linear(width, 4 * width)
        self.state = nn.Linear(width, 4 * width, bias=False)
        with torch.no_grad():
            self.input.bias[width : 2 * width] += 1.0  # forget gates start open

    def forward(self, steps_TPW: Tensor, state: State | None = None) -> tuple[Tensor, State]:  # noqa: N803 - shape suffixes
        """The states after each step (T, P, W), and the last state with its cell; they start at zero if None."""
        if state is None:
            zeros = torch.zeros_like(steps_TPW[0])
            state = (zeros, zeros)
        hidden, cell = state
        found = []
        for share in self.input(steps_TPW).unbind(dim=0):
            keep_in, forget, keep_out, new = (share + self.state(hidden)).chunk(4, dim=-1)
            cell = torch.sigmoid(forget) * cell + torch.sigmoid(keep_in) * torch.tanh(new)
            hidden = torch.sigmoid(keep_out) * torch.tanh(cell)
            found.append(hidden)
        return torch.stack(found), (hidden, cell)


class Attention(nn.Module):
    """States that ask all states of the past.

    Args:
        width: features of a state.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.ask = nn.Linear(width, width, bias=False)
        self.join = nn.Linear(2 * width, width)

    def forward(self, asking_LPW: Tensor, asked_TPW: Tensor) -> tuple[Tensor, Tensor]:  # noqa: N803 - shape suffixes
        """The asking states with what they were answered (L, P, W), and the weights (P, L, T), one in sum over T."""
        asked = asked_TPW.transpose(0, 1)
        scores = self.ask(asking_LPW).transpose(0, 1) @ asked.transpose(1, 2)
        weights = F.softmax(scores.float() * asking_LPW.shape[-1] ** -0.5, dim=-1)
        answers = (weights.to(asked.dtype) @ asked).transpose(0, 1)
        return torch.tanh(self.join(torch.cat([answers, asking_LPW], dim=-1))), weights


def _sequences(frames_BTWhw: Tensor) -> Tensor:  # noqa: N803 - shape suffixes
    """Frames as one sequence for each patch: (T, P, W)."""
    return frames_BTWhw.permute(1, 0, 3, 4, 2).flatten(1, 3)


def _frames(sequences_TPW: Tensor, like_BTWhw: Tensor) -> Tensor:  # noqa: N803 - shape suffixes
    """The inverse of `_sequences`, for frames of the shape of `like_BTWhw`."""
    batch, _, _, rows, columns = like_BTWhw.shape
    steps, _, width = sequences_TPW.shape
    return sequences_TPW.reshape(steps, batch, rows, columns, width).permute(1, 0, 4, 2, 3)
