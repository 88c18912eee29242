"""A real ``serve`` process, and questions to it."""

import json
import re
import signal
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from email.message import Message
from pathlib import Path
from typing import Any

from helpers.cli import Cli, Forked


@dataclass
class Reply:
    """Status, headers and body of an answer."""

    status: int
    headers: Message
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Server:
    """Where a server listens, and its process."""

    url: str
    process: Forked

    def ask(
        self, path: str, body: bytes | None = None, method: str | None = None, **headers: str
    ) -> Reply:
        """One request; header names with _ for -. An error status is an answer too."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        request = urllib.request.Request(self.url + path, body, named, method=method)
        try:
            with urllib.request.urlopen(request, timeout=60) as reply:
                return Reply(reply.status, reply.headers, reply.read())
        except urllib.error.HTTPError as error:
            return Reply(error.code, error.headers, error.read())


@contextmanager
def serving(cli: Cli, *arguments: str | Path) -> Iterator[Server]:
    """The command as a process, until the block ends; then it must end cleanly."""
    process = cli.fork("serve", *arguments, "--port", "0")
    try:
        while not (found := re.search(r"http://\S+:\d+(?=\s)", process.err.read_text())):
            assert process.poll() is None, process.communicate()[1]
            time.sleep(0.02)
        server = Server(found[0], process)
        deadline = time.monotonic() + 30
        while server.ask("/api/health").status != 200:
            assert time.monotonic() < deadline
        yield server
    finally:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
