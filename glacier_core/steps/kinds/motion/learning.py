"""Samples of sequences, and the training of the network that predicts the next images."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from glacier_core.errors import DataError
from glacier_core.steps.kinds.contract import Entry, Fitted
from glacier_core.steps.kinds.motion.images import Images, images_of
from glacier_core.steps.kinds.motion.sequences import Run, ground_of, part_of_run, runs_of
from glacier_core.steps.plans import Plan
from glacier_core.steps.running import Step, threads
from glacier_core.store import Output

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from glacier_core.samples.frame_sequences import FrameWindow

MOST_WINDOWS = 20_000
"""Sequences of a set at most; more are thinned out evenly."""
SAMPLES = "samples.json"


def write_samples(step: Step, plan: Plan, entries: Sequence[Entry], attempt: Any) -> None:
    """`samples.json`: sequences of training and validation, and how values are scaled, from training alone.

    Raises:
        DataError: a set has no sequence.
    """
    chosen: dict[str, list[FrameWindow]] = {"train": [], "validation": []}
    moments = _Moments()
    shown = None
    for entry in entries:
        unit = plan.units[entry["unit"]]
        images = images_of(step, plan.recipe, entry)
        shown = images.shown
        for run in runs_of(plan.recipe, len(images.times)):
            part = part_of_run(plan.split, unit, run, images.times)
            if part in chosen:
                ground = ground_of(plan.split, unit.name, part, unit.grid)
                chosen[part] += _windows(plan, images, run, ground, moments if part == "train" else None)
    empty = [part for part, windows in chosen.items() if not windows]
    if empty or shown is None:
        sequences = plan.recipe.sequences
        raise DataError(
            f"{' and '.join(empty)} have no sequence of {sequences.inputs} images in and {sequences.outputs} out",
            expected="images enough in each set's period and place, most of each chip seen",
            do="add images, move split.train_to or validation_to, or lower sequences.inputs or least_seen",
        )
    mean, spread = moments.result()
    attempt.write_json(
        SAMPLES,
        {
            **{part: [window.to_json() for window in _thinned(windows)] for part, windows in chosen.items()},
            "scale": {"centre": mean, "spread": spread, "equal_light": plan.recipe.sequences.equal_light},
            "range": moments.range(),
            "shown": {"bands": list(shown.bands), "floor": shown.floor, "unseen_below": shown.unseen_below},
        },
    )


def fitted(
    step: Step,  # noqa: ARG001
    plan: Plan,
    samples: Output,
    *,
    checkpoints: str,
    track: Callable[[int, dict[str, float]], None],
) -> Fitted:
    """Train the network; see `Kind.fit`."""
    from glacier_core.samples.frame_sequences import (
        CHANNELS,
        KNOWN,
        FrameScale,
        FrameSequences,
        FrameWindow,
        Shown,
    )
    from glacier_core.training import ModelSpec, train_sequences

    recipe = plan.recipe
    value = samples.read_json(SAMPLES)
    scale = FrameScale(**value["scale"])
    shown = Shown(**{**value["shown"], "bands": tuple(value["shown"]["bands"])})

    def source(part: str) -> FrameSequences:
        return FrameSequences(
            [FrameWindow.from_json(window) for window in value[part]],
            shown=shown,
            inputs=recipe.sequences.inputs,
            size=recipe.training.chip,
            scale=scale,
        )

    trained = train_sequences(
        model=recipe.model,
        training=recipe.training,
        channels=CHANNELS,
        known=KNOWN,
        outputs=1,
        train=source("train"),
        validation=source("validation"),
        checkpoints=checkpoints,
        threads=threads(),
        track=track,
        data_range=max(value["range"] / scale.spread, 1e-6),
        turns=True,
    )
    spec = ModelSpec(
        name=recipe.model.name,
        bands=shown.bands,
        classes=(),
        width=recipe.model.width,
        depth=recipe.model.depth,
        normalisation=None,
        split=plan.split["hash"],
        kind=recipe.kind,
        extra={
            "scale": value["scale"],
            "range": value["range"],
            "windows": {part: len(value[part]) for part in ("train", "validation")},
        },
        sizes={"channels": CHANNELS, "known": KNOWN, "outputs": 1},
    )
    return Fitted(trained=trained, spec=spec)


def _windows(
    plan: Plan, images: Images, run: Run, ground: tuple[slice, slice], moments: _Moments | None
) -> list[FrameWindow]:
    """Chips of a sequence that every one of its images shows enough of."""
    import numpy as np

    from glacier_core.samples import chips_of
    from glacier_core.samples.frame_sequences import FrameWindow

    rows, columns = ground
    values = images.read(run.first, run.end, rows=rows, columns=columns)
    seen = np.isfinite(values)
    if moments is not None:
        moments.add(values[seen])
    size = plan.recipe.training.chip
    days = images.days(run.first, run.end, after=run.target - 1)
    found = []
    for row, column in chips_of(values.shape[1:], size=size, stride=max(size // 2, 1)):
        part = seen[:, row : row + size, column : column + size]
        if part.mean(axis=(1, 2)).min() * part[0].size / size**2 >= plan.recipe.sequences.least_seen:
            found.append(FrameWindow(images.path, run.first, rows.start + row, columns.start + column, days))
    return found


def _thinned(windows: Sequence[FrameWindow]) -> list[FrameWindow]:
    step = max(1, math.ceil(len(windows) / MOST_WINDOWS))
    return list(windows[::step])


class _Moments:
    """Mean, spread and range of values that come in parts."""

    def __init__(self) -> None:
        self.count, self.total, self.squares = 0, 0.0, 0.0
        self.low, self.high = math.inf, -math.inf

    def add(self, values: NDArray[np.float32]) -> None:
        """Take in values, finite."""
        if values.size:
            self.count += values.size
            self.total += float(values.sum(dtype="float64"))
            self.squares += float((values.astype("float64") ** 2).sum())
            self.low, self.high = min(self.low, float(values.min())), max(self.high, float(values.max()))

    def result(self) -> tuple[float, float]:
        """Mean and standard deviation; 1 where nothing varies."""
        mean = self.total / max(self.count, 1)
        spread = math.sqrt(max(self.squares / max(self.count, 1) - mean**2, 0.0))
        return mean, spread or 1.0

    def range(self) -> float:
        """Largest less smallest value."""
        return self.high - self.low if self.count else 1.0


def sample_part(plan: Plan) -> Mapping[str, Any]:
    """What of the recipe decides the samples."""
    recipe = plan.recipe
    return {
        "shows": recipe.shows.model_dump(mode="json"),
        "sequences": recipe.sequences.model_dump(mode="json"),
        "chip": recipe.training.chip,
        "split": plan.split,
    }
