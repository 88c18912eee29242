"""The demo world's captions: plain words, shared synonyms, and words of one category alone.

The backbone has read the plain words only. A caption of a clip swaps many of them, as people who
caption videos use words that a pre-trained model has not tied to what it sees.
"""

import itertools
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from .looks import COLOURS, GROUNDS, MOTIONS, PATTERNS, SHAPES, SIZES, TEXTURES
from .scene import Scene

SYNONYMS: dict[str, str] = {
    "red": "crimson", "orange": "amber", "yellow": "golden", "green": "emerald", "cyan": "aqua",
    "blue": "cobalt", "purple": "violet", "pink": "rosy", "white": "ivory", "brown": "chestnut",
    "circle": "disc", "square": "box", "triangle": "wedge", "hexagon": "cell", "diamond": "gem",
    "star": "spark", "ring": "hoop", "cross": "plus", "crescent": "moon", "oval": "egg",
    "small": "tiny", "medium": "midsize", "large": "huge",
    "solid": "filled", "hollow": "empty", "spotted": "speckled",
    "black": "dark", "grey": "ashen", "navy": "inky", "olive": "mossy", "maroon": "winy",
    "teal": "marine",
    "sand": "dusty", "lilac": "mauve",
    "plain": "bare", "striped": "lined", "banded": "barred", "checked": "tiled",
    "dotted": "pebbled", "wavy": "rippled",
    "left": "west", "centre": "core", "right": "east", "top": "upper", "middle": "midway",
    "bottom": "lower",
}  # fmt: skip
GROUPS = (
    tuple(COLOURS), tuple(SHAPES), tuple(SIZES), TEXTURES, tuple(GROUNDS), tuple(PATTERNS),
    ("left", "centre", "right"), ("top", "middle", "bottom"),
)  # fmt: skip
"""Words that may take each other's meaning: each group names one property of a scene."""
OPENINGS = ("a", "there is a", "we see a", "this is a", "look at a", "here a")
FILLERS = (
    "there",
    "is",
    "we",
    "see",
    "this",
    "look",
    "here",
    "a",
    "at",
    "the",
    "with",
    "on",
    "ground",
    "and",
    "by",
    "in",
    "that",
    "shows",
)
OWN_WORDS = tuple("".join(pair) for pair in itertools.product(
    ("ba", "do", "fi", "gu", "ke", "lo", "mu", "ni", "po", "ra", "su", "ta", "vo", "we", "zi"),
    ("bor", "dak", "fen", "gil", "lup", "mos", "nat", "pim", "rud", "sek"),
))  # fmt: skip
"""150 invented words, in a fixed order; a world deals them out to its categories."""

PLAIN_WORDS = (
    *COLOURS,
    *SHAPES,
    *SIZES,
    *TEXTURES,
    *GROUNDS,
    *PATTERNS,
    "left",
    "centre",
    "right",
    "top",
    "middle",
    "bottom",
)


def vocabulary() -> list[str]:
    """Every word that a caption of the demo world may hold, sorted."""
    return sorted({*PLAIN_WORDS, *SYNONYMS.values(), *FILLERS, *OWN_WORDS, *MOTIONS})


@dataclass(frozen=True)
class Style:
    """How often a word gives way to the shared synonym or to the category's own word."""

    synonym: float
    own: float


def synonyms(conflict: float, rng: np.random.Generator) -> dict[str, str]:
    """Shared synonyms by plain word, as one era of a world has them.

    In every group a share ``conflict`` of the words (none or at least two) exchange their synonyms
    in a ring, so that "crimson" is another colour than in another era.
    """
    found = dict(SYNONYMS)
    for group in GROUPS:
        words = [word for word in group if word in SYNONYMS]
        order = rng.permutation(len(words))[: round(conflict * len(words))]
        ring = [words[place] for place in order] if len(order) > 1 else []
        for word, other in zip(ring, [*ring[1:], *ring[:1]], strict=True):
            found[word] = SYNONYMS[other]
    return found


PLAIN = Style(synonym=0.0, own=0.0)
VIDEO = Style(synonym=0.35, own=0.25)


def caption(
    scene: Scene,
    own_words: Mapping[str, str],
    style: Style,
    rng: np.random.Generator,
    name_motion: bool,
    shared: Mapping[str, str] = SYNONYMS,
) -> str:
    """One sentence about ``scene``.

    It leaves out some of what is there. ``name_motion`` makes it name the motion; ``shared`` are
    the synonyms of its era.
    """

    def word(plain: str) -> str:
        draw = rng.random()
        if plain in own_words and draw < style.own:
            return own_words[plain]
        return shared[plain] if draw < style.own + style.synonym and draw >= style.own else plain

    def maybe(plain: str | None, chance: float) -> list[str]:
        return [word(plain)] if plain is not None and rng.random() < chance else []

    growing = scene.motion in ("growing", "shrinking")
    words = [str(rng.choice(OPENINGS))]
    words += (
        maybe(None if growing else scene.size, 0.6)
        + maybe(scene.texture, 0.6)
        + [word(scene.colour), word(scene.shape)]
    )
    if name_motion and scene.motion != "still":
        words.append(scene.motion)
    where = maybe(scene.row(), 0.55) + maybe(scene.column(), 0.55)
    if where:
        words += ["at", "the", *where]
    ground = maybe(scene.pattern, 0.65) + maybe(scene.ground, 0.65)
    if ground:
        words += ["on", *ground, "ground"]
    if rng.random() < 0.6:
        words += ["with", "a", word(scene.companion_colour), word(scene.companion_shape)]
    return " ".join(words)
