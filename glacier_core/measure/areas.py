"""Area of a glacier in a year from a probability map: true pixel areas, what was not seen, and how sure it is.

Arrays are (y, x) on the unit's grid, rows south, columns east. Areas are in km² on the ellipsoid.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from glacier_core.errors import DataError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from glacier_core.grids import Grid

M2_PER_KM2 = 1e6
# The areal scale of a map projection varies with the square of distances of the order of the Earth's radius: linear
# interpolation between nodes this far apart is exact to 1e-7.
NODE_SPACING_M = 2000.0


@dataclass(frozen=True)
class AreaEstimate:
    """Area of one glacier in one year, before calibration."""

    area_km2: float
    """Predicted ice inside the domain; unobserved pixels hold the fraction of ice that was seen around them."""
    spread_km2: float
    """Expected size of the error, of the order of one standard deviation, in km². A scale: `Calibration` turns it into
    an interval."""
    clear_fraction: float
    """Observed share of the domain's area, 0 to 1."""
    observed_ice_km2: float
    """Ice that was seen."""
    unobserved_km2: float
    """Area of the domain that was not seen."""
    domain_km2: float
    """Area of the domain: no glacier is larger."""


def pixel_areas(grid: Grid) -> NDArray[np.float64]:
    """True area of each pixel on the CRS's ellipsoid, in km².

    A projected CRS: pixel area divided by the areal scale at the pixel's centre (Snyder 1987, USGS Professional Paper
    1395), exact to 1e-6. A geographic CRS: the exact area between two parallels. A local engineering CRS: plain area.

    Args:
        grid: the pixel grid.

    Returns:
        (height, width), or (height, 1) where the area does not vary along a row.

    Raises:
        DataError: the CRS reaches pixels that it is not defined for.
    """
    from pyproj import CRS

    crs: Any = CRS.from_user_input(grid.crs)
    while crs.is_bound or crs.is_compound:
        crs = crs.source_crs if crs.is_bound else crs.sub_crs_list[0]
    if crs.is_geographic:
        return _areas_between_parallels(grid, crs)
    unit_m = float(crs.axis_info[0].unit_conversion_factor)
    a, _, _, _, e, _ = grid.transform
    plain_km2 = abs(a * e) * unit_m**2 / M2_PER_KM2
    if not crs.is_projected:
        return np.full((grid.height, 1), plain_km2)
    return plain_km2 / _areal_scale(grid, crs, unit_m)


def _areal_scale(grid: Grid, crs: Any, unit_m: float) -> NDArray[np.float64]:
    """Projected over true area at each pixel's centre: computed at nodes, interpolated between them."""
    from pyproj import Proj

    a, _, left, _, e, top = grid.transform
    columns, column_weights = _nodes(grid.width, abs(a) * unit_m)
    rows, row_weights = _nodes(grid.height, abs(e) * unit_m)
    x, y = np.meshgrid(left + a * (columns + 0.5), top + e * (rows + 0.5))
    projection = Proj(crs)
    longitude, latitude = projection(x, y, inverse=True)
    if not np.all(np.isfinite(longitude) & np.isfinite(latitude)):
        raise DataError(
            f"the grid's window {grid.bounds} lies outside of where {crs.name} is defined",
            do="check the CRS and the transform of the imagery",
        )
    scale = np.asarray(projection.get_factors(longitude, latitude).areal_scale, dtype=np.float64)
    return row_weights @ scale @ column_weights.T


