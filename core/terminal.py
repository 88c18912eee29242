"""Text on a terminal: names and captions from elsewhere must not steer it."""

import unicodedata

STEERING = ("Cc", "Cf", "Cs", "Zl", "Zp")  # control, format (bidirectional too), line separators


def printable(text: str) -> str:
    """``text`` with every character that steers a terminal written as its escape; newlines stay."""
    return "".join(
        char
        if char in "\n\u200d" or unicodedata.category(char) not in STEERING
        else char.encode("unicode_escape").decode()
        for char in text
    )
