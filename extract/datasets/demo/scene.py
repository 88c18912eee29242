"""One scene of the demo world: its attributes, its motion, and its frames."""

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from .attributes import COLOURS, GROUNDS, MOTIONS, PATTERNS, SHAPES, SIZES, TEXTURES, Array

SIDE = 64  # pixels
TRAVEL = 44.0  # pixels that a moving object crosses in a clip
SIDEWAYS, UPDOWN = ("leftward", "rightward"), ("upward", "downward")
RESIZING = ("growing", "shrinking")
REVERSED = {a: b for pair in (SIDEWAYS, UPDOWN, RESIZING) for a, b in (pair, pair[::-1])}
CORNERS = ((10.0, 10.0), (54.0, 10.0), (10.0, 54.0), (54.0, 54.0))


@dataclass(frozen=True)
class Scene:
    """The content of a clip; the frames depend on these fields alone.

    ``x`` and ``y`` are the object's position in pixels, ignored along its direction of motion.
    ``noise`` seeds the pattern's offset, tilt and pixel noise, which motion twins share.
    """

    shape: str
    colour: str
    size: str
    texture: str
    ground: str
    pattern: str
    companion_shape: str
    companion_colour: str
    corner: int
    motion: str
    x: float
    y: float
    noise: int

    def reversed(self) -> "Scene":
        """The scene played backwards: the motion twin."""
        return replace(self, motion=REVERSED[self.motion])

    def column(self) -> str | None:
        """The object's horizontal position; None when it moves sideways."""
        return None if self.motion in SIDEWAYS else _third(self.x, ("left", "centre", "right"))

    def row(self) -> str | None:
        """The object's vertical position; None when it moves up or down."""
        return None if self.motion in UPDOWN else _third(self.y, ("top", "middle", "bottom"))


def _third(position: float, names: tuple[str, str, str]) -> str:
    return names[0] if position < 26 else names[2] if position > 38 else names[1]


def draw_scene(
    rng: np.random.Generator, motion: str | None = None, shapes: Iterable[str] = SHAPES,
    colours: Iterable[str] = COLOURS, grounds: Iterable[str] = GROUNDS,
    patterns: Iterable[str] = PATTERNS,
) -> Scene:  # fmt: skip
    """Draw a scene of some attributes, by default of any."""

    def pick(names: Iterable[str]) -> str:
        return str(rng.choice(list(names)))

    return Scene(
        pick(shapes), pick(colours), pick(SIZES), pick(TEXTURES), pick(grounds), pick(patterns),
        pick(SHAPES), pick(COLOURS), int(rng.integers(len(CORNERS))), motion or pick(MOTIONS),
        float(rng.uniform(14, 50)), float(rng.uniform(14, 50)), int(rng.integers(2**31)),
    )  # fmt: skip


def render(scene: Scene, times: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Render ``scene`` at ``times`` in [0, 1]: uint8 [len(times), SIDE, SIDE, 3], RGB."""
    rng = np.random.default_rng(scene.noise)
    phase_x, phase_y, tilt = rng.uniform(0, 20), rng.uniform(0, 20), rng.uniform(-0.25, 0.25)
    shade, grain = rng.uniform(0.85, 1.1), rng.normal(0, 4, (SIDE, SIDE, 1)).astype(np.float32)
    axis = np.arange(SIDE, dtype=np.float32)
    x, y = axis[None, None, :], axis[None, :, None]

    ground = np.asarray(GROUNDS[scene.ground], np.float32) * np.float32(shade)
    wave = PATTERNS[scene.pattern](x + np.float32(phase_x), y + np.float32(phase_y))[0, :, :, None]
    picture = np.clip(ground + 26.0 * wave + grain, 0, 255)

    corner_x, corner_y = CORNERS[scene.corner]
    companion = _cover(
        scene.companion_shape, "solid", x - corner_x, y - corner_y, np.float32(6.5), tilt
    )
    picture = _painted(picture, scene.companion_colour, companion[0])

    centre_x, centre_y, radius = _trajectory(scene, times)
    cover = _cover(scene.shape, scene.texture, x - centre_x, y - centre_y, radius, tilt)
    frames = _painted(picture[None], scene.colour, cover)
    return np.clip(frames + 0.5, 0, 255).astype(np.uint8)


def _painted(picture: Array, colour: str, cover: Array) -> Array:
    cover = cover[..., None]
    return picture * (1 - cover) + np.asarray(COLOURS[colour], np.float32) * cover


def _trajectory(scene: Scene, times: NDArray[np.float32]) -> tuple[NDArray[np.float32], ...]:
    """The object's centre (x, y) and radius in pixels at each time, each [T, 1, 1]."""
    time = np.asarray(times, np.float32)[:, None, None]
    if scene.motion in ("leftward", "upward", "shrinking"):
        time = 1 - time
    along = SIDE / 2 + TRAVEL * (time - 0.5)
    still = np.zeros_like(time)
    centre_x = along if scene.motion in SIDEWAYS else still + np.float32(scene.x)
    centre_y = along if scene.motion in UPDOWN else still + np.float32(scene.y)
    size = still + np.float32(SIZES[scene.size])
    radius = 5.0 + 13.0 * time if scene.motion in RESIZING else size
    return centre_x, centre_y, radius.astype(np.float32)


def _cover(
    shape: str, texture: str, dx: Array, dy: Array, radius: Array | np.float32, tilt: float
) -> NDArray[np.float32]:
    """The share of each pixel that the object covers, 0 to 1: [T, SIDE, SIDE]."""
    cos, sin = np.float32(np.cos(tilt)), np.float32(np.sin(tilt))
    u, v = (dx * cos + dy * sin) / radius, (dy * cos - dx * sin) / radius
    distance = SHAPES[shape](u, v)
    cover = np.clip(0.5 - distance * radius, 0, 1)
    if texture == "hollow":
        cover = cover * np.clip(0.5 + (distance + 0.24) * radius, 0, 1)
    elif texture == "spotted":
        spots = np.hypot(np.mod(u + 0.3, 0.6) - 0.3, np.mod(v + 0.3, 0.6) - 0.3)
        cover = cover * np.clip(0.5 + (spots - 0.17) * radius, 0.15, 1)
    return cover.astype(np.float32)
