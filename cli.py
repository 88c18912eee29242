"""The command line: parse, call one function, print its result."""

import json
import os
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

if not __package__:  # run as a file: this folder is the package (PEP 366)
    from importlib import util

    spec = util.spec_from_file_location("structalign", Path(__file__).with_name("__init__.py"))
    assert spec and spec.loader
    sys.modules["structalign"] = util.module_from_spec(spec)
    spec.loader.exec_module(sys.modules["structalign"])
    __package__ = "structalign"

from . import __version__, verbs
from .core import options
from .core.console import log_to_stderr, log_unless, printable
from .core.defaults import CHECKPOINT_EVERY, METHOD, SEED, SEEDS, TASKS, TOP
from .core.error_lines import ErrorLines, start_progress
from .core.errors import StructAlignError
from .core.options import PATH, POSITIVE, opt, options_of
from .core.processes import INTERRUPTED
from .extract.datasets.registry import dataset_class, dataset_names
from .extract.settings import ExtractOptions

if TYPE_CHECKING:
    from .cache.root import CacheRoot

_checkpoint_every = opt(
    "--checkpoint-every", type=click.FloatRange(min=0), default=CHECKPOINT_EVERY, metavar="SECONDS",
    help="Least time between checkpoints inside a task; they are taken at the end of an epoch.",
)  # fmt: skip


@click.group(
    cls=ErrorLines,
    context_settings={"max_content_width": 100, "help_option_names": ["-h", "--help"]},
)
@click.version_option(__version__, prog_name="structalign")
@opt("--debug", is_flag=True, help="Show the traceback of an error.")
def main(debug: bool) -> None:
    """Continual text-to-video retrieval from cached CLIP tokens."""


@main.command()
@options_of(
    ExtractOptions,
    *map(dataset_class, dataset_names()),
    dataset=f"[{'|'.join(dataset_names())}|FILE.py]",
)
@options.changes(help="An option of your own dataset's file; may be given several times.")
@options.ray
@options.device
@options.root
@options.json
@click.pass_context
def extract(
    context: click.Context, /, pairs: tuple[tuple[str, Any], ...], as_json: bool, **values: Any
) -> None:
    """Decode each video once and write the frozen part's tokens to a cache."""
    default = ParameterSource.DEFAULT  # datasets have options of their own: pass what was given
    given = {name: values[name] for name in values if context.get_parameter_source(name) != default}
    extraction = _extract(as_json, **{**given, **dict(pairs)})
    _print_result(extraction.to_json(), extraction.summary(), as_json)
    for line in extraction.quarantined():
        log_unless(as_json)(line)
    context.exit(3 if extraction.cache.quarantine else 0)


@main.command()
@opt("--cache", help="A cache: its folder, fingerprint or dataset.  [default: the newest]")
@opt("--tasks", type=options.TASKS, required=True, help="K, the number of tasks, or sizes: 3,3,2.")
@options.order
@opt("--method", default=METHOD, help="A method's name, or your own .py file.")
@opt("--seed", default=SEED, help="Seed of initialisation, batches, noise and replay.")
@opt("--until", type=POSITIVE, help="Stop after this task; a later call without it continues.")
@options.device
@opt("--out", type=PATH, help="The run's folder.  [default: named after method, data and seed, "
     "under --runs]")  # fmt: skip
@options.changes(help="Change a setting; may be given several times.")
@opt("--overwrite", is_flag=True, help="Delete the run that exists and start again.")
@_checkpoint_every
@options.runs
@options.root
@options.json
def train(as_json: bool, pairs: tuple[tuple[str, Any], ...], **given: Any) -> None:
    """Train K tasks one after another from a cache; a run that exists is resumed."""
    _train(as_json, settings=dict(pairs), **given)


