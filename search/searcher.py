"""Searching a run's clips with words, and explaining why a clip was found.

A clip's score is w z(WF) + (1 - w) z(G), w = ``fusion_weight``, as in evaluation. The statistics
of z are taken over the run's evaluated gallery and nothing else, so a score does not depend on what
is searched besides.
"""

from bisect import bisect_right
from dataclasses import dataclass
from importlib.util import find_spec
from itertools import accumulate

import torch
from torch import Tensor
from torch.nn import functional as F

from ..cache.reader import FeatureCache
from ..core.console import Log, log_to_stderr
from ..core.errors import StructAlignError
from ..train.gallery import Block, compare, fuse
from ..train.model.similarity import DIRECTIONS, fusion_shares
from ..train.model.towers import TextFeatures
from ..train.runs.run import Run
from ..train.seeds import generator
from .candidates import CHUNK, ENOUGH, SAMPLE, TRIED, Shortlist, StoredBlock, whole_clips
from .results import SearchResult, SearchResults, Where, WordMatch

EXACT = 20_000  # clips up to which a query is compared with all of them


@dataclass(frozen=True)
class Part:
    """A block of clips, the cache they are in, and the task that learnt them."""

    block: Block
    cache: FeatureCache
    task: int | None

    def of(self, rows: Tensor) -> "Part":
        """Some of its clips; itself for all."""
        whole = len(rows) == len(self.block.clips)
        return self if whole else Part(_rows_of(self.block, rows), self.cache, self.task)

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
        exact: clips up to which every query is compared with all of them; above, with candidates.

    Raises:
        StructAlignError: no finished task; ``added`` was made with other weights or another cut.
    """

    def __init__(
        self, run: Run, added: FeatureCache | None = None, only: bool = False,
        exact: int = EXACT,
    ) -> None:  # fmt: skip
        self.run, self.method = run, run.method
        tasks = run.finished
        evaluated = run.gallery(tasks, is_mapped=True).blocks
        caches = run.stream.caches
        self.gallery = [Part(block, caches[block.task - 1], block.task) for block in evaluated]
        self.searched: list[Part] = []
        if not only:
            known = {block.task: set(block.clips) for block in evaluated}
            for block in run.gallery(tasks, "train", is_mapped=True).blocks:
                learnt = _without(block, known.get(block.task, set()))
                self.searched.append(Part(learnt, caches[block.task - 1], block.task))
            self.searched = [*self.gallery, *self.searched]
        if added is not None:
            self.searched.append(Part(self._encode(added), added, None))
        sizes = (len(part.block.clips) for part in self.searched)
        self.starts = list(accumulate(sizes, initial=0))
        self.shortlist = self._open_shortlist() if len(self) > exact and not only else None
        self.statistics = self.gallery if self.shortlist is None else self._sampled()

    def _open_shortlist(self) -> Shortlist | None:
        """The run's index, checked against the exact search; None where it finds too little.

        None, too, without faiss: the exact search is slow for so many clips, but right.
        """
        if find_spec("faiss") is None:
            log_to_stderr(
                f"{len(self)} clips are compared one by one; "
                "pip install 'structalign[serve]' for an index"
            )
            return None
        names = {id(part): "evaluated" for part in self.gallery}
        folder, blocks = self.run.path / "index", []
        for part in self.searched:
            if part.task is None:
                blocks.append(StoredBlock(part.block))
                continue
            kind = names.get(id(part), "train")
            file = self.run.block_file(part.task, None if kind == "evaluated" else kind)
            blocks.append(StoredBlock(part.block, file, f"{part.task:02d}-{kind}"))
        shortlist = Shortlist.open(folder, blocks)
        if not shortlist.share:
            recall = self._check(shortlist)
            shortlist.save_check(folder, blocks, recall)
            if recall < ENOUGH:
                log_to_stderr(
                    f"the index finds {100 * recall:.1f}% of what the exact search of "
                    f"{type(self.method).__name__} finds; every query is compared with all clips"
                )
        return shortlist if shortlist.share else None

    @torch.no_grad()
    def _check(self, shortlist: Shortlist) -> float:
        """Find the least work that finds enough; recall@10 over a block's own captions.

        The share stays 0 where nothing does.
        """
        number = max(range(len(self.gallery)), key=lambda n: len(self.gallery[n].block.clips))
        block, index = self.gallery[number].block, shortlist.indexes[number]
        ids = self.run.stream.queries(block.task, self.method.tokenize).ids
        texts = self.method.encode_texts(ids[:: max(1, len(ids) // TRIED)][:TRIED], block.task)
        chunks = [compare(self.method, texts, chunk).similarities for chunk in block.chunks(CHUNK)]
        wanted = fuse(chunks, self.method.fusion_weight).topk(min(10, len(block.clips))).indices
        whole = F.normalize(texts.text, dim=-1).cpu()
        recall = 0.0
        for _ in shortlist.settings():
            count, share = shortlist.count, shortlist.share
            rows = [index.candidates(text, count, share)[1] for text in whole]
            found = [torch.isin(own, at) for own, at in zip(wanted, rows, strict=True)]
            recall = float(torch.stack(found).float().mean())
            if recall >= ENOUGH:
                break
        return recall

    def _sampled(self) -> list[Part]:
        """The evaluated clips that a large gallery's statistics are taken from."""
        sizes = [len(part.block.clips) for part in self.gallery]
        draw = torch.randperm(sum(sizes), generator=generator(0, "statistics"))[:SAMPLE]
        rows = draw.sort().values
        parts, begin = [], 0
        for part, size in zip(self.gallery, sizes, strict=True):
            own = rows[(rows >= begin) & (rows < begin + size)] - begin
            begin += size
            if len(own):
                parts.append(Part(_rows_of(part.block, own), part.cache, part.task))
        return parts

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
        paths = self.method.encode_query(ids, [part.block.task for part in self._parts])
        rows, clips = self._rows([self._text_of(part, paths) for part in self.searched], where)
        places = self._places(rows)
        compared: dict[int, dict[str, Tensor]] = {}

        def similarities(parts: list[Part]) -> dict[str, Tensor]:
            for part in parts:
                if id(part) not in compared:
                    compared[id(part)] = self._compare(part, paths)
            return _joined([compared[id(part)] for part in parts])

        chosen = [part.of(own) for part, own in zip(self.searched, rows, strict=True)]
        found, over = similarities(chosen), similarities(self.statistics)
        standard = _standardised(found, over, self.method.fusion_weight)
        order = standard["score"].topk(min(top, len(places))).indices.tolist()
        words = self._words(ids)
        results = []
        for at in order:
            parts = {name: float(values[at]) for name, values in standard.items()}
            cosines = {name: float(found[name][at]) for name in found if name not in DIRECTIONS}
            results.append(self._result(int(places[at]), parts, cosines, paths, words))
        self._release()
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
        rows, clips = self._rows([pooled] * len(self.searched), where)
        places = self._places(rows)
        chosen = [part.of(at).block for part, at in zip(self.searched, rows, strict=True)]
        cosines = torch.cat([whole_clips(block.embeddings) @ pooled for block in chosen])
        results = []
        for at in cosines.topk(min(top, len(places))).indices.tolist():
            part, row = self._place(int(places[at]))
            frames = F.normalize(part.block.embeddings[row], dim=-1)
            frame, cosine = int((frames @ own.T).amax(1).argmax()), float(cosines[at])
            clip = part.cache.catalog[part.block.clips[row]]
            results.append(SearchResult(
                clip, part.cache, cosine, None, cosine, None, None, (), frame,
                part.cache.spec.frames, {"global": cosine}, (), part.task,
            ))  # fmt: skip
        self._release()
        return SearchResults(name, clips, False, tuple(results))

    def _release(self) -> None:
        """Of a large gallery, keep no clip in memory that a query has met."""
        if self.shortlist is not None:
            for part in self.searched:
                part.block.release()

    @property
    def _parts(self) -> list[Part]:
        return [*self.gallery, *self.searched]

    def _rows(self, texts: list[Tensor], where: Where | None) -> tuple[list[Tensor], int]:
        """The rows of each part that are compared, and how many clips the search is over.

        All clips that a search is for, or of a large gallery its candidates.
        """
        fits = [part.fits(where or Where()) for part in self.searched]
        clips = sum(int(own.sum()) for own in fits)
        if self.shortlist is None:
            return [own.nonzero()[:, 0] for own in fits], clips
        return self.shortlist.rows(texts, fits if where else None), clips

    def _places(self, rows: list[Tensor]) -> Tensor:
        """Places [C] among all that are searched of rows of the parts."""
        return torch.cat([own + start for own, start in zip(rows, self.starts, strict=False)])

    def _text_of(self, part: Part, paths: dict[int, TextFeatures]) -> Tensor:
        """The query as a whole [D], by the path of a part's task."""
        text = paths[self.method.route_of(part.block.task)].text[0]
        return F.normalize(text, dim=-1).cpu()

    def _place(self, at: int) -> tuple[Part, int]:
        """The part and row of a clip among all that are searched."""
        number = bisect_right(self.starts, at) - 1
        return self.searched[number], at - self.starts[number]

    def _compare(self, part: Part, paths: dict[int, TextFeatures]) -> dict[str, Tensor]:
        """Similarities [V] of a part's clips to the query, word-frame's two directions too."""
        text = paths[self.method.route_of(part.block.task)]
        embeddings = part.block.embeddings.to(self.method.device)
        similarities = self.method.similarity(text, embeddings)
        return {name: scores[0].cpu() for name, scores in similarities.items()}

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
            text = paths[self.method.route_of(part.block.task)]
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
        word_frame, there, back = (parts.get(name) for name in ("word_frame", *DIRECTIONS))
        clip, whole = part.cache.catalog[part.block.clips[row]], parts.get("global", parts["score"])
        return SearchResult(
            clip, part.cache, parts["score"], word_frame, whole, there, back, matches, frame,
            part.cache.spec.frames, cosines, answers, part.task,
        )  # fmt: skip


