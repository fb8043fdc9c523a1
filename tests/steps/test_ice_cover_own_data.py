"""Ice cover of data that others bring: images without a CRS, short records, and no month to learn errors from."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from glacier_core import IceCoverRecipe, parse_recipe
from glacier_core.cube import make_cube, packing_of, write_cube
from glacier_core.errors import ConfigurationError
from glacier_core.grids import Grid
from glacier_core.measure.ice_cover import BASELINES, MemberSums, field_sums
from glacier_core.steps.kinds.ice_cover.forecasting import Dressing
from glacier_core.steps.kinds.ice_cover.regions import Region, read_region
from glacier_core.steps.kinds.ice_cover.scoring import region_rows, summary
from glacier_core.steps.splitting import untrained


def recipe_of(**imagery: Any) -> IceCoverRecipe:
    frames = {"source": "frames", "files": "*.npy", "bands": ["ice"], "quantities": ["ice_fraction"]}
    split = {"by": "time", "train_to": "1996-12-31", "validation_to": "1999-12-31"}
    value = {"name": "own", "kind": "ice_cover", "data": "/d", "imagery": frames | imagery, "split": split}
    return parse_recipe(value, origin="test", kind=IceCoverRecipe)


def region_of(folder: Path, recipe: IceCoverRecipe, *, first: str, years: int, crs: str = "EPSG:3411") -> Region:
    """A record in steps of 5 %, read back from its cube."""
    steps = np.random.default_rng(0).integers(0, 20, (years * 12, 1, 6, 6))
    grid = Grid(crs, (25_000.0, 0.0, 0.0, 0.0, -25_000.0, 0.0), width=6, height=6)
    times = np.datetime64(first, "M") + np.arange(years * 12)
    packing, _ = packing_of(["ice_fraction"])
    imagery = (0.05 * steps).astype(np.float32)
    path = str(folder / "cube.zarr")
    write_cube(path, make_cube(grid=grid, times=times, bands=["ice"], imagery=imagery, packing=packing))
    return read_region(path, name="here", grid=grid, recipe=recipe, split=untrained(["here"], tested=True))


def test_cells_without_a_crs_have_the_stated_size_or_are_refused(tmp_path: Path) -> None:
    region = region_of(tmp_path, recipe_of(pixel_size_m=2000), first="1990-01", years=12, crs="")
    assert region.area_P.tolist() == [4.0] * 36
    with pytest.raises(ConfigurationError, match=r"how large a cell of here is.*imagery\.pixel_size_m"):
        region_of(tmp_path, recipe_of(), first="1990-01", years=12, crs="")


def test_a_region_tells_the_step_between_its_values(tmp_path: Path) -> None:
    assert region_of(tmp_path, recipe_of(), first="1990-01", years=12).level == pytest.approx(0.05)


def test_a_record_that_starts_just_before_the_end_of_training_is_fitted_on_its_own_first_part(tmp_path: Path) -> None:
    late = region_of(tmp_path, recipe_of(), first="1995-01", years=16)
    assert late.taught.sum() / 12 > 5
    assert [late.parts[row] for row in (0, 12 * 9, -1)] == ["train", "validation", "test"]
    early = region_of(tmp_path, recipe_of(), first="1990-01", years=12)
    assert early.taught.sum() == 7 * 12


def test_months_without_a_validation_month_are_scored_without_members(tmp_path: Path) -> None:
    recipe = recipe_of()
    region = region_of(tmp_path, recipe, first="1990-01", years=12)
    guess = np.full((1, 36), 0.5, np.float32)
    forecaster: Any = SimpleNamespace(
        fields=SimpleNamespace(leads=1, bases=("trend",), baseline=lambda *_: guess[0]), centres=lambda _: [guess]
    )
    nothing = Dressing((), (), np.empty((0, 1, 36), np.float32), region.series.first, (1.0,))
    known = Dressing((119,), (1999,), np.full((1, 1, 36), 0.1, np.float32), region.series.first, (1.0,))
    for dressing, scored in ((nothing, False), (known, True)):
        rows = region_rows(region, forecaster, dressing, recipe)
        assert len(rows) == 24
        assert all((row["members"] is not None) == scored for row in rows)


def test_members_that_know_no_error_are_not_scored() -> None:
    area = np.ones(30)
    rng = np.random.default_rng(0)
    nothing = Dressing((), (), np.empty((0, 2, 30), np.float32), 0, (1.0, 1.0))
    assert not nothing.knows(1)
    errors = np.full((1, 2, 30), np.nan, np.float32)
    errors[0, 1] = 0.1
    one = Dressing((5,), (1999,), errors, 0, (1.0, 1.0))
    assert (one.knows(1), one.knows(2)) == (False, True)
    sums = {}
    for who in ("model", *BASELINES):
        fields = rng.random((2, 30)).astype(np.float32)
        sums[who] = field_sums(fields[0], fields[1], area, threshold=0.15).to_json()
    rows = [
        {"unit": "a", "region": "here", "time": "2000-01-01", "lead": lead, "season": "DJF", "sums": sums}
        | {"members": MemberSums(area=30, crps=3, squared=1).to_json() if lead == 2 else None}
        for lead in (1, 2)
    ]
    found = summary(rows, measure=recipe_of().measure)["model"]
    assert "rmse/lead1" in found
    assert {name for name in found if name.startswith(("crps", "coverage", "spread"))} == {
        f"{name}/lead2" for name in ("crps", "coverage", "coverage_plain", "coverage_unsure", "spread_skill")
    }
