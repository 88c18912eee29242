"""Content types of what people have; what is no media is never sent as a page or a script."""

from pathlib import Path

import pytest
from structalign.search.web.files import content_type


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("a.mp4", "video/mp4"), ("a.M4V", "video/mp4"), ("a.mov", "video/quicktime"),
        ("a.mkv", "video/x-matroska"), ("a.webm", "video/webm"), ("a.avi", "video/x-msvideo"),
        ("a.ts", "video/mp2t"), ("a.MTS", "video/mp2t"), ("a.3gp", "video/3gpp"),
        ("a.mpg", "video/mpeg"), ("a.wmv", "video/x-ms-wmv"), ("a.flv", "video/x-flv"),
        ("a.ogv", "video/ogg"), ("a.gif", "image/gif"), ("a.webp", "image/webp"),
        ("a.apng", "image/apng"), ("a.avif", "image/avif"), ("a.jpg", "image/jpeg"),
        ("a.png", "image/png"), ("a.svg", "application/octet-stream"),
        ("a.xhtml", "application/octet-stream"), ("film", "application/octet-stream"),
    ],
)  # fmt: skip
def test_by_the_end_of_the_name(name: str, expected: str) -> None:
    assert content_type(Path(name)) == expected
