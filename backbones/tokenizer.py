"""Tokenizers for captions and queries: what all have, and CLIP's byte pairs."""

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from open_clip.tokenizer import SimpleTokenizer, get_clean_fn
from torch import Tensor

# Of one token each, if they were not text: open_clip's reads them in a caption as start and end.
MARKERS = re.compile(r"<((?:start|end)_of_text)>", re.IGNORECASE)


class CaptionTokenizer(ABC):
    """Captions to token ids, as open_clip gives them but for markers, which are text here.

    Attributes:
        context: how many token ids the text tower reads.
        first: the position of the first word, after the tokens that start every caption.
        stops: the ids that end or pad a caption.
        size: the number of tokens in the vocabulary.
    """

    context: int
    first: int
    stops: tuple[int, ...]
    size: int

    @abstractmethod
    def __call__(self, texts: list[str]) -> Tensor:
        """Token ids int64 [n, context], padded, their ends cut off where they are too long."""

    @abstractmethod
    def words(self, token_ids: list[int]) -> list[tuple[str, slice]]:
        """The words of some token ids without start and end, and where the tokens of each are."""

    @abstractmethod
    def length(self, text: str) -> int:
        """The number of tokens of a text, start and end included, if none were cut off."""

    def truncates(self, text: str) -> bool:
        """Whether a text is longer than the text tower reads, so that its end is not used."""
        return self.length(text) > self.context

    def truncation_warning(self, captions: Iterable[str]) -> str:
        """A line on how many captions are cut off, and the longest; empty if none is."""
        captions = list(captions)
        if not (longer := [text for text in captions if self.truncates(text)]):
            return ""
        longest = max(longer, key=self.length)
        return (
            f"{len(longer)} of {len(captions)} captions are longer than the {self.context} tokens "
            f"that the text tower reads, and their ends are not used (the longest, of "
            f"{self.length(longest)} tokens: '{longest[:40]}...')"
        )


class ClipTokenizer(CaptionTokenizer):
    """open_clip's tokenizer of byte pairs; ``bpe`` is a file of merges, None for its own."""

    def __init__(self, bpe: Path | None, context_length: int, clean: str = "lower") -> None:
        arguments = {} if bpe is None else {"bpe_path": str(bpe)}
        self.encoder: Any = SimpleTokenizer(context_length=context_length, **arguments)
        self.context, self.size = context_length, self.encoder.vocab_size
        # After cleaning, which resolves "&lt;end_of_text&gt;".
        clean_text: Callable[[str], str] = get_clean_fn(clean)
        self.encoder.clean_fn = lambda text: MARKERS.sub(r"< \1 >", clean_text(text))
        self.first, self.stops = 1, (self.encoder.eot_token_id,)

    def __call__(self, texts: list[str]) -> Tensor:
        """Token ids int64 [n, context]: start, words, end, zeros."""
        return self.encoder(texts)

    def words(self, token_ids: list[int]) -> list[tuple[str, slice]]:
        """The words of some token ids without start and end, and where the tokens of each are."""
        words, begin = [], 0
        for position, token in enumerate(token_ids, 1):
            if self.encoder.decoder[token].endswith("</w>") or position == len(token_ids):
                word = self.encoder.decode(token_ids[begin:position]).strip()
                words.append((word, slice(begin, position)))
                begin = position
        return words

    def length(self, text: str) -> int:
        """The number of tokens of a text, start and end included, if none were cut off."""
        return len(self.encoder.encode(text)) + 2

    def truncates(self, text: str) -> bool:
        """Whether a text is longer than the text tower reads, so that its end is not used."""
        # A token is at least a byte long, which spares most captions the slow way.
        return len(text.encode()) + 2 > self.context and super().truncates(text)
