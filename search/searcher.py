"""Searching a run's clips with words or with a video."""

from bisect import bisect_right
from collections.abc import Hashable, Iterator
from itertools import accumulate

import torch
from torch import Tensor
from torch.nn import functional as F

from ..cache.catalog import Clip
from ..cache.reader import FeatureCache
from ..core.console import Log
from ..core.errors import StructAlignError
from ..evaluate.ranks import best_first
from ..train.model.towers import TextFeatures
from ..train.runs.run import Run
from .block_index import whole_clips
from .explanation import Explanation, explain
from .parts import ClipFilter, Part, added_part, finished_parts, sample_parts, training_parts
from .results import SearchResult, SearchResults
from .run_index import open_run_index
from .scores import compare_query, join, standardise

EXACT = 20_000  # clips up to which a query is compared with all of them
SAMPLE = 2_048  # evaluated clips that the statistics of a larger gallery are taken from


class Searcher:
    """A run ready to be searched: its training clips too, as encoded when their task ended.

    The clips of ``added`` are searched too (or alone: ``only``), encoded by the path of the run's
    newest task. A query is compared with all of up to ``exact`` clips, in a larger gallery with
    candidates of an index. Raises StructAlignError: no finished task; ``added`` was made with other
    weights or another cut.
    """

    def __init__(
        self, run: Run, added: FeatureCache | None = None, only: bool = False,
        exact: int = EXACT,
    ) -> None:  # fmt: skip
        self.run, self.method = run, run.method
        self.evaluated = finished_parts(run)
        others = [] if only else training_parts(run, self.evaluated)
        if added is not None:
            have = () if only else (*self.evaluated, *others)
            if part := added_part(run, added, have):
                others.append(part)
        is_large = sum(map(len, (*self.evaluated, *others))) > exact
        if not is_large:
            self.evaluated = [part.in_memory() for part in self.evaluated]
            others = [part.in_memory() for part in others]
        self.searched = others if only else [*self.evaluated, *others]
        self.starts = list(accumulate(map(len, self.searched), initial=0))
        self.contents: dict[int, Hashable] = {}
        self.index = None
        if is_large and not only:
            self.index = open_run_index(run, self.evaluated, others)
        self.statistics = sample_parts(self.evaluated, SAMPLE) if self.index else self.evaluated

    def __len__(self) -> int:
        """The number of clips that are searched."""
        return self.starts[-1]

    @torch.no_grad()
    def search(self, query: str, top: int = 5, where: ClipFilter | None = None) -> SearchResults:
        """The ``top`` clips that fit a query best. Raises StructAlignError without a word in it."""
        text = " ".join("".join(c if c.isprintable() else " " for c in query).split())
        token_ids = self.method.tokenize([text])
        layout = self.method.layout
        count = int(layout.lengths(token_ids))
        if not text or count < 1:
            raise StructAlignError("the query has no word; say what the clip shows")
        tasks = [part.block.task for part in (*self.evaluated, *self.searched)]
        encoded = self.method.encode_query(token_ids, tasks)

        def text_for(part: Part) -> TextFeatures:
            return encoded[self.method.route_of(part.block.task)]

        def compare(part: Part) -> dict[str, Tensor]:
            return compare_query(self.method, text_for(part), part.block.embeddings)

        texts = [F.normalize(text_for(part).text[0], dim=-1).cpu() for part in self.searched]
        rows, clips = self._rows(texts, where)
        statistics = {id(part): compare(part) for part in self.statistics}
        compared = []
        for part, chosen in zip(self.searched, rows, strict=True):
            known = statistics.get(id(part))
            compared.append(
                {name: values[chosen] for name, values in known.items()}
                if known
                else compare(part.select(chosen))
            )
        similarities = join(compared)
        over = join(list(statistics.values()))
        scores, addends = standardise(similarities, over, self.method.fusion_weight)
        ids = token_ids[0, layout.first : layout.first + count].tolist()
        words = self.method.tokenizer.words(ids)
        results = []
        for best, part, row, copies in self._best(scores, rows, top):
            explanation = Explanation()
            if "word_frame" in similarities:
                explanation = explain(text_for(part), words, part.embedding(row))
            values = float(scores[best]), _values(addends, best), _values(similarities, best)
            results.append(SearchResult(*part.clip(row), *values, copies, **vars(explanation)))
        return SearchResults(query, clips, self.method.tokenizer.truncates(text), tuple(results))

    @torch.no_grad()
    def search_alike(
        self, video: Tensor, name: str, top: int = 5, where: ClipFilter | None = None
    ) -> SearchResults:
        """The clips most like a video, by the cosine of mean frames.

        ``video``: its frames as ``run.encode_video`` gives them, float32 [N, D]; ``name``: its name
        in the results.
        """
        video = F.normalize(video, dim=-1)
        pooled = F.normalize(video.mean(0), dim=0)
        rows, clips = self._rows([pooled] * len(self.searched), where)
        chosen = [part.select(row).block for part, row in zip(self.searched, rows, strict=True)]
        cosines = torch.cat([whole_clips(block.embeddings) @ pooled for block in chosen])
        results = []
        for best, part, row, copies in self._best(cosines, rows, top):
            frames = F.normalize(part.embedding(row), dim=-1)
            frame = int((frames @ video.T).amax(1).argmax()) + 1
            alike = float(cosines[best])
            values = alike, {"global": alike}, {"global": alike}
            results.append(SearchResult(*part.clip(row), *values, copies, frame))
        return SearchResults(name, clips, False, tuple(results))

    def _rows(self, texts: list[Tensor], where: ClipFilter | None) -> tuple[list[Tensor], int]:
        """The rows of each part to compare, int64, and how many clips pass the filter.

        The rows are all those clips, or in a large gallery the candidates among them.
        """
        allowed = [part.matches(where or ClipFilter()) for part in self.searched]
        clips = sum(int(passes.sum()) for passes in allowed)
        if self.index is None:
            return [passes.nonzero()[:, 0] for passes in allowed], clips
        return self.index.rows(texts, allowed if where else None), clips

    def _best(
        self, scores: Tensor, rows: list[Tensor], top: int
    ) -> Iterator[tuple[int, Part, int, tuple[tuple[Clip, FeatureCache], ...]]]:
        """The ``top`` scores [C] of rows of the parts: index, part, row and copies, best first.

        Of clips that show the same the best stands for all; the others are its copies.
        """
        shifted = zip(rows, self.starts, strict=False)
        indices = torch.cat([row + start for row, start in shifted]).tolist()
        groups: dict[Hashable, list[int]] = {}
        for best in best_first(scores, len(scores)).tolist():
            content = self._content(indices[best])
            if content in groups or len(groups) < top:
                groups.setdefault(content, []).append(best)
        for best, *others in groups.values():
            copies = (self._locate(indices[other]) for other in others)
            yield best, *self._locate(indices[best]), tuple(p.clip(row)[:2] for p, row in copies)

    def _content(self, index: int) -> Hashable:
        """What a clip shows, by its index among all searched clips."""
        if index not in self.contents:
            part, row = self._locate(index)
            self.contents[index] = part.content(row)
        return self.contents[index]

    def _locate(self, index: int) -> tuple[Part, int]:
        number = bisect_right(self.starts, index) - 1
        return self.searched[number], index - self.starts[number]


def prepare_search(run: Run, log: Log, exact: int = EXACT) -> None:
    """Build and check the index of a run of more than ``exact`` clips; ``log`` gets what failed.

    A search builds a missing index too.
    """
    galleries = (run.gallery(run.finished, split, in_memory=False) for split in (None, "train"))
    if sum(len(gallery.clips) for gallery in galleries) <= exact:
        return
    try:
        Searcher(run, exact=exact)
    except StructAlignError as error:
        log(f"no index for search was built: {error}")


def _values(tensors: dict[str, Tensor], index: int) -> dict[str, float]:
    return {name: float(values[index]) for name, values in tensors.items()}
