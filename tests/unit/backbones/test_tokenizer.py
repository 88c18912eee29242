"""A caption is text to its end, and what the text tower does not read of it is counted."""

import pytest
import torch
from open_clip.tokenizer import SimpleTokenizer
from structalign.backbones import load_backbone
from structalign.backbones.tokenizer import ClipTokenizer


@pytest.fixture(scope="module")
def tokenizer() -> ClipTokenizer:
    return ClipTokenizer(None, 77)


@pytest.mark.parametrize("marker", ["<end_of_text>", "<start_of_text>", "<END_of_Text>"])
@pytest.mark.parametrize("form", ["a {} red ball", "{}", "a ball{}{}", "a &lt;{}&gt; ball"])
def test_a_marker_in_a_caption_is_text(marker: str, form: str, tokenizer: ClipTokenizer) -> None:
    """open_clip took "a <end_of_text> red ball" for "a"."""
    escaped = marker.strip("<>") if "&lt;" in form else marker
    ids = tokenizer([form.replace("{}", escaped)])[0].tolist()
    start, end = tokenizer.encoder.sot_token_id, tokenizer.encoder.eot_token_id
    assert ids[0] == start and ids.count(start) == ids.count(end) == 1
    text = tokenizer.encoder.decode(ids[1 : ids.index(end)])
    assert marker.strip("<>").lower() in text.replace(" ", "")


def test_everything_else_is_open_clips(tokenizer: ClipTokenizer) -> None:
    texts = ["a red ball", "end_of_text", "<b>", "1 < 2 > 0", "ÄÖ 日本 🎉", "word " * 100, ""]
    assert torch.equal(tokenizer(texts), SimpleTokenizer()(texts))


def test_a_text_of_exactly_the_towers_length_is_not_truncated(tokenizer: ClipTokenizer) -> None:
    fits, longer = "ball " * 75, "ball " * 76
    assert tokenizer.length(fits) == 77 and not tokenizer.truncates(fits)
    assert tokenizer.length(longer) == 78 and tokenizer.truncates(longer)
    assert not tokenizer.truncates("pneumonoultramicroscopicsilicovolcanoconiosis " * 2)


def test_truncated_captions_are_counted() -> None:
    tokenizer = load_backbone("demo", "demo").tokenizer()
    captions = ["a red ball", "red " * 30, "red " * 31, "small red " + "red " * 40]
    assert tokenizer.truncation_warning(captions) == (
        "2 of 4 captions are longer than the 32 tokens that the text tower reads, and their ends "
        "are not used (the longest, of 44 tokens: 'small red red red red red red red red re...')"
    )
    assert tokenizer.truncation_warning(captions[:2]) == ""
