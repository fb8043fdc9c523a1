"""Scenes of rock and ice with a true shift between them, for the tests and the benchmark of co-registration.

A scene is made at twice the resolution, from fields with a power-law spectrum: a height field lit from one side, rock
and ice with sharp borders between them, fine texture. A frame of it is the scene under the sensor's point spread and
shifted, both in the frequency domain, where a shift is exact, and then decimated: with the aliasing of a real
sensor, and without any interpolation that the method under test would know. Light, clouds and noise are
each frame's own.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import scipy.fft
from numpy.typing import NDArray

FINE = 2
"""Pixels of the scene in one of a frame, along each axis."""


@dataclass(frozen=True)
class Scene:
    """The ground, from which frames are taken."""

    spectrum: NDArray[np.complex64]
    """Of the periodic scene, under the sensor's point spread."""
    side: int
    """Pixels along a side of a frame."""
    margin: int
    """Pixels around a frame: the scene is periodic, and a shift of less than this never shows its seam."""

    def ground(self, dx: float = 0.0, dy: float = 0.0) -> NDArray[np.float32]:
        """(side, side): the ground as the sensor sees it, to be moved by (dx, dy) pixels to lie on the one without."""
        size = FINE * (self.side + 2 * self.margin)
        down, across = np.fft.fftfreq(size)[:, None], np.fft.rfftfreq(size)[None, :]
        # the frame's content lies (dx, dy) to the left of and above the reference's
        turns = (np.exp(2j * np.pi * FINE * shift).astype(np.complex64) for shift in (down * dy, across * dx))
        whole = scipy.fft.irfft2(self.spectrum * next(turns) * next(turns), s=(size, size), workers=2)
        inner = slice(FINE * self.margin, FINE * (self.margin + self.side), FINE)
        return np.array(whole[inner, inner], dtype=np.float32)

    def frame(
        self,
        *,
        dx: float = 0.0,
        dy: float = 0.0,
        noise: float = 0.01,
        gradient: float = 0.0,
        cloud: float = 0.0,
        seed: int = 0,
    ) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """A frame with a shift, as `ground` and `seen_from_above` make it."""
        return seen_from_above(self.ground(dx, dy), noise=noise, gradient=gradient, cloud=cloud, seed=seed)


def seen_from_above(
    ground: NDArray[np.float32], *, noise: float = 0.01, gradient: float = 0.0, cloud: float = 0.0, seed: int = 0
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """The ground under one day's light and clouds, and where it is free of clouds.

    Args:
        ground: (side, side), from `Scene.ground`.
        noise: standard deviation of the sensor's noise.
        gradient: the light falls from 1 + gradient to 1 - gradient across the frame, in a direction of the seed's.
        cloud: share of the frame that clouds cover, bright, with soft edges and a texture of their own.
        seed: of noise, light and clouds.
    """
    rng = np.random.default_rng([seed, 7])
    image = ground * light(len(ground), gradient, rng)
    clear = np.ones(image.shape, dtype=bool)
    if cloud:
        image, clear = clouded(image, cloud, rng)
    return image + np.float32(noise) * rng.standard_normal(image.shape, dtype=np.float32), clear


def make_scene(side: int, *, seed: int, margin: int = 72) -> Scene:
    """The ground of a place of its own for each seed; reflectance 0…1."""
    size = FINE * (side + 2 * margin)
    rng = np.random.default_rng([seed, 1])
    height = fractal(size, rng, 1.9)
    shade = np.clip(0.6 + 0.9 * _slope(height), 0.05, 1.6)
    kind = fractal(size, rng, 1.6)
    ice = kind > rng.uniform(-0.3, 0.6)
    albedo = np.where(ice, 0.55, 0.22).astype(np.float32)
    texture = fractal(size, rng, 0.9)
    ground = albedo * shade * (1 + np.where(ice, 0.06, 0.12).astype(np.float32) * texture)
    down, across = np.fft.fftfreq(size)[:, None], np.fft.rfftfreq(size)[None, :]
    # optics of half a pixel's blur, and the pixel's own square: the product of two sinc functions
    spread = (
        np.exp(-2 * (np.pi * 0.5 * FINE) ** 2 * (down**2 + across**2)) * np.sinc(FINE * down) * np.sinc(FINE * across)
    )
    return Scene(
        spectrum=scipy.fft.rfft2(ground.astype(np.float32), workers=2) * spread.astype(np.float32),
        side=side,
        margin=margin,
    )


def fractal(size: int, rng: np.random.Generator, power: float) -> NDArray[np.float32]:
    """(size, size), periodic, mean 0, standard deviation 1, amplitude falling with frequency to the given power."""
    noise = rng.standard_normal((size, size), dtype=np.float32)
    down, across = np.fft.fftfreq(size)[:, None], np.fft.rfftfreq(size)[None, :]
    falling = np.maximum(np.hypot(down, across), 1 / size) ** -power
    falling[0, 0] = 0
    field = scipy.fft.irfft2(scipy.fft.rfft2(noise, workers=2) * falling.astype(np.float32), s=(size, size), workers=2)
    return np.asarray(field / field.std(), dtype=np.float32)


def light(side: int, gradient: float, rng: np.random.Generator) -> NDArray[np.float32]:
    """(side, side): a plane of light around 1."""
    angle = rng.uniform(0, 2 * np.pi)
    y, x = np.mgrid[-1 : 1 : side * 1j, -1 : 1 : side * 1j]
    return np.asarray(1 + gradient * (np.cos(angle) * x + np.sin(angle) * y), dtype=np.float32)


def clouded(
    image: NDArray[np.float32], part: float, rng: np.random.Generator
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """The frame under clouds that cover this share of it, and where none are."""
    side = len(image)
    small = max(64, side // 4)
    wide = (side, side)
    cover = cv2.resize(fractal(small, rng, 1.7), wide, interpolation=cv2.INTER_CUBIC)
    inside = cv2.resize(fractal(small, rng, 1.3), wide, interpolation=cv2.INTER_CUBIC)
    above = cover - np.quantile(cover, 1 - part)
    opaque = np.clip(above / 0.15, 0, 1).astype(np.float32)
    bright = (0.75 + 0.1 * inside).astype(np.float32)
    return image * (1 - opaque) + bright * opaque, np.asarray(above <= 0)


def _slope(height: NDArray[np.float32]) -> NDArray[np.float32]:
    slope = (
        np.roll(height, -1, axis=1)
        - np.roll(height, 1, axis=1)
        + 0.5 * (np.roll(height, -1, 0) - np.roll(height, 1, 0))
    )
    return np.asarray(slope / (2.5 * slope.std()), dtype=np.float32)
