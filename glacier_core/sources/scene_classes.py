"""What a scene shows in each pixel: one coding for every collection, that of Sentinel-2's scene classification.

Codes: Sentinel-2 Products Specification Document, "Scene Classification" (ESA, S2-PDGS-TAS-DI-PSD). Other collections'
flags are translated when they are read (`landsat.scene_class_of`).
"""

from __future__ import annotations

NO_DATA = 0
"""Nothing was recorded: outside of the swath, or in a gap between scan lines."""
DEFECTIVE = 1
"""Saturated or defective."""
SHADOW = 3
"""Shadow of a cloud."""
LAND = 5
"""Clear land; vegetation is 4 where a collection tells it apart."""
WATER = 6
"""Clear water."""
CLOUD_MEDIUM = 8
"""Cloud of medium probability, or right beside a cloud."""
CLOUD = 9
"""Cloud of high probability."""
CIRRUS = 10
"""Thin cirrus."""
SNOW = 11
"""Snow or ice."""

UNSEEN = (NO_DATA, DEFECTIVE)
"""Pixels that show nothing."""
CLOUDY = (SHADOW, CLOUD_MEDIUM, CLOUD, CIRRUS)
"""Pixels that show a cloud or its shadow."""
