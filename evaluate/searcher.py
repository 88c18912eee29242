"""Searching a run's clips with words, and explaining why a clip was found.

A clip's score is w z(WF) + (1 - w) z(G), w = ``fusion_weight``, as in evaluation. The statistics
of z are taken over the run's evaluated gallery and nothing else, so a score does not depend on what
is searched besides.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from ..cache.catalog import Clip
from ..cache.reader import FeatureCache
from ..cache.runtime.errors import StructAlignError
from ..train.gallery import Block, compare
from ..train.model.similarity import directed_similarities, fusion_shares
from ..train.model.towers import TextFeatures
from ..train.runs.run import Run

SHOWN_WORDS = 24
DIRECTED = ("word_to_frame", "frame_to_word")


@dataclass(frozen=True)
class WordMatch:
    """A word of the query, the frame that answers it best (1-based), and their cosine.

    The cosine is the mean over the word's pieces, where the tokenizer cuts it.
    """

    word: str
    frame: int
    cosine: float


@dataclass(frozen=True)
class SearchResult:
    """One clip. ``score`` = ``word_frame`` + ``global_``: standardised parts that add up.

    ``word_frame`` = ``word_to_frame`` + ``frame_to_word``; they are None, and ``matches`` is
    empty, for a method that compares whole clips.
    """

    clip: Clip
    cache: FeatureCache
    score: float
    word_frame: float | None
    global_: float
    word_to_frame: float | None
    frame_to_word: float | None
    matches: tuple[WordMatch, ...]
    frame: int
    frames: int

    @property
    def end(self) -> float | None:
        """Seconds at which what is shown ends: the clip's end, or its video's where that is before.

        None for the end of a video of any length.
        """
        return self.cache.video_ends.get(self.clip.id, self.clip.end)

    def to_json(self) -> dict[str, Any]:
        """Plain values under the contract's names."""
        clip, end = self.clip, self.end
        return {
            "clip": clip.id, "score": self.score, "word_frame": self.word_frame,
            "global": self.global_, "start": clip.start, "end": end, "path": clip.path,
            "word_to_frame": self.word_to_frame, "frame_to_word": self.frame_to_word,
            "category": clip.category, "split": clip.split, "captions": list(clip.captions),
            "best_frame": self.frame + 1, "frames": self.frames, "cache": self.cache.fingerprint,
            "words": [vars(match) for match in self.matches],
        }  # fmt: skip


@dataclass(frozen=True)
class SearchResults:
    """The best clips, best first, out of ``clips`` that were searched.

    ``is_truncated``: the query is longer than the text tower reads; its end was not used.
    """

    query: str
    clips: int
    is_truncated: bool
    results: tuple[SearchResult, ...]

    def __iter__(self) -> Any:
        return iter(self.results)

    def __len__(self) -> int:
        return len(self.results)

    def __getitem__(self, index: int) -> SearchResult:
        return self.results[index]

    def to_json(self) -> dict[str, Any]:
        """Plain values under the contract's names."""
        rows = [one.to_json() for one in self.results]
        return {"query": self.query, "clips": self.clips, "results": rows}

    def table(self) -> str:
        """Score, clip and time, and below it where the score comes from."""
        lines = [f"{self.clips} clips searched"]
        for place, one in enumerate(self.results, 1):
            path, category = one.clip.path, one.clip.category
            time = _time(one.clip.start, one.end)
            lines.append(
                f"{place:>3}. {one.score:+.2f}  {one.clip.id}  {time}  {path}  ({category})"
            )
            if one.word_frame is not None:
                lines.append(
                    f"     = {one.word_to_frame:+.2f} words to frames "
                    f"{one.frame_to_word:+.2f} frames to words {one.global_:+.2f} whole clip"
                )
                shown = one.matches[:SHOWN_WORDS]
                words = "  ".join(
                    f"{match.word}→{match.frame} ({match.cosine:.2f})" for match in shown
                )
                more = " ..." if len(one.matches) > SHOWN_WORDS else ""
                lines.append(f"     word→frame of {one.frames} (cosine): {words}{more}")
        return "\n".join(lines)


@dataclass(frozen=True)
class Part:
    """A block of clips and the cache they are in."""

    block: Block
    cache: FeatureCache


