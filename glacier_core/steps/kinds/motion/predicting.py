"""Next images of a unit: the last ones of its record, to be held against what came, and those after the record."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from glacier_core.steps.kinds.contract import Entry
from glacier_core.steps.kinds.motion.forecasting import predicted_frames, scale_of
from glacier_core.steps.kinds.motion.images import images_of
from glacier_core.steps.networks import Network
from glacier_core.steps.plans import Plan
from glacier_core.steps.running import Step, reference
from glacier_core.units import SeriesUnit

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

FRAMES = "frames.npz"


@dataclass(frozen=True)
class NextFrames:
    """What was predicted for a unit; physical values, NaN where no image in showed anything."""

    last: NDArray[np.float32]
    """(L, H, W), the last images of the record, from those before them."""
    beyond: NDArray[np.float32]
    """(L, H, W), the images after the record."""
    days_beyond: NDArray[np.float64]
    """(L,), how many days after the record's last image they are."""


def predicted(step: Step, plan: Plan, unit: SeriesUnit, entry: Entry, network: Network) -> str:  # noqa: ARG001
    """The unit's next images; see `Kind.predict`."""
    recipe = plan.recipe

    def make(attempt: Any) -> None:
        import numpy as np

        images = images_of(step, recipe, entry)
        module, spec = network.load()
        scale = scale_of(spec.extra)
        inputs, outputs, count = recipe.sequences.inputs, recipe.sequences.outputs, len(images.times)
        split = count - outputs
        values = images.read(split - inputs, count)
        days = images.days(split - inputs, count, after=split - 1)
        last = predicted_frames(module, values[:inputs], days=days, scale=scale)
        # the next images are expected as far apart as those of the record are on the whole
        gap = float(np.median(np.diff(images.days(0, count, after=0))))
        ahead = gap * np.arange(1, outputs + 1)
        recent = images.days(count - inputs, count, after=count - 1)
        beyond = predicted_frames(module, values[-inputs:], days=[*recent, *ahead.tolist()], scale=scale)
        buffer = io.BytesIO()
        np.savez_compressed(buffer, last=last, beyond=beyond, days_beyond=ahead)
        attempt.write_bytes(FRAMES, buffer.getvalue())

    part = {"shows": recipe.shows.model_dump(mode="json"), "sequences": recipe.sequences.model_dump(mode="json")}
    return reference(step.build("predict", part=part, inputs=[network.reference, entry["refs"]["prepare"]], make=make))


def frames_in(content: bytes) -> NextFrames:
    """What `predicted` kept."""
    import numpy as np

    with np.load(io.BytesIO(content), allow_pickle=False) as kept:
        return NextFrames(last=kept["last"], beyond=kept["beyond"], days_beyond=kept["days_beyond"])
