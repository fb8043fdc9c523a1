"""Small SVG drawings for the pages: every text and attribute is escaped; colours come from the page's style sheet."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from markupsafe import Markup, escape


class Drawing:
    """One SVG element that grows by `add`.

    Args:
        width: of the view box.
        height: of the view box.
        label: what the drawing shows, for readers who do not see it.
        kind: class of the element.
    """

    def __init__(self, width: float, height: float, *, label: str, kind: str) -> None:
        self.width = width
        self.height = height
        self._parts: list[Markup] = []
        self._label = label
        self._kind = kind

    def add(self, tag: str, *, text: str | None = None, title: str = "", **attributes: Any) -> None:
        """Append one element; `class_` stands for class, underscores for hyphens, floats are rounded."""
        written = _attributes(attributes)
        inner = Markup("<title>{}</title>").format(title) if title else Markup("")
        if text is not None:
            inner += escape(text)
        if inner:
            self._parts.append(Markup("<{0}{1}>{2}</{0}>").format(Markup(tag), written, inner))  # noqa: S704
        else:
            self._parts.append(Markup("<{}{}/>").format(Markup(tag), written))  # noqa: S704

    def open(self, tag: str, *, title: str = "", **attributes: Any) -> None:
        """Begin a group."""
        self._parts.append(Markup("<{}{}>").format(Markup(tag), _attributes(attributes)))  # noqa: S704
        if title:
            self._parts.append(Markup("<title>{}</title>").format(title))

    def close(self, tag: str) -> None:
        """End a group."""
        self._parts.append(Markup("</{}>").format(Markup(tag)))  # noqa: S704

    def markup(self) -> Markup:
        """The whole element."""
        head = Markup('<svg class="{}" viewBox="0 0 {} {}" role="img" aria-label="{}">').format(
            self._kind, _short(self.width), _short(self.height), self._label
        )
        return head + Markup("").join(self._parts) + Markup("</svg>")


class Scale:
    """A linear scale from values to positions."""

    def __init__(self, values: tuple[float, float], positions: tuple[float, float]) -> None:
        self.low, self.high = values
        self.start, end = positions
        self.factor = (end - self.start) / ((self.high - self.low) or 1.0)

    def __call__(self, value: float) -> float:
        """Position of a value."""
        return self.start + (value - self.low) * self.factor

    def clamped(self, value: float) -> float:
        """Position of a value, or of the end of the scale that it lies beyond."""
        return self(max(self.low, min(self.high, value)))


def ticks(low: float, high: float, *, most: int) -> list[float]:
    """Round numbers inside an interval, `most` of them at most."""
    if not high > low:
        return [low]
    rough = (high - low) / max(most, 1)
    power = 10.0 ** math.floor(math.log10(rough))
    steps = (factor * power for factor in (1, 2, 2.5, 5, 10, 20, 25, 50))
    step = next(step for step in steps if _count(low, high, step) <= most)
    first = math.ceil(low / step - 1e-9)
    return [round(index * step, 12) for index in range(first, math.floor(high / step + 1e-9) + 1)]


def tick_label(value: float, values: Sequence[float]) -> str:
    """A tick's text with as many decimals as its neighbours need."""
    gaps = [abs(b - a) for a, b in pairwise(values)]
    step = min(gaps, default=abs(value) or 1.0)
    decimals = min(6, max(0, math.ceil(-math.log10(step) - 1e-9))) if step else 0
    if decimals < 6 and gaps and abs(round(step, decimals) - step) > 1e-9:
        decimals += 1
    return f"{value:,.{decimals}f}".replace("-", "\N{MINUS SIGN}")


def log_ticks(low: float, high: float) -> list[float]:
    """1, 2 and 5 times the powers of ten between two logarithms."""
    powers = range(math.floor(low), math.ceil(high) + 1)
    values = [step * 10.0**power for power in powers for step in (1, 2, 5)]
    return [value for value in values if low <= math.log10(value) <= high]


def value_range(values: Sequence[float]) -> tuple[float, float]:
    """Ends of an axis that holds all finite values, with some air."""
    finite = [value for value in values if math.isfinite(value)]
    low, high = min(finite, default=0.0), max(finite, default=1.0)
    pad = 0.06 * (high - low) or abs(high) * 0.05 or 0.5
    return low - pad, high + pad


def shortened(text: str, most: int) -> str:
    """Text of at most so many letters, its middle left out: names differ at their ends."""
    if len(text) <= most:
        return text
    head = (most - 1) // 3
    return f"{text[:head]}…{text[head + 1 - most :]}"


def points(pairs: Sequence[tuple[float, float]]) -> str:
    """Coordinates as polylines and polygons take them."""
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in pairs)


def _count(low: float, high: float, step: float) -> int:
    return math.floor(high / step + 1e-9) - math.ceil(low / step - 1e-9) + 1


def _attributes(attributes: dict[str, Any]) -> Markup:
    written = Markup("")
    for name, value in attributes.items():
        if value is None:
            continue
        shown = _short(value) if isinstance(value, float) else value
        written += Markup(' {}="{}"').format(Markup(name.rstrip("_").replace("_", "-")), shown)  # noqa: S704
    return written


def _short(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")
