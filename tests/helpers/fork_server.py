"""A process that has everything imported and forks for each command line.

A real process each, without seconds of importing torch.

Reads a JSON line a command on stdin, answers its process's id and then its exit code. Ray is not
imported before the fork.
"""

import atexit
import importlib
import json
import os
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
    """Import, then serve until stdin ends."""
    for room in ("cache", "train", "evaluate", "extract"):
        for file in sorted((ROOT / room).rglob("*.py")):
            name = ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
            if name != "extract.video.decoder_process":
                importlib.import_module(f"structalign.{name}")
    importlib.import_module("structalign.cli")
    for line in sys.stdin:
        child = os.fork()
        if not child:
            run(json.loads(line))
        print(child, flush=True)
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


if __name__ == "__main__":
    main()
