"""The ``cache`` commands: list, describe, verify, export, import and remove."""

import pkgutil
from pathlib import Path
from typing import Any

import click

from ..core import options
from ..core.errors import StructAlignError
from ..core.options import PATH, opt, print_result
from ..core.progress import note_on_stderr

# Resolved by name: this room must not import extraction.
AUDIT = "structalign.extract.audit:audit"


@click.group("cache")
def cache_group() -> None:
    """List, check, share and remove caches."""


@cache_group.command("ls")
@options.root
@options.json
def ls(cache_root: Path | None, as_json: bool) -> None:
    """What is under the cache root, the newest first, unfinished caches last."""
    from .inventory import inventory, inventory_table
    from .root import CacheRoot

    entries = inventory(CacheRoot(cache_root))
    print_result({"caches": entries}, inventory_table(entries), as_json)


@cache_group.command("info")
@click.argument("reference", metavar="[CACHE]", required=False)
@options.root
@options.json
def info(reference: str | None, cache_root: Path | None, as_json: bool) -> None:
    """Everything that is known of a cache."""
    from .inventory import describe, description
    from .root import CacheRoot

    body = describe(CacheRoot(cache_root), reference)
    print_result(body, description(body), as_json)


@cache_group.command("verify")
@click.argument("reference", metavar="[CACHE]", required=False)
@opt("--deep", is_flag=True, help="Also extract a seeded sample of clips again and compare.")
@opt("--root", type=PATH, help="Where the videos are now, for --deep.  [default: where they were]")
@options.root
@options.json
@click.pass_context
def verify(
    context: click.Context, reference: str | None, deep: bool, root: Path | None,
    cache_root: Path | None, as_json: bool,
) -> None:  # fmt: skip
    """Read every byte of a cache and check it; exit code 4 if damage is found."""
    from .root import CacheRoot
    from .verify import summary
    from .verify import verify as check

    path = CacheRoot(cache_root).locate(reference)
    report = check(path)
    body: dict[str, Any] = {"ok": report.ok, "path": str(path), **report.as_json()}
    if deep and report.ok:
        body["deep"] = pkgutil.resolve_name(AUDIT)(path, root)
        body["ok"] = not body["deep"]["differing"]
    print_result(body, summary(body), as_json)
    context.exit(0 if body["ok"] else 4)


@cache_group.command("export")
@click.argument("file", type=PATH)
@click.argument("reference", metavar="[CACHE]", required=False)
@options.root
@options.json
def export(file: Path, reference: str | None, cache_root: Path | None, as_json: bool) -> None:
    """Write a cache into one HDF5 file."""
    from .hdf5 import export_hdf5
    from .root import CacheRoot

    cache = CacheRoot(cache_root).find(reference)
    export_hdf5(cache, file)
    size = file.stat().st_size
    body = {"fingerprint": cache.fingerprint, "file": str(file), "bytes": size}
    text = f"cache {cache.fingerprint[:12]}: {file}, {size / 1e6:.1f} MB"
    print_result(body, text, as_json)


@cache_group.command("import")
@click.argument("file", type=PATH)
@options.root
@options.json
def import_(file: Path, cache_root: Path | None, as_json: bool) -> None:
    """Check a bundle and publish it under the cache root."""
    from .hdf5 import import_hdf5
    from .root import CacheRoot

    root = CacheRoot(cache_root)
    root.open_for_writing()
    waits = "{} is importing this bundle; waiting for it"
    cache = import_hdf5(file, root, lambda holder: note_on_stderr(waits.format(holder)))
    body = {"fingerprint": cache.fingerprint, "path": str(cache.path)}
    print_result(body, f"cache {cache.fingerprint[:12]}: {cache.path}", as_json)


@cache_group.command("rm")
@click.argument("reference", metavar="[CACHE]", required=False)
@opt("--yes", is_flag=True, help="Do not ask.")
@options.root
@options.json
def rm(reference: str | None, yes: bool, cache_root: Path | None, as_json: bool) -> None:
    """Remove a cache, complete or unfinished, after asking."""
    from .root import CacheRoot

    root = CacheRoot(cache_root)
    unfinished = root.locate_unfinished(reference)
    path = unfinished or root.locate(reference)
    if isinstance(path, str):
        raise StructAlignError(f"{path} is not on this machine; remove it where it is")
    kind = "unfinished cache" if unfinished else "cache"
    if not yes and not _confirmed(f"Remove {kind} {path}?"):
        raise StructAlignError("nothing was removed; answer y, or give --yes")
    (root.abandon if unfinished else root.remove)(path)
    print_result({"removed": str(path)}, f"removed {path}", as_json)


def _confirmed(question: str) -> bool:
    try:
        return click.confirm(question, err=True)
    except click.Abort:  # nobody is there to answer
        click.echo(err=True)
        return False
