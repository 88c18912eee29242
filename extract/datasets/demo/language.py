"""The demo world's captions: plain words, shared synonyms, and category words.

The backbone was trained on plain words only. Captions replace many of them, because people who
caption videos use words that a pre-trained model does not connect with what it sees.
"""

import itertools
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from .attributes import COLOURS, GROUNDS, MOTIONS, PATTERNS, SHAPES, SIZES, TEXTURES
from .scene import RESIZING, Scene

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
"""Words that may exchange their meanings: each group names one attribute of a scene."""
OPENINGS = ("a", "there is a", "we see a", "this is a", "look at a", "here a")
FILLERS = (
    "there", "is", "we", "see", "this", "look", "here", "a", "at", "the", "with", "on", "ground",
    "and", "by", "in", "that", "shows",
)  # fmt: skip
CATEGORY_WORDS = tuple("".join(pair) for pair in itertools.product(
    ("ba", "do", "fi", "gu", "ke", "lo", "mu", "ni", "po", "ra", "su", "ta", "vo", "we", "zi"),
    ("bor", "dak", "fen", "gil", "lup", "mos", "nat", "pim", "rud", "sek"),
))  # fmt: skip
"""150 invented words, in a fixed order; a world distributes them over its categories."""

PLAIN_WORDS = tuple(itertools.chain.from_iterable(GROUPS))


def vocabulary() -> list[str]:
    """Every word that a caption of the demo world may contain, sorted."""
    return sorted({*PLAIN_WORDS, *SYNONYMS.values(), *FILLERS, *CATEGORY_WORDS, *MOTIONS})


@dataclass(frozen=True)
class Style:
    """The probabilities that a shared synonym or a category word replaces a plain word."""

    synonym: float
    category: float


def synonyms(conflict: float, rng: np.random.Generator) -> dict[str, str]:
    """Draw the shared synonyms, by plain word, of one phase of a world.

    In every group a share ``conflict`` of the words (none or at least two) exchange their synonyms
    in a ring, so that "crimson" names another colour than in other phases.
    """
    shared = dict(SYNONYMS)
    for group in GROUPS:
        words = [word for word in group if word in SYNONYMS]
        order = rng.permutation(len(words))[: round(conflict * len(words))]
        ring = [words[index] for index in order] if len(order) > 1 else []
        for word, following in zip(ring, [*ring[1:], *ring[:1]], strict=True):
            shared[word] = SYNONYMS[following]
    return shared


PLAIN = Style(synonym=0.0, category=0.0)
VIDEO = Style(synonym=0.35, category=0.25)


def caption(
    scene: Scene, category_words: Mapping[str, str], style: Style, rng: np.random.Generator,
    name_motion: bool, shared: Mapping[str, str] = SYNONYMS,
) -> str:  # fmt: skip
    """Draw one sentence that describes some attributes of a scene; the motion if it is to.

    ``category_words`` of its category and ``shared`` synonyms of its phase are by plain word.
    """

    def word(plain: str) -> str:
        draw = rng.random()
        if draw < style.category:
            return category_words.get(plain, plain)
        return shared[plain] if draw < style.category + style.synonym else plain

    def maybe(plain: str | None, chance: float) -> list[str]:
        return [word(plain)] if plain is not None and rng.random() < chance else []

    words = [str(rng.choice(OPENINGS))]
    words += maybe(None if scene.motion in RESIZING else scene.size, 0.6)
    words += [*maybe(scene.texture, 0.6), word(scene.colour), word(scene.shape)]
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