@main.command()
@click.argument("run", type=PATH)
@opt("--cache", required=True, help="The cache with the next categories.")
@opt("--tasks", type=options.TASKS, default="1", help="Number of its tasks, or sizes: 3,2.")
@options.order
@options.device
@_checkpoint_every
@options.root
@options.json
def append(
    run: Path, cache: str, device: str, cache_root: Path | None, as_json: bool, **given: Any
) -> None:
    """Train a finished RUN on the categories of another cache, as its next tasks."""
    opened = verbs.open_run(run, cache_root=cache_root, device=device)
    added = verbs.open_cache(cache, cache_root)
    _print_trained(verbs.append(opened, added, **given, **_reporting(as_json)), as_json)


@main.command("eval")
@click.argument("run", type=PATH, required=False)
@opt("--cache", help="The run's cache, if it is no longer where it was.")
@opt("--again", is_flag=True, help="Compute even if nothing has changed.")
@options.device
@options.runs
@options.root
@options.json
def evaluate(run: Path | None, again: bool, as_json: bool, runs: Path | None, **where: Any) -> None:
    """Compute the figures of RUN, or of the newest finished one, again from what it stored."""
    from .evaluate.results import is_up_to_date, read_results

    path = _run_path(run, runs, as_json)
    if not again and not where["cache"] and is_up_to_date(path):
        log_unless(as_json)("nothing has changed; --again computes these figures again")
        return _print_results(read_results(path), path, as_json)
    results = verbs.evaluate(verbs.open_run(path, **where))
    _print_results(results.to_json(), path, as_json)


@main.command()
@click.argument("given", metavar="[RUN|SWEEP]...", type=PATH, nargs=-1)
@opt(
    "--out", type=PATH, help="The file.  [default: report.html in the folder, or here for several]"
)
@options.runs
@options.root
@options.json
def report(
    given: tuple[Path, ...], out: Path | None, runs: Path | None, cache_root: Path | None,
    as_json: bool,
) -> None:  # fmt: skip
    """Write one self-contained HTML page about finished runs, or about all runs of a sweep."""
    from .evaluate.report.finished_runs import runs_of

    folders = given or (_run_path(None, runs, as_json),)
    file = verbs.report(folders, out, cache_root)
    paths = [str(path) for folder in folders for path in runs_of(folder)]
    _print_result({"file": str(file), "runs": paths}, str(file), as_json)


@main.command()
@click.argument("run_and_query", metavar="[RUN] QUERY", nargs=-1, required=True)
@opt("--top", type=POSITIVE, default=TOP, help="Number of clips to show.")
@opt("--cache", help="Another cache to search too; or the run's own, where it is now.")
@opt("--only", is_flag=True, help="Search only the clips of --cache.")
@opt("--thumbnails", type=PATH, help="Write the best frame of each clip into this folder.")
@opt("--root", type=PATH, help="Where the videos are now.  [default: where they were]")
@options.device
@options.runs
@options.root
@options.json
def search(
    run_and_query: tuple[str, ...], top: int, cache: str | None, only: bool,
    thumbnails: Path | None, root: Path | None, device: str, runs: Path | None,
    cache_root: Path | None, as_json: bool,
) -> None:  # fmt: skip
    """Search the clips of RUN, or of the newest finished one, by words; put -- before a dash."""
    *run, query = run_and_query
    if len(run) > 1:
        raise click.UsageError("give one run and one query; put the query in quotes")
    path = _run_path(Path(run[0]) if run else None, runs, as_json)
    opened, added = verbs.open_run_and_cache(path, cache, cache_root, device)
    if only and added is None:
        raise click.UsageError("--only needs --cache with another cache than the run's")
    results = verbs.search(opened, query, top, cache=added, only=only)
    if results.is_truncated:
        log_to_stderr("the query is longer than the text tower reads; its end was not used")
    if thumbnails:
        from .search.thumbnails import write_thumbnails

        write_thumbnails(results, thumbnails, root, log_to_stderr)
    _print_result(results.to_json(), results.table(), as_json)


@main.command()
@opt("--methods", required=True, help="Methods, separated by commas.")
@opt("--seeds", type=options.NUMBERS, default=",".join(map(str, SEEDS)),
     help="Training seeds, separated by commas.")  # fmt: skip
