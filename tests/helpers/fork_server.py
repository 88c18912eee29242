"""A process that has everything imported and forks for each command line.

A real process each, without seconds of importing torch.

Reads a JSON line a command on stdin and answers its process's id; the exit code comes to a file of
the command's own when it has ended. Ray is not imported before the fork.
"""

import atexit
import importlib
import json
import os
import select
import signal
import sys
import traceback
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]


def run(order: dict[str, Any]) -> None:
    """In the forked child: become the command, and end with its exit code."""
    os.environ.clear()
    os.environ.update(order["env"])
    os.chdir(order["cwd"])
    for number, name, mode in (
        (0, os.devnull, os.O_RDONLY),
        (1, order["out"], os.O_WRONLY),
        (2, order["err"], os.O_WRONLY),
    ):
        os.dup2(os.open(name, mode), number)
    # A shell's background jobs ignore SIGINT: this one does not.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.argv = [str(ROOT / "cli.py"), *order["argv"]]
    code = 0
    try:
        importlib.import_module("structalign.cli").main()
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else int(error.code is not None)
    except BaseException:
        traceback.print_exc()
        code = 1
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def main() -> None:
    """Import, then serve until stdin ends. Several commands may run at once."""
    for room in ("cache", "train", "evaluate", "extract"):
        for file in sorted((ROOT / room).rglob("*.py")):
            name = ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
            if name != "extract.video.decoder_process":
                importlib.import_module(f"structalign.{name}")
    importlib.import_module("structalign.cli")
    running: dict[int, tuple[int, Path]] = {}  # by a descriptor that becomes readable at the end
    while True:
        ready, _, _ = select.select([0, *running], [], [])
        for descriptor in ready:
            if descriptor:
                child, code = running.pop(descriptor)
                os.close(descriptor)
                _, status = os.waitpid(child, 0)
                written = code.with_suffix(".part")
                written.write_text(str(os.waitstatus_to_exitcode(status)))
                written.rename(code)
                continue
            line = sys.stdin.buffer.raw.readline()  # type: ignore[union-attr]
            if not line:
                return
            order = json.loads(line)
            child = os.fork()
            if not child:
                run(order)
            running[os.pidfd_open(child)] = (child, Path(order["code"]))
            print(child, flush=True)


if __name__ == "__main__":
    main()
