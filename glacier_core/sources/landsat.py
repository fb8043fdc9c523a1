"""Landsat Collection 2 Level 2: what its bands are called, how its numbers are scaled, and what QA_PIXEL flags.

Sources: Landsat 8-9 Collection 2 Level 2 Science Product Guide (USGS, LSDS-1619), Landsat 4-7 Collection 2 Level 2
Science Product Guide (LSDS-1618). Cloud, shadow, snow and water are CFMask's (Foga et al. 2017,
doi:10.1016/j.rse.2017.03.026).

Catalogs name the bands differently: the Planetary Computer's assets are called `green` or `lwir11`, those of the USGS
also `SR_B3.TIF`, and its surface temperature stands in items of its own. The product's own names (SR_B3, ST_B10,
QA_PIXEL), which the names of the files end with, tell in every catalog which band it is.
"""

from __future__ import annotations

import functools
import posixpath
import re
from collections.abc import Mapping
from datetime import date
from typing import TYPE_CHECKING, Any
from urllib.parse import urlparse

from glacier_core.sources import scene_classes

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Json = Mapping[str, Any]

REFLECTANCE = (2.75e-5, -0.2)
"""Scale and offset of surface reflectance."""
TEMPERATURE = (0.00341802, 149.0)
"""Scale and offset of surface temperature (K)."""
FILL = 0.0
"""Number that stands for no data in both."""
QA_FILL = 1.0
"""QA_PIXEL where nothing was recorded."""
SLC_FAILURE = date(2003, 5, 31)
"""Day on which Landsat 7's scan line corrector failed: since then, gaps take a fifth of every scene."""

_OLI = {
    "SR_B1": ("coastal",),
    "SR_B2": ("blue",),
    "SR_B3": ("green",),
    "SR_B4": ("red",),
    "SR_B5": ("nir08", "nir"),
    "SR_B6": ("swir16",),
    "SR_B7": ("swir22",),
    "ST_B10": ("lwir11", "lwir"),
}
_TM = {
    "SR_B1": ("blue",),
    "SR_B2": ("green",),
    "SR_B3": ("red",),
    "SR_B4": ("nir08", "nir"),
    "SR_B5": ("swir16",),
    "SR_B7": ("swir22",),
    "ST_B6": ("lwir", "lwir11"),
}
_COMMON = {4: _TM, 5: _TM, 7: _TM, 8: _OLI, 9: _OLI}
"""Common names of each sensor's bands, by satellite. One name serves all of them: thermal bands answer to both."""
_BAND = re.compile(
    r"(?:^|_)(SR_B[1-7]|ST_B(?:6|10)|ST_(?:ATRAN|CDIST|DRAD|EMIS|EMSD|QA|TRAD|URAD)"
    r"|QA_(?:PIXEL|RADSAT)|SR_(?:QA_AEROSOL|CLOUD_QA|ATMOS_OPACITY))$",
    re.IGNORECASE,
)
_PRODUCT = re.compile(r"L[CEOTM]0([4-9])_L(\d)[A-Z]{2}_\d{6}_\d{8}_.*", re.IGNORECASE)


def product_band(item: Json, key: str) -> str:
    """The product's own name (SR_B3, ST_B10, QA_PIXEL, ...) of an asset; empty if it is none of Landsat's Level 2.

    Args:
        item: STAC item.
        key: key of one of its assets.
    """
    asset = item["assets"][key]
    for name in (posixpath.basename(urlparse(str(asset.get("href", ""))).path), key):
        if match := _BAND.search(re.sub(r"\.tiff?$", "", name, flags=re.IGNORECASE)):
            return match[1].upper()
    if not _is_level2(item):
        return ""
    common = {name: band for band, names in _COMMON.get(satellite_of(item), {}).items() for name in reversed(names)}
    return common.get(key.lower(), "")


def names_of(item: Json, band: str) -> tuple[str, ...]:
    """Every name of one of the product's bands: its own, and the common ones of the item's sensor.

    Args:
        item: STAC item.
        band: see `product_band`.
    """
    common = _COMMON.get(satellite_of(item), {}).get(band, ())
    return band, *common, *((band.lower(),) if band.startswith("QA_") else ())


def satellite_of(item: Json) -> int:
    """4, 5, 7, 8 or 9; 0 if the item is none of Landsat's."""
    if match := _PRODUCT.match(str(item.get("id", ""))):
        return int(match[1])
    properties = item.get("properties", {})
    platform = str(properties.get("platform") or properties.get("eo:platform") or "")
    match = re.fullmatch(r"landsat[-_ ]?([4-9])", platform.lower())
    return int(match[1]) if match else 0


def product_id(item: Json) -> str:
    """The item's id without the ending that tells reflectance (_SR) from surface temperature (_ST)."""
    name = str(item["id"])
    return re.sub(r"_S[RT]$", "", name) if _PRODUCT.match(name) else name


def has_scan_gaps(item: Json, day: date) -> bool:
    """Whether a scene of that day was recorded without the scan line corrector; its gaps are no data.

    Args:
        item: STAC item.
        day: when it was acquired (UTC).
    """
    return satellite_of(item) == 7 and day >= SLC_FAILURE


def scene_class_of(flags: NDArray[np.float32]) -> NDArray[np.uint8]:
    """QA_PIXEL as scene classes (`scene_classes`).

    Of several flags the first of these counts: fill; cloud (or its confidence high); beside a cloud; cirrus; shadow;
    snow; cloud of medium confidence; water; else land. A cloud that is no more than likely does not hide what was
    recognised as snow: bright snow is what CFMask most often takes for a cloud.

    Args:
        flags: numbers of QA_PIXEL, NaN where the file has none.

    Returns:
        Codes of the same shape.
    """
    import numpy as np

    numbers = np.nan_to_num(flags, nan=QA_FILL).astype(np.uint16)
    return _table()[numbers]


@functools.cache
def _table() -> NDArray[np.uint8]:
    """The class of each of the 65536 combinations of flags."""
    import numpy as np

    flags = np.arange(2**16, dtype=np.uint32)

    def bit(number: int) -> NDArray[np.bool_]:
        return np.asarray((flags >> number) & 1 == 1)

    def confidence(first: int, level: int) -> NDArray[np.bool_]:
        return np.asarray((flags >> first) & 3 == level)

    cases = {
        scene_classes.NO_DATA: bit(0),
        scene_classes.CLOUD: bit(3) | confidence(8, 3),
        scene_classes.CLOUD_MEDIUM: bit(1),
        scene_classes.CIRRUS: bit(2) | confidence(14, 3),
        scene_classes.SHADOW: bit(4) | confidence(10, 3),
        scene_classes.SNOW: bit(5) | confidence(12, 3),
    }
    later = {scene_classes.CLOUD_MEDIUM: confidence(8, 2), scene_classes.WATER: bit(7)}
    return np.select(
        [*cases.values(), *later.values()], [np.uint8(code) for code in (*cases, *later)], np.uint8(scene_classes.LAND)
    ).astype(np.uint8)


def _is_level2(item: Json) -> bool:
    match = _PRODUCT.match(str(item.get("id", "")))
    if match:
        return match[2] == "2"
    correction = str(item.get("properties", {}).get("landsat:correction") or "")
    return correction.startswith("L2") or str(item.get("collection") or "").startswith(
        ("landsat-c2-l2", "landsat-c2l2")
    )