@opt("--tasks", type=options.TASKS, required=True, help="K, the number of tasks, or sizes: 3,3,2.")
@opt("--orders", type=options.NUMBERS, help="Seeds of class orders, each a run of its own.")
@opt("--grid", type=options.GRID, multiple=True,
     help="Values of a setting, or of several (A+B=...); may be given several times.")  # fmt: skip
@opt("--choose", help="Choose the grid's values by this cache's held-out training clips.")
@opt("--caches", help="Caches, separated by commas.  [default: the newest]")
@options.changes(help="Change a setting; may be given several times.")
@opt("--out", type=PATH, help="Where runs and tables go.  [default: sweep, under --runs]")
@options.ray
@options.device
@options.runs
@options.root
@options.json
def sweep(
    methods: str, caches: str | None, orders: tuple[int, ...] | None,
    pairs: tuple[tuple[str, Any], ...], grid: tuple[tuple[str, Any], ...], choose: str | None,
    as_json: bool, **given: Any,
) -> None:  # fmt: skip
    """Run every combination of methods, seeds and caches, and print mean ± sd per method."""
    from .experiments.sweep import sweep_table

    if len(dict(grid)) < len(grid):
        raise click.UsageError("--grid names a setting twice; give all of its values at once")
    if choose and not grid:
        raise click.UsageError("--choose needs --grid: the values to choose from")
    body = verbs.sweep(
        methods.split(","), caches=caches.split(",") if caches else None, orders=orders or (),
        settings=dict(pairs), grid=dict(grid), choose=choose,
        progress=start_progress("sweep", "runs", as_json), **given,
    )  # fmt: skip
    _print_result(body, f"{sweep_table(body)}\n\n{body['file']}", as_json)


@main.command()
@opt("--seed", type=click.IntRange(min=0), default=SEED, help="Seed of world and training.")
@opt("--tasks", type=POSITIVE, default=TASKS, help="K, the number of tasks.")
@opt("--limit", type=POSITIVE, help="About this many clips, spread over categories and splits.")
@opt("--conflict", type=options.SHARE, default=0.5,
     help="Share of shared words that change their meaning every two categories.")  # fmt: skip
@opt("--out", type=PATH, help="The run's folder.")
@options.runs
@options.root
@options.json
def demo(
    seed: int, tasks: int, out: Path | None, runs: Path | None, as_json: bool, **world: Any
) -> None:
    """Make a small world of videos, extract it, train on it and evaluate, in one go."""
    cache = str(_extract(as_json, seed=seed, **world).cache.path)
    _train(as_json, cache, tasks=tasks, seed=seed, out=out, runs=runs)


@main.command()
@click.argument("given", metavar="RUN...", type=PATH, nargs=-1, required=True)
@opt("--cache", help="Another cache to search too.")
@opt("--root", type=PATH, help="Where the videos are now.  [default: where they were]")
@opt("--host", default="127.0.0.1", help="Address to listen on; any other needs --token.")
@opt("--port", type=click.IntRange(0, 65535), default=8000, help="Port; 0 takes a free one.")
@opt("--token", envvar="STRUCTALIGN_TOKEN",
     help="Secret that every request must carry.  [default: STRUCTALIGN_TOKEN]")  # fmt: skip
@options.device
@options.root
@click.pass_context
def serve(context: click.Context, /, given: tuple[Path, ...], **settings: Any) -> None:
    """Search finished runs in a browser, and by HTTP."""
    try:
        from .search.web.server import run_server
    except ImportError as error:
        raise StructAlignError(
            f"serve needs packages that are not installed ({error.name}); "
            "pip install 'structalign[serve]'"
        ) from error
    try:
        run_server(given, **settings)
    except KeyboardInterrupt:
        log_to_stderr("the server has ended")
        context.exit(INTERRUPTED)


@main.command("verify")
@click.argument("run", type=PATH)
@options.json
@click.pass_context
def verify_run(context: click.Context, run: Path, as_json: bool) -> None:
    """Read every file of a RUN and check it; exit code 4 if damage is found."""
    from .train.runs import verify

    body = {"path": str(run), **verify.verify_run(run).as_json()}
    _print_result(body, verify.summary(body), as_json)
    context.exit(0 if body["ok"] else 4)


