"""Searching a finished run's video database with one's own words, and saying why a clip was found.

A clip's score is 0.5 z(WF) + 0.5 z(G) as in evaluation. The statistics of z are taken over the run's own database and nothing else, so a
score does not depend on what is searched besides: clips of another cache are scored on the same scale, and more clips change no score.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from cache.catalog import Clip
from cache.errors import StructAlignError
from cache.store import FeatureCache
from train.database import Block
from train.experiment import Experiment
from train.model import TextFeatures
from train.runs import Run
from train.similarity import directed_similarities, global_similarity


@dataclass(frozen=True)
class Match:
    """A word of the query, the frame that answers it best (1-based), and their cosine: the mean over its pieces, where the tokenizer cuts it."""

    word: str
    frame: int
    cosine: float


@dataclass(frozen=True)
class Found:
    """One clip. ``score`` = ``word_frame`` + ``global_``, ``word_frame`` = ``word_to_frame`` + ``frame_to_word``: standardised parts that add up.

    ``word_frame`` and what it is made of are None, and ``matches`` is empty, for a method that compares whole clips.
    """

    clip: Clip
    cache: FeatureCache
    score: float
    word_frame: float | None
    global_: float
    word_to_frame: float | None
    frame_to_word: float | None
    matches: tuple[Match, ...]
    frame: int
    frames: int


@dataclass(frozen=True)
class Part:
    """A block of clips and the path that encodes captions for it: a task's, or None for the pre-trained tower."""

    block: Block
    path: int | None
    cache: FeatureCache


