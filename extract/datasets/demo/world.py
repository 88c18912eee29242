"""A demo world: 20 categories, each with its attributes and words, and their clips."""

from dataclasses import dataclass, replace

import numpy as np

from ....cache.catalog import Split
from .attributes import COLOURS, GROUNDS, MOTIONS, PATTERNS, SHAPES
from .language import CATEGORY_WORDS, SYNONYMS, VIDEO, caption, synonyms
from .scene import REVERSED, Scene, draw_scene

CATEGORIES = (
    "music", "people", "gaming", "sports", "news", "education", "shows", "movies", "animation",
    "vehicles",
    "howto", "travel", "science", "animals", "family", "documentary", "food", "cooking", "beauty",
    "advertisement",
)  # fmt: skip
TRAIN_CLIPS = 16
TEST_CLIPS = 60
TWIN_PAIRS = 6  # per category: 12 of its 60 test clips belong to a pair
TRAIN_CAPTIONS = 6
PHASE = 2  # categories, in the order of the world, that share the meanings of shared words


@dataclass(frozen=True)
class Category:
    """The attributes that a category's clips draw from, and its words by plain word."""

    name: str
    shapes: tuple[str, ...]
    colours: tuple[str, ...]
    grounds: tuple[str, ...]
    patterns: tuple[str, ...]
    words: dict[str, str]
    shared: dict[str, str]

    def scene(self, rng: np.random.Generator, motion: str) -> Scene:
        """Draw a scene of this category with the given motion."""
        return draw_scene(rng, motion, self.shapes, self.colours, self.grounds, self.patterns)


@dataclass(frozen=True)
class WorldClip:
    """One clip of a world: its scene, captions, frame count and frames per second.

    ``twin`` is the name of its motion twin.
    """

    name: str
    category: str
    split: Split
    scene: Scene
    captions: tuple[str, ...]
    frames: int
    fps: int
    twin: str | None = None


def build_world(seed: int, conflict: float = 0.0) -> list[WorldClip]:
    """Draw the clips of world ``seed``, category by category in the world's order.

    ``conflict``: share of the shared words, 0 to 1, that change their meaning from phase to phase;
    the first phase keeps the meanings of conflict 0.
    """
    rng = np.random.default_rng([20260, seed])
    taken: set[str] = set()
    clips: list[WorldClip] = []
    for index, category in enumerate(_categories(rng, _phases(seed, conflict))):
        for number in range(TRAIN_CLIPS):
            scene = category.scene(rng, _motion(rng))
            captions = tuple(
                caption(scene, category.words, VIDEO, rng, rng.random() < 0.8, category.shared)
                for _ in range(TRAIN_CAPTIONS)
            )
            name = f"train{index:02d}{number:02d}"
            clips.append(_clip(name, category, "train", scene, captions, rng))
        for number in range(TWIN_PAIRS):
            scene = category.scene(rng, str(rng.choice(list(REVERSED))))
            sentence = _fresh_caption(scene, category, taken, rng)
            name, twin = f"test{index:02d}{2 * number:02d}", f"test{index:02d}{2 * number + 1:02d}"
            clip = _clip(name, category, "test", scene, (sentence,), rng, twin)
            back = scene.reversed()
            other = sentence.replace(scene.motion, back.motion)
            taken.add(other)
            clips += [clip, replace(clip, name=twin, scene=back, captions=(other,), twin=name)]
        for number in range(2 * TWIN_PAIRS, TEST_CLIPS):
            scene = category.scene(rng, _motion(rng))
            sentence = _fresh_caption(scene, category, taken, rng)
            name = f"test{index:02d}{number:02d}"
            clips.append(_clip(name, category, "test", scene, (sentence,), rng))
    return clips


def _phases(seed: int, conflict: float) -> list[dict[str, str]]:
    """The shared synonyms of each category, in the order of the world."""
    rng = np.random.default_rng([20261, seed])
    phases = [SYNONYMS, *(synonyms(conflict, rng) for _ in range(len(CATEGORIES) // PHASE - 1))]
    return [dict(phases[index // PHASE]) for index in range(len(CATEGORIES))]


def _categories(rng: np.random.Generator, phases: list[dict[str, str]]) -> list[Category]:
    category_words = iter(rng.permutation(CATEGORY_WORDS).tolist())
    categories = []
    for name, shared in zip(rng.permutation(CATEGORIES).tolist(), phases, strict=True):
        shapes, colours, grounds, patterns = (
            tuple(rng.choice(list(names), count, replace=False).tolist())
            for names, count in ((SHAPES, 4), (COLOURS, 5), (GROUNDS, 3), (PATTERNS, 3))
        )
        renamed = [*shapes[:2], *colours[:3], grounds[0], patterns[0]]
        words = {plain: next(category_words) for plain in renamed}
        categories.append(Category(name, shapes, colours, grounds, patterns, words, shared))
    return categories


def _motion(rng: np.random.Generator) -> str:
    return str(rng.choice(MOTIONS, p=[0.2] + [0.8 / 6] * 6))


def _fresh_caption(
    scene: Scene, category: Category, taken: set[str], rng: np.random.Generator
) -> str:
    """Draw a caption that no other test clip has."""
    while True:
        sentence = caption(scene, category.words, VIDEO, rng, True, category.shared)
        if sentence not in taken:
            taken.add(sentence)
            return sentence


def _clip(
    name: str, category: Category, split: Split, scene: Scene, captions: tuple[str, ...],
    rng: np.random.Generator, twin: str | None = None,
) -> WorldClip:  # fmt: skip
    frames, fps = int(rng.integers(18, 31)), int(rng.integers(8, 16))
    return WorldClip(name, category.name, split, scene, captions, frames, fps, twin)
