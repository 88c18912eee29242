"""Small tokenizers of each kind, trained on given captions, as ``tokenizer.json`` files."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

KINDS = ("unigram", "gemma", "bert", "xlm")  # SigLIP 1's, SigLIP 2's, CLIPA's, MetaCLIP 2's
PADDING = {"unigram": "</s>", "gemma": "<pad>", "bert": "[PAD]", "xlm": "<pad>"}
SPECIAL = {
    "unigram": ["<pad>", "</s>", "<unk>"], "gemma": ["<pad>", "<eos>", "<bos>", "<unk>"],
    "bert": ["[PAD]", "[UNK]", "[CLS]", "[SEP]"], "xlm": ["<s>", "<pad>", "</s>", "<unk>"],
}  # fmt: skip
AROUND = {
    "unigram": "$A </s>", "gemma": "$A <eos>", "bert": "[CLS] $A [SEP]", "xlm": "<s> $A </s>",
}  # fmt: skip


def train_tokenizer(kind: str, captions: Iterable[str], folder: Path) -> Path:
    """A folder with a ``tokenizer.json``; skips the test without the package ``tokenizers``."""
    library: Any = pytest.importorskip("tokenizers")
    models, trainers = library.models, library.trainers
    blanks: Any = library.pre_tokenizers.Metaspace()
    special = SPECIAL[kind]
    if kind == "bert":
        made = library.Tokenizer(models.WordPiece(unk_token="[UNK]"))
        made.normalizer = library.normalizers.BertNormalizer(lowercase=True)
        made.pre_tokenizer = library.pre_tokenizers.BertPreTokenizer()
        made.decoder = library.decoders.WordPiece()
        trainer = trainers.WordPieceTrainer(
            vocab_size=70, special_tokens=special, show_progress=False
        )
    elif kind == "gemma":
        made = library.Tokenizer(models.BPE(unk_token="<unk>"))
        made.pre_tokenizer, made.decoder = blanks, library.decoders.Metaspace()
        trainer = trainers.BpeTrainer(vocab_size=70, special_tokens=special, show_progress=False)
    else:
        made = library.Tokenizer(models.Unigram())
        made.normalizer = library.normalizers.NFKC()
        made.pre_tokenizer, made.decoder = blanks, library.decoders.Metaspace()
        trainer = trainers.UnigramTrainer(
            vocab_size=70, special_tokens=special, unk_token="<unk>", show_progress=False
        )
    made.train_from_iterator(list(captions), trainer)
    tokens = [(token, made.token_to_id(token)) for token in special]
    made.post_processor = library.processors.TemplateProcessing(
        single=AROUND[kind], special_tokens=tokens
    )
    folder.mkdir(parents=True, exist_ok=True)
    made.save(str(folder / "tokenizer.json"))
    return folder / "tokenizer.json"


def size_of(file: Path) -> int:
    """The number of its tokens."""
    library: Any = pytest.importorskip("tokenizers")
    return int(library.Tokenizer.from_file(str(file)).get_vocab_size(with_added_tokens=True))
