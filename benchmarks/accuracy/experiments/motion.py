"""Glacier motion."""

from __future__ import annotations

from benchmarks.accuracy.declared import Column, Experiment, Table

COLUMNS = (
    Column("mae/lead1", "MAE, next frame", digits=4),
    Column("rmse/lead1", "RMSE, next frame", digits=4),
    Column("ssim/lead1", "SSIM, next frame"),
    Column("displacement_error/median", "displacement error (px)", digits=3),
    Column("windows/lead1", "windows", digits=0),
)


def models(recipe: str) -> tuple[Experiment, ...]:
    """The networks that forecast frames; attention beside the same without."""
    return (
        Experiment("convlstm", recipe, ("model.name=convlstm",)),
        Experiment("lstm", recipe, ("model.name=lstm",)),
        Experiment("lstm_attention", recipe, ("model.name=lstm_attention",), against="lstm"),
        Experiment("transformer", recipe, ("model.name=transformer",)),
    )


TABLES = (
    Table(
        name="simulated-motion",
        kind="motion",
        title="Motion: simulated glaciers",
        needs="",
        about="Simulated glaciers that move by a known velocity (recipe `simulated-motion`), split by place.",
        columns=COLUMNS,
        experiments=models("simulated-motion"),
    ),
    Table(
        name="perito-moreno-motion",
        kind="motion",
        title="Motion: Perito Moreno",
        needs="motion/perito_moreno",
        about="17 co-registered pictures of January and February 2020 (`motion/perito_moreno`, recipe "
        "`perito-moreno-motion`); the sets share neither date nor ground. One place: no claim of significance.",
        columns=COLUMNS,
        experiments=models("perito-moreno-motion"),
    ),
)
