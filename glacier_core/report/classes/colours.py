"""Colours of classes: what people expect where the name tells it, else such as colour-blind readers tell apart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

Colour = tuple[int, int, int]

KNOWN: Mapping[str, Colour] = {
    "snow": (205, 225, 240),
    "ice": (86, 180, 233),
    "clean_ice": (86, 180, 233),
    "glacier": (0, 114, 178),
    "debris": (146, 78, 28),
    "water": (35, 60, 140),
    "rock": (178, 160, 138),
    "vegetation": (60, 140, 85),
    "other": (222, 214, 202),
    "shadow": (60, 60, 66),
    "cloud": (240, 228, 66),
}
OTHERS: Sequence[Colour] = (
    (230, 159, 0),
    (0, 158, 115),
    (204, 121, 167),
    (213, 94, 0),
    (240, 228, 66),
    (117, 112, 179),
    (102, 166, 30),
    (166, 118, 29),
)
"""For names that are not known (Okabe and Ito 2008; Dark2 of ColorBrewer)."""


def class_colours(names: Sequence[str]) -> list[Colour]:
    """A colour for each class, all different.

    Args:
        names: the classes.
    """
    taken: list[Colour] = []
    spare = [colour for colour in OTHERS if colour not in [KNOWN.get(name) for name in names]]
    for name in names:
        colour = KNOWN.get(name)
        if colour is None or colour in taken:
            colour = spare.pop(0) if spare else (30 * len(taken) % 256, 60, 200 - 10 * len(taken) % 200)
        taken.append(colour)
    return taken