@main.group("cache")
def cache_group() -> None:
    """List, check, share and remove caches."""


@cache_group.command("ls")
@options.root
@options.json
def ls(cache_root: Path | None, as_json: bool) -> None:
    """List the caches under the cache root, newest first, unfinished ones last."""
    from .cache.inventory import inventory, inventory_table

    entries = inventory(_root(cache_root))
    _print_result({"caches": entries}, inventory_table(entries), as_json)


@cache_group.command("info")
@click.argument("reference", metavar="[CACHE]", required=False)
@options.root
@options.json
def info(reference: str | None, cache_root: Path | None, as_json: bool) -> None:
    """Show everything that is known about a cache."""
    from .cache.inventory import describe, description

    body = describe(_root(cache_root), reference)
    _print_result(body, description(body), as_json)


@cache_group.command("verify")
@click.argument("reference", metavar="[CACHE]", required=False)
@opt("--deep", is_flag=True, help="Also extract a random sample of clips again and compare.")
@opt("--root", type=PATH, help="Where the videos are now, for --deep.  [default: where they were]")
@options.root
@options.json
@click.pass_context
def verify(
    context: click.Context, reference: str | None, deep: bool, root: Path | None,
    cache_root: Path | None, as_json: bool,
) -> None:  # fmt: skip
    """Read every byte of a cache and check it; exit code 4 if damage is found."""
    from .cache import verify as check

    path = _root(cache_root).locate(reference)
    verified = check.verify(path)
    body: dict[str, Any] = {"ok": verified.ok, "path": str(path), **verified.as_json()}
    if deep and verified.ok:
        from .extract.audit import audit

        body["deep"] = audit(path, root)
        body["ok"] = not body["deep"]["differing"]
    _print_result(body, check.summary(body), as_json)
    context.exit(0 if body["ok"] else 4)


@cache_group.command("export")
@click.argument("file", type=PATH)
@click.argument("reference", metavar="[CACHE]", required=False)
@options.root
@options.json
def export(file: Path, reference: str | None, cache_root: Path | None, as_json: bool) -> None:
    """Write a cache into one HDF5 file."""
    from .cache.hdf5 import export_hdf5

    cache = verbs.open_cache(reference, cache_root)
    export_hdf5(cache, file)
    size = file.stat().st_size
    body = {"fingerprint": cache.fingerprint, "file": str(file), "bytes": size}
    text = f"cache {cache.fingerprint[:12]}: {file}, {size / 1e6:.1f} MB"
    _print_result(body, text, as_json)


@cache_group.command("import")
@click.argument("file", type=PATH)
@options.root
@options.json
def import_(file: Path, cache_root: Path | None, as_json: bool) -> None:
    """Check a bundle and publish it under the cache root."""
    from .cache.hdf5 import import_hdf5

    root = _root(cache_root)
    root.open_for_writing()
    waiting = "{} is importing this bundle; waiting for it"
    cache = import_hdf5(file, root, lambda holder: log_to_stderr(waiting.format(holder)))
    body = {"fingerprint": cache.fingerprint, "path": str(cache.path)}
    _print_result(body, f"cache {cache.fingerprint[:12]}: {cache.path}", as_json)


@cache_group.command("derive")
@click.argument("reference", metavar="CACHE")
@opt("--cut", type=click.Choice(["all"]), required=True, help="What to freeze: the whole tower.")
@opt(
    "--grid",
    type=click.Choice(["none", "2", "3"]),
    default="2",
    help="Embed the cells of a grid over each frame, too.",
)
@options.device
@options.root
@options.json
def derive(
    reference: str, cut: str, grid: str, device: str, cache_root: Path | None, as_json: bool
) -> None:  # fmt: skip
    """Make the cache of a whole tower from a deeper cache's tokens, without the videos."""
    from .extract.derive import derive as make

    cache, cells = verbs.open_cache(reference, cache_root), 0 if grid == "none" else int(grid)
    progress = start_progress("derive", "clips", as_json)
    made = make(cache, _root(cache_root), cells, device, progress, log_unless(as_json))
    _print_result(made.to_json(), made.summary(), as_json)


