"""What `glacier cube` and `glacier preview` print, and which cubes they mean."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from glacier_core.errors import ConfigurationError

if TYPE_CHECKING:
    from glacier_core.recipes import Recipe
    from glacier_core.steps.cubing import CubeReport, CubesBuilt
    from glacier_core.store import Store

SCHEMA = "glacierflow/cubes/1"
LISTED = 12
DIMS = ("time", "band", "y", "x")


def cubes_object(recipe: Recipe, store: Store, built: CubesBuilt) -> dict[str, Any]:
    """The object of `glacier cube --json`; `schema/cubes.json` describes it."""
    return {
        "schema": SCHEMA,
        "recipe": recipe.name,
        "kind": recipe.kind,
        "store": store.url,
        "cubes": [report.to_json() for report in built.cubes],
        "failed": built.failed,
    }


def cube_lines(recipe: Recipe, built: CubesBuilt) -> list[str]:
    """The same for people."""
    lines: list[str] = []
    for report in built.cubes:
        lines += [*_one(recipe, report), ""]
    for entry in built.failed:
        lines.append(f"{entry['place']} failed: {entry['reason']}")
    raw = sum(report.raw_bytes for report in built.cubes)
    stored = sum(report.bytes for report in built.cubes)
    frames = sum(report.dims["time"] for report in built.cubes)
    lines.append(f"{_count(len(built.cubes), 'cube')}, {_count(frames, 'frame')}, {_size(raw)}, stored {_size(stored)}")
    return lines


def _one(recipe: Recipe, report: CubeReport) -> list[str]:
    dims = ", ".join(f"{name} {report.dims[name]}" for name in DIMS)
    quantities = ", ".join(dict.fromkeys(report.quantities))
    lines = [
        f"{recipe.name}/{report.place}" + ("  (reused)" if report.reused else ""),
        f"  dims     {dims}",
        f"  crs      {report.crs or 'none: a local grid'}, {_pixel(report)}",
        f"  bands    {', '.join(report.bands)} ({quantities})",
        f"  dates    {_dates(report)}",
        f"  bytes    {_size(report.bytes)} of {_size(report.raw_bytes)} as float32",
        f"  path     {report.path}",
    ]
    if report.shifts:
        lines.append(f"  shifts   {_shift_summary(report.shifts)}")
        lines += [f"    {_shift(entry)}" for entry in report.shifts]
    others = [entry for entry in report.left_out if entry["frame"] not in {shift["frame"] for shift in report.shifts}]
    if others:
        lines.append(f"  left out {len(others)}")
        lines += [f"    {entry['frame']}: {entry['reason']}" for entry in others[:LISTED]]
        if len(others) > LISTED:
            lines.append(f"    and {len(others) - LISTED} more (the attribute left_out of the cube has all)")
    return lines


def _pixel(report: CubeReport) -> str:
    if not report.crs:
        return "no pixel size" if report.resolution == 1 else f"{report.resolution:.6g} m a pixel"
    from pyproj import CRS
    from pyproj.exceptions import CRSError

    try:
        unit = CRS.from_user_input(report.crs).axis_info[0].unit_name
    except CRSError:  # one without a code is known by its name alone
        unit = "units of the CRS"
    return f"{report.resolution:.6g} {'m' if unit == 'metre' else unit} a pixel"


def _dates(report: CubeReport) -> str:
    if not report.dates:
        return "none, in order" if report.dims["time"] > 1 else "none"
    first, last = report.dates[0][:10], report.dates[-1][:10]
    return first if first == last else f"{first} to {last}, {len(report.dates)}"


def _shift_summary(shifts: Sequence[dict[str, Any]]) -> str:
    counts = {verdict: sum(entry["verdict"] == verdict for entry in shifts) for verdict in ("aligned", "refused")}
    reference = next((entry["frame"] for entry in shifts if entry["verdict"] == "reference"), "?")
    return f"onto {reference}: {counts['aligned']} aligned, {counts['refused']} refused"


def _shift(entry: dict[str, Any]) -> str:
    if entry["verdict"] == "refused":
        return f"{entry['frame']:<24} refused: {entry['reason']}"
    residual = "unknown" if entry["residual_px"] is None else f"{entry['residual_px']:.3f}"
    return (
        f"{entry['frame']:<24} {entry['dx_px']:+8.3f} {entry['dy_px']:+8.3f} px, residual {residual} px, "
        f"{entry['verdict']}"
    )


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _size(count: int) -> str:
    for unit, size in (("GB", 1e9), ("MB", 1e6)):
        if count >= size:
            return f"{count / size:.1f} {unit}"
    return f"{count / 1e3:.0f} kB"


def cubes_named(name: str, store_url: str) -> list[tuple[str, str]]:
    """The cubes that a path, a URL, a recipe or one of its places means: (name, path).

    Raises:
        ConfigurationError: there is none.
    """
    if "://" in name or (Path(name) / "zarr.json").exists():
        return [(_stem(name), name)]
    from glacier_core.settings import Settings
    from glacier_core.steps.cubing import cubes_built
    from glacier_core.store import Store

    store = Store(store_url or Settings().store)
    found = cubes_built(store, name)
    if not found:
        raise ConfigurationError(
            f"no cube is called '{name}' in {store.url}",
            expected="the folder or URL of a cube, or RECIPE/PLACE as glacier cube built it",
            do=f"run glacier cube {name.partition('/')[0]} first",
        )
    return found


def preview_file(out: Path | None, name: str, *, alone: bool) -> Path:
    """Where a preview goes: `out` itself for one cube, unless it is a folder; else `<name>.png` in it."""
    if out is not None and alone and out.suffix and not out.is_dir():
        _make_folder(out.parent)
        return out
    if out is not None and out.suffix and not out.is_dir():
        raise ConfigurationError(f"--out {out} is one file, there are several cubes", expected="a folder")
    folder = out or Path()
    _make_folder(folder)
    return folder / f"{name.replace('/', '-')}.png"


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigurationError(f"--out: {folder} cannot be made ({error.strerror})", do="choose another") from None


def _stem(path: str) -> str:
    return path.rstrip("/").rpartition("/")[2].removesuffix(".zarr") or "cube"
