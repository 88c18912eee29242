"""Zero-shot: CLIP as pre-trained."""

from .base import Method


class ZeroShot(Method):
    """Learns nothing."""

    is_pretrained = True
