"""The pictures of a page of calving fronts: positions over time, fronts over an image, animations."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from glacier_core.steps.cubing import CUBE
from glacier_core.steps.kinds.front.measuring import drawn_of, lines_of, years_of

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

    from glacier_core.report.product_page import Figure
    from glacier_core.steps.kinds.contract import Entry
    from glacier_core.steps.plans import Plan
    from glacier_core.steps.running import Step

MOST_PLACES_DRAWN = 12
MOST_FRAMES = 60


def drawn_figures(step: Step, plan: Plan, entries: Sequence[Entry], table: pd.DataFrame, folder: Path) -> list[Figure]:
    """Draw the pictures into a folder; those of places that are tested come first.

    Args:
        step: the running stage.
        plan: the plan.
        entries: the units that are done.
        table: the fronts of all places.
        folder: the products' folder.
    """
    caution = (
        "" if plan.promoted() else "unpromoted: this model has not been shown to beat the baselines and the champion"
    )
    figures = _positions(table, folder, caution)
    learned = {str(name) for name, one in table.groupby("series") if one["flags"].str.contains("trained_on").any()}
    for entry in sorted(entries, key=lambda entry: str(entry["unit"]) in learned)[:MOST_PLACES_DRAWN]:
        figures += _place(step, plan, entry, table[table["series"] == entry["unit"]], folder, caution)
    return figures


def _positions(table: pd.DataFrame, folder: Path, caution: str) -> list[Figure]:
    import pandas as pd

    from glacier_core.report.line_plots import Series, plot_series
    from glacier_core.report.product_page import Figure

    unit = table["length_unit"].iloc[0]
    series = {
        str(name): Series(x=list(pd.to_datetime(one["time"])), y=list(one["advance"]))
        for name, one in table.groupby("series")
        if len(one) > 1
    }
    if not series:
        return []
    plot_series(
        folder / "positions.png",
        dict(list(series.items())[:MOST_PLACES_DRAWN]),
        title="Advance since the first image (box method)",
        x_label="date",
        y_label=f"advance along the flow ({unit})",
        note=caution,
    )
    caption = f"Mean position of each front along the flow since the first image, in {unit}; above zero: advance"
    return [Figure("positions.png", caption, "Line plot of front positions over time")]


def _place(step: Step, plan: Plan, entry: Entry, table: pd.DataFrame, folder: Path, caution: str) -> list[Figure]:
    from glacier_core.report.animation import write_animation
    from glacier_core.report.fronts import draw_positions, front_frames
    from glacier_core.report.product_page import Figure

    name = entry["unit"]
    lines, drawn = lines_of(step, entry), drawn_of(step, plan, plan.units[name])
    image = _reader(step, entry)
    frames, dates = list(table["image"]), [time[:10] for time in table["time"]]
    draw_positions(
        folder / f"fronts_{name}.png",
        image(frames[-1]),
        [lines[frame] for frame in frames],
        years_of(list(table["time"])),
        title=f"{name}: fronts {dates[0]} to {dates[-1]}",
        note=caution,
    )
    caption = f"{name}: all {len(frames)} fronts over the last image, coloured by time"
    figures = [Figure(f"fronts_{name}.png", caption, f"Front lines of {name} over its last image")]
    if len(frames) > 1:
        step_ = max(1, -(-len(frames) // MOST_FRAMES))
        pictures = front_frames(
            [image(frame) for frame in frames[::step_]],
            [lines[frame] for frame in frames[::step_]],
            [f"{name} {date}" for date in dates[::step_]],
            drawn=[drawn.get(frame) for frame in frames[::step_]],
        )
        write_animation(folder / f"fronts_{name}.gif", pictures)
        caption = f"{name}: amber: the front of the date; pale blue: the first one{'; red: drawn' if drawn else ''}"
        figures.append(Figure(f"fronts_{name}.gif", caption, f"Animation of the fronts of {name}"))
    return figures


def _reader(step: Step, entry: Entry) -> Callable[[str], NDArray[np.float32]]:
    """Reads the first band of an image by its id."""
    from glacier_core.cube import open_cube, open_pixels

    path = step.read(entry["refs"]["prepare"]).path(CUBE)
    number = {str(frame): index for index, frame in enumerate(open_cube(path)["frame"].values)}
    pixels = open_pixels(path)

    def read(frame: str) -> Any:
        times = slice(number[frame], number[frame] + 1)
        return pixels.physical(times=times, bands=pixels.bands[:1])[0, 0]

    return read
