"""Searching a run's clips with words, and explaining why a clip was found.

A clip's score is w z(WF) + (1 - w) z(G), w = ``fusion_weight``, as in evaluation. The statistics
of z are taken over the run's evaluated gallery and nothing else, so a score does not depend on what
is searched besides.
"""

from bisect import bisect_right
from dataclasses import dataclass
from itertools import accumulate

import torch
from torch import Tensor
from torch.nn import functional as F

from ..cache.reader import FeatureCache
from ..cache.runtime.errors import StructAlignError
from ..train.gallery import Block, compare
from ..train.model.similarity import directed_similarities, fusion_shares
from ..train.model.towers import TextFeatures
from ..train.runs.run import Run
from .search_results import SearchResult, SearchResults, Where, WordMatch

DIRECTED = ("word_to_frame", "frame_to_word")


@dataclass(frozen=True)
class Part:
    """A block of clips, the cache they are in, and the task that learnt them."""

    block: Block
    cache: FeatureCache
    task: int | None

    def fits(self, where: Where) -> Tensor:
        """Which of the clips a search is for, bool [V]."""
        size = len(self.block.clips)
        if where.task not in (None, self.task) or where.cache not in (None, self.cache.fingerprint):
            return torch.zeros(size, dtype=torch.bool)
        if where.category is None:
            return torch.ones(size, dtype=torch.bool)
        catalog = self.cache.catalog
        return torch.tensor([catalog[clip].category == where.category for clip in self.block.clips])


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
        self.gallery = [Part(block, caches[block.task - 1], block.task) for block in evaluated]
        self.searched: list[Part] = []
        if not only:
            known = {block.task: set(block.clips) for block in evaluated}
            for block in run.gallery(tasks, "train").blocks:
                learnt = _without(block, known.get(block.task, set()))
                self.searched.append(Part(learnt, caches[block.task - 1], block.task))
            self.searched = [*self.gallery, *self.searched]
        if added is not None:
            self.searched.append(Part(self._encode(added), added, None))
        sizes = (len(part.block.clips) for part in self.searched)
        self.starts = list(accumulate(sizes, initial=0))

    def _encode(self, added: FeatureCache) -> Block:
        self.run.cache.check_same_tokens(added)
        clips = tuple(clip.id for clip in added.available(list(added.catalog)))
        if not clips:
            raise StructAlignError(f"cache {added.fingerprint[:12]} has no usable clip to search")
        embeddings = self.method.encode_videos(torch.from_numpy(added.tokens(clips))).cpu()
        return Block(self.run.finished, clips, embeddings)

    def __len__(self) -> int:
        """The clips that are searched."""
        return self.starts[-1]

    @torch.no_grad()
    def search(self, query: str, top: int = 5, where: Where | None = None) -> SearchResults:
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
        order, clips = self._best(standard["score"], top, where)
        words = self._words(ids)
        results = []
        for at in order:
            parts = {name: float(values[at]) for name, values in standard.items()}
            cosines = {name: float(found[name][at]) for name in found if name not in DIRECTED}
            results.append(self._result(at, parts, cosines, paths, words))
        is_truncated = int(ids[0].argmax()) == ids.shape[1] - 1
        return SearchResults(query, clips, is_truncated, tuple(results))

    @torch.no_grad()
    def search_alike(
        self, video: Tensor, name: str, top: int = 5, where: Where | None = None
    ) -> SearchResults:
        """The clips most like a video, by the cosine of mean frames.

        Args:
            video: its frames as ``run.encode_video`` gives them [N, D].
            name: what the video is called.
            top: how many clips.
            where: which clips are searched.
        """
        own = F.normalize(video, dim=-1)
        pooled = F.normalize(own.mean(0), dim=0)
        cosines = torch.cat(
            [F.normalize(part.block.embeddings.mean(1), dim=-1) @ pooled for part in self.searched]
        )
        order, clips = self._best(cosines, top, where)
        results = []
        for at in order:
            part, row = self._place(at)
            frames = F.normalize(part.block.embeddings[row], dim=-1)
            frame, cosine = int((frames @ own.T).amax(1).argmax()), float(cosines[at])
            clip = part.cache.catalog[part.block.clips[row]]
            results.append(SearchResult(
                clip, part.cache, cosine, None, cosine, None, None, (), frame,
                part.cache.spec.frames, {"global": cosine}, (), part.task,
            ))  # fmt: skip
        return SearchResults(name, clips, False, tuple(results))

    def _best(self, scores: Tensor, top: int, where: Where | None) -> tuple[list[int], int]:
        """Places of the best scores [V] of the clips that are searched, and how many these are."""
        if where is None:
            return scores.topk(min(top, len(scores))).indices.tolist(), len(scores)
        fits = torch.cat([part.fits(where) for part in self.searched])
        clips = int(fits.sum())
        wanted = scores.masked_fill(~fits, -torch.inf)
        return wanted.topk(min(top, clips)).indices.tolist(), clips

    def _place(self, at: int) -> tuple[Part, int]:
        """The part and row of a clip among all that are searched."""
        number = bisect_right(self.starts, at) - 1
        return self.searched[number], at - self.starts[number]

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
        at: int,
        parts: dict[str, float],
        cosines: dict[str, float],
        paths: dict[int, TextFeatures],
        words: list[tuple[str, slice]],
    ) -> SearchResult:
        part, row = self._place(at)
        matches: tuple[WordMatch, ...] = ()
        answers: tuple[WordMatch, ...] = ()
        frame = 0
        if "word_frame" in parts:
            text = paths[self.method.path_of(part.block.task)]
            frames = F.normalize(part.block.embeddings[row], dim=-1)
            unit = F.normalize(text.words[0, : int(text.lengths[0])], dim=-1).cpu()
            each = frames @ unit.T
            by_word = torch.stack([each[:, pieces].mean(1) for _, pieces in words], 1)
            names = [word for word, _ in words]
            matches = tuple(map(_match, names, by_word.T))
            answers = tuple(
                WordMatch(names[int(row.argmax())], number, float(row.max()))
                for number, row in enumerate(by_word, 1)
            )
            frame = int(each.mean(1).argmax())
        word_frame, there, back = (parts.get(name) for name in ("word_frame", *DIRECTED))
        clip, whole = part.cache.catalog[part.block.clips[row]], parts.get("global", parts["score"])
        return SearchResult(
            clip, part.cache, parts["score"], word_frame, whole, there, back, matches, frame,
            part.cache.spec.frames, cosines, answers, part.task,
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
