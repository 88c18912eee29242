"""The import path for child processes: they must run this very package, installed or not."""

import atexit
import functools
import os
import shutil
import sys
import tempfile
from pathlib import Path

PACKAGE = Path(__file__).parents[1]


def child_python_path() -> str:
    """PYTHONPATH for a child process in which ``import structalign`` finds this package."""
    return os.pathsep.join(filter(None, [_folder(), os.environ.get("PYTHONPATH", "")]))


@functools.cache
def _folder() -> str | None:
    """A folder with a link to this package; None where a child finds it by itself, installed."""
    for finder in sys.meta_path:
        spec = finder.find_spec("structalign", None)
        if spec is not None and spec.origin is not None:
            if Path(spec.origin).resolve() == (PACKAGE / "__init__.py").resolve():
                return None
            break
    folder = tempfile.mkdtemp(prefix="structalign-import-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    (Path(folder) / "structalign").symlink_to(PACKAGE.resolve())
    return folder
