"""Invented glaciers for the report: shapes that retreat, pictures of them, tables with every oddity."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from shapely.geometry import box

from glacier_core.grids import Grid
from glacier_core.recipes import ExtentRecipe, parse_recipe
from glacier_core.report import ReportInputs, YearImage

YEARS = (2016, 2024)
CONFIDENCE = 0.9


def recipe_of(**changes: Any) -> ExtentRecipe:
    return parse_recipe(
        {
            "name": "demo",
            "kind": "extent",
            "title": "Simulated glaciers",
            "years": list(YEARS),
            "imagery": {
                "source": "simulated",
                "simulation": {"seed": 1},
                "bands": ["B02", "B03", "B04", "B08", "B11"],
                "rgb": ["B04", "B03", "B02"],
                "green": "B03",
                "swir": "B11",
                "mask": "SCL",
                "resolution_m": 10,
            },
            **changes,
        },
        origin="test",
        kind=ExtentRecipe,
    )


class Scenery:
    """`count` glaciers, two a place, whose tongues shorten; every third one does not change."""

    def __init__(self, *, count: int, size: int, years: tuple[int, int], apart_m: float = 30_000.0) -> None:
        self.size = size
        self.years = years
        self.ids = [f"RGI2000-v7.0-G-99-{number:05d}" for number in range(1, count + 1)]
        self.grids = {
            glacier: Grid(
                crs="EPSG:32645",
                transform=(10.0, 0.0, self._easting(k, apart_m), 0.0, -10.0, self._northing(k, apart_m)),
                width=size,
                height=size - 20 * (k % 2),
            )
            for k, glacier in enumerate(self.ids)
        }
        self.calls: list[tuple[str, int]] = []

    def _easting(self, k: int, apart_m: float) -> float:
        return 420_000.0 + apart_m * ((k // 2) % 6) + 10.0 * self.size * (k % 2) + 3000 * math.sin(k)

    def _northing(self, k: int, apart_m: float) -> float:
        return 3_100_000.0 + apart_m * (k // 12) + 2500 * math.cos(1.7 * k)

    def ice(self, glacier: str, year: int) -> NDArray[np.bool_]:
        k = self.ids.index(glacier)
        height, width = self.grids[glacier].shape
        y, x = np.mgrid[:height, :width] / self.size
        loss = 0.0 if k % 3 == 2 else 0.012 * (1 + k % 4) * (year - self.years[0])
        wave = 0.03 * np.sin(9 * y + k) + 0.015 * np.sin(23 * x + 2 * k)
        basin = ((x - 0.5) / 0.34) ** 2 + ((y - 0.3) / 0.19) ** 2 < 1 + 2 * wave
        tongue = (np.abs(x - 0.5 - 0.09 * np.sin(5 * y + k)) < 0.09 + wave * 0.5) & (y > 0.3) & (y < 0.86 - loss)
        return np.asarray(basin | tongue)

    def observed(self, glacier: str, year: int) -> NDArray[np.bool_]:
        """Every seventh unit has some cloud, every thirty-first a lot."""
        k, shape = self.ids.index(glacier), self.grids[glacier].shape
        share = 0.75 if (5 * k + year) % 31 == 0 else 0.15 if (k + year) % 7 == 0 else 0.0
        if not share:
            return np.ones(shape, dtype=bool)
        field = _noise(np.random.default_rng(year + k), shape)
        return np.asarray(field > np.quantile(field, share))

    def image(self, glacier: str, year: int) -> YearImage | None:
        self.calls.append((glacier, year))
        k = self.ids.index(glacier)
        grid, ice = self.grids[glacier], self.ice(glacier, year)
        rng = np.random.default_rng(k)
        terrain = _noise(rng, grid.shape)
        shade = np.clip(0.55 + 2.2 * (np.gradient(terrain, axis=1) - np.gradient(terrain, axis=0)), 0.15, 1.1)
        rock = shade[..., None] * np.array([0.23, 0.2, 0.17])
        snow = shade[..., None] * np.array([0.86, 0.9, 0.96])
        debris = shade[..., None] * np.array([0.36, 0.33, 0.3])
        rows = np.mgrid[: grid.height, : grid.width][0] / self.size
        white = np.where((rows > 0.66)[..., None], debris, snow)
        rgb = np.where(ice[..., None], white, rock).astype(np.float32)
        rgb += np.random.default_rng(year).normal(0, 0.008, rgb.shape).astype(np.float32)
        observed = self.observed(glacier, year)
        rgb[~observed] = np.nan
        probability = np.where(observed, np.where(ice, 0.95, 0.04), np.nan).astype(np.float32)
        domain = np.zeros(grid.shape, dtype=bool)
        domain[8:-8, 8:-8] = True
        return YearImage(
            rgb=rgb,
            ice=ice & observed & domain,
            probability=probability,
            observed=observed,
            domain=domain,
            grid=grid,
            acquired=[f"S2A_MSIL2A_{year}0812T043701", f"S2B_MSIL2A_{year}0901T043659"],
        )

    def inputs(self, recipe: ExtentRecipe, **changes: Any) -> ReportInputs:
        rows, trends, outlines = [], [], []
        years = range(self.years[0], self.years[1] + 1)
        for k, glacier in enumerate(self.ids):
            rng = np.random.default_rng(k)
            areas = []
            for year in years:
                if k == 4 and year == 2019:
                    continue
                area = float(self.ice(glacier, year).sum()) * 1e-4 * (1 + rng.normal(0, 0.006))
                clear = float(self.observed(glacier, year).mean())
                hidden = clear < 0.5
                spread = area * (0.02 + 0.3 * (1 - clear))
                areas.append((year, area))
                flags = [*(["mostly_unobserved"] if hidden else []), *(["trained_on"] if k % 2 else [])]
                rows.append(
                    {
                        "glacier_id": glacier,
                        "year": year,
                        "area_km2": area,
                        "area_low_km2": area - spread,
                        "area_high_km2": area + spread,
                        "clear_fraction": clear,
                        "scenes": f"S2A_MSIL2A_{year}0812T043701;S2B_MSIL2A_{year}0901T043659",
                        "model": "demo/1",
                        "flags": ";".join(flags),
                        "terminus_retreat_m": float("nan") if k == 7 else 12.0 * (k % 4) * (year - self.years[0]),
                    }
                )
            slope = (
                float(np.polyfit([year for year, _ in areas], [area for _, area in areas], 1)[0])
                if len(areas) > 2
                else float("nan")
            )
            trends.append(
                {
                    "glacier_id": glacier,
                    "slope_km2_per_yr": slope,
                    "slope_low": slope - 0.003,
                    "slope_high": slope + 0.003,
                    "p_value": 0.0004 if abs(slope) > 0.003 else 0.41,
                    "retreat_m_per_yr": float("nan") if k == 7 else 12.0 * (k % 4),
                }
            )
            left, bottom, right, top = self.grids[glacier].bounds
            outlines.append((glacier, box(left + 500, bottom + 500, right - 500, top - 400)))
        frame = gpd.GeoDataFrame(
            {
                "glacier_id": [glacier for glacier, _ in outlines],
                "name": [f"Simulated glacier {number}" for number in range(1, len(outlines) + 1)],
                "date": pd.to_datetime(["2016-08-20"] * len(outlines)),
                "area_km2": [shape.area / 1e6 for _, shape in outlines],
                "o1region": ["99"] * len(outlines),
            },
            geometry=[shape for _, shape in outlines],
            crs="EPSG:32645",
        ).to_crs("EPSG:4326")
        values: dict[str, Any] = {
            "recipe": recipe,
            "areas": pd.DataFrame(rows).sample(frac=1.0, random_state=3),
            "trends": pd.DataFrame(trends),
            "outlines": frame,
            "model": {"name": "demo", "version": "1", "alias": "champion", "promoted": True},
            "scores": scores_of(0.957, 16),
            "baselines": {
                "NDSI > 0.4": scores_of(0.71, 16, areas=False),
                "NDSI tuned": scores_of(0.745, 16, areas=False),
                "Otsu on red": scores_of(0.62, 16, areas=False),
                "red / swir": scores_of(0.755, 16, areas=False),
            },
            "lineage": [
                {
                    "stage": stage,
                    "digest": f"{number:020x}",
                    "inputs": ["plan/0000"],
                    "packages": {"numpy": "2.4.6"},
                    "image": "",
                    "threads": 2,
                }
                for number, stage in enumerate(["plan", "sample", "train", "evaluate", "model", "aggregate"])
            ],
            "image": self.image,
            "withheld": [
                {"unit": f"{self.ids[0]}_{years[-1]}", "state": "withheld", "reason": "nothing clear"},
                {"unit": f"{self.ids[min(4, len(self.ids) - 1)]}_2019", "state": "withheld", "reason": "nothing clear"},
                {"unit": f"{self.ids[0]}_2017", "state": "failed", "reason": "scene X cannot be read"},
            ],
        }
        return ReportInputs(**{**values, **changes})


def scores_of(iou: float, n: int, *, areas: bool = True) -> dict[str, dict[str, Any]]:
    def score(value: float, half: float, unit: str = "1") -> dict[str, Any]:
        sure = n >= 8
        return {
            "value": value,
            "low": value - half if sure else None,
            "high": value + half if sure else None,
            "n": n,
            "unit": unit,
        }

    found = {
        f"{metric}/glacier": score(iou + extra, 0.012)
        for metric, extra in (("iou", 0.0), ("f1", 0.02), ("precision", 0.015), ("recall", 0.01))
    }
    if areas:
        found |= {
            "area_error/mean": score(1.1, 0.3, "%"),
            "area_error/largest": {"value": 2.8, "low": None, "high": None, "n": 144, "unit": "%"},
            "interval_coverage": score(91.0, 4.0, "%"),
        }
    return found


def _noise(rng: np.random.Generator, shape: tuple[int, int]) -> NDArray[np.float64]:
    """Hilly noise, 0 to 1."""
    rows, columns = shape
    fy, fx = np.fft.fftfreq(rows)[:, None], np.fft.fftfreq(columns)[None]
    power = 1 / np.maximum(np.hypot(fy, fx), 1 / max(shape)) ** 1.9
    field = np.fft.ifft2(np.fft.fft2(rng.normal(size=shape)) * power).real
    return np.asarray((field - field.min()) / np.ptp(field))


@pytest.fixture
def make_inputs() -> Callable[..., ReportInputs]:
    def make(*, count: int = 3, size: int = 96, years: tuple[int, int] = (2022, 2024), **changes: Any) -> ReportInputs:
        scenery = Scenery(count=count, size=size, years=years)
        return scenery.inputs(recipe_of(years=list(years)), **changes)

    return make


@pytest.fixture(scope="module")
def module_inputs() -> ReportInputs:
    return Scenery(count=3, size=96, years=(2022, 2024)).inputs(recipe_of(years=[2022, 2024]))


@pytest.fixture
def recipe() -> ExtentRecipe:
    return recipe_of()


@pytest.fixture
def training_values() -> dict[str, Any]:
    row = {"glacier_id": "a", "stale": False, "label_age_days": 3, "clear_fraction": 0.9}
    rows = [
        {
            **row,
            "unit": f"a_{2016 + n}",
            "year": 2016 + n,
            "area_km2": 1.0 + 0.01 * n,
            "area_low_km2": 0.98,
            "area_high_km2": 1.05,
            "true_area_km2": 1.0 + 0.02 * n,
        }
        for n in range(4)
    ]
    return {
        "version": "demo/1",
        "alias": "champion",
        "history": [
            {"epoch": n, "train_loss": 1 / n, "validation_loss": 1.2 / n, "learning_rate": 1e-3 / n}
            for n in range(1, 6)
        ],
        "scores": {"model": scores_of(0.95, 5), "baselines": {"NDSI > 0.4": scores_of(0.7, 5, areas=False)}},
        "verdict": {
            "passed": False,
            "reason": "5 independent glaciers are too few",
            "baseline": "NDSI > 0.4",
            "champion": "",
            "differences": {"baseline": {"value": 0.25, "low": None, "high": None, "n": 5, "unit": "1"}},
            "n": 5,
        },
        "rows": rows,
        "split": {"train": ["a"], "validation": ["b"], "test": ["c"], "hash": "abc"},
        "pictures": [],
        "card": "# demo\n\n<script>alert(1)</script>\n",
    }
