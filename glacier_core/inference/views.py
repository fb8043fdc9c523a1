"""Predictions as means: over the views that the square's symmetries give of an image, and over several networks.

A network that has been trained on turned and mirrored samples is nearly indifferent to them; the mean over all eight
takes away what is left of the difference, at eight times the cost. Networks that were trained from different seeds err
in different places where samples are few; their mean errs less (Lakshminarayanan, Pritzel and Blundell 2017,
arXiv:1612.01474).

Shapes: B images, C channels, H rows, W columns.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from glacier_core.models import tiling_of

LEAST = 1e-12
"""Probability below which a logarithm says nothing more."""


class MeanOfMembers(nn.Module):
    """Networks of one kind whose probabilities' mean counts.

    Args:
        members: the networks.
    """

    def __init__(self, members: Sequence[nn.Module]) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)
        self.stride, self._halo = tiling_of(members[0])

    def halo(self) -> int:
        """Pixels around a tile that its result depends on."""
        return self._halo

    def forward(self, image_BCHW: Tensor) -> Tensor:  # noqa: N803 - shape suffixes
        """Logarithms of the mean class probabilities (B, classes, H, W) of an image (B, C, H, W)."""
        found = [member(image_BCHW).float().softmax(dim=1) for member in self.members]
        return torch.stack(found).mean(dim=0).clamp_min(LEAST).log()


class MeanOfViews(nn.Module):
    """A segmentation network whose probabilities are means over the eight turns and reflections of its image.

    Args:
        network: the network.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self.stride, self._halo = tiling_of(network)

    def halo(self) -> int:
        """Pixels around a tile that its result depends on."""
        return self._halo

    def forward(self, image_BCHW: Tensor) -> Tensor:  # noqa: N803 - shape suffixes
        """Logarithms of the mean class probabilities (B, classes, H, W) of an image (B, C, H, W)."""
        total: Tensor | None = None
        for turns in range(4):
            for mirrored in (False, True):
                view = torch.rot90(image_BCHW, turns, (2, 3))
                view = view.flip(3) if mirrored else view
                found = self.network(view).float().softmax(dim=1)
                found = found.flip(3) if mirrored else found
                found = torch.rot90(found, -turns, (2, 3))
                total = found if total is None else total + found
        assert total is not None  # noqa: S101 - eight views were added
        return (total / 8).clamp_min(LEAST).log()
