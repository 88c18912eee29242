"""How commands end: one line on stderr and an exit code for errors and interruptions."""

import shlex
import sys
from typing import Any

import click

from .console import ProgressLine, log_to_stderr
from .errors import StructAlignError
from .processes import INTERRUPTED, interrupt_on_sigterm

PROGRESS = "structalign.progress"


class ErrorLines(click.Group):
    """Commands that exit with 1 after an error, and with 130 after an interruption."""

    def invoke(self, context: click.Context) -> Any:
        """Run a command and turn its errors into one line and an exit code."""
        interrupt_on_sigterm()
        try:
            return super().invoke(context)
        except (StructAlignError, OSError) as error:
            if context.params.get("debug"):
                raise
            text = str(error)
            if isinstance(error, OSError):
                where = f": {error.filename}" if error.filename else ""
                text = f"{error.strerror or error}{where}; nothing unfinished was published"
            log_to_stderr(f"error: {text}")
            context.exit(1)
        except KeyboardInterrupt:
            progress: ProgressLine | None = context.find_root().meta.get(PROGRESS)
            at = f" at {progress.line}" if progress and progress.line else ""
            again = shlex.join(["structalign", *sys.argv[1:]])
            log_to_stderr(f"interrupted{at}")
            log_to_stderr(f"nothing is lost; the same command continues: {again}")
            context.exit(INTERRUPTED)


def start_progress(verb: str, unit: str, quiet: bool) -> ProgressLine:
    """A progress line; if the command is interrupted, its message contains the last state."""
    progress = ProgressLine(verb, unit, quiet)
    click.get_current_context().find_root().meta[PROGRESS] = progress
    return progress
