"""CLIP's tokenizer for captions and queries."""

import re
from collections.abc import Callable, Iterable
from pathlib import Path

from open_clip.tokenizer import SimpleTokenizer, get_clean_fn

# Of one token each, if they were not text: open_clip's reads them in a caption as start and end.
MARKERS = re.compile(r"<((?:start|end)_of_text)>", re.IGNORECASE)


class CaptionTokenizer(SimpleTokenizer):  # type: ignore[misc]  # open_clip has no types
    """open_clip's tokenizer, to which ``<end_of_text>`` in a caption is text like any other."""

    def __init__(self, bpe: Path | None, context_length: int) -> None:
        arguments = {} if bpe is None else {"bpe_path": str(bpe)}
        super().__init__(context_length=context_length, **arguments)
        self.context = context_length
        # After cleaning, which resolves "&lt;end_of_text&gt;".
        clean: Callable[[str], str] = get_clean_fn("lower")
        self.clean_fn = lambda text: MARKERS.sub(r"< \1 >", clean(text))
        self.first, self.stops = 1, (self.eot_token_id,)

    def words(self, token_ids: list[int]) -> list[tuple[str, slice]]:
        """The words of some token ids without start and end, and where the tokens of each are."""
        words, begin = [], 0
        for position, token in enumerate(token_ids, 1):
            if self.decoder[token].endswith("</w>") or position == len(token_ids):
                word = self.decode(token_ids[begin:position]).strip()
                words.append((word, slice(begin, position)))
                begin = position
        return words

    def length(self, text: str) -> int:
        """The number of tokens of a text, start and end included, if none were cut off."""
        return len(self.encode(text)) + 2

    def truncates(self, text: str) -> bool:
        """Whether a text is longer than the text tower reads, so that its end is not used."""
        # A token is at least a byte long, which spares most captions the slow way.
        return len(text.encode()) + 2 > self.context and self.length(text) > self.context

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