class Searcher:
    """A run ready to be searched.

    Args:
        experiment: the run's.
        run: with at least one finished task, or a method that learns nothing.
        added: another cache whose clips are searched too, all of them, as the run's last model sees them by its newest task's path.
        alone: search nothing but ``added``.

    Raises:
        StructAlignError: no finished task; ``added`` was made with other weights or another cut.
    """

    def __init__(self, experiment: Experiment, run: Run, added: FeatureCache | None = None, alone: bool = False) -> None:
        self.experiment, self.model = experiment, experiment.model
        last = run.finished
        if not last:
            raise StructAlignError(f"run {run.path} has no finished task to search; train it first")
        run.load(last, self.model, experiment.method)
        self.adapted = experiment.method.trains
        blocks = run.database(last, experiment.settings.measured_on)
        self.database = [Part(block, number if self.adapted else None, experiment.cache) for number, block in enumerate(blocks, 1)]
        self.added = [] if added is None else [Part(self._encode(added), last if self.adapted else None, added)]
        self.alone = alone

    def _encode(self, added: FeatureCache) -> Block:
        own = self.experiment.cache.spec
        for name in ("backbone", "weights", "cut", "preprocessing"):
            if getattr(added.spec, name) != getattr(own, name):
                differing = f"{getattr(added.spec, name)!r}, not {getattr(own, name)!r}"
                raise StructAlignError(
                    f"cache {added.fingerprint[:12]} was made with another {name} than the run's ({differing}); "
                    f"extract with --backbone {own.backbone} --cut {own.cut} and the run's weights"
                )
        clips = tuple(clip.id for clip in added.ok(list(added.catalog)))
        if not clips:
            raise StructAlignError(f"cache {added.fingerprint[:12]} has no usable clip to search")
        return Block(clips, self.model.encode_video(torch.from_numpy(added.tokens(clips)), self.adapted).cpu())

    @torch.no_grad()
    def search(self, query: str, top: int) -> list[Found]:
        """The best ``top`` clips, best first. Raises StructAlignError for a query without a word."""
        text = " ".join("".join(c if c.isprintable() else " " for c in query).split())
        if not text:
            raise StructAlignError("the query has no word; say what the clip shows")
        ids = self.experiment.tokenize([text])
        encoded = {path: self._text(ids, path) for path in {part.path for part in (*self.database, *self.added)}}
        if not int(next(iter(encoded.values())).lengths[0]):
            raise StructAlignError("the query has no word; say what the clip shows")
        own = [self._similarities(part, encoded[part.path]) for part in self.database]
        more = [self._similarities(part, encoded[part.path]) for part in self.added]
        over = torch.cat(own, 1)
        mean, deviation = over.mean(1, keepdim=True), over.std(1, keepdim=True, correction=0)
        searched = self.added if self.alone else [*self.database, *self.added]
        places = [(part, row) for part in searched for row in range(len(part.block.clips))]
        parts = self._parts(torch.cat(more if self.alone else [*own, *more], 1), mean, deviation)
        best = parts.sum(0).topk(min(top, len(places))).indices.tolist()
        words = self._words(ids)
        return [self._found(places[column], parts[:, column], encoded, words) for column in best]

    def _text(self, ids: Tensor, path: int | None) -> TextFeatures:
        return self.model.encode_text(ids, path, adapted=self.adapted)

    def _similarities(self, part: Part, text: TextFeatures) -> Tensor:
        """[4, V]: mean over words of the best frame, mean over frames of the best word, their mean, and global; by one query."""
        frames = part.block.frames.to(text.text.device)
        whole = global_similarity(frames, text.text)[:, 0]
        if self.model.pooled:
            return torch.stack([torch.zeros_like(whole)] * 3 + [whole]).cpu()
        words, back = (x[:, 0] for x in directed_similarities(frames, text.words, text.lengths))
        return torch.stack([words, back, 0.5 * (words + back), whole]).cpu()

    def _parts(self, scores: Tensor, mean: Tensor, deviation: Tensor) -> Tensor:
        """[3, V]: what each direction and the global part add to the score."""
        if self.model.pooled:
            return torch.stack([torch.zeros_like(scores[3]), torch.zeros_like(scores[3]), scores[3]])
        spread = deviation.clamp(min=1e-6)
        directed = 0.25 * (scores[:2] - mean[:2]) / spread[2]
        return torch.cat([directed, 0.5 * (scores[3:] - mean[3:]) / spread[3]])

    def _words(self, ids: Tensor) -> list[tuple[str, slice]]:
        """The words of the query, and where their pieces are."""
        tokenizer = self.experiment.backbone.tokenizer()
        pieces = ids[0, 1 : int(ids[0].argmax())].tolist()
        words, begun = [], 0
        for n, piece in enumerate(pieces):
            if tokenizer.decoder[piece].endswith("</w>") or n == len(pieces) - 1:
                words.append((tokenizer.decode(pieces[begun : n + 1]).strip(), slice(begun, n + 1)))
                begun = n + 1
        return words

    def _found(self, place: tuple[Part, int], parts: Tensor, encoded: dict[int | None, TextFeatures], words: list[tuple[str, slice]]) -> Found:
        part, row = place
        text, frames = encoded[part.path], torch.nn.functional.normalize(part.block.frames[row], dim=-1)
        matches: tuple[Match, ...] = ()
        frame = 0
        if not self.model.pooled:
            unit = torch.nn.functional.normalize(text.words[0, : int(text.lengths[0])], dim=-1).cpu()
            cosines = frames @ unit.T
            matches = tuple(_match(word, cosines[:, pieces].mean(1)) for word, pieces in words)
            frame = int(cosines.mean(1).argmax())
        there, back, whole = parts.tolist()
        clip = part.cache.catalog[part.block.clips[row]]
        if self.model.pooled:
            return Found(clip, part.cache, whole, None, whole, None, None, (), 0, part.cache.spec.frames)
        return Found(clip, part.cache, there + back + whole, there + back, whole, there, back, matches, frame, part.cache.spec.frames)


def _match(word: str, cosines: Tensor) -> Match:
    return Match(word, int(cosines.argmax()) + 1, float(cosines.max()))


def cut_off(experiment: Experiment, query: str) -> bool:
    """Whether a query is longer than the text tower reads."""
    ids = experiment.tokenize([query])[0]
    return int(ids.argmax()) == len(ids) - 1
