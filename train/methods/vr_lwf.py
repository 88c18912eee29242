"""VR-LwF: LwF with random sentences as the texts of the distillation (baseline of CTVR)."""

from dataclasses import dataclass

import torch
from torch import Generator, Tensor
from torch.nn import functional as F

from ...core.ranges import option
from ..stream import Batch, Task
from .base import Encoder
from .lwf import LwF, LwFOptions


@dataclass(frozen=True)
class VRLwFOptions(LwFOptions):
    """The number of random sentences, and of words in each."""

    sentences: int = option(1000, above=0)
    words: int = option(10, above=0)


class VRLwF(LwF):
    """LwF against the teacher's embeddings [R, D] of random sentences (ZSCL's lwf_vr.sh)."""

    Options = VRLwFOptions
    options: VRLwFOptions

    def teach_texts(self, task: Task, teacher: Encoder) -> Tensor:
        """The teacher's unit embeddings of the random sentences [R, D]."""
        vocabulary = self.student.text.token_embedding.num_embeddings
        o, length = self.options, task.token_ids.shape[1]
        nothing = self.tokenize([""])[0, :length]
        words = min(o.words, length - self.layout.first - 1)
        token_ids = random_sentences(
            o.sentences, words, vocabulary, nothing, self.layout.first, self.draws("sentences")
        )
        return F.normalize(teacher.encode_texts(token_ids, task.number).text, dim=-1)

    def texts_of(self, batch: Batch) -> Tensor:
        """The teacher's texts of all random sentences [R, D]."""
        return self.taught_texts


def random_sentences(
    count: int, words: int, vocabulary: int, nothing: Tensor, first: int, generator: Generator
) -> Tensor:
    """Token ids int64 [count, L]: start, words drawn from the whole vocabulary, end, padding.

    The start, of ``first`` ids, and what follows the words are those of the empty caption
    ``nothing`` [L]. Start and end may be drawn as words too; the first end is where a sentence is
    read (ZSCL).
    """
    drawn = torch.randint(vocabulary, (count, words), generator=generator)
    start, end = nothing[:first].expand(count, -1), nothing[first : len(nothing) - words]
    return torch.cat([start, drawn, end.expand(count, -1)], 1)
