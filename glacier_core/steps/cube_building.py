"""One cube in the making: its frames are aligned where that is asked for, and written in memory that does not grow."""

from __future__ import annotations

import difflib
import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from glacier_core.errors import ConfigurationError, DataError, SceneError, UnitError
from glacier_core.recipes import Coregistration, CubeRecipe
from glacier_core.settings import Settings
from glacier_core.steps.compositing import Composite

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from glacier_core.prepare.coregistration import Alignment
    from glacier_core.sources.series import Frame, Series

PROGRESS_SECONDS = 5.0
SHARE_OF_MEMORY = 3
"""The pixels that are read take this part of the allowance: as much again is packed and compressed beside them."""
MEBIBYTE = 2**20
NOTHING_SEEN = "nothing is seen in it: all cloud, or no data"
LARGEST_PART_BEYOND = 0.5
"""A frame of which more is clipped on packing is none of the quantity that it is said to be."""

Progress = Callable[[str], None]


def pixels_at_a_time(recipe: CubeRecipe) -> int:
    """Bytes of pixels that are held of a cube in the making."""
    return recipe.memory_mb * MEBIBYTE // SHARE_OF_MEMORY


def frames_at_a_time(recipe: CubeRecipe, series: Series) -> int:
    """How many frames are read side by side: no more than fit whole, as a file may be decoded whole for a strip."""
    whole = 4 * len(series.bands) * series.grid.height * series.grid.width
    return max(1, min(Settings().thread_count(), pixels_at_a_time(recipe) // max(whole, 1)))


class Building:
    """One cube in the making."""

    def __init__(
        self, recipe: CubeRecipe, series: Series, say: Progress, noticed: Mapping[str, list[dict[str, str]]]
    ) -> None:
        from glacier_core.cube.schema import packing_of

        self.recipe = recipe
        self.series = series
        self.path = ""
        self.noticed = noticed  # on reading, by the name of the series
        self.left_out = [{"frame": t.scene, "reason": t.reason} for t in series.troubles]
        self.frames = list(series.frames)
        self._require_names()
        self.alignments: dict[str, Alignment] = {}
        self.whole_bytes = 4 * len(series.bands) * series.grid.height * series.grid.width
        self.budget = pixels_at_a_time(recipe)
        self._seen: dict[str, int] = {}  # pixels of each frame that were read
        self._limits = packing_of(series.quantities)[0].limits
        self._say = say
        self._last_word = time.monotonic()

    def run(self, path: str) -> dict[str, Any]:
        """Align, write to `path`, and say what came of it."""
        self.path = path
        if self.recipe.coregistration:
            self._align(self.recipe.coregistration)
        while True:
            self._require_frames()
            failed, torn = self._write()
            if not failed and not torn:
                return self._report()
            # an unreadable frame shows only when it is read: the cube is begun again without it
            self._leave_out(failed)

    def _require_names(self) -> None:
        """Whatever is known of a frame, that it failed or how it lies, is known by its id."""
        twice = [id_ for id_, count in Counter(frame.id for frame in self.frames).items() if count > 1]
        if twice:
            raise DataError(
                f"several frames of {self.series.name} are called {twice[0]}",
                expected="a name of its own for each",
                do="rename the files, or narrow which are meant",
            )

    def _require_frames(self) -> None:
        if not self.frames:
            reasons = [f"{entry['frame']}: {entry['reason']}" for entry in self.left_out]
            raise UnitError(
                f"no usable frame is left of {self.series.name}" + (f" ({'; '.join(reasons[:3])})" if reasons else ""),
                expected="at least one",
            )

    def _leave_out(self, reasons: dict[str, str]) -> None:
        self.left_out += [{"frame": frame, "reason": reason} for frame, reason in reasons.items()]
        self.frames = [frame for frame in self.frames if frame.id not in reasons]

    def _align(self, wanted: Coregistration) -> None:
        import numpy as np

        from glacier_core.prepare.coregistration import align_series

        self._require_frames()
        band = self._band(wanted.band)
        rows = slice(0, self.series.grid.height)
        failed: dict[str, str] = {}
        where = self._where(wanted.where)

        def read(index: int) -> tuple[NDArray[np.float32], NDArray[np.bool_] | None]:
            frame = self.frames[index]
            self._now_and_then(f"comparing {frame.id}")
            try:
                image = frame.read(rows)[band]
            except SceneError as error:
                failed[frame.id] = str(error)
                image = np.full(self.series.grid.shape, np.nan, np.float32)
            return image, where

        found = align_series(
            read,
            len(self.frames),
            reference=self._reference(wanted.reference),
            model=wanted.model,
            largest_shift_px=wanted.largest_shift_px,
            largest_error_px=wanted.largest_error_px,
        )
        self.alignments = {frame.id: alignment for frame, alignment in zip(self.frames, found, strict=True)}
        refused = {id_: f"not aligned: {each.reason}" for id_, each in self.alignments.items() if not each.usable}
        self._leave_out((refused if wanted.apply else {}) | failed)

    def _where(self, name: str) -> NDArray[np.bool_] | None:
        """Where frames are compared."""
        import numpy as np

        if not name:
            return None
        if name not in self.series.masks:
            known = ", ".join(self.series.masks) or "none: this source has no masks"
            raise ConfigurationError(f"coregistration.where is '{name}'", expected=f"one of {known}")
        return np.asarray(self.series.masks[name] == 1)

    def _band(self, name: str) -> int:
        if name and name not in self.series.bands:
            raise ConfigurationError(
                f"coregistration.band is '{name}'", expected=f"one of {', '.join(self.series.bands)}"
            )
        return self.series.bands.index(name) if name else 0

    def _reference(self, wanted: str) -> int | None:
        if not wanted:
            return None
        for index, frame in enumerate(self.frames):
            if wanted == frame.id or frame.time.isoformat().startswith(wanted):
                return index
        near = difflib.get_close_matches(wanted, [frame.id for frame in self.frames], n=1)
        raise ConfigurationError(
            f"coregistration.reference is '{wanted}', which is no frame of {self.series.name}",
            expected=f"'{near[0]}'" if near else "the id or the date of a frame",
        )

    def _write(self) -> tuple[dict[str, str], bool]:
        """Write the cube; which frames could not be read and why, and whether a composite is to be read again."""
        import numpy as np

        writer = self._begin()
        failed: dict[str, str] = {}
        self._seen = dict.fromkeys((frame.id for frame in self.frames), 0)
        times, rows, _ = writer.block
        height = self.series.grid.height
        strips = self._strips(times, rows)
        done = 0
        with ThreadPoolExecutor(frames_at_a_time(self.recipe, self.series)) as pool:
            for first in range(0, len(self.frames), times):
                frames = self.frames[first : first + times]
                for top, bottom in strips:
                    pixels = np.full(
                        (len(frames), len(self.series.bands), bottom - top, self.series.grid.width),
                        np.nan,
                        np.float32,
                    )
                    self._fill(pool, frames, slice(top, bottom), pixels, failed)
                    if not failed:
                        writer.write(
                            slice(first, first + len(frames)),
                            slice(top, bottom),
                            slice(0, self.series.grid.width),
                            pixels,
                        )
                    done += len(frames) * (bottom - top)
                    self._now_and_then(f"{100 * done // (len(self.frames) * height)} % of {len(self.frames)} frames")
        empty = {frame: NOTHING_SEEN for frame, seen in self._seen.items() if not seen and frame not in failed}
        torn = [frame.id for frame in self.frames if isinstance(frame.read, Composite) and frame.read.mended()]
        if not failed and not empty and not torn:
            writer.close()
        return failed | empty, bool(torn)

    def _fill(
        self,
        pool: ThreadPoolExecutor,
        frames: Sequence[Frame],
        rows: slice,
        pixels: NDArray[np.float32],
        failed: dict[str, str],
    ) -> None:
        lock = threading.Lock()

        def one(index: int) -> None:
            frame = frames[index]
            if frame.id in failed:
                return
            try:
                pixels[index] = self._fitting(frame, self._read(frame, rows))
            except SceneError as error:
                with lock:
                    failed[frame.id] = str(error)

        for done in [pool.submit(one, index) for index in range(len(frames))]:
            done.result()

    def _read(self, frame: Frame, rows: slice) -> NDArray[np.float32]:
        alignment = self.alignments.get(frame.id)
        applied = self.recipe.coregistration is not None and self.recipe.coregistration.apply
        if alignment is None or alignment.verdict == "reference" or not applied:
            return frame.read(rows)
        from glacier_core.prepare.coregistration import warp_to_reference

        # a strip of the reference may come from anywhere in the frame
        whole = frame.read(slice(0, self.series.grid.height))
        return warp_to_reference(whole, alignment)[:, rows]

    def _fitting(self, frame: Frame, pixels: NDArray[np.float32]) -> NDArray[np.float32]:
        """The same pixels, unless they are no values of the quantity that they are said to be."""
        import numpy as np

        low, high = self._limits
        seen = int(np.isfinite(pixels).sum())
        beyond = int(((pixels < low) | (pixels > high)).sum())
        self._seen[frame.id] += seen
        if beyond > LARGEST_PART_BEYOND * seen:
            raise SceneError(
                f"{100 * beyond // seen} % of the values of {frame.id} are beyond what "
                f"{' and '.join(dict.fromkeys(self.series.quantities))} can be",
                expected=f"{low:g} to {high:g}",
                do="state the quantities, the scale and the offset of the imagery",
            )
        return pixels

    def _strips(self, times: int, rows: int) -> list[tuple[int, int]]:
        """(top, bottom) of what is read at a time: the whole height where so many frames fit."""
        height = self.series.grid.height
        fitting = max(self.budget * height // max(times * self.whole_bytes, 1), 1)
        tall = height if fitting >= height else max(fitting // rows, 1) * rows
        return [(top, min(top + tall, height)) for top in range(0, height, tall)]

    def _begin(self) -> Any:
        from glacier_core.cube import create_cube
        from glacier_core.cube.encoding import CHUNK
        from glacier_core.cube.schema import packing_of

        series = self.series
        packing, units = packing_of(series.quantities)
        height = series.grid.height
        labels = {"frame": [frame.id for frame in self.frames]}
        for key in self.frames[0].labels:
            labels[key] = [frame.labels.get(key, "") for frame in self.frames]
        return create_cube(
            self.path,
            grid=series.grid,
            times=[_instant(frame) for frame in self.frames],
            bands=series.bands,
            packing=packing,
            band_units=units if len(set(series.quantities)) > 1 else (),
            labels=labels | self._verdicts(),
            numbers=self._shifts(),
            masks=series.masks,
            attrs=self._attributes(),
            strip_bytes=self.budget * CHUNK // max(height, CHUNK),
        )

    def _attributes(self) -> dict[str, Any]:
        series = self.series
        return {
            "title": self.recipe.title or self.recipe.name,
            "recipe": self.recipe.name,
            "place": series.name,
            "source": self.recipe.imagery.source,
            "dated": int(series.dated),
            **({"shifts_applied": int(self.recipe.coregistration.apply)} if self.recipe.coregistration else {}),
            "quantities": json.dumps(list(series.quantities)),
            "left_out": json.dumps(self.left_out, ensure_ascii=False),
            **series.attrs,
        }

    def _verdicts(self) -> dict[str, list[str]]:
        if not self.alignments:
            return {}
        return {"alignment": [self.alignments[frame.id].verdict for frame in self.frames]}

    def _shifts(self) -> dict[str, tuple[list[float], dict[str, Any]]]:
        if not self.alignments:
            return {}
        found = [self.alignments[frame.id] for frame in self.frames]
        return {
            "shift_x_px": ([each.dx_px for each in found], {"units": "1", "long_name": "pixels moved to the right"}),
            "shift_y_px": ([each.dy_px for each in found], {"units": "1", "long_name": "pixels moved down"}),
            "shift_residual_px": (
                [each.residual_px for each in found],
                {"units": "1", "long_name": "standard error of the shift in pixels"},
            ),
            "shift_correlation": (
                [each.correlation for each in found],
                {"units": "1", "long_name": "correlation with the reference once aligned"},
            ),
        }

    def _report(self) -> dict[str, Any]:
        series, grid = self.series, self.series.grid
        return {
            "place": series.name,
            "dims": {
                "time": len(self.frames),
                "band": len(series.bands),
                "y": grid.height,
                "x": grid.width,
            },
            "crs": _crs_name(grid.crs),
            "resolution": grid.resolution,
            "bands": list(series.bands),
            "quantities": list(series.quantities),
            "dates": [frame.time.strftime("%Y-%m-%dT%H:%M:%SZ") for frame in self.frames] if series.dated else [],
            "raw_bytes": len(self.frames) * self.whole_bytes,
            "left_out": self.left_out + self.noticed.get(series.name, []),
            "shifts": [
                {"frame": id_, **{k: v for k, v in each.to_json().items() if k != "matrix"}}
                for id_, each in self.alignments.items()
            ],
        }

    def _now_and_then(self, text: str) -> None:
        if time.monotonic() - self._last_word > PROGRESS_SECONDS:
            self._last_word = time.monotonic()
            self._say(text)


def _instant(frame: Frame) -> Any:
    import numpy as np

    return np.datetime64(frame.time.replace(tzinfo=None), "ns")


def _crs_name(crs: str) -> str:
    """A CRS as people name it: an authority code where it has one."""
    if not crs or ":" in crs[:8]:
        return crs
    from pyproj import CRS

    found = CRS.from_user_input(crs)
    code = found.to_authority()
    return ":".join(code) if code else str(found.name)
