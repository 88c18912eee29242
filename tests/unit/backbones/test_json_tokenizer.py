"""A ``tokenizer.json`` gives open_clip's token ids; markers are text; misfits are refused."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.tokenizers_of_words import KINDS, PADDING, SPECIAL, size_of, train_tokenizer
from structalign.backbones.json_tokenizer import JsonTokenizer
from structalign.backbones.text import TextLayout
from structalign.backbones.tokenizer_file import load_tokenizer
from structalign.core.errors import StructAlignError

CAPTIONS = [
    "a small red ball bounces to the left", "two blue stars fall down slowly",
    "a striped green square turns", "the large yellow triangle rises", "there is a circle at rest",
]  # fmt: skip
TEXTS = [
    *CAPTIONS, "", "a Red, BALL!", "  two   stars\n", "it's_a ball", "zebra \u65e5\u672c \u00c4",
    "red ball " * 20, "a &amp; b", "\uff21 \ufb01ne ball",
]  # fmt: skip
TOWERS: dict[str, dict[str, Any]] = {
    "unigram": {"hf_tokenizer_name": "timm/ViT-B-16-SigLIP", "context_length": 64,
                "tokenizer_kwargs": {"clean": "canonicalize"}, "pool_type": "last"},
    "gemma": {"hf_tokenizer_name": "timm/ViT-B-16-SigLIP2", "context_length": 16,
              "tokenizer_kwargs": {"clean": "canonicalize"}, "pool_type": "last"},
    "bert": {"hf_tokenizer_name": "bert-base-uncased", "context_length": 32,
             "tokenizer_kwargs": {"strip_sep_token": True}, "pool_type": "last"},
    "xlm": {"hf_tokenizer_name": "facebook/xlm-v-base", "context_length": 72, "eos_id": 2,
            "pool_type": "eos"},
}  # fmt: skip


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("tokenizers")
    return {kind: train_tokenizer(kind, CAPTIONS * 3, folder / kind) for kind in KINDS}


def text_of(kind: str, files: dict[str, Path]) -> dict[str, Any]:
    return {**TOWERS[kind], "vocab_size": size_of(files[kind])}


def open_tokenizer(kind: str, files: dict[str, Path]) -> JsonTokenizer:
    tokenizer = load_tokenizer("tower", text_of(kind, files), files[kind])
    assert isinstance(tokenizer, JsonTokenizer)
    return tokenizer


@pytest.mark.parametrize("kind", KINDS)
def test_token_ids_are_open_clips(kind: str, files: dict[str, Path]) -> None:
    """Cleaning, start, end, truncation and padding."""
    pytest.importorskip("transformers")
    from open_clip.tokenizer import HFTokenizer

    names = {"pad_token": PADDING[kind], "tokenizer_class": "PreTrainedTokenizerFast"}
    names |= {"sep_token": "[SEP]"} if kind == "bert" else {}
    (files[kind].parent / "tokenizer_config.json").write_text(json.dumps(names))
    text = TOWERS[kind]
    theirs = HFTokenizer(
        str(files[kind].parent), text["context_length"], **text.get("tokenizer_kwargs", {})
    )
    assert torch.equal(open_tokenizer(kind, files)(TEXTS), theirs(TEXTS))


@pytest.mark.parametrize("kind", KINDS)
def test_layout_and_padding(kind: str, files: dict[str, Path]) -> None:
    """Words are counted without start, end and padding, at the tower's length, too."""
    tokenizer = open_tokenizer(kind, files)
    ids = tokenizer(TEXTS)
    assert ids.shape == (len(TEXTS), TOWERS[kind]["context_length"])
    layout = TextLayout(TOWERS[kind]["pool_type"], False, tokenizer.first, tokenizer.stops)
    ends = tokenizer.first + 1
    wanted = [min(tokenizer.length(text), tokenizer.context) - ends for text in TEXTS]
    assert layout.lengths(ids).tolist() == wanted
    if kind == "xlm":  # open_clip's position
        assert torch.equal(layout.pooled(ids), (ids == 2).int().argmax(-1))


@pytest.mark.parametrize("kind", KINDS)
def test_a_marker_in_a_caption_is_text(kind: str, files: dict[str, Path]) -> None:
    tokenizer = open_tokenizer(kind, files)
    for marker in SPECIAL[kind]:
        full_width = "".join(chr(ord(c) + 0xFEE0) for c in marker)
        for form in (f"a {marker} red ball", marker, f"a&lt;{marker}{marker}", full_width):
            words = tokenizer._encode([form])[0]
            assert not tokenizer.markers & {*words}
            row = tokenizer([f"{form} red ball"])[0].tolist()
            last = tokenizer([" red ball"])[0].tolist()[tokenizer.first]
            assert last in row  # the caption goes on after it


@pytest.mark.parametrize("kind", KINDS)
def test_words_are_put_together(kind: str, files: dict[str, Path]) -> None:
    tokenizer = open_tokenizer(kind, files)
    for caption in CAPTIONS:
        token_ids = tokenizer._encode([caption])[0]
        assert len(token_ids) > len(caption.split())  # some word is of several tokens
        words = tokenizer.words(token_ids)
        assert [word for word, _ in words] == caption.split()
        covered = [n for _, where in words for n in range(where.start, where.stop)]
        assert covered == list(range(len(token_ids)))


def test_a_text_of_exactly_the_towers_length_is_not_truncated(files: dict[str, Path]) -> None:
    tokenizer = open_tokenizer("gemma", files)
    text = ""
    while tokenizer.length(text) < tokenizer.context:
        text += " x"
    fits, longer = text, text + " x"
    while tokenizer.length(fits) > tokenizer.context:
        fits = fits[:-1].rstrip()
    assert not tokenizer.truncates(fits)
    while tokenizer.length(longer) <= tokenizer.context:
        longer += " x"
    assert tokenizer.truncates(longer)
    assert tokenizer.truncation_warning([fits, longer]).startswith("1 of 2 captions are longer")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"vocab_size": 32000}, r"has \d+ tokens, the text tower of 'tower' 32000"),
        ({"pool_type": "eos", "eos_id": 7}, "is read at token 7; take that of timm/"),
        ({"pool_type": "argmax"}, "ends captions with token 1, the text tower"),
    ],
)
def test_another_towers_tokenizer_is_refused(
    changes: dict[str, Any], message: str, files: dict[str, Path]
) -> None:
    with pytest.raises(StructAlignError, match=message):
        load_tokenizer("tower", {**text_of("unigram", files), **changes}, files["unigram"])


def test_what_is_no_tokenizer_is_refused(tmp_path: Path, files: dict[str, Path]) -> None:
    text = text_of("bert", files)
    for name, content in {"a.json": b"{", "b.json": b"[1]", "c.txt.gz": b"merges"}.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(StructAlignError, match=r"no tokenizer.json|neither"):
            load_tokenizer("tower", text, tmp_path / name)
    with pytest.raises(StructAlignError, match=r"bert-base-uncased; give its tokenizer.json"):
        load_tokenizer("tower", text, None)
    with pytest.raises(StructAlignError, match=r"fills captions up; take that of timm"):
        load_tokenizer("tower", text_of("unigram", files), files["bert"])