class Searcher:
    """A run ready to be searched: its training clips too, as they were when their task ended.

    Args:
        run: with at least one finished task.
        added: another cache whose clips are searched too, all of them, as the run's last method
            encodes them, by its newest task's path.
        only: search nothing but ``added``.

    Raises:
        StructAlignError: no finished task; ``added`` was made with other weights or another cut.
    """

    def __init__(self, run: Run, added: FeatureCache | None = None, only: bool = False) -> None:
        self.run, self.method = run, run.method
        tasks = run.finished
        evaluated = run.gallery(tasks).blocks
        caches = run.stream.caches
        self.gallery = [Part(block, caches[block.task - 1]) for block in evaluated]
        self.searched: list[Part] = []
        if not only:
            known = {block.task: set(block.clips) for block in evaluated}
            for block in run.gallery(tasks, "train").blocks:
                learnt = _without(block, known.get(block.task, set()))
                self.searched.append(Part(learnt, caches[block.task - 1]))
            self.searched = [*self.gallery, *self.searched]
        if added is not None:
            self.searched.append(Part(self._encode(added), added))

    def _encode(self, added: FeatureCache) -> Block:
        self.run.cache.check_same_tokens(added)
        clips = tuple(clip.id for clip in added.available(list(added.catalog)))
        if not clips:
            raise StructAlignError(f"cache {added.fingerprint[:12]} has no usable clip to search")
        embeddings = self.method.encode_videos(torch.from_numpy(added.tokens(clips))).cpu()
        return Block(self.run.finished, clips, embeddings)

    @torch.no_grad()
    def search(self, query: str, top: int = 5) -> SearchResults:
        """The best ``top`` clips. Raises StructAlignError for a query without a word."""
        text = " ".join("".join(c if c.isprintable() else " " for c in query).split())
        ids = self.method.tokenize([text])
        if not text or int(ids[0].argmax()) < 2:
            raise StructAlignError("the query has no word; say what the clip shows")
        tasks = [part.block.task for part in (*self.gallery, *self.searched)]
        paths = self.method.encode_query(ids, tasks)
        scored: dict[int, dict[str, Tensor]] = {}
        for part in (*self.gallery, *self.searched):
            if id(part) not in scored:
                scored[id(part)] = self._compare(part, paths)
        over = _joined([scored[id(part)] for part in self.gallery])
        found = _joined([scored[id(part)] for part in self.searched])
        standard = _standardised(found, over, self.method.fusion_weight)
        places = [(part, row) for part in self.searched for row in range(len(part.block.clips))]
        order = standard["score"].topk(min(top, len(places))).indices.tolist()
        words = self._words(ids)
        results = []
        for at in order:
            parts = {name: float(values[at]) for name, values in standard.items()}
            part, row = places[at]
            results.append(self._result(part, row, parts, paths, words))
        is_truncated = int(ids[0].argmax()) == ids.shape[1] - 1
        return SearchResults(query, len(places), is_truncated, tuple(results))

    def _compare(self, part: Part, paths: dict[int, TextFeatures]) -> dict[str, Tensor]:
        """Similarities [V] of a part's clips to the query, word-frame's two directions too."""
        text = paths[self.method.path_of(part.block.task)]
        compared = compare(self.method, text, part.block.embeddings).similarities
        found = {name: scores[0].cpu() for name, scores in compared.items()}
        if "word_frame" in found:
            frames = part.block.embeddings.to(self.method.device)
            directed = directed_similarities(frames, text.words, text.lengths)
            found["word_to_frame"], found["frame_to_word"] = (x[:, 0].cpu() for x in directed)
        return found

    def _words(self, ids: Tensor) -> list[tuple[str, slice]]:
        """The words of the query, and where their pieces are."""
        tokenizer = self.method.tokenizer
        pieces = ids[0, 1 : int(ids[0].argmax())].tolist()
        words, begun = [], 0
        for n, piece in enumerate(pieces):
            if tokenizer.decoder[piece].endswith("</w>") or n == len(pieces) - 1:
                word = tokenizer.decode(pieces[begun : n + 1]).strip()
                words.append((word, slice(begun, n + 1)))
                begun = n + 1
        return words

    def _result(
        self,
        part: Part,
        row: int,
        parts: dict[str, float],
        paths: dict[int, TextFeatures],
        words: list[tuple[str, slice]],
    ) -> SearchResult:
        matches: tuple[WordMatch, ...] = ()
        frame = 0
        if "word_frame" in parts:
            text = paths[self.method.path_of(part.block.task)]
            frames = F.normalize(part.block.embeddings[row], dim=-1)
            unit = F.normalize(text.words[0, : int(text.lengths[0])], dim=-1).cpu()
            cosines = frames @ unit.T
            matches = tuple(_match(word, cosines[:, at].mean(1)) for word, at in words)
            frame = int(cosines.mean(1).argmax())
        word_frame, there, back = (parts.get(name) for name in ("word_frame", *DIRECTED))
        clip, whole = part.cache.catalog[part.block.clips[row]], parts.get("global", parts["score"])
        return SearchResult(
            clip, part.cache, parts["score"], word_frame, whole, there, back, matches, frame,
            part.cache.spec.frames,
        )  # fmt: skip


def _without(block: Block, clips: set[str]) -> Block:
    """A block without some clips."""
    kept = [row for row, clip in enumerate(block.clips) if clip not in clips]
    return Block(block.task, tuple(block.clips[row] for row in kept), block.embeddings[kept])


def _joined(parts: list[dict[str, Tensor]]) -> dict[str, Tensor]:
    return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}


def _standardised(
    found: dict[str, Tensor], over: dict[str, Tensor], weight: float
) -> dict[str, Tensor]:
    """What every similarity adds to the score, and the score; a single one is used as it is."""
    fused = [name for name in found if name not in DIRECTED]
    out = dict(found)
    if len(fused) > 1:
        shares = dict(zip(fused, fusion_shares(len(fused), weight), strict=True))
        for name, share in shares.items():
            spread = over[name].std(correction=0).clamp(min=1e-6)
            out[name] = (found[name] - over[name].mean()) / spread * share
        for name in [name for name in DIRECTED if name in found]:
            spread = over["word_frame"].std(correction=0).clamp(min=1e-6)
            out[name] = (found[name] - over[name].mean()) / spread * shares["word_frame"] / 2
    out["score"] = torch.stack([out[name] for name in fused]).sum(0)
    return out


def _match(word: str, cosines: Tensor) -> WordMatch:
    return WordMatch(word, int(cosines.argmax()) + 1, float(cosines.max()))


def _time(start: float | None, end: float | None) -> str:
    if start is None and end is None:
        return "whole video"
    return f"{start or 0:.1f} to {'end' if end is None else f'{end:.1f} s'}"
