"""Decoding that always comes back: frames, or a reason, within the time given."""

import os
import socket
import subprocess
import sys
from multiprocessing.connection import Connection
from pathlib import Path
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

from extract.errors import ClipError

RECYCLE_AFTER = 300  # clips; decoders are known to leak


class Decoder:
    """Decodes clips one at a time in a child process, which is killed when it hangs and replaced when it dies."""

    def __init__(self, timeout: float) -> None:
        self.timeout = timeout
        self._child: subprocess.Popen[bytes] | None = None
        self._connection: Connection | None = None
        self._served = 0

    def __enter__(self) -> "Decoder":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def frames(self, path: Path, start: float | None, end: float | None, count: int) -> NDArray[np.uint8]:
        """``count`` frames of a clip: uint8 [count, height, width, 3].

        Raises:
            ClipError: with the reason, ``timeout`` and ``worker_crash`` among them.
        """
        connection = self._ready()
        try:
            connection.send((str(path), start, end, count))
            if not connection.poll(self.timeout):
                self.close()
                raise ClipError("timeout", f"no frames within {self.timeout:g} s")
            answer = connection.recv()
            if answer[0] == "error":
                raise ClipError(answer[1], answer[2])
            frames = np.empty(answer[1], np.uint8)
            connection.recv_bytes_into(frames.reshape(-1).data)
            return frames
        except (EOFError, ConnectionError) as error:
            code = self._child.wait() if self._child else None
            self.close()
            raise ClipError("worker_crash", f"the decoder died (exit {code})") from error

    def _ready(self) -> Connection:
        if self._served >= RECYCLE_AFTER:
            self.close()
        if self._connection is None:
            ours, theirs = socket.socketpair()
            environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")])}
            self._child = subprocess.Popen(
                [sys.executable, "-m", "extract.decode_child", str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env=environment,
            )
            theirs.close()
            self._connection, self._served = Connection(ours.detach()), 0
        self._served += 1
        return self._connection

    def close(self) -> None:
        """End the child, at once."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        if self._child is not None:
            self._child.kill()
            self._child.wait()
            self._child = None
