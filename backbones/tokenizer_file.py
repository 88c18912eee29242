"""Which tokenizer a backbone reads captions with, and its file: the user's, or from the hub."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import open_clip

from ..core.console import log_to_stderr
from ..core.errors import StructAlignError
from .json_tokenizer import JsonTokenizer
from .saved_names import TOKENIZER_FILE
from .tokenizer import CaptionTokenizer, ClipTokenizer

NEAR = 0.05  # of a vocabulary: CLIPA's embedding has 5% more rows than its tokenizer has tokens


def load_tokenizer(name: str, text: Mapping[str, Any], file: Path | None) -> CaptionTokenizer:
    """A backbone's tokenizer.

    Args:
        name: the backbone's.
        text: ``text_cfg`` of its open_clip configuration.
        file: a ``tokenizer.json`` or a file of merges; None for open_clip's merges.

    Raises:
        StructAlignError: no file where one is needed, one that is no tokenizer, or one with another
            vocabulary or end than the text tower's.
    """
    if file is None and (source := text.get("hf_tokenizer_name")):
        raise StructAlignError(
            f"backbone '{name}' reads captions with the tokenizer {source}; give its "
            f"{TOKENIZER_FILE} with --tokenizer"
        )
    tokenizer, end = _open(text, file)
    rows = int(text.get("vocab_size", 49408))
    if file and abs(tokenizer.size - rows) > NEAR * rows:
        raise StructAlignError(
            f"tokenizer {file} has {tokenizer.size} tokens, the text tower of '{name}' {rows}; "
            f"take that of {text.get('hf_tokenizer_name', 'CLIP')}"
        )
    pool = text.get("pool_type", "argmax")
    wanted = {"argmax": tokenizer.size - 1, "eos": text.get("eos_id")}.get(pool, end)
    if file and (end is None or end != wanted or (pool == "argmax" and tokenizer.first != 1)):
        raise StructAlignError(
            f"tokenizer {file} ends captions with token {end}, the text tower of '{name}' is "
            f"read at token {wanted}; take that of {text.get('hf_tokenizer_name', 'CLIP')}"
        )
    return tokenizer


def _open(text: Mapping[str, Any], file: Path | None) -> tuple[CaptionTokenizer, int | None]:
    """The tokenizer, and the id that ends its captions."""
    if file and file.suffix == ".json":
        tokenizer = JsonTokenizer(file, text)
        return tokenizer, tokenizer.end_id
    options, context = text.get("tokenizer_kwargs", {}), int(text.get("context_length", 77))
    try:
        clip = ClipTokenizer(file, context, options.get("clean", "lower"))
    except (OSError, EOFError, ValueError, IndexError) as error:
        raise StructAlignError(
            f"tokenizer {file} is neither a {TOKENIZER_FILE} nor a gzipped file of merges ({error})"
        ) from error
    return clip, clip.stops[0]


def hub_tokenizer(name: str) -> Path | None:
    """The file of a backbone's tokenizer, from the hub's cache or downloaded; None for CLIP's.

    Raises StructAlignError: it cannot be downloaded.
    """
    config = open_clip.get_model_config(name) or {}
    source = config.get("text_cfg", {}).get("hf_tokenizer_name")
    if not source:
        return None
    from huggingface_hub import hf_hub_download

    log_to_stderr(f"tokenizer {source} of '{name}': from the hub's cache, or downloaded now")
    try:
        return Path(hf_hub_download(source, TOKENIZER_FILE))
    except Exception as error:  # of the hub, of HTTP, of the network
        raise StructAlignError(
            f"the tokenizer of '{name}' cannot be downloaded ({type(error).__name__}); fetch "
            f"https://huggingface.co/{source}/resolve/main/{TOKENIZER_FILE} elsewhere and pass it "
            "with --tokenizer FILE"
        ) from error