@cache_group.command("rm")
@click.argument("reference", metavar="[CACHE]", required=False)
@opt("--yes", is_flag=True, help="Do not ask for confirmation.")
@options.runs
@options.root
@options.json
def rm(
    reference: str | None, yes: bool, runs: Path | None, cache_root: Path | None, as_json: bool
) -> None:  # fmt: skip
    """Remove a cache, complete or unfinished, after asking; runs that need it are named."""
    from .train.runs.folder import runs_folder, runs_that_need

    root = _root(cache_root)
    unfinished = root.locate_unfinished(reference)
    path = unfinished or root.locate(reference)
    if isinstance(path, str):
        raise StructAlignError(f"{path} is not on this machine; remove it where it is")
    kind = "unfinished cache" if unfinished else "cache"
    needing = [] if unfinished else runs_that_need(path.name[:32], runs_folder(runs))
    if needing:
        log_to_stderr(
            f"{len(needing)} of the runs under {runs_folder(runs)} need this cache to be resumed, "
            f"measured and searched: {', '.join(map(str, needing))}"
        )
    if not yes and not _confirmed(f"Remove {kind} {path}?"):
        raise StructAlignError("nothing was removed; answer y, or give --yes")
    (root.abandon if unfinished else root.remove)(path)
    body = {"removed": str(path), "needed_by": [str(run) for run in needing]}
    _print_result(body, f"removed {path}", as_json)


def _root(path: Path | None) -> "CacheRoot":
    from .cache.root import CacheRoot

    return CacheRoot(path)


def _confirmed(question: str) -> bool:
    try:
        return click.confirm(question, err=True)
    except click.Abort:  # no terminal, or Ctrl-C
        click.echo(err=True)
        return False


def _extract(as_json: bool, /, **given: Any) -> Any:
    from .extract.pipeline import run_extraction

    progress = start_progress("extract", "clips", as_json)
    return run_extraction(given, progress, log_unless(as_json))


def _train(
    as_json: bool, cache: str | None = None, cache_root: Path | None = None, **given: Any
) -> None:
    opened = verbs.open_cache(cache, cache_root)
    if cache is None:
        shown = f"cache {opened.fingerprint[:12]} ({opened.catalog.dataset}), the newest"
        log_unless(as_json)(shown)
    _print_trained(verbs.train(opened, **given, **_reporting(as_json)), as_json)


def _reporting(as_json: bool) -> dict[str, Any]:
    progress = start_progress("train", "epochs", as_json)
    return {"progress": progress, "note": log_unless(as_json)}


def _print_trained(run: Any, as_json: bool) -> None:
    from .evaluate.results import read_results

    _print_results(read_results(run.path), run.path, as_json)
    folder = shlex.quote(str(run.path))
    following = f"structalign report {folder}, structalign search {folder} 'your words'"
    log_unless(as_json)(f"next: {following}")


def _run_path(run: Path | None, runs: Path | None, as_json: bool) -> Path:
    """The given run, or the newest finished one, which is then logged."""
    from .train.runs.folder import is_finished, newest_run, runs_folder

    if run is None:
        run = newest_run(runs_folder(runs))
        which = "newest finished" if is_finished(run) else "newest; none is finished"
        log_unless(as_json)(f"run {run}, the {which}")
    return run


def _print_result(body: dict[str, Any], text: str, as_json: bool) -> None:
    """Print one JSON object, or text for a person."""
    click.echo(json.dumps(body) if as_json else printable(text))


def _print_results(results: dict[str, Any], path: Path, as_json: bool) -> None:
    from .evaluate.report.console import results_table

    _print_result(results, f"{results_table(results)}\n\n{path / 'results.json'}", as_json)


if __name__ == "__main__":
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    main()
