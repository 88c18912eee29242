"""What FFmpeg says through PyAV: which messages mean damage, and what an exception is about."""

import re
from collections.abc import Iterable

import av

HARMLESS = re.compile(
    r"mmco: unref short|co located POCs|number of reference frames|SEI type|ATTENTION|time_scale"
)
av.logging.set_level(av.logging.ERROR)
# Else a message that equals the last one, of another file too, is left out.
av.logging.set_skip_repeated(False)


def first_complaint(messages: Iterable[str]) -> str | None:
    """The first message of FFmpeg that is not known to be harmless, and so may mean damage."""
    lines = (message.strip() for message in messages)
    return next((line[:200] for line in lines if line and not HARMLESS.search(line)), None)


def words_of(error: Exception, logged: Iterable[tuple[int, str, str]] = ()) -> str:
    """What was ``logged`` of the file at hand, else the error's own words.

    A PyAV error as text ends with the process's last error message, which may be another file's.
    """
    own = error.strerror if isinstance(error, av.FFmpegError) else str(error)
    return first_complaint(message for _, _, message in logged) or str(own)[:200]
