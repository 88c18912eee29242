"""The decoder rule: by what frames are found and decoded, a part of a cache's fingerprint."""

from importlib.metadata import version

# Change the number with whatever changes a frame: index, choice of decoder, scaling, windows.
RULE = "display order 1"


def decoder_rule() -> str:
    """The rule and the versions of the libraries that decode."""
    return f"{RULE}, decord2 {version('decord2')}, av {version('av')}"
