"""A demo world: 20 categories with looks and words of their own, and the clips that show them."""

from dataclasses import dataclass

import numpy as np

from .language import OWN_WORDS, SYNONYMS, VIDEO, caption, synonyms
from .looks import COLOURS, CORNERS, GROUNDS, MOTIONS, PATTERNS, REVERSED, SHAPES, SIZES, TEXTURES
from .scene import Scene

CATEGORIES = (
    "music", "people", "gaming", "sports", "news", "education", "shows", "movies", "animation",
    "vehicles",
    "howto", "travel", "science", "animals", "family", "documentary", "food", "cooking", "beauty",
    "advertisement",
)  # fmt: skip
TRAIN_CLIPS = 16
TEST_CLIPS = 60
TWIN_PAIRS = 6  # of a category's test clips: 12 of 60, a fifth, are half of a pair
TRAIN_CAPTIONS = 6
ERA = 2  # categories in which shared words mean the same


@dataclass(frozen=True)
class Category:
    """What a category's clips are made of, and its own words by plain word."""

    name: str
    shapes: tuple[str, ...]
    colours: tuple[str, ...]
    grounds: tuple[str, ...]
    patterns: tuple[str, ...]
    own_words: dict[str, str]
    shared: dict[str, str]

    def scene(self, rng: np.random.Generator, motion: str) -> Scene:
        """A scene of this category with the given motion."""
        return Scene(
            shape=str(rng.choice(self.shapes)),
            colour=str(rng.choice(self.colours)),
            size=str(rng.choice(list(SIZES))),
            texture=str(rng.choice(TEXTURES)),
            ground=str(rng.choice(self.grounds)),
            pattern=str(rng.choice(self.patterns)),
            companion_shape=str(rng.choice(list(SHAPES))),
            companion_colour=str(rng.choice(list(COLOURS))),
            corner=int(rng.integers(len(CORNERS))),
            motion=motion,
            x=float(rng.uniform(14, 50)),
            y=float(rng.uniform(14, 50)),
            noise=int(rng.integers(2**31)),
        )


@dataclass(frozen=True)
class WorldClip:
    """One clip of a world.

    Its scene, its captions and the size of its file. ``twin`` names its motion twin.
    """

    name: str
    category: str
    split: str
    scene: Scene
    captions: tuple[str, ...]
    frames: int
    fps: int
    twin: str | None = None


def build_world(seed: int, conflict: float = 0.0) -> list[WorldClip]:
    """The clips of world ``seed``, category by category in the world's own order.

    The same for the same arguments. ``conflict`` from 0 to 1 is the share of shared words that
    change their meaning from era to era; the first era's are as at 0.
    """
    rng = np.random.default_rng([20260, seed])
    taken: set[str] = set()
    clips: list[WorldClip] = []
    for index, category in enumerate(_categories(rng, _eras(seed, conflict))):
        for number in range(TRAIN_CLIPS):
            scene = category.scene(rng, _motion(rng))
            captions = tuple(
                caption(scene, category.own_words, VIDEO, rng, rng.random() < 0.8, category.shared)
                for _ in range(TRAIN_CAPTIONS)
            )
            clips.append(
                _clip(f"train{index:02d}{number:02d}", category, "train", scene, captions, rng)
            )
        for number in range(TWIN_PAIRS):
            scene = category.scene(rng, str(rng.choice(list(REVERSED))))
            sentence = _fresh_caption(scene, category, taken, rng)
            name, twin = f"test{index:02d}{2 * number:02d}", f"test{index:02d}{2 * number + 1:02d}"
            clip = _clip(name, category, "test", scene, (sentence,), rng, twin)
            back = scene.reversed()
            other = sentence.replace(scene.motion, back.motion)
            taken.add(other)
            clips += [
                clip,
                WorldClip(twin, category.name, "test", back, (other,), clip.frames, clip.fps, name),
            ]
        for number in range(2 * TWIN_PAIRS, TEST_CLIPS):
            scene = category.scene(rng, _motion(rng))
            sentence = _fresh_caption(scene, category, taken, rng)
            clips.append(
                _clip(f"test{index:02d}{number:02d}", category, "test", scene, (sentence,), rng)
            )
    return clips


def _eras(seed: int, conflict: float) -> list[dict[str, str]]:
    """The shared synonyms of each category, ``ERA`` categories alike."""
    rng = np.random.default_rng([20261, seed])
    eras = [SYNONYMS, *(synonyms(conflict, rng) for _ in range(len(CATEGORIES) // ERA - 1))]
    return [dict(eras[index // ERA]) for index in range(len(CATEGORIES))]


def _categories(rng: np.random.Generator, eras: list[dict[str, str]]) -> list[Category]:
    own = iter(rng.permutation(OWN_WORDS).tolist())
    categories = []
    for name, shared in zip(rng.permutation(CATEGORIES).tolist(), eras, strict=True):
        shapes = tuple(rng.choice(list(SHAPES), 4, replace=False).tolist())
        colours = tuple(rng.choice(list(COLOURS), 5, replace=False).tolist())
        grounds = tuple(rng.choice(list(GROUNDS), 3, replace=False).tolist())
        patterns = tuple(rng.choice(list(PATTERNS), 3, replace=False).tolist())
        named = [*shapes[:2], *colours[:3], grounds[0], patterns[0]]
        categories.append(
            Category(
                name,
                shapes,
                colours,
                grounds,
                patterns,
                {plain: next(own) for plain in named},
                shared,
            )
        )
    return categories


def _motion(rng: np.random.Generator) -> str:
    return str(rng.choice(MOTIONS, p=[0.2] + [0.8 / 6] * 6))


def _fresh_caption(
    scene: Scene, category: Category, taken: set[str], rng: np.random.Generator
) -> str:
    """A caption that no other test clip has; one test clip, one sentence."""
    while True:
        sentence = caption(scene, category.own_words, VIDEO, rng, True, category.shared)
        if sentence not in taken:
            taken.add(sentence)
            return sentence


def _clip(
    name: str,
    category: Category,
    split: str,
    scene: Scene,
    captions: tuple[str, ...],
    rng: np.random.Generator,
    twin: str | None = None,
) -> WorldClip:
    return WorldClip(
        name,
        category.name,
        split,
        scene,
        captions,
        int(rng.integers(18, 31)),
        int(rng.integers(8, 16)),
        twin,
    )
