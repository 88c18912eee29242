"""The real command line in a process of its own, and the arguments that make its verbs small."""

import functools
import hashlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
OWN = "extract --dataset manifest --name manifest"
EXTRACT_LINE = f"{OWN} --backbone demo --pretrained demo --frames 4 --views 2"
EXTRACT = INLINE = (*EXTRACT_LINE.split(), "--engine", "inline")
RAY = (*EXTRACT_LINE.split(), "--engine", "ray")
CHANGES = "epochs=1 experts=3 rank=8 lr_first=null lr_text=1e-3 lr_vision=1e-3"
QUICK = ("--tasks", "2", *(part for one in CHANGES.split() for part in ("--set", one)))
TWO_EPOCHS = ("--set", "epochs=2")  # after QUICK: for what happens between two epochs


class Cli:
    """The real command line in a process of its own, with a cache root and a runs folder."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.environment = {
            **os.environ,
            "STRUCTALIGN_CACHE": str(home / "cache"),
            "STRUCTALIGN_RUNS": str(home / "runs"),
            "OMP_NUM_THREADS": "1",
        }

    def __call__(
        self, *arguments: object, timeout: float = 900
    ) -> subprocess.CompletedProcess[str]:
        """Run the command line in a process forked from a server that has imported it.

        Stdout, stderr and returncode come back.
        """
        command = [sys.executable, str(ROOT / "cli.py"), *map(str, arguments)]
        # read while importing
        if any(name.startswith(("HF_", "PYTHONPROFILE")) for name in self.environment):
            return subprocess.run(
                command,
                capture_output=True,
                text=True,
                timeout=timeout,
                env=self.environment,
                cwd=self.home,
                check=False,
            )
        process = Forked(command, self.environment, self.home)
        try:
            out, err = process.communicate(timeout)
        except subprocess.TimeoutExpired:
            process.kill()
            out, err = process.communicate()
        return subprocess.CompletedProcess(command, process.wait(), out, err)

    def fork(self, *arguments: object, prefix: tuple[str, ...] = ()) -> "Forked":
        """Start ``cli.py`` as a call does, and do not wait for it."""
        command = [sys.executable, str(ROOT / "cli.py"), *map(str, arguments)]
        return Forked(command, self.environment, self.home, prefix)

    def start(self, *arguments: object) -> subprocess.Popen[str]:
        """Start ``cli.py``, with nothing imported, and do not wait for it; stderr is piped."""
        command = [sys.executable, str(ROOT / "cli.py"), *map(str, arguments)]
        return subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=self.environment,
            cwd=self.home,
        )

    def json(self, *arguments: object, code: int = 0) -> dict[str, Any]:
        """Run with --json, expect ``code``, and read the one object on stdout."""
        done = self(*arguments, "--json")
        assert done.returncode == code, done.stderr
        return dict(json.loads(done.stdout))

    def error(self, *arguments: object, code: int = 1) -> str:
        """Run, expect failure with ``code`` and one line, and return it."""
        done = self(*arguments)
        assert done.returncode == code, (done.returncode, done.stdout, done.stderr)
        assert "Traceback" not in done.stderr
        lines = [
            line
            for line in done.stderr.strip().splitlines()
            if line.startswith(("error:", "Error:"))
        ]
        assert len(lines) == 1, done.stderr
        return lines[0]


@functools.cache
def _fork_server(prefix: tuple[str, ...]) -> subprocess.Popen[str]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
    return subprocess.Popen(
        [*prefix, sys.executable, "-m", "helpers.fork_server"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
        cwd=ROOT / "tests",
        umask=0o022 if prefix else -1,
    )


class Forked:
    """A command that runs in a process forked from the server: as ``subprocess.Popen`` is used.

    ``prefix`` starts a server of its own, as another user for example.
    """

    def __init__(
        self, command: list[str], environment: dict[str, str], home: Path,
        prefix: tuple[str, ...] = (),
    ) -> None:  # fmt: skip
        self.args = command
        self.returncode: int | None = None
        self._folder = tempfile.TemporaryDirectory()
        names = ("out", "err", "code")
        self._out, self.err, self._code = (Path(self._folder.name) / name for name in names)
        order = {"argv": command[2:], "env": environment, "cwd": str(home)}
        Path(self._folder.name).chmod(0o777)
        for file in (self._out, self.err):
            file.touch()
            file.chmod(0o666)
        server = _fork_server(prefix)
        assert server.stdin and server.stdout
        files = {name: str(Path(self._folder.name) / name) for name in names}
        server.stdin.write(json.dumps(order | files) + "\n")
        server.stdin.flush()
        self.pid = int(server.stdout.readline())

    def poll(self) -> int | None:
        """The exit code, once it has ended."""
        if self.returncode is None and self._code.exists():
            self.returncode = int(self._code.read_text())
        return self.returncode

    def send_signal(self, sent: int) -> None:
        """To the process, unless it has ended."""
        if self.poll() is None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, sent)

    def kill(self) -> None:
        """SIGKILL."""
        self.send_signal(signal.SIGKILL)

    def wait(self, timeout: float = 900) -> int:
        """The exit code. Raises TimeoutExpired."""
        until = time.monotonic() + timeout
        while (code := self.poll()) is None:
            if time.monotonic() > until:
                raise subprocess.TimeoutExpired(self.args, timeout)
            time.sleep(0.01)
        return code

    def communicate(self, timeout: float = 900) -> tuple[str, str]:
        """What it wrote on stdout and stderr, once it has ended."""
        self.wait(timeout)
        return self._out.read_text(), self.err.read_text()


def digest(cache: Path) -> dict[str, str]:
    """Hash of every file of a cache's token array."""
    files = sorted((cache / "tokens").iterdir())
    return {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


def without_seconds(results: object) -> object:
    """Results without what depends on how fast the machine is."""
    if isinstance(results, dict):
        return {key: without_seconds(value) for key, value in results.items() if key != "seconds"}
    return [without_seconds(value) for value in results] if isinstance(results, list) else results
