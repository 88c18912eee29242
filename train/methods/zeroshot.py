"""Zero-shot: CLIP as pre-trained."""

from .base import Method


class ZeroShot(Method):
    """The pre-trained towers; nothing is learnt."""

    is_pretrained = True
