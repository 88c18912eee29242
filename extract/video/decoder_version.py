"""The decoder version: what finds and decodes frames, a part of a cache's fingerprint."""

from importlib.metadata import version

# Change the number with whatever changes a frame: index, choice of decoder, scaling, windows.
FRAME_SELECTION = "display order 2"


def decoder_version() -> str:
    """The version of the frame selection and of the libraries that decode."""
    return f"{FRAME_SELECTION}, decord2 {version('decord2')}, av {version('av')}"