def prepare_search(run: Run, log: Log, exact: int = EXACT) -> None:
    """Build and check the index of a run of more than ``exact`` clips; ``log`` says why not.

    A search builds it too, where it is missing.
    """
    galleries = (run.gallery(run.finished, split, is_mapped=True) for split in (None, "train"))
    clips = sum(len(gallery.clips) for gallery in galleries)
    if clips <= exact:
        return
    try:
        Searcher(run, exact=exact)
    except StructAlignError as error:
        log(f"no index for search was built: {error}")


def _without(block: Block, clips: set[str]) -> Block:
    """A block without some clips."""
    kept = [row for row, clip in enumerate(block.clips) if clip not in clips]
    return block if len(kept) == len(block.clips) else _rows_of(block, torch.tensor(kept).long())


def _rows_of(block: Block, rows: Tensor) -> Block:
    clips = tuple(block.clips[row] for row in rows.tolist())
    return Block(block.task, clips, block.rows(rows))


def _joined(parts: list[dict[str, Tensor]]) -> dict[str, Tensor]:
    return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}


def _standardised(
    found: dict[str, Tensor], over: dict[str, Tensor], weight: float
) -> dict[str, Tensor]:
    """What every similarity adds to the score, and the score; a single one is used as it is."""
    fused = [name for name in found if name not in DIRECTIONS]
    out = dict(found)
    if len(fused) > 1:
        shares = dict(zip(fused, fusion_shares(len(fused), weight), strict=True))
        for name, share in shares.items():
            spread = over[name].std(correction=0).clamp(min=1e-6)
            out[name] = (found[name] - over[name].mean()) / spread * share
        for name in [name for name in DIRECTIONS if name in found]:
            spread = over["word_frame"].std(correction=0).clamp(min=1e-6)
            out[name] = (found[name] - over[name].mean()) / spread * shares["word_frame"] / 2
    out["score"] = torch.stack([out[name] for name in fused]).sum(0)
    return out


def _match(word: str, cosines: Tensor) -> WordMatch:
    return WordMatch(word, int(cosines.argmax()) + 1, float(cosines.max()))