def _nodes(count: int, pixel_m: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Node positions in pixels along one axis, and the (count, nodes) weights of linear interpolation between them."""
    number = min(count, math.ceil(count * pixel_m / NODE_SPACING_M) + 1)
    nodes = np.linspace(0.0, count - 1.0, number)
    weights = np.stack([np.interp(np.arange(count), nodes, unit) for unit in np.eye(number)], axis=1)
    return nodes, weights


def _areas_between_parallels(grid: Grid, crs: Any) -> NDArray[np.float64]:
    radians = float(crs.axis_info[0].unit_conversion_factor)
    a, _, _, _, e, top = grid.transform
    edges = (top + e * np.arange(grid.height + 1)) * radians
    if np.any(np.abs(edges) > math.pi / 2 + 1e-9):
        raise DataError(
            f"the grid's window {grid.bounds} reaches beyond a pole", do="check the transform of the imagery"
        )
    sine = np.sin(np.clip(edges, -math.pi / 2, math.pi / 2))
    ellipsoid = crs.ellipsoid
    semi_minor = float(ellipsoid.semi_minor_metre)
    eccentricity = math.sqrt(max(0.0, 1.0 - (semi_minor / float(ellipsoid.semi_major_metre)) ** 2))
    if eccentricity < 1e-9:
        zone = 2 * sine
    else:
        es = eccentricity * sine
        # area between the equator and a parallel, Snyder 1987, equation 3-12
        zone = sine / (1 - es**2) + np.arctanh(es) / eccentricity
    strips = np.abs(np.diff(zone)) * semi_minor**2 / 2 * abs(a) * radians
    return np.asarray(strips / M2_PER_KM2)[:, None]


def estimate_area(
    *,
    probability: NDArray[np.float32],
    domain: NDArray[np.bool_],
    outline: NDArray[np.bool_],
    pixel_area: NDArray[np.float64],
    threshold: float = 0.5,
) -> AreaEstimate:
    """Area of ice inside the domain, with a scale for its error.

    Unobserved pixels inside (outside) the glacier's outline hold the fraction of ice that was observed inside (outside)
    it; where nothing was observed they hold what the outline says. The spread joins, as independent errors:

    - half a pixel along the ice's margin (Granshaw and Fountain 2006, doi 10.3189/172756506781828782; Paul et al. 2013,
      doi 10.3189/2013AoG63A296): the least that a map on this grid can be wrong by,
    - the area that the network's own probabilities expect to be wrong, Σ min(p, 1 - p)·area,
    - the unobserved ice: the standard deviation of a patch that is all ice or all land, whose probability is drawn
      towards one half the less was observed. It grows with every pixel that is not observed.

    Args:
        probability: (y, x) probability of ice, 0 to 1, NaN where nothing was observed.
        domain: (y, x) where this glacier is measured.
        outline: (y, x) inside the glacier's own outline.
        pixel_area: km², broadcast to (y, x); see `pixel_areas`.
        threshold: ice is where the probability reaches it.

    Raises:
        DataError: the shapes differ, or the domain is empty.
    """
    if not probability.shape == domain.shape == outline.shape:
        raise DataError(
            f"probability, domain and outline have the shapes {probability.shape}, {domain.shape} and {outline.shape}",
            expected="one shape",
        )
    area = np.broadcast_to(pixel_area, domain.shape)
    domain_km2 = float(area[domain].sum())
    if domain_km2 <= 0:
        raise DataError("the glacier's domain holds no pixel", do="check that its outline lies on the imagery")
    observed = np.isfinite(probability) & domain
    ice = observed & (np.where(observed, probability, 0) >= threshold)
    parts = [
        _unobserved(area, where=domain & side, observed=observed, ice=ice, prior=prior)
        for side, prior in ((outline, 1.0), (~outline, 0.0))
    ]
    observed_ice = float(area[ice].sum())
    unobserved = float(area[domain & ~observed].sum())
    seen = probability[observed].astype(np.float64)
    doubt = float((np.minimum(seen, 1 - seen) * area[observed]).sum())
    # where nothing was seen the margin is taken to run along the outline: it does not become shorter by being hidden
    margin = _half_pixel_margin(ice | (outline & ~observed), domain, area)
    errors = [margin, doubt, *(spread for _, spread in parts)]
    return AreaEstimate(
        area_km2=observed_ice + sum(filled for filled, _ in parts),
        spread_km2=math.hypot(*errors),
        clear_fraction=1.0 - unobserved / domain_km2,
        observed_ice_km2=observed_ice,
        unobserved_km2=unobserved,
        domain_km2=domain_km2,
    )


def _unobserved(
    area: NDArray[np.float64],
    *,
    where: NDArray[np.bool_],
    observed: NDArray[np.bool_],
    ice: NDArray[np.bool_],
    prior: float,
) -> tuple[float, float]:
    """Ice to be expected in the unobserved pixels of `where`, and its standard deviation, in km²."""
    seen = float(area[where & observed].sum())
    missing = float(area[where & ~observed].sum())
    if missing <= 0:
        return 0.0, 0.0
    fraction = float(area[where & ice].sum()) / seen if seen > 0 else prior
    share_seen = seen / (seen + missing)
    drawn = share_seen * fraction + (1 - share_seen) * 0.5
    return missing * fraction, missing * math.sqrt(drawn * (1 - drawn))


def _half_pixel_margin(ice: NDArray[np.bool_], domain: NDArray[np.bool_], area: NDArray[np.float64]) -> float:
    """Half a pixel times the length of the ice's margin inside the domain, in km²; at least half a pixel's area."""
    pixel = float(area[domain].mean())
    edges = 0
    for axis in (0, 1):
        one, other = (slice(1, None), slice(None, -1))
        first = (one, slice(None)) if axis == 0 else (slice(None), one)
        second = (other, slice(None)) if axis == 0 else (slice(None), other)
        # the divide to a neighbour is fixed: where the domain ends there is no margin to be wrong about
        edges += int(np.count_nonzero((ice[first] != ice[second]) & domain[first] & domain[second]))
    return max(edges, 1) * pixel / 2
