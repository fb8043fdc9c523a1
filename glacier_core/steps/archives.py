"""The archive of simulated glaciers that recipes without data of their own are run on, made (once) in the store."""

from __future__ import annotations

from typing import Any

from glacier_core.recipes import Simulation
from glacier_core.steps.running import Step, log, threads
from glacier_core.store import Output


def simulated_archive(step: Step, simulation: Simulation, *, years: range, season: tuple[str, str]) -> Output:
    """The scenes and outlines of simulated glaciers, made now if they are not there.

    Args:
        step: the running stage.
        simulation: what is simulated.
        years: the years.
        season: first and last day (month-day) of the year's scenes.
    """

    def make(attempt: Any) -> None:
        from glacier_core.sources.simulated import simulate

        simulate(
            attempt.local_folder(),
            spec=simulation,
            years=years,
            season=season,
            progress=lambda text: log.info("[simulate] %s", text),
            processes=threads(),
        )

    return step.build("simulate", part=archive_part(simulation, years, season), inputs=[], make=make)


def archive_part(simulation: Simulation, years: range, season: tuple[str, str]) -> dict[str, Any]:
    """What decides an archive, as plain JSON."""
    return {
        "imagery": {"simulation": simulation.model_dump(mode="json")},
        "years": [years[0], years[-1]],
        "season": list(season),
    }
