"""The ``serve`` command."""

from pathlib import Path

import click

from ..core import options
from ..core.errors import StructAlignError
from ..core.options import PATH, opt


@click.command("serve")
@click.argument("given", metavar="RUN...", type=PATH, nargs=-1, required=True)
@opt("--cache", help="Another cache to search too.")
@opt("--root", type=PATH, help="Where the videos are now.  [default: where they were]")
@opt("--host", default="127.0.0.1", help="Where to listen; any other host needs a token.")
@opt("--port", type=click.IntRange(0, 65535), default=8000, help="0 takes a free one.")
@opt("--token", envvar="STRUCTALIGN_TOKEN", help="What whoever asks must know.")
@options.device
@options.root
def serve_command(
    given: tuple[Path, ...], cache: str | None, root: Path | None, host: str, port: int,
    token: str | None, device: str, cache_root: Path | None,
) -> None:  # fmt: skip
    """Search finished runs in a browser, and by HTTP."""
    try:
        from .server import run_server
    except ImportError as error:
        raise StructAlignError(
            f"serve needs packages that are not here ({error.name}); "
            "pip install 'structalign[serve]'"
        ) from error
    run_server(given, cache, root, host, port, token, device, cache_root)
