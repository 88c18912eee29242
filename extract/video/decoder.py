"""Video decoding in a child process: frames or a quarantine reason, within a time limit."""

import os
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ...cache.times import ClipTimes
from ...core.defaults import DECODE_TIMEOUT
from ...core.errors import StructAlignError
from ...core.processes import child_python_path
from .errors import ClipError

DECODER_PROCESS = "structalign.extract.video.decoder_process"
RECYCLE_AFTER = 300  # clips per process, since decoders leak memory
START_WITHIN = 600  # seconds; importing from a cold network disk is slow
STARTS = 3  # attempts; a machine short of memory may kill any process


@dataclass(frozen=True)
class Decoded:
    """Frames of a clip, uint8 [count, height, width, 3], RGB.

    ``times`` says when a player shows them, ``decode_seconds`` how long decoding took. ``hdr`` is
    PQ, HLG or Dolby Vision if it has a high dynamic range, which is not tone-mapped.
    """

    frames: NDArray[np.uint8]
    times: ClipTimes
    decode_seconds: float
    hdr: str | None

    @property
    def seconds(self) -> float:
        """The length of the whole video."""
        return round(self.times.end - self.times.begin, 9)


class Decoder:
    """Decodes clips one at a time in a child process, and replaces it when it hangs or dies.

    ``timeout`` is in seconds per clip. Between ``submit`` and ``result`` the caller may do other
    work.
    """

    def __init__(self, timeout: float = DECODE_TIMEOUT) -> None:
        self.timeout = timeout
        self._child: subprocess.Popen[bytes] | None = None
        self._connection: Connection | None = None
        self._served = 0
        self._deadline = 0.0

    def __enter__(self) -> "Decoder":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def decode(
        self, path: Path, start: float | None, end: float | None, count: int, by_time: bool = False
    ) -> Decoded:
        """Decode ``count`` frames between ``start`` and ``end`` in seconds, None for the whole.

        ``sampling.choose_frames`` says which, by number or ``by_time``.

        Raises:
            ClipError: the clip does not decode, hangs (``timeout``) or crashes the decoder
                (``worker_crash``).
            StructAlignError: the decoder does not start.
        """
        self.submit(path, start, end, count, by_time)
        return self.result()

    def submit(
        self, path: Path, start: float | None, end: float | None, count: int, by_time: bool
    ) -> None:
        """Begin to decode ``count`` frames of a clip, and begin its time limit.

        Raises:
            StructAlignError: the decoder does not start.
        """
        connection = self._ready()
        self._deadline = time.monotonic() + self.timeout
        with suppress(ConnectionError):  # the decoder died: ``result`` raises
            connection.send((str(path), (start, end, count, by_time)))

    def result(self) -> Decoded:
        """Wait for the frames of the clip submitted last.

        Raises:
            ClipError: as ``decode`` does.
        """
        connection = self._connection
        assert connection is not None
        try:
            if not connection.poll(max(0.0, self._deadline - time.monotonic())):
                self.close()
                raise ClipError("timeout", f"no frames within {self.timeout:g} s")
            kind, *reply = connection.recv()
            if kind == "error":
                raise ClipError(*reply)
            shape, times, decode_seconds, hdr = reply
            frames = np.empty(shape, np.uint8)
            connection.recv_bytes_into(frames.reshape(-1).data)
            return Decoded(frames, times, decode_seconds, hdr)
        except (EOFError, ConnectionError) as error:
            code = self._child.wait() if self._child else None
            self.close()
            raise ClipError("worker_crash", f"the decoder died (exit {code})") from error

    def _ready(self) -> Connection:
        if self._served >= RECYCLE_AFTER:
            self.close()
        if self._connection is None:
            self._connection, self._served = self._start(), 0
        self._served += 1
        return self._connection

    def _start(self) -> Connection:
        """Start a child and wait for its imports, which no clip's time limit includes."""
        environment = {**os.environ, "PYTHONPATH": child_python_path()}
        for _ in range(STARTS):
            ours, theirs = socket.socketpair()
            with tempfile.TemporaryFile("w+", errors="replace") as stderr:
                with theirs:
                    self._child = subprocess.Popen(
                        [sys.executable, "-P", "-m", DECODER_PROCESS, str(theirs.fileno())],
                        pass_fds=[theirs.fileno()],
                        stdin=subprocess.DEVNULL,
                        stdout=subprocess.DEVNULL,
                        stderr=stderr,
                        env=environment,
                    )
                connection = Connection(ours.detach())
                try:
                    if connection.poll(START_WITHIN):
                        connection.recv()
                        return connection
                    reason = f"not ready after {START_WITHIN} s"
                except (EOFError, ConnectionError):
                    code = self._child.wait()
                    stderr.seek(0)
                    reason = (stderr.read().strip().splitlines() or [f"exit {code}"])[-1]
                connection.close()
                self.close()
        raise StructAlignError(f"the decoder does not start ({STARTS} tries): {reason}")

    def close(self) -> None:
        """Kill the child."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        if self._child is not None:
            self._child.kill()
            self._child.wait()
            self._child = None
