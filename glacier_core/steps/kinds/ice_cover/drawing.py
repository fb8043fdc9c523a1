"""Maps, plots, rasters and catalog items of ice-cover forecasts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from glacier_core.report.line_plots import Series, plot_series
from glacier_core.report.product_catalog import ProductItem
from glacier_core.report.product_page import Figure
from glacier_core.steps.kinds.ice_cover.predicting import Forecast
from glacier_core.steps.plans import Plan

if TYPE_CHECKING:
    from glacier_core.steps.kinds.ice_cover.regions import Region

NAMES = {"ice_fraction": "Sea ice cover", "melt_fraction": "Days with surface melt"}
TIFF = "image/tiff; application=geotiff; profile=cloud-optimized"
NETCDF = "application/x-netcdf"
PANELS = 6
SHORT = 3
"""From so many leads on persistence is so bad that it would hide what differs."""
"""Leads that are drawn at most."""
PLOTTED = ("mae", "rmse", "iiee_fraction")
LABELS = {
    "mae": "mean absolute error, fraction",
    "rmse": "root mean square error, fraction",
    "iiee_fraction": "ice-edge error over observed extent",
}


@dataclass(frozen=True)
class Place:
    """All that is drawn of one region."""

    region: Region
    forecast: Forecast
    told: Mapping[str, Any]
    stem: str

    @property
    def shows(self) -> Any:
        """The colour scale of its maps."""
        return "melt" if self.region.quantity == "melt_fraction" else "fraction"


def region_products(
    plan: Plan, place: Place, folder: Path
) -> tuple[list[Figure], list[tuple[str, str]], list[ProductItem]]:
    """Maps, rasters and items of a region."""
    import numpy as np

    from glacier_core.report.ice_cover import write_forecast_netcdf

    region, forecast, stem = place.region, place.forecast, place.stem
    figures: list[Figure] = []
    files: list[tuple[str, str]] = []
    items: list[ProductItem] = []
    for sub in ("forecast", "hindcast"):
        (folder / sub).mkdir(exist_ok=True)
    name = NAMES.get(region.quantity, region.quantity)
    if forecast.leads:
        file = f"forecast/{stem}.png"
        _draw_forecast(place, plan, folder / file)
        caption = (
            f"{name} of {region.name}, forecast from {forecast.issue}: the forecast with its edge (top), and the "
            f"probability of at least {plan.recipe.threshold:.0%} (below), for each month ahead."
        )
        figures.append(Figure(file, caption, f"Maps of the forecast from {forecast.issue}"))
        files.append((file, f"{region.name}: maps of the forecast"))
        for number, target in enumerate(forecast.targets):
            path, item = _raster(plan, place, number, folder)
            files.append((path, f"{region.name}: forecast for {target}, GeoTIFF"))
            items.append(item)
        netcdf = f"forecast/{stem}.nc"
        write_forecast_netcdf(
            folder / netcdf,
            grid=region.grid,
            members=region.on_grid(forecast.members, fill=np.nan),
            forecast=region.on_grid(forecast.point, fill=np.nan),
            targets=forecast.targets,
            issue=forecast.issue,
            quantity=region.quantity,
        )
        files.append((netcdf, f"{region.name}: all members, NetCDF"))
    beside = f"hindcast/{stem}.png"
    if draw_beside(place, plan, folder / beside):
        caption = f"{name} of {region.name} as it was forecast and as it came; the line is the observed edge."
        figures.append(Figure(beside, caption, "Forecasts beside what was observed"))
        files.append((beside, f"{region.name}: forecasts beside what came"))
    through = f"hindcast/{stem}-extent.png"
    if _draw_extent(place, folder / through):
        caption = f"Extent of {name.lower()} of {region.name}: observed, forecast before it came, and forecast ahead."
        figures.append(Figure(through, caption, "Extent through time"))
        files.append((through, f"{region.name}: extent through time"))
    return figures, files, items


def _draw_forecast(place: Place, plan: Plan, path: Path) -> None:
    import numpy as np

    from glacier_core.report.ice_cover import Panel, draw_panels

    region, forecast, threshold = place.region, place.forecast, plan.recipe.threshold
    first, second = [], []
    for number in _some(len(forecast.leads)):
        lead, target = forecast.leads[number], forecast.targets[number]
        point = region.on_grid(forecast.point[number], fill=np.nan)
        probability = (forecast.members[number] >= np.float32(threshold)).mean(axis=0).astype(np.float32)
        first.append(Panel(f"{target}, lead {lead}", point, place.shows, edge=point))
        second.append(Panel(f"at least {threshold:.0%}", region.on_grid(probability, fill=np.nan), "probability"))
    draw_panels(path, [first, second], land=region.land_HW, threshold=threshold)


def draw_beside(place: Place, plan: Plan, path: Path) -> bool:
    """What came beside the forecasts of it at up to three leads, for the last months; whether there is any."""
    import numpy as np

    from glacier_core.measure.ice_cover import month_name, month_number
    from glacier_core.report.ice_cover import Panel, draw_panels

    region, forecast = place.region, place.forecast
    leads = forecast.hindcast.shape[1] if forecast.hindcast.size else 0
    wanted = sorted({1, (leads + 1) // 2, leads} - {0})
    issues = {month_number(name): number for number, name in enumerate(forecast.hindcast_issues)}
    targets = [
        target
        for target in range(region.series.first, region.series.first + len(region.series))
        if all(target - lead in issues for lead in wanted)
        and region.series.seen[target - region.series.first]
        and region.is_target(target - 1 - region.series.first, 1)[0]
    ]
    if not targets or not wanted:
        return False
    rows = []
    for target in _spread_out(targets, region):
        came = region.on_grid(region.series.values_NP[target - region.series.first], fill=np.nan)
        row = [Panel(f"observed, {month_name(target)}", came, place.shows, edge=came)]
        fields = [forecast.hindcast[issues[target - lead], lead - 1] for lead in wanted]
        for lead, field in zip(wanted, fields, strict=True):
            row.append(Panel(f"forecast, lead {lead}", region.on_grid(field, fill=np.nan), place.shows, edge=came))
        last = region.on_grid(fields[-1], fill=np.nan) - came
        row.append(Panel(f"lead {wanted[-1]}: forecast less observed", last, "difference", edge=came))
        rows.append(row)
    draw_panels(path, rows, land=region.land_HW, threshold=plan.recipe.threshold)
    return True


def _spread_out(targets: Sequence[int], region: Region) -> list[int]:
    """The last months of most and of least ice among the last twelve that can be drawn."""
    import numpy as np

    recent = list(targets[-12:])
    amounts = [
        float(np.nansum(region.series.values_NP[target - region.series.first] * region.area_P)) for target in recent
    ]
    return sorted({recent[int(np.argmax(amounts))], recent[int(np.argmin(amounts))]})


def _draw_extent(place: Place, path: Path) -> bool:
    hindcasts, forecasts = place.told["hindcasts"], place.told["forecasts"]
    if not hindcasts:
        return False
    leads = sorted({row["lead"] for row in hindcasts})
    lines: dict[str, Series] = {}
    observed = {row["target"]: row["observed_extent"] for row in hindcasts}
    lines["observed"] = Series(
        x=[_first(month) for month in sorted(observed)], y=[observed[m] for m in sorted(observed)]
    )
    for lead in sorted({leads[0], leads[-1]}):
        own = sorted((row["target"], row["extent"]) for row in hindcasts if row["lead"] == lead)
        lines[f"forecast {lead} months before" if lead > 1 else "forecast a month before"] = Series(
            x=[_first(month) for month, _ in own], y=[value for _, value in own]
        )
    if forecasts:
        lines["forecast"] = Series(
            x=[_first(row["target"]) for row in forecasts],
            y=[row["extent"] for row in forecasts],
            low=[row["extent_low"] for row in forecasts],
            high=[row["extent_high"] for row in forecasts],
        )
    plot_series(
        path,
        lines,
        title=f"Extent, {place.region.name}",
        x_label="month",
        y_label="extent, 10\N{SUPERSCRIPT SIX} km\N{SUPERSCRIPT TWO}",
        note="Over the cells that the forecast is made for; the pole hole is not part of it.",
    )
    return True


def error_figures(scores: Mapping[str, Any], folder: Path) -> list[Figure]:
    """Error by lead, the model beside the baselines."""
    figures = []
    for metric in PLOTTED:
        lines = {}
        for who, found in (("model", scores["model"]), *sorted(scores["baselines"].items())):
            own = {int(name.rpartition("lead")[2]): value for name, value in found.items() if _is_lead(name, metric)}
            if own and (who != "persistence" or len(own) < SHORT):
                leads = sorted(own)
                known = who == "model" and all(own[lead]["low"] is not None for lead in leads)
                lines[who.replace("_", " ")] = Series(
                    x=[str(lead) for lead in leads],
                    y=[own[lead]["value"] for lead in leads],
                    low=[own[lead]["low"] for lead in leads] if known else None,
                    high=[own[lead]["high"] for lead in leads] if known else None,
                )
        if not lines:
            continue
        file = f"error-{metric.replace('_', '-')}.png"
        plot_series(
            folder / file,
            lines,
            title=f"Error by lead: {LABELS[metric]}",
            x_label="lead, months",
            y_label=LABELS[metric],
        )
        caption = f"{LABELS[metric].capitalize()} of the test months by lead, the model beside the baselines."
        figures.append(Figure(file, caption, f"{metric} by lead"))
    return figures


def _is_lead(name: str, metric: str) -> bool:
    return name.startswith(f"{metric}/lead") and "@" not in name


def _raster(plan: Plan, place: Place, number: int, folder: Path) -> tuple[str, ProductItem]:
    """A lead's GeoTIFF and its item."""
    import numpy as np

    from glacier_core.measure.ice_cover import interval_of
    from glacier_core.report.ice_cover import write_forecast_raster

    region, forecast, recipe = place.region, place.forecast, plan.recipe
    lead, target, members = forecast.leads[number], forecast.targets[number], forecast.members[number]
    low, high = interval_of(members, confidence=recipe.measure.confidence)
    cells = {
        "forecast": forecast.point[number],
        "mean": members.mean(axis=0),
        "spread": members.std(axis=0, ddof=1),
        "low": low,
        "high": high,
        "probability": (members >= np.float32(recipe.threshold)).mean(axis=0),
    }
    path = f"forecast/{place.stem}-lead{lead}.tif"
    tags = {"issue": forecast.issue, "target": target, "lead_months": str(lead), "model": plan.model_name()}
    write_forecast_raster(
        folder / path,
        grid=region.grid,
        layers={name: region.on_grid(values.astype(np.float32), fill=np.nan) for name, values in cells.items()},
        tags=tags,
    )
    told = next(row for row in place.told["forecasts"] if row["lead"] == lead)
    start = _first(target)
    item = ProductItem(
        id=f"{place.stem}-{target}-lead{lead}",
        start=start,
        end=_last(start),
        geometry=_footprint(region),
        properties={
            "glacier:issue": forecast.issue,
            "glacier:lead_months": lead,
            "glacier:extent_million_km2": told["extent"],
            "glacier:area_million_km2": told["area"],
            "glacier:model": plan.model_name(),
            "glacier:promoted": plan.promoted(),
        },
        assets={
            "forecast": (path, TIFF, "forecast, mean, spread, interval and probability"),
            "members": (f"forecast/{place.stem}.nc", NETCDF, "all members"),
        },
    )
    return path, item


