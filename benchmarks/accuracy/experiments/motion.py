"""Glacier motion."""

from __future__ import annotations

from benchmarks.accuracy.declared import ONE, SEEDS, Check, Column, Experiment, Table

COLUMNS = (
    Column("mae/lead1", "MAE, next frame", digits=4),
    Column("rmse/lead1", "RMSE, next frame", digits=4),
    Column("ssim/lead1", "SSIM, next frame"),
    Column("displacement_error/median", "the tracker's displacement error (px)", digits=3),
    Column("windows/lead1", "windows", digits=0),
)


def models(recipe: str, *, seeds: tuple[int, ...]) -> tuple[Experiment, ...]:
    """The networks that forecast frames; attention beside the same without."""
    return (
        Experiment("convlstm", recipe, ("model.name=convlstm",), seeds=seeds),
        Experiment("lstm", recipe, ("model.name=lstm",), seeds=seeds),
        Experiment("lstm_attention", recipe, ("model.name=lstm_attention",), seeds=seeds, against="lstm"),
        Experiment("transformer", recipe, ("model.name=transformer",), seeds=seeds),
    )


CHECKS = (
    Check(
        "a known warp of up to 3 px, applied to Perito Moreno, Parvati and Daugaard-Jensen",
        "benchmarks.accuracy.motion_checks:known_warp",
        needs="motion",
    ),
    Check(
        "the given Kaskawulsh velocity, 4 March to 5 April 2018",
        "benchmarks.accuracy.motion_checks:bedrock",
        needs="motion/kaskawulsh_velocity",
    ),
)

TABLES = (
    Table(
        name="simulated-motion",
        kind="motion",
        title="Motion: simulated glaciers",
        needs="",
        about="Simulated glaciers that move by a known velocity (recipe `simulated-motion`), split by place.",
        columns=COLUMNS,
        experiments=models("simulated-motion", seeds=ONE),
    ),
    Table(
        name="perito-moreno-motion",
        kind="motion",
        title="Motion: Perito Moreno",
        needs="motion/perito_moreno",
        about="17 co-registered pictures of January and February 2020 (`motion/perito_moreno`, recipe "
        "`perito-moreno-motion`); the sets share neither date nor ground. One place: no claim of significance.",
        columns=COLUMNS,
        experiments=models("perito-moreno-motion", seeds=SEEDS),
        checks=CHECKS,
    ),
)
