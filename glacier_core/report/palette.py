"""Colours that readers with colour-blindness tell apart (Okabe & Ito 2008; PuOr of ColorBrewer)."""

from __future__ import annotations

INK = "#17242c"
MUTED = "#5c6b75"
FAINT = "#d9e0e4"
PAPER = "#ffffff"
ICE = "#0072b2"
LOSS = "#d55e00"
UNOBSERVED = (124, 132, 138)
"""Ground that was not seen, in pictures."""
OUTLINE_NOW = (255, 176, 0)
"""The year's outline over an image: bright enough for rock, saturated enough for snow."""
OUTLINE_FIRST = (120, 230, 255)
"""The first year's outline over an image."""

CHANGE_CLASSES: tuple[tuple[float, str, str], ...] = (
    (-2.0, "#8c4303", "loses more than 2 % a year"),
    (-1.0, "#d9780e", "loses 1 to 2 % a year"),
    (-0.5, "#f6a94a", "loses 0.5 to 1 % a year"),
    (0.0, "#fbdcae", "loses up to 0.5 % a year"),
    (float("inf"), "#8073ac", "gains"),
)
"""Upper bound of the class in percent a year, colour, and what it means."""

DARK = ("#8c4303", "#8073ac")
"""Those of them that take white letters."""


def change_colour(percent_per_yr: float) -> str:
    """Colour of a relative change of area."""
    return next(colour for bound, colour, _ in CHANGE_CLASSES if percent_per_yr <= bound)
