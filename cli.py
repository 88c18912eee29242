"""The command line: parse, call one function, print."""

import os
import shlex
import sys
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

if not __package__:  # run as a file: this folder is the package (PEP 366)
    from importlib import util

    own = util.spec_from_file_location("structalign", Path(__file__).with_name("__init__.py"))
    assert own and own.loader
    sys.modules["structalign"] = util.module_from_spec(own)
    own.loader.exec_module(sys.modules["structalign"])
    __package__ = "structalign"

from . import __version__
from .core import options
from .core.console import log_to_stderr, log_unless
from .core.error_lines import ErrorLines, start_progress
from .core.errors import StructAlignError
from .core.options import PATH, POSITIVE, NameOrFile, opt, options_of, print_result
from .extract.datasets.registry import dataset_class, dataset_names
from .extract.settings import ExtractOptions

_checkpoint_every = opt(
    "--checkpoint-every", type=click.FloatRange(min=0), default=60.0, metavar="SECONDS",
    help="Keep the state inside a task at the end of an epoch, at most so often.",
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
    ExtractOptions, *map(dataset_class, dataset_names()),
    dataset=NameOrFile(dataset_names()), frames=POSITIVE, views=POSITIVE, adapted_blocks=POSITIVE,
    limit=POSITIVE, workers=POSITIVE, cut=click.IntRange(min=0), max_bad=options.SHARE,
    decode_timeout=click.FloatRange(min=0, min_open=True),
)  # fmt: skip
@opt(
    "--set",
    "pairs",
    type=options.SETTING,
    multiple=True,
    help="An option of your own dataset's file; repeats.",
)
@options.json
@click.pass_context
def extract(
    context: click.Context, /, pairs: tuple[tuple[str, Any], ...], as_json: bool, **values: Any
) -> None:
    """Decode each video once and write the frozen part's tokens to a cache."""
    default = ParameterSource.DEFAULT  # datasets have options of their own: pass what was given
    given = {name: values[name] for name in values if context.get_parameter_source(name) != default}
    report = _extract(as_json, **{**given, **dict(pairs)})
    print_result(report.to_json(), report.summary(), as_json)
    for line in report.quarantined():
        log_unless(as_json)(line)
    context.exit(3 if report.cache.quarantine else 0)


@main.command()
@opt("--cache", help="A cache: folder, fingerprint or dataset.  [default: the newest]")
@opt("--tasks", type=options.TASKS, required=True, help="K, the number of tasks, or sizes: 3,3,2.")
@options.order
@opt("--method", default="structalign", help="A method's name, or your own .py file.")
@opt("--seed", default=0, help="Seed of initialisation, batches, noise and replay.")
@opt("--until", type=POSITIVE, help="Stop after this task; without it, the run goes on.")
@options.device
@opt("--out", type=PATH, help="The run's folder.  [default: named after what is run, under --runs]")
@options.changes
@opt("--overwrite", is_flag=True, help="Begin anew where a run exists.")
@_checkpoint_every
@options.runs
@options.root
@options.json
def train(as_json: bool, pairs: tuple[tuple[str, Any], ...], **given: Any) -> None:
    """Learn K tasks one after another from a cache; a run that exists is resumed."""
    _train(as_json, settings=dict(pairs), **given)


@main.command()
@click.argument("run", type=PATH)
@opt("--cache", required=True, help="The cache to learn next.")
@opt("--tasks", type=options.TASKS, default="1", help="Its tasks: how many, or sizes: 3,2.")
@options.order
@options.device
@_checkpoint_every
@options.root
@options.json
def append(
    run: Path, cache: str, tasks: Any, order: str | None, device: str, checkpoint_every: float,
    cache_root: Path | None, as_json: bool,
) -> None:  # fmt: skip
    """Teach a finished RUN the categories of another cache as its next tasks."""
    from . import open_cache, open_run, verbs

    opened = open_run(run, cache_root=cache_root, device=device)
    grown = verbs.append(
        opened, open_cache(cache, cache_root), tasks, order=order,
        checkpoint_every=checkpoint_every, **_told(as_json),
    )  # fmt: skip
    _print_trained(grown, as_json)


@main.command("eval")
@click.argument("run", type=PATH, required=False)
@opt("--cache", help="The run's cache, if it is no longer where it was.")
@opt("--again", is_flag=True, help="Compute even when nothing has changed.")
@options.device
@options.runs
@options.root
@options.json
def evaluate(run: Path | None, again: bool, as_json: bool, runs: Path | None, **where: Any) -> None:
    """Compute a run's figures again from its checkpoints and stored gallery."""
    from . import open_run
    from .evaluate import evaluate as compute
    from .evaluate.results import is_up_to_date, read_results

    path = _run_path(run, runs)
    if not again and not where["cache"] and is_up_to_date(path):
        log_unless(as_json)("nothing has changed since; --again computes these figures again")
        return _print_results(read_results(path), path, as_json)
    results = compute(open_run(path, **where))
    _print_results(results.to_json(), path, as_json)