def _footprint(region: Region) -> Mapping[str, Any] | None:
    """The cap around the pole within the grid's largest circle, in degrees; None without a CRS."""
    if not region.grid.crs:
        return None
    from pyproj import Transformer

    left, bottom, right, top = region.grid.bounds
    forward = Transformer.from_crs(region.grid.crs, "EPSG:4326", always_xy=True)
    latitudes = [forward.transform(x, y)[1] for x in (left, right) for y in (bottom, top)]
    north = sum(latitudes) > 0
    edge = min(latitudes) if north else max(latitudes)
    south, north_end = (edge, 90.0) if north else (-90.0, edge)
    ring = [[-180.0, south], [180.0, south], [180.0, north_end], [-180.0, north_end], [-180.0, south]]
    return {"type": "Polygon", "coordinates": [ring]}


def _some(count: int) -> list[int]:
    """Numbers of up to six leads, the first and the last among them."""
    if count <= PANELS:
        return list(range(count))
    return sorted({round(number * (count - 1) / (PANELS - 1)) for number in range(PANELS)})


def _first(month: str) -> date:
    return date(int(month[:4]), int(month[5:7]), 1)


def _last(first: date) -> date:
    after = date(first.year + first.month // 12, first.month % 12 + 1, 1)
    return after - timedelta(days=1)
