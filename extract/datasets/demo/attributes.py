"""The demo world's visual attributes by name: shapes, colours, textures, grounds, motions."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating[Any]]

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
CORNERS = ((10.0, 10.0), (54.0, 10.0), (10.0, 54.0), (54.0, 54.0))


def _circle(x: Array, y: Array) -> Array:
    return np.hypot(x, y) - 1.0


def _square(x: Array, y: Array) -> Array:
    return np.maximum(np.abs(x), np.abs(y)) - 0.85


def _polygon(x: Array, y: Array, sides: int) -> Array:
    angle = np.arctan2(x, -y)
    sector = 2 * np.pi / sides
    folded = np.mod(angle + sector / 2, sector) - sector / 2
    return np.hypot(x, y) * np.cos(folded) - np.float32(np.cos(sector / 2))


def _triangle(x: Array, y: Array) -> Array:
    return _polygon(x, y - 0.2, 3)


def _hexagon(x: Array, y: Array) -> Array:
    return _polygon(x, y, 6)


def _diamond(x: Array, y: Array) -> Array:
    return (np.abs(x) * 1.5 + np.abs(y) - 1.05) / np.float32(1.8)


def _star(x: Array, y: Array) -> Array:
    angle = np.arctan2(x, -y)
    return np.hypot(x, y) - (0.62 + 0.45 * np.cos(5 * angle))


def _ring(x: Array, y: Array) -> Array:
    return np.abs(np.hypot(x, y) - 0.72) - 0.28


def _cross(x: Array, y: Array) -> Array:
    ax, ay = np.abs(x), np.abs(y)
    return np.minimum(np.maximum(ax - 0.3, ay - 1.0), np.maximum(ax - 1.0, ay - 0.3))


def _crescent(x: Array, y: Array) -> Array:
    return np.maximum(np.hypot(x, y) - 1.0, 0.8 - np.hypot(x - 0.5, y))


def _oval(x: Array, y: Array) -> Array:
    return (np.hypot(x, y * 1.9) - 1.05) * np.float32(0.7)


SHAPES: dict[str, Callable[[Array, Array], Array]] = {
    "circle": _circle, "square": _square, "triangle": _triangle, "hexagon": _hexagon,
    "diamond": _diamond, "star": _star, "ring": _ring, "cross": _cross, "crescent": _crescent,
    "oval": _oval,
}  # fmt: skip


def _striped(x: Array, y: Array) -> Array:
    return np.sign(np.sin(x * np.float32(2 * np.pi / 10)))


def _banded(x: Array, y: Array) -> Array:
    return np.sign(np.sin(y * np.float32(2 * np.pi / 10)))


def _checked(x: Array, y: Array) -> Array:
    return np.sign(np.sin(x * np.float32(np.pi / 8)) * np.sin(y * np.float32(np.pi / 8)))


def _dotted(x: Array, y: Array) -> Array:
    return np.where(
        np.hypot(np.mod(x, 11) - 5.5, np.mod(y, 11) - 5.5) < 2.6, np.float32(1), np.float32(-0.6)
    )


def _wavy(x: Array, y: Array) -> Array:
    return np.sign(
        np.sin((y + 3.5 * np.sin(x * np.float32(2 * np.pi / 20))) * np.float32(2 * np.pi / 12))
    )


def _plain(x: Array, y: Array) -> Array:
    return np.zeros_like(x + y)


PATTERNS: dict[str, Callable[[Array, Array], Array]] = {
    "plain": _plain, "striped": _striped, "banded": _banded, "checked": _checked, "dotted": _dotted,
    "wavy": _wavy,
}  # fmt: skip

MOTIONS = ("still", "leftward", "rightward", "upward", "downward", "growing", "shrinking")
REVERSED = {
    "leftward": "rightward", "rightward": "leftward", "upward": "downward", "downward": "upward",
    "growing": "shrinking", "shrinking": "growing",
}  # fmt: skip