@main.command()
@click.argument("given", metavar="[RUN]...", type=PATH, nargs=-1)
@opt("--out", type=PATH, help="The file.  [default: report.html in the run, or here for several]")
@options.runs
@options.root
@options.json
def report(given: tuple[Path, ...], out: Path | None, as_json: bool, **roots: Any) -> None:
    """Make one HTML page of some finished runs, to be read anywhere."""
    from .evaluate.report import write_report
    from .search.thumbnails import middle_frames

    paths = list(given) or [_run_path(None, roots["runs"])]
    target = write_report(paths, out, roots["cache_root"], middle_frames)
    print_result({"file": str(target), "runs": [str(path) for path in paths]}, str(target), as_json)


@main.command()
@click.argument("run_and_query", metavar="[RUN] QUERY", nargs=-1, required=True)
@opt("--top", type=POSITIVE, default=5, help="How many clips to show.")
@opt("--cache", help="Another cache to search too; or the run's own, where it is now.")
@opt("--only", is_flag=True, help="Search the clips of --cache alone.")
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
    """Find a run's clips by words, and say why. Without RUN, the newest."""
    from . import open_cache, open_run
    from .search import search as find
    from .train.runs.folder import read_run_config

    if len(run_and_query) > 2:
        raise click.UsageError("give one run and one query; put the query in quotes")
    path = _run_path(Path(run_and_query[0]) if len(run_and_query) == 2 else None, runs)
    own = [part["fingerprint"] for part in read_run_config(path)["parts"]]
    named = open_cache(cache, cache_root) if cache else None
    added = named if named and named.fingerprint not in own else None
    if only and not added:
        raise click.UsageError("--only needs --cache with another cache than the run's")
    opened = open_run(path, named if added is None else None, cache_root, device)
    found = find(opened, run_and_query[-1], top, cache=added, only=only)
    if found.is_truncated:
        log_to_stderr("the query is longer than the text tower reads; its end was not used")
    if thumbnails:
        from .search.thumbnails import write_thumbnails

        write_thumbnails(found, thumbnails, root, log_to_stderr)
    print_result(found.to_json(), found.table(), as_json)


@main.command()
@opt("--methods", required=True, help="Methods with commas between.")
@opt("--seeds", type=options.NUMBERS, default="0,1,2", help="Training seeds with commas between.")
@opt("--tasks", type=options.TASKS, required=True, help="K, the number of tasks, or sizes: 3,3,2.")
@opt("--orders", type=options.NUMBERS, help="Seeds of class orders, each a run of its own.")
@opt("--grid", type=options.GRID, multiple=True, help="Values of a setting (or A+B); repeats.")
@opt("--choose", help="Choose the grid's values by this cache's held-out training clips.")
@opt("--caches", help="Caches with commas between.  [default: the newest]")
@options.changes
@opt("--out", type=PATH, help="Where runs and tables go.  [default: sweep, under --runs]")
@options.ray
@options.device
@options.runs
@options.root
@options.json
def sweep(
    methods: str, caches: str | None, pairs: tuple[tuple[str, Any], ...],
    grid: tuple[tuple[str, Any], ...], choose: str | None,
    out: Path | None, device: str, runs: Path | None, cache_root: Path | None, as_json: bool,
    **given: Any,
) -> None:  # fmt: skip
    """Run every combination of methods, seeds and caches, and print mean ± sd per method."""
    from . import open_cache
    from .core.device import resolve_device
    from .experiments.sweep import sweep as run_all
    from .experiments.sweep import sweep_table
    from .train.runs.folder import runs_folder

    opened = [open_cache(name, cache_root) for name in (caches.split(",") if caches else [None])]
    if len(dict(grid)) < len(grid):
        raise click.UsageError("--grid names a setting twice; give all of its values at once")
    if choose and not grid:
        raise click.UsageError("--choose needs --grid: the values to choose from")
    folder = out or runs_folder(runs) / "sweep"
    given["orders"] = given["orders"] or ()
    given["choose_on"] = open_cache(choose, cache_root) if choose else None
    body = run_all(
        opened, methods.split(","), out=folder, settings=dict(pairs), grid=dict(grid),
        device=resolve_device(device).type, progress=start_progress("sweep", "runs", as_json),
        **given,
    )  # fmt: skip
    print_result(body, f"{sweep_table(body)}\n\n{folder / 'sweep.json'}", as_json)


@main.command()
@opt("--seed", default=0, help="Seed of the world and of the training.")
@opt("--tasks", type=POSITIVE, default=10, help="K, the number of tasks.")
@opt("--limit", type=POSITIVE, help="About this many clips, spread over categories and splits.")
@opt("--conflict", type=options.SHARE, default=0.5, help="How much words change their meaning.")
@opt("--out", type=PATH, help="The run's folder.")
@options.runs
@options.root
@options.json
def demo(
    seed: int, tasks: int, limit: int | None, conflict: float, out: Path | None,
    runs: Path | None, cache_root: Path | None, as_json: bool,
) -> None:  # fmt: skip
    """World, extraction, training and evaluation in one go."""
    made = _extract(as_json, seed=seed, limit=limit, conflict=conflict, cache_root=cache_root)
    _train(
        as_json, str(made.cache.path), method="structalign", tasks=tasks, seed=seed, out=out,
        runs=runs,
    )  # fmt: skip


