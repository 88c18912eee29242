"""Names become file names on every file system, each its own."""

import pytest
from structalign.core.files import file_name


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("video_1.a", "video_1.a"),
        ("-a b ü", "-a b ü"),
        ("a/b", "a%2Fb"),
        ("a%2Fb", "a%252Fb"),
        ('<:"\\|?*>', "%3C%3A%22%5C%7C%3F%2A%3E"),
    ],
)
def test_escaped(text: str, name: str) -> None:
    assert file_name(text) == name


def test_long_names_are_cut_and_stay_apart() -> None:
    one, other = file_name("ü" * 300 + "a"), file_name("ü" * 300 + "b")
    assert one != other and len(one.encode()) <= 200 and one.startswith("ü" * 91)
