"""A region as months of cells: those of its cube that ever have ice (or melt) in the fitted years."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from glacier_core.errors import ConfigurationError, WithheldError
from glacier_core.grids import Grid
from glacier_core.measure.ice_cover import FEWEST_YEARS, MONTHS, MonthlySeries
from glacier_core.steps.kinds.series import metres_per_pixel

if TYPE_CHECKING:
    from glacier_core.steps.kinds.ice_cover.fields import Window

Floats = NDArray[np.float32]

LAND_MASK = "land"
PAD = 8
"""Rows and columns around the cells that networks see, so that an edge of the domain is no edge of the picture."""
FITTED_PART = 0.6
"""Part of the months that baselines are fitted on where too few of them lie in the recipe's fitted years."""


@dataclass(frozen=True)
class Region:
    """One region's months, and where its cells lie."""

    name: str
    """Name of the unit."""
    grid: Grid
    """Pixel grid of the cube."""
    quantity: str
    """What the fraction is of: `ice_fraction`, `melt_fraction`."""
    band: str
    """Name of the cube's band."""
    series: MonthlySeries
    """Months in a row, of the cells alone."""
    cells_P: NDArray[np.intp]  # noqa: N815 - shape suffixes
    """Flat number of each cell on the grid."""
    area_P: NDArray[np.float64]  # noqa: N815 - shape suffixes
    """True area of each cell, km²."""
    parts: tuple[str, ...]
    """The period of each month as a target: train, validation, test, or empty."""
    targets: frozenset[int]
    """Calendar months, 1 to 12, that are forecast."""
    land_HW: NDArray[np.bool_]  # noqa: N815 - shape suffixes
    """Land, for maps."""
    level: float = 0.0
    """Step between the values that its images can have."""

    @property
    def shape(self) -> tuple[int, int]:
        """(rows, columns) of the grid."""
        return self.grid.shape

    @property
    def fitted(self) -> NDArray[np.bool_]:
        """(N,) the months that baselines may be fitted on: those of training and validation."""
        return np.array([part in ("train", "validation") for part in self.parts])

    @property
    def taught(self) -> NDArray[np.bool_]:
        """(N,) the months of training."""
        return np.array([part == "train" for part in self.parts])

    def window(self) -> Window:
        """The part of the grid that holds the cells, with a margin."""
        from glacier_core.steps.kinds.ice_cover.fields import Window

        rows, columns = np.unravel_index(self.cells_P, self.shape)
        bounds = [
            slice(max(0, int(at.min()) - PAD), min(size, int(at.max()) + 1 + PAD))
            for at, size in zip((rows, columns), self.shape, strict=True)
        ]
        return Window(*bounds)

    def on_grid(self, values_xP: Floats, window: Window | None = None, *, fill: float = 0.0) -> Floats:  # noqa: N803
        """Cells (..., P) as pictures (..., H, W) of a window or of the whole grid; `fill` elsewhere."""
        height, width = self.shape if window is None else window.shape
        found = np.full((*values_xP.shape[:-1], height * width), fill, np.float32)
        inside, places = self._within(window)
        found[..., places] = values_xP[..., inside]
        return found.reshape(*values_xP.shape[:-1], height, width)

    def _within(self, window: Window | None) -> tuple[Any, NDArray[np.intp]]:
        """The cells that lie in a window, and their flat places in it."""
        if window is None:
            return slice(None), self.cells_P
        rows, columns = np.unravel_index(self.cells_P, self.shape)
        row, column = rows - window.rows.start, columns - window.columns.start
        height, width = window.shape
        inside = np.flatnonzero((row >= 0) & (row < height) & (column >= 0) & (column < width))
        return inside, (row * width + column)[inside]

    def of_grid(self, picture_xHW: Floats, window: Window) -> Floats:  # noqa: N803 - shape suffixes
        """Pictures (..., H, W) of a window that holds all cells, as cells (..., P)."""
        rows, columns = np.unravel_index(self.cells_P, self.shape)
        found: Floats = picture_xHW[..., rows - window.rows.start, columns - window.columns.start]
        return found

    def is_target(self, issue: int, leads: int) -> NDArray[np.bool_]:
        """(L,) whether the leads' months are among those that are forecast."""
        months = (self.series.first + issue + 1 + np.arange(leads)) % MONTHS + 1
        return np.isin(months, list(self.targets))

    def issues(self, part: str, *, lookback: int, lead: int) -> list[int]:
        """Rows from which a month of a period, seen and wanted, is `lead` months ahead; a shorter past is filled up."""
        rows = range(lookback - 1, len(self.series) - lead)
        seen = self.series.seen
        return [
            row
            for row in rows
            if self.parts[row + lead] == part and seen[row + lead] and self.is_target(row + lead - 1, 1)[0]
        ]