@main.command()
@click.argument("given", metavar="RUN...", type=PATH, nargs=-1, required=True)
@opt("--cache", help="Another cache to search too.")
@opt("--root", type=PATH, help="Where the videos are now.  [default: where they were]")
@opt("--host", default="127.0.0.1", help="Where to listen; any other host needs a token.")
@opt("--port", type=click.IntRange(0, 65535), default=8000, help="0 takes a free one.")
@opt("--token", envvar="STRUCTALIGN_TOKEN", help="What whoever asks must know.")
@options.device
@options.root
def serve(
    given: tuple[Path, ...], cache: str | None, root: Path | None, host: str, port: int,
    token: str | None, device: str, cache_root: Path | None,
) -> None:  # fmt: skip
    """Search finished runs in a browser, and by HTTP."""
    try:
        from .search.web.server import run_server
    except ImportError as error:
        raise StructAlignError(
            f"serve needs packages that are not here ({error.name}); "
            "pip install 'structalign[serve]'"
        ) from error
    run_server(given, cache, root, host, port, token, device, cache_root)


@main.group("cache")
def cache_group() -> None:
    """List, check, share and remove caches."""


@cache_group.command("ls")
@options.root
@options.json
def ls(cache_root: Path | None, as_json: bool) -> None:
    """What is under the cache root, the newest first, unfinished caches last."""
    from .cache.inventory import inventory, inventory_table
    from .cache.root import CacheRoot

    entries = inventory(CacheRoot(cache_root))
    print_result({"caches": entries}, inventory_table(entries), as_json)


@cache_group.command("info")
@click.argument("reference", metavar="[CACHE]", required=False)
@options.root
@options.json
def info(reference: str | None, cache_root: Path | None, as_json: bool) -> None:
    """Everything that is known of a cache."""
    from .cache.inventory import describe, description
    from .cache.root import CacheRoot

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
    from .cache.root import CacheRoot
    from .cache.verify import summary
    from .cache.verify import verify as check

    path = CacheRoot(cache_root).locate(reference)
    report = check(path)
    body: dict[str, Any] = {"ok": report.ok, "path": str(path), **report.as_json()}
    if deep and report.ok:
        from .extract.audit import audit

        body["deep"] = audit(path, root)
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
    from .cache.hdf5 import export_hdf5
    from .cache.root import CacheRoot

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
    from .cache.hdf5 import import_hdf5
    from .cache.root import CacheRoot

    root = CacheRoot(cache_root)
    root.open_for_writing()
    waits = "{} is importing this bundle; waiting for it"
    cache = import_hdf5(file, root, lambda holder: log_to_stderr(waits.format(holder)))
    body = {"fingerprint": cache.fingerprint, "path": str(cache.path)}
    print_result(body, f"cache {cache.fingerprint[:12]}: {cache.path}", as_json)


@cache_group.command("rm")
@click.argument("reference", metavar="[CACHE]", required=False)
@opt("--yes", is_flag=True, help="Do not ask.")
@options.root
@options.json
def rm(reference: str | None, yes: bool, cache_root: Path | None, as_json: bool) -> None:
    """Remove a cache, complete or unfinished, after asking."""
    from .cache.root import CacheRoot

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


def _extract(as_json: bool, /, **given: Any) -> Any:
    from .extract.pipeline import run_extraction

    progress = start_progress("extract", "clips", as_json)
    return run_extraction(given, progress, log_unless(as_json))


def _train(
    as_json: bool, cache: str | None = None, cache_root: Path | None = None, **given: Any,
) -> None:  # fmt: skip
    from . import open_cache, verbs

    opened = open_cache(cache, cache_root)
    if cache is None:
        log_unless(as_json)(
            f"cache {opened.fingerprint[:12]} ({opened.catalog.dataset}), the newest"
        )
    run = verbs.train(opened, **given, **_told(as_json))
    _print_trained(run, as_json)


def _told(as_json: bool) -> dict[str, Any]:
    return {
        "progress": start_progress("train", "epochs", as_json), "note": log_unless(as_json)
    }  # fmt: skip


def _print_trained(run: Any, as_json: bool) -> None:
    from .evaluate.results import read_results

    _print_results(read_results(run.path), run.path, as_json)
    folder = shlex.quote(str(run.path))
    log_unless(as_json)(
        f"next: structalign report {folder}, structalign search {folder} 'your words'"
    )


def _run_path(run: Path | None, runs: Path | None) -> Path:
    from .train.runs.folder import newest_run, runs_folder

    return run or newest_run(runs_folder(runs))


def _print_results(results: dict[str, Any], path: Path, as_json: bool) -> None:
    from .evaluate.report.console import results_table

    print_result(results, f"{results_table(results)}\n\n{path / 'results.json'}", as_json)


if __name__ == "__main__":
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    main()
