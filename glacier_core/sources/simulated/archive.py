"""The archive: every place's files, and the catalog and tables over them."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

from glacier_core.lifetimes import die_with_parent
from glacier_core.sources.simulated.items import catalog_of
from glacier_core.sources.simulated.locations import CRS
from glacier_core.sources.simulated.outlines import write_outlines
from glacier_core.sources.simulated.places import Made, Order, make_place, make_truth

if TYPE_CHECKING:
    from glacier_core.recipes import Simulation

log = logging.getLogger(__name__)


def simulate(
    folder: Path,
    *,
    spec: Simulation,
    years: range,
    season: tuple[str, str],
    progress: Callable[[str], None] | None = None,
    processes: int = 1,
) -> None:
    """Write an archive of simulated Sentinel-2 scenes of glaciers whose truth is known.

    The archive holds `catalog.json` (static STAC catalog), `items/<id>/<id>.json`, `scenes/<id>/<asset>.tif` (B02,
    B03, B04 and B08 at 10 m, B11 and SCL at 20 m), `outlines.gpkg` (first year, RGI 7 attributes), `reference.gpkg`
    (every year), `truth/<rgi_id>/<year>.tif` (1 ice, 0 none) and `truth.csv` (rgi_id, year, area_km2 on the ellipsoid,
    terminus_m: retreat of the terminus along the flow line since the first year). The same arguments give the same
    bytes, whatever `processes` is.

    Args:
        folder: where to write; made if absent.
        spec: seed, numbers and size.
        years: years in order.
        season: first and last day of the season as MM-DD; one that crosses New Year counts for its last day's year.
        progress: receives a line after each place.
        processes: number of processes that work at a time.

    Raises:
        ConfigurationError: there is no room for so many or so large places.
    """
    folder.mkdir(parents=True, exist_ok=True)
    orders = [
        Order(
            folder=str(folder),
            spec=spec,
            years=tuple(years),
            seasons=tuple(_season(year, season) for year in years),
            place=place,
        )
        for place in range(spec.places)
    ]
    made: list[Made] = []
    with _makers(min(processes, len(orders))) as make:
        for done in make(orders):
            made.append(done)
            if progress:
                progress(f"place {len(made)} of {spec.places}: {len(done.item_ids)} scenes")
    _write_tables(folder, made)


def simulate_truth(folder: Path, *, spec: Simulation, years: range, season: tuple[str, str]) -> None:
    """Write what covers the ground in each scene of the archive that `simulate` makes of the same arguments.

    `classes/<scene>.tif` holds the number of each pixel's class in `CLASSES`, also below clouds, and 255 where no class
    covers most of the pixel, or firn does; `dem/P001.tif` the heights of a place in the first year, in metres.

    Args:
        folder: where to write; made if absent.
        spec: seed, numbers and size.
        years: years in order.
        season: as for `simulate`.
    """
    seasons = tuple(_season(year, season) for year in years)
    for place in range(spec.places):
        make_truth(Order(folder=str(folder), spec=spec, years=tuple(years), seasons=seasons, place=place))


@contextmanager
def _makers(processes: int) -> Iterator[Callable[[Sequence[Order]], Iterator[Made]]]:
    """A map over orders, in order of the orders, by as many processes."""
    if processes <= 1:
        yield lambda orders: map(make_place, orders)
        return
    import multiprocessing
    from concurrent.futures import ProcessPoolExecutor

    pool = ProcessPoolExecutor(
        processes,
        # threads of the caller do not survive a fork
        mp_context=multiprocessing.get_context("spawn"),
        initializer=die_with_parent,
        initargs=(os.getpid(),),
    )
    try:
        yield lambda orders: pool.map(make_place, orders)
    finally:
        pool.shutdown(cancel_futures=True)


def _season(year: int, season: tuple[str, str]) -> tuple[date, date]:
    first, last = season
    start = date.fromisoformat(f"{year if first <= last else year - 1}-{first}")
    return start, date.fromisoformat(f"{year}-{last}")


def _write_tables(folder: Path, made: Sequence[Made]) -> None:
    item_ids = sorted(item_id for place in made for item_id in place.item_ids)
    glaciers = [by_year for place in made for by_year in place.outlines]
    first_year = [by_year[0] for by_year in glaciers]
    write_outlines(str(folder / "outlines.gpkg"), first_year, crs=CRS)
    write_outlines(str(folder / "reference.gpkg"), [outline for by_year in glaciers for outline in by_year], crs=CRS)
    lines = ["rgi_id,year,area_km2,terminus_m"]
    lines += [
        f"{glacier},{year},{area:.6f},{retreat:.1f}" for place in made for glacier, year, area, retreat in place.truth
    ]
    (folder / "truth.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    (folder / "catalog.json").write_text(json.dumps(catalog_of(item_ids), indent=1), encoding="utf-8")
