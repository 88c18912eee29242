"""The reasons why a clip has no tokens."""

from typing import Literal

Reason = Literal[
    "missing", "empty", "unreadable", "no_video", "decode_error", "truncated", "substituted_frames",
    "timeout", "worker_crash", "too_short", "too_large", "nonfinite",
]  # fmt: skip


class ClipError(Exception):
    """One clip failed: it goes to quarantine with ``reason`` and ``message``."""

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(message)
        self.reason: Reason = reason
        self.message = message
