"""Surface reflectance of high-mountain surfaces in the bands of Sentinel-2.

Values are typical Level-2A bottom-of-atmosphere reflectances, from snow: Warren 1982 (doi:10.1029/RG020i001p00067) and
Dozier 1989 (doi:10.1016/0034-4257(89)90101-6); glacier ice: Naegeli et al. 2017 (doi:10.3390/rs9020110) and Paul et al.
2016 (doi:10.3390/rs8070575); supraglacial debris: Casey et al. 2012 (doi:10.5194/tc-6-85-2012); rock, soil, vegetation
and water: the ECOSTRESS spectral library (Meerdink et al. 2019, doi:10.1016/j.rse.2019.05.015).
"""

from __future__ import annotations

import numpy as np

from glacier_core.sources.simulated.noise import Field

BANDS = ("B02", "B03", "B04", "B08", "B11")
COMMON_NAMES = {"B02": "blue", "B03": "green", "B04": "red", "B08": "nir", "B11": "swir16"}
WAVELENGTH_UM = {"B02": 0.49, "B03": 0.56, "B04": 0.665, "B08": 0.842, "B11": 1.61}

REFLECTANCE: dict[str, tuple[float, float, float, float, float]] = {
    "fresh_snow": (0.93, 0.93, 0.92, 0.88, 0.12),
    "old_snow": (0.80, 0.81, 0.80, 0.72, 0.06),
    "firn": (0.60, 0.61, 0.59, 0.51, 0.05),
    "clean_ice": (0.46, 0.47, 0.43, 0.32, 0.03),
    "dirty_ice": (0.26, 0.27, 0.26, 0.21, 0.06),
    "debris": (0.150, 0.162, 0.170, 0.182, 0.236),
    "rock": (0.120, 0.140, 0.158, 0.185, 0.205),
    "scree": (0.150, 0.175, 0.200, 0.235, 0.275),
    "vegetation": (0.040, 0.070, 0.058, 0.290, 0.190),
    "lake": (0.130, 0.150, 0.115, 0.045, 0.015),
    "clear_lake": (0.045, 0.048, 0.030, 0.012, 0.008),
    "cloud": (0.72, 0.72, 0.73, 0.76, 0.55),
}
"""Reflectance in the order of BANDS."""

DIFFUSE = (0.24, 0.18, 0.14, 0.09, 0.04)
"""Part of the light on level ground that comes from the sky, in the order of BANDS, clear summer sky at 4 to 5 km."""


def spectrum(name: str) -> Field:
    """Reflectance of a surface as (5, 1, 1), in the order of BANDS."""
    return np.array(REFLECTANCE[name], dtype=np.float32)[:, None, None]


def tint(*, brightness: float, redness: float) -> Field:
    """What a place's geology multiplies the reflectance of its rock by, (5, 1, 1).

    Args:
        brightness: the factor at the middle of the bands.
        redness: by how much the factor grows from blue to the near infrared, and is lower at blue.
    """
    slope = np.array([-1.0, -0.5, 0.33, 0.67, 0.67], dtype=np.float32)
    factor: Field = np.float32(max(brightness, 0.7)) + np.float32(redness) * slope
    return factor[:, None, None]


def mix(under: Field, over: Field, share: Field) -> Field:
    """`over` (bands, 1, 1) or (bands, y, x) covers the part `share` (y, x) of `under` (bands, y, x)."""
    return under + share * (over - under)
