"""The demo world's visual attributes by name: shapes, colours, textures, grounds, motions."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating[Any]]
Field = Callable[[Array, Array], Array]

COLOURS: dict[str, tuple[int, int, int]] = {
    "red": (214, 40, 40), "orange": (245, 130, 30), "yellow": (246, 218, 60),
    "green": (50, 190, 70), "cyan": (60, 215, 220), "blue": (45, 95, 235), "purple": (140, 60, 200),
    "pink": (250, 140, 190), "white": (245, 245, 245), "brown": (130, 80, 40),
}  # fmt: skip

GROUNDS: dict[str, tuple[int, int, int]] = {
    "black": (22, 22, 24), "grey": (112, 112, 118), "navy": (24, 34, 92), "olive": (98, 104, 38),
    "maroon": (92, 22, 38), "teal": (16, 102, 102), "sand": (196, 176, 132),
    "lilac": (166, 148, 196),
}  # fmt: skip

# radius in pixels of a 64-pixel frame
SIZES: dict[str, float] = {"small": 7.0, "medium": 11.0, "large": 15.5}
TEXTURES = ("solid", "hollow", "spotted")


def _polygon(x: Array, y: Array, sides: int) -> Array:
    angle = np.arctan2(x, -y)
    sector = 2 * np.pi / sides
    folded = np.mod(angle + sector / 2, sector) - sector / 2
    return np.hypot(x, y) * np.cos(folded) - np.float32(np.cos(sector / 2))


# Below 0 inside a shape of radius 1, above 0 outside.
SHAPES: dict[str, Field] = {
    "circle": lambda x, y: np.hypot(x, y) - 1.0,
    "square": lambda x, y: np.maximum(np.abs(x), np.abs(y)) - 0.85,
    "triangle": lambda x, y: _polygon(x, y - 0.2, 3),
    "hexagon": lambda x, y: _polygon(x, y, 6),
    "diamond": lambda x, y: (np.abs(x) * 1.5 + np.abs(y) - 1.05) / np.float32(1.8),
    "star": lambda x, y: np.hypot(x, y) - (0.62 + 0.45 * np.cos(5 * np.arctan2(x, -y))),
    "ring": lambda x, y: np.abs(np.hypot(x, y) - 0.72) - 0.28,
    "cross": lambda x, y: np.minimum(
        np.maximum(np.abs(x) - 0.3, np.abs(y) - 1.0), np.maximum(np.abs(x) - 1.0, np.abs(y) - 0.3)
    ),
    "crescent": lambda x, y: np.maximum(np.hypot(x, y) - 1.0, 0.8 - np.hypot(x - 0.5, y)),
    "oval": lambda x, y: (np.hypot(x, y * 1.9) - 1.05) * np.float32(0.7),
}

# Brightness of the ground, -1 to 1, by position in pixels.
PATTERNS: dict[str, Field] = {
    "plain": lambda x, y: np.zeros_like(x + y),
    "striped": lambda x, y: np.sign(np.sin(x * np.float32(2 * np.pi / 10))),
    "banded": lambda x, y: np.sign(np.sin(y * np.float32(2 * np.pi / 10))),
    "checked": lambda x, y: np.sign(
        np.sin(x * np.float32(np.pi / 8)) * np.sin(y * np.float32(np.pi / 8))
    ),
    "dotted": lambda x, y: np.where(
        np.hypot(np.mod(x, 11) - 5.5, np.mod(y, 11) - 5.5) < 2.6, np.float32(1), np.float32(-0.6)
    ),
    "wavy": lambda x, y: np.sign(
        np.sin((y + 3.5 * np.sin(x * np.float32(2 * np.pi / 20))) * np.float32(2 * np.pi / 12))
    ),
}

MOTIONS = ("still", "leftward", "rightward", "upward", "downward", "growing", "shrinking")