def read_region(path: str, *, name: str, grid: Grid, recipe: Any, split: Mapping[str, Any]) -> Region:
    """The region of a cube.

    Args:
        path: the cube.
        name: the unit's name.
        grid: its grid.
        recipe: the recipe.
        split: the plan's split.

    Raises:
        WithheldError: the cube holds no month with any ice in the fitted years.
        DataError: two images are of one month.
    """
    from glacier_core.cube import open_cube, open_pixels, read_mask
    from glacier_core.measure.ice_cover import level_of

    cube = open_pixels(path)
    times = [str(time)[:10] for time in open_cube(path)["time"].values.astype("datetime64[D]")]
    fields = cube.physical(bands=cube.bands[:1])[:, 0]
    series = MonthlySeries.of(times, fields.reshape(len(fields), -1))
    parts = _parts(series, recipe, split)
    fitted = np.array([part in ("train", "validation") for part in parts])
    land = read_mask(path, LAND_MASK) if LAND_MASK in cube else np.zeros(grid.shape, bool)
    most = np.nan_to_num(series.values_NP[fitted]).max(axis=0, initial=0)
    cells = np.flatnonzero((most > 0) & ~land.ravel())
    if not len(cells):
        raise WithheldError(
            f"{name}: too few frames: nothing is seen in the years that baselines are fitted to",
            expected="months of several years up to split.validation_to",
        )
    quantities = open_cube(path).attrs.get("quantities", '["ice_fraction"]')
    area = np.broadcast_to(cell_areas(grid, recipe, name), grid.shape).ravel()[cells]
    series = series.cells(cells)
    return Region(
        name=name,
        grid=grid,
        quantity=str(quantities).strip('[]"').split('"')[0],
        band=cube.bands[0],
        series=series,
        cells_P=cells,
        area_P=area,
        parts=parts,
        targets=frozenset(recipe.target_months or range(1, MONTHS + 1)),
        land_HW=land,
        level=level_of(series.values_NP),
    )


def cell_areas(grid: Grid, recipe: Any, name: str) -> NDArray[np.float64]:
    """Area of each cell, km², (y, 1) or (y, x): the true one of a CRS, else that of the stated pixel size.

    Raises:
        ConfigurationError: neither is known.
    """
    from glacier_core.measure import pixel_areas

    if grid.crs:
        return pixel_areas(grid)
    metres = metres_per_pixel(grid, recipe)
    if metres is None:
        raise ConfigurationError(
            f"nothing tells how large a cell of {name} is: its images have no CRS",
            expected="images with a CRS, or imagery.pixel_size_m",
            do="state imagery.pixel_size_m",
        )
    return np.full((grid.height, 1), metres**2 / 1e6)


def _parts(series: MonthlySeries, recipe: Any, split: Mapping[str, Any]) -> tuple[str, ...]:
    """The period of each month by the recipe's dates; of other data with too few years before them, by its own part."""
    from glacier_core.steps.splitting import period_of

    days = [f"{series.name(row)}-01" for row in range(len(series))]
    dates = recipe.split
    ends = {"train_to": str(dates.train_to), "validation_to": str(dates.validation_to)}
    ends["test_to"] = str(dates.test_to or "")
    taught = {day[:4] for day in days if day <= ends["train_to"]}
    if split["by"] != "time" and len(taught) < FEWEST_YEARS:
        first, second = (days[int(len(days) * part)] for part in (FITTED_PART * 0.85, FITTED_PART))
        ends = {"train_to": first, "validation_to": second, "test_to": ""}
    found = [period_of({"by": "time", **ends}, day) for day in days]
    seen_to = str(split.get("seen_to", ""))
    return tuple("" if part == "test" and day <= seen_to else part for part, day in zip(found, days, strict=True))
