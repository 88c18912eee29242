"""A manifest is read as it was meant, or refused with the line where it is not."""

from pathlib import Path

import pytest
from structalign.core.errors import StructAlignError
from structalign.extract.datasets.dataset import Inputs
from structalign.extract.datasets.manifest import Manifest

HEADER = "clip_id,path,start,end,category,split,caption\n"
ROW = "a,a.mp4,,,music,train,"


def captions(folder: Path, text: str, name: str = "manifest.csv") -> tuple[str, ...]:
    (folder / name).write_bytes(text.encode())
    return next(iter(Manifest().read(Inputs(folder, folder)).catalog)).captions


@pytest.mark.parametrize(
    ("text", "caption"),
    [
        (f'{HEADER}{ROW}"one, two"\n', "one, two"),
        (f'{HEADER}{ROW}"says ""hello"""\n', 'says "hello"'),
        (f'{HEADER}{ROW}a 5" screen\n', 'a 5" screen'),
        (f'{HEADER}{ROW}"two\nlines"\n', "two\nlines"),
        (f"{HEADER}{ROW}one\u2028line\n", "one\u2028line"),
        (f"\n{HEADER}\n{ROW}after blank lines".replace("\n", "\r\n"), "after blank lines"),
        ("\ufeff" + f"{HEADER}{ROW}a byte order mark\n", "a byte order mark"),
    ],
)
def test_captions_are_whole(tmp_path: Path, text: str, caption: str) -> None:
    assert captions(tmp_path, text) == (caption,)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (f"{HEADER}{ROW}one, two\n", "line 2: 8 fields where the header has 7"),
        (f"{HEADER}{ROW}fine\na,a.mp4,music,train,short\n", "line 3: 5 fields"),
        (f'{HEADER}{ROW}fine\n{ROW}"left open\n{ROW}lost\n', "line 3: a double quote is left open"),
        (f'{HEADER}{ROW}"open\nb,b.mp4,,,music,train,"lost"\n', "line 2: a double quote is left"),
    ],
)
def test_rows_that_do_not_fit_are_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(StructAlignError, match=message):
        captions(tmp_path, text)


@pytest.mark.parametrize(("value", "shown"), [('["one", "two"]', "one"), ("true", "true")])
def test_json_values_are_texts_or_numbers(tmp_path: Path, value: str, shown: str) -> None:
    line = '{"clip_id": 7, "path": "a.mp4", "category": "x", "split": "train", "caption": %s}\n'
    with pytest.raises(StructAlignError, match=f"line 2: 'caption' is .*{shown}"):
        captions(tmp_path, line % '"fine"' + line % value, "manifest.jsonl")
    (tmp_path / "manifest.jsonl").unlink()
    assert captions(tmp_path, line % '"fine"', "manifest.jsonl") == ("fine",)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (HEADER.replace(",", ";") + "a;a.mp4;;;music;train;one, two\n", "semicolons stand between"),
        (HEADER.replace(",", "\t") + "a\ta.mp4\t\t\tmusic\ttrain\tone\n", "tabs stand between"),
        (f"{HEADER[:-1]},caption\n{ROW}one,two\n", "column 'caption' stands twice"),
    ],
)
def test_other_tables_are_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(StructAlignError, match=message):
        captions(tmp_path, text)


def test_half_a_character_is_no_caption(tmp_path: Path) -> None:
    line = '{"clip_id": 7, "path": "a.mp4", "caption": "a \\ud800"}\n'
    with pytest.raises(StructAlignError, match="clip '7' has a caption with half a surrogate"):
        captions(tmp_path, line, "manifest.jsonl")


def test_labels_may_be_missing_altogether(tmp_path: Path) -> None:
    """One category named after the dataset, and every clip for training."""
    for text in (
        "clip_id,path,caption\na,a.mp4,one\nb,b.mp4,two\n",
        f"{HEADER}a,a.mp4,,,,,one\nb,b.mp4,,, ,,two\n",
    ):
        (tmp_path / "manifest.csv").write_text(text)
        catalog = Manifest(name="monday").read(Inputs(tmp_path, tmp_path)).catalog
        assert catalog.categories == ("monday",)
        assert {(clip.category, clip.split) for clip in catalog} == {("monday", "train")}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (f"{HEADER}{ROW}one\nb,b.mp4,,,,train,two\n", "line 3: no category; name it in every row"),
        (f"{HEADER}a,a.mp4,,,music,,one\nb,b.mp4,,,music,test,two\n", "line 2: no split"),
        ("clip_id,path\na,a.mp4\n", "no column 'caption'"),
    ],
)
def test_labels_are_whole_or_not_there(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(StructAlignError, match=message):
        captions(tmp_path, text)


def test_a_category_in_two_unicode_spellings(tmp_path: Path) -> None:
    """They look the same, and were two classes."""
    rows = "a,a.mp4,,,K\u00fcche,train,one\nb,b.mp4,,,Ku\u0308che,train,two\n"
    with pytest.raises(StructAlignError, match="with other Unicode characters in some rows"):
        captions(tmp_path, HEADER + rows)
