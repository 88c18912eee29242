"""Hugging Face's ``tokenizer.json``: captions to token ids as open_clip's ``HFTokenizer`` gives."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from open_clip.tokenizer import get_clean_fn
from torch import Tensor

from ..core.errors import StructAlignError
from .tokenizer import CaptionTokenizer

# What open_clip's models pad with, by a part of their tokenizer's name; the file may not say it.
PADDING = {
    "SigLIP2": "<pad>", "SigLIP": "</s>", "bert": "[PAD]", "xlm": "<pad>", "mt5": "<pad>",
}  # fmt: skip


class JsonTokenizer(CaptionTokenizer):
    """A ``tokenizer.json`` with the cleaning, length and padding of a text tower."""

    def __init__(self, file: Path, text: Mapping[str, Any]) -> None:
        """``text`` is the ``text_cfg`` of open_clip's configuration.

        Raises:
            StructAlignError: a file that is no ``tokenizer.json``, or does not say its padding.
        """
        self.encoder, body = _read(file)
        options = text.get("tokenizer_kwargs", {})
        self.context = int(text.get("context_length", 77))
        self.clean = get_clean_fn(options.get("clean", "whitespace"))
        self.size = self.encoder.get_vocab_size(with_added_tokens=True)
        inside = self.encoder.encode("a", add_special_tokens=False).ids
        around = self.encoder.encode("a").ids
        self.first = next(
            n for n in range(len(around) + 1) if around[n : n + len(inside)] == inside
        )
        self.start, self.end = around[: self.first], around[self.first + len(inside) :]
        self.end_id = self.end[0] if self.end else None
        self.padding = _padding(file, self.encoder, body, text.get("hf_tokenizer_name", ""))
        special = {
            number: token.content
            for number, token in self.encoder.get_added_tokens_decoder().items()
            if token.special
        }
        unknown = body["model"].get("unk_id", self.encoder.token_to_id(_unknown(body)))
        self.markers = {*special, *self.start, *self.end, self.padding} - {unknown}
        texts = sorted(filter(None, special.values()), key=len, reverse=True)
        self.marker = re.compile("|".join(map(re.escape, texts)) or r"(?!)", re.IGNORECASE)
        if options.get("strip_sep_token"):
            self.end = [0] * len(self.end)
        self.stops = tuple(dict.fromkeys([*self.end[:1], self.padding]))

    def __call__(self, texts: list[str]) -> Tensor:
        """Token ids int64 [n, context]: start, words, end, padding."""
        rows = torch.full((len(texts), self.context), self.padding, dtype=torch.long)
        room = self.context - len(self.start) - len(self.end)
        for row, words in zip(rows, self._encode(texts), strict=True):
            token_ids = [*self.start, *words[:room], *self.end]
            row[: len(token_ids)] = torch.tensor(token_ids, dtype=torch.long)
        return rows

    def words(self, token_ids: list[int]) -> list[tuple[str, slice]]:
        """The words of some token ids without start and end, and where the tokens of each are."""
        words, begin = [], 0
        for position in range(1, len(token_ids) + 1):
            # A token that brings a blank into the middle of the text begins a word.
            is_last = position == len(token_ids)
            longer = "" if is_last else self._decode(token_ids[begin : position + 1])
            if is_last or " " in longer.lstrip():
                words.append((self._decode(token_ids[begin:position]).strip(), begin, position))
                begin = position
        return [(word, slice(first, last)) for word, first, last in words]

    def length(self, text: str) -> int:
        """The number of tokens of a text, start and end included, if none were cut off."""
        return len(self._encode([text])[0]) + len(self.start) + len(self.end)

    def _encode(self, texts: list[str]) -> list[list[int]]:
        """The ids of each text's words. A marker is text: blanks inside keep it from being one."""
        cleaned = [self.marker.sub(_split, self.clean(text)) for text in texts]
        encoded = self.encoder.encode_batch(cleaned, add_special_tokens=False)
        # One that appears only in normalisation (of full-width letters, say) is left out.
        return [[token for token in row.ids if token not in self.markers] for row in encoded]

    def _decode(self, token_ids: list[int]) -> str:
        return self.encoder.decode(token_ids, skip_special_tokens=False)


def _read(file: Path) -> tuple[Any, dict[str, Any]]:
    try:
        from tokenizers import Tokenizer
    except ImportError as error:
        raise StructAlignError(
            f"{file} needs the package 'tokenizers'; pip install tokenizers"
        ) from error
    try:
        body = json.loads(file.read_text(encoding="utf-8"))
        encoder = Tokenizer.from_str(json.dumps(body))
    except OSError as error:
        raise StructAlignError(f"tokenizer {file} cannot be read: {error.strerror}") from error
    except Exception as error:  # what 'tokenizers' raises is nothing narrower
        raise StructAlignError(f"{file} is no tokenizer.json ({str(error)[:80]})") from error
    encoder.no_truncation()
    encoder.no_padding()
    encoder.encode_special_tokens = True
    return encoder, body


def _unknown(body: dict[str, Any]) -> str:
    return str(body["model"].get("unk_token") or "")


def _padding(file: Path, encoder: Any, body: dict[str, Any], name: str) -> int:
    """The id that fills a caption up: open_clip's for a name, or as the file has it."""
    if not name:
        return 0  # CLIP's, which is not looked at
    known = next((token for part, token in PADDING.items() if part in name), "")
    number = encoder.token_to_id(known)
    if number is None:
        number = (body.get("padding") or {}).get("pad_id")
    if number is None:
        raise StructAlignError(
            f"tokenizer {file} has no token '{known}' that fills captions up; take that of {name}"
        )
    return int(number)


def _split(match: re.Match[str]) -> str:
    text = match[0]
    return f"{text[0]} {text[1:-1]} {text[-1]}"
