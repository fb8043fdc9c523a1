"""The opponent of a generator: a network that tells predicted fields from those that came.

Goodfellow et al. 2014 (arXiv:1406.2661), with the loss that does not saturate; conditional on the past, beside a
reconstruction, as Isola et al. 2017 (doi:10.1109/CVPR.2017.632).

Shapes: B sequences, T times, C and K channels, L leads, D predicted channels, H rows, W columns.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812 - the name by which everybody knows it
from torch import Tensor, nn


def opponent_of(network: nn.Module) -> nn.Module | None:
    """The network's `discriminator`: (past, known, future) to logits, above 0 for what it takes as real."""
    found = getattr(network, "discriminator", None)
    return found if isinstance(found, nn.Module) else None


def deception_sums(opponent: nn.Module, past: Tensor, known: Tensor, predicted: Tensor) -> Tensor:
    """What the generator's loss needs: (2,), the cross-entropy of "real" for predictions, and its number."""
    logits = opponent(past, known, predicted).float()
    return torch.stack([F.softplus(-logits).sum(), logits.new_tensor(float(logits.numel()))])


def detection_sums(opponent: nn.Module, past: Tensor, known: Tensor, future: Tensor, predicted: Tensor) -> Tensor:
    """What the opponent's loss needs: (2,), its cross-entropy over real and predicted fields, and their number."""
    # in one pass: both are judged by the same statistics
    both = [torch.cat(pair) for pair in ((past, past), (known, known), (future, predicted))]
    real, fake = opponent(*both).float().chunk(2)
    entropy = F.softplus(-real).sum() + F.softplus(fake).sum()
    return torch.stack([entropy, entropy.new_tensor(float(real.numel() + fake.numel()))])
