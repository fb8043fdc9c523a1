"""Bands of many files on their grids, read together: what cannot be read comes back as the error that says why.

GeoTIFFs of the layouts that imagery comes in are read by `glacier_core.sources.geotiff`; whatever that does not know
(other formats, JPEG inside, masks, palettes, CRS without a code, rotated images) goes through GDAL
(`glacier_core.sources.windows`), with the same geometry.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from glacier_core.errors import SceneError
from glacier_core.grids import Grid
from glacier_core.settings import Settings
from glacier_core.sources.assets import NotNowError, read_asset
from glacier_core.sources.bands import BandSource
from glacier_core.sources.remote import host_of, is_http
from glacier_core.sources.windows import Resampling, read_band

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from glacier_core.sources.geotiff.geometry import Geometry
    from glacier_core.sources.geotiff.layout import Layout
    from glacier_core.sources.geotiff.reading import OpenFile, Wanted

Kind = Literal["float32", "native"]

FETCHERS = 8
"""Requests over a network at a time."""
_SIDECARS = (".aux.xml", ".ovr", ".msk")
"""Files beside a local GeoTIFF that change what GDAL makes of it."""
_OTHER_FORMATS = (".jp2", ".jpg", ".jpeg", ".png", ".vrt", ".img", ".nc")


@dataclass(frozen=True)
class PixelRequest:
    """One band of one file, wanted on a grid."""

    source: BandSource
    """The band; its scale and offset are not applied."""
    grid: Grid
    """Where the pixels are wanted."""
    resampling: Resampling = "bilinear"
    """How values between pixels are found, where the file's lattice and the grid's do not agree."""


def read_pixels(
    requests: Sequence[PixelRequest],
    *,
    retries: int = 4,
    threads: int | None = None,
    dtype: Kind = "float32",
) -> list[NDArray[Any] | SceneError | NotNowError]:
    """The pixels of every request, or the error that says why there are none.

    Bands on one grid from files of one lattice share their coordinates, and bands of one file its blocks: ask for all
    at once.

    Args:
        requests: what is wanted; the order is kept.
        retries: how often a read that may succeed later is tried again.
        threads: how many work at a time; None: as the settings say.
        dtype: `float32`: (y, x) float32 numbers as they stand in the file, NaN where there are none. `native`: the
            file's own type, and where there is no data the file's (or else the source's) nodata number, or 0.

    Returns:
        One entry a request, (y, x); SceneError: the file is missing, refused, damaged or does not fit;
        NotNowError: its service stayed busy or silent.

    Raises:
        StoreError, ServiceUnavailableError: object storage refuses or does not answer.
    """
    with (
        _threads(threads or Settings().thread_count()) as workers,
        _threads(FETCHERS) as fetchers,
    ):
        reading = _Reading(requests, retries=retries, dtype=dtype, workers=workers, fetchers=fetchers)
        results = reading.results()
        # what was remembered of a remote file may be older than the file
        again = reading.doubtful(results)
        if again:
            repeated = _Reading(
                [requests[place] for place in again], retries=retries, dtype=dtype, workers=workers, fetchers=fetchers
            )
            for place, result in zip(again, repeated.results(), strict=True):
                results[place] = result
    return results


@contextmanager
def _threads(number: int) -> Iterator[ThreadPoolExecutor]:
    """A pool whose queue is dropped when reading ends early."""
    pool = ThreadPoolExecutor(number)
    try:
        yield pool
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


class _Reading:
    """One call of `read_pixels`."""

    def __init__(
        self,
        requests: Sequence[PixelRequest],
        *,
        retries: int,
        dtype: Kind,
        workers: ThreadPoolExecutor,
        fetchers: ThreadPoolExecutor,
    ) -> None:
        self._requests = requests
        self._retries = retries
        self._dtype = dtype
        self._workers = workers
        self._fetchers = fetchers
        self._silent: dict[str, NotNowError] = {}
        self._lock = threading.Lock()
        self._geometries: dict[Any, Geometry | None] = {}
        self._remembered: set[str] = set()

    def results(self) -> list[NDArray[Any] | SceneError | NotNowError]:
        """One entry a request."""
        from glacier_core.sources.geotiff.reading import OpenFile, Wanted, read_wanted

        files = self._open_all()
        try:
            wanted = [self._wanted(request, files[request.source.href]) for request in self._requests]
            others = {
                place: self._pool_of(request.source.href).submit(self._by_gdal, request)
                for place, (request, item) in enumerate(zip(self._requests, wanted, strict=True))
                if item is None
            }
            readable = [item for item in wanted if isinstance(item, Wanted)]
            read_wanted(readable, workers=self._workers, fetchers=self._fetchers)
            return [others[place].result() if item is None else _outcome(item) for place, item in enumerate(wanted)]
        finally:
            for file in files.values():
                if isinstance(file, OpenFile):
                    if file.source.remembered:
                        self._remembered.add(file.href)
                    file.source.close()

    def doubtful(self, results: Sequence[Any]) -> list[int]:
        """Requests that failed on a file of which something was remembered; that is forgotten now."""
        from glacier_core.sources.geotiff.fetching import forget

        places = [
            place
            for place, (request, result) in enumerate(zip(self._requests, results, strict=True))
            if isinstance(result, SceneError) and request.source.href in self._remembered
        ]
        for place in places:
            forget(self._requests[place].source.href)
        return places

    def _pool_of(self, href: str) -> ThreadPoolExecutor:
        return self._fetchers if "://" in href else self._workers

    def _open_all(self) -> dict[str, OpenFile | SceneError | NotNowError | None]:
        """Every file by its link: open, or why not, or None where it is left to GDAL."""
        names = {request.source.href: request.source.asset for request in self._requests}
        opening = {href: self._pool_of(href).submit(self._open, href, name) for href, name in names.items()}
        return {href: future.result() for href, future in opening.items()}

    def _open(self, href: str, name: str) -> OpenFile | SceneError | NotNowError | None:
        from glacier_core.sources.geotiff.fetching import Head, PastEndError, open_ranges
        from glacier_core.sources.geotiff.layout import UnfamiliarLayoutError, parse_layout
        from glacier_core.sources.geotiff.reading import OpenFile

        if _is_for_gdal(href):
            return None
        try:
            self._avoid(href)
            source = open_ranges(href, name=name, retries=self._retries)
        except NotNowError as error:
            return error
        except OSError:
            return None  # GDAL's message says why
        try:
            return OpenFile(href, name, source, parse_layout(Head(source).read))
        except (UnfamiliarLayoutError, PastEndError):
            source.close()
            return None
        except (SceneError, NotNowError) as error:
            source.close()
            self._note(error)
            return error

    def _avoid(self, href: str) -> None:
        """Do not ask a host again that kept silent: its connections may take minutes to fail."""
        if is_http(href):
            with self._lock:
                silent = self._silent.get(host_of(href))
            if silent is not None:
                raise silent

    def _note(self, error: SceneError | NotNowError) -> None:
        host = getattr(error, "host", "")
        if host and isinstance(error, NotNowError):
            with self._lock:
                self._silent[host] = error

    def _wanted(
        self, request: PixelRequest, file: OpenFile | SceneError | NotNowError | None
    ) -> Wanted | SceneError | NotNowError | None:
        import numpy as np

        from glacier_core.sources.geotiff.reading import Wanted

        if file is None or isinstance(file, SceneError | NotNowError):
            return file
        source, first = request.source, file.layout.levels[0]
        if source.index > first.samples:
            return SceneError(f"{source.asset} has {first.samples} bands", expected=f"at least {source.index}")
        geometry = self._geometry(file.layout, request)
        if geometry is None:
            return None
        kind = np.dtype(np.float32 if self._dtype == "float32" else first.dtype).newbyteorder("=")
        own = file.layout.nodata
        return Wanted(
            file=file,
            band=source.index - 1,
            grid=request.grid,
            geometry=geometry,
            nodata=source.nodata if own is None else own,
            out=np.empty(request.grid.shape, kind),
        )

    def _geometry(self, layout: Layout, request: PixelRequest) -> Geometry | None:
        """Shared by files of one lattice; None where the mapping is left to GDAL."""
        from glacier_core.sources.geotiff.geometry import geometry_of
        from glacier_core.sources.geotiff.warping import NotSmoothError

        shapes = tuple((level.width, level.height, level.block_width, level.block_height) for level in layout.levels)
        key = layout.crs, layout.transform, shapes, request.grid, request.resampling
        if key not in self._geometries:
            try:
                self._geometries[key] = geometry_of(layout, request.grid, request.resampling)
            except NotSmoothError:
                self._geometries[key] = None
        return self._geometries[key]

    def _by_gdal(self, request: PixelRequest) -> NDArray[Any] | SceneError | NotNowError:
        source = request.source

        def read(dataset: Any) -> NDArray[Any]:
            if dataset.crs is None:
                raise SceneError(f"{source.asset} has no CRS")
            if source.index > dataset.count:
                raise SceneError(f"{source.asset} has {dataset.count} bands", expected=f"at least {source.index}")
            numbers = read_band(
                dataset, index=source.index, grid=request.grid, resampling=request.resampling, nodata=source.nodata
            )
            if self._dtype == "float32":
                return numbers
            own = dataset.nodatavals[source.index - 1]
            return _native(numbers, dataset.dtypes[source.index - 1], own if own is not None else source.nodata)

        try:
            self._avoid(source.href)
            return read_asset(source.href, name=source.asset, read=read, retries=self._retries)
        except (SceneError, NotNowError) as error:
            self._note(error)
            return error


def _is_for_gdal(href: str) -> bool:
    if href.startswith("/vsi") or href.partition("?")[0].lower().endswith(_OTHER_FORMATS):
        return True
    return "://" not in href and any(Path(href + ending).exists() for ending in _SIDECARS)


def _outcome(item: Wanted | SceneError | NotNowError) -> NDArray[Any] | SceneError | NotNowError:
    if isinstance(item, SceneError | NotNowError):
        return item
    return item.out if item.error is None else item.error


def _native(numbers: NDArray[np.float32], dtype: str, nodata: float | None) -> NDArray[Any]:
    """Numbers in the file's own type."""
    import numpy as np

    kind = np.dtype(dtype)
    if kind.kind == "f":
        return numbers.astype(kind)
    filled = np.where(np.isnan(numbers), nodata or 0, np.rint(numbers))
    return filled.astype(kind)
