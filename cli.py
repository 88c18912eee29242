"""StructAlign's command line: extract, train, eval. It parses, calls one function, prints."""

import json
import os
import shlex
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from cache.errors import StructAlignError
from cache.progress import ProgressLine

PROGRESS = "structalign.progress"


class Lines(click.Group):
    """Errors as one line on stderr with the contract's exit codes."""

    def invoke(self, context: click.Context) -> Any:
        """Run a command."""
        try:
            return super().invoke(context)
        except StructAlignError as error:
            if context.params.get("debug"):
                raise
            click.echo(f"error: {error}", err=True)
            context.exit(1)
        except OSError as error:
            if context.params.get("debug"):
                raise
            click.echo(
                f"error: {error.strerror or error}{f': {error.filename}' if error.filename else ''}; nothing unfinished was published", err=True
            )
            context.exit(1)
        except KeyboardInterrupt:
            progress: ProgressLine | None = context.find_root().meta.get(PROGRESS)
            stand = f" at {progress.line}" if progress and progress.line else ""
            click.echo(f"\ninterrupted{stand}\nnothing is lost; the same command goes on: {shlex.join(['structalign', *sys.argv[1:]])}", err=True)
            context.exit(130)


@click.group(cls=Lines, context_settings={"max_content_width": 110, "help_option_names": ["-h", "--help"]})
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
def main(debug: bool) -> None:
    """Continual text-to-video retrieval from cached CLIP tokens."""


def _cache_root(function: Callable[..., Any]) -> Callable[..., Any]:
    return click.option(
        "--cache-root", type=click.Path(path_type=Path), envvar="STRUCTALIGN_CACHE", default="~/.cache/structalign", show_default=True,
        help="Where caches and generated videos live.",
    )(function)  # fmt: skip


def _runs(function: Callable[..., Any]) -> Callable[..., Any]:
    return click.option(
        "--runs", type=click.Path(path_type=Path), envvar="STRUCTALIGN_RUNS", default="runs", show_default=True, help="Where runs live.",
    )(function)  # fmt: skip


_json = click.option("--json", "as_json", is_flag=True, help="Print one JSON object on stdout and nothing else.")
_device = click.option("--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto", show_default=True, help="Where to compute.")


@main.command()
@click.option("--dataset", default="demo", show_default=True, help="demo, msrvtt, actnet or manifest.")
@click.option("--root", type=click.Path(path_type=Path), help="The folder with the videos (and the annotation files).")
@click.option("--splits", type=click.Path(path_type=Path), help="A second folder to look for annotation files in.")
@click.option("--seed", default=0, show_default=True, help="Seed of the demo world and of the views.")
@click.option("--frames", type=click.IntRange(min=1), help="Frames a clip.  [default: the dataset's]")
@click.option("--views", type=click.IntRange(min=1), help="Views of a training clip, the test view included.  [default: the dataset's]")
@click.option("--cut", type=click.IntRange(min=0), help="Vision blocks in the stem.")
@click.option("--adapted-blocks", type=click.IntRange(min=1), help="Vision blocks after the cut, instead of --cut.")
@click.option("--backbone", help="demo, or the name of an open_clip ViT.  [default: the dataset's]")
@click.option("--pretrained", help="An open_clip tag, a weights file, or random:SEED.")
@_device
@click.option("--workers", type=click.IntRange(min=1), help="Ray workers.  [default: one a core]")
@click.option("--ray-address", help="Join this Ray cluster instead of starting one.")
@click.option("--engine", type=click.Choice(["ray", "inline"]), default="ray", show_default=True, help="Ray, or this process alone.")
@click.option("--limit", type=click.IntRange(min=1), help="At most so many clips, dealt over categories and sides.")
@click.option("--max-bad", type=click.FloatRange(0, 1), default=0.01, show_default=True, help="Share of bad clips above which nothing is published.")
@click.option("--retry-bad", is_flag=True, help="Try quarantined clips again.")
@click.option(
    "--decode-timeout", type=click.FloatRange(min=0, min_open=True), default=60.0, show_default=True, help="Seconds one clip may take to decode."
)
@_cache_root
@_json
@click.pass_context
def extract(context: click.Context, /, as_json: bool, **options: Any) -> None:
    """Decode each video once and write the frozen part's tokens to a cache."""
    report = _extract(options, _progress("extract", "clips", quiet=as_json))
    quarantined = report.cache.quarantined()
    clips, ok = len(report.cache.catalog), len(report.cache.catalog) - len(quarantined)
    rate = 0.0 if report.reused else clips / report.seconds
    body = {
        "fingerprint": report.cache.fingerprint, "path": str(report.cache.path), "clips": clips, "ok": ok, "quarantined": quarantined,
        "seconds": round(report.seconds, 3), "clips_per_second": round(rate, 2), "reused": report.reused,
    }  # fmt: skip
    if as_json:
        click.echo(json.dumps(body))
    else:
        how = "already there" if report.reused else f"{report.seconds:.1f} s, {rate:.1f} clips/s"
        click.echo(f"cache {report.cache.fingerprint[:12]}: {ok} of {clips} clips ({how}), {report.cache.path}")
        for entry in quarantined:
            click.echo(f"  quarantined {entry['clip']} ({entry['path']}): {entry['reason']}, {entry['message']}", err=True)
    context.exit(3 if quarantined else 0)


@main.command()
@click.option("--cache", "reference", help="A cache: folder, fingerprint or dataset.  [default: the newest]")
@click.option("--tasks", type=click.IntRange(min=1), required=True, help="K, the number of tasks.")
@click.option("--method", default="structalign", show_default=True, help="The method.")
@click.option("--seed", default=0, show_default=True, help="Seed of initialisation, batches, noise and replay.")
@_device
@click.option("--out", type=click.Path(path_type=Path), help="The run's folder.  [default: named after what is run, under --runs]")
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Change a setting; may be given again.")
@click.option("--overwrite", is_flag=True, help="Begin anew where a run exists.")
@click.option(
    "--checkpoint-every",
    type=click.FloatRange(min=0),
    default=60.0,
    show_default=True,
    metavar="SECONDS",
    help="Keep the state inside a task at the end of an epoch, at most so often.",
)
@click.option("--log", type=click.Choice(["files", "tensorboard"]), default="files", show_default=True, help="Also write TensorBoard events.")
@_runs
@_cache_root
@_json
def train(reference: str | None, as_json: bool, **options: Any) -> None:
    """Learn K tasks one after another from a cache; a run that exists is resumed."""
    results, path = _train(reference, options, quiet=as_json)
    _print_results(results, path, as_json)


@main.command("eval")
@click.argument("run", type=click.Path(path_type=Path), required=False)
@click.option("--cache", "reference", help="The run's cache, if it is no longer where it was.")
@click.option("--again", is_flag=True, help="Compute even when nothing has changed since the figures were computed.")
@_device
@_runs
@_cache_root
@_json
def evaluate(run: Path | None, reference: str | None, again: bool, device: str, runs: Path, cache_root: Path, as_json: bool) -> None:
    """Compute a run's figures from its checkpoints and stored database, unless they stand: nothing of it has changed."""
    from evaluate.standing import standing_results, write_results
    from train.run_folders import newest_run

    path = run or newest_run(runs)
    if not again and not reference and (standing := standing_results(path)):
        if not as_json:
            click.echo("nothing has changed since these figures were computed; --again computes them again", err=True)
        _print_results(standing, path, as_json)
        return

    from evaluate.results import make_results
    from evaluate.stages import evaluate_run
    from train.experiment import make_experiment
    from train.runs import Run

    found = Run.open(path)
    cache = _find_cache(reference or found.config["fingerprint"], cache_root)
    experiment = make_experiment(cache, found.config, _torch_device(device))
    results = make_results(experiment, evaluate_run(experiment, found))
    write_results(found.path, results)
    _print_results(results, found.path, as_json)


@main.command()
@click.argument("given", metavar="[RUN]...", type=click.Path(path_type=Path), nargs=-1)
@click.option("--out", type=click.Path(path_type=Path), help="The HTML file.  [default: report.html in the run, or here for several]")
@_runs
@_cache_root
@_json
def report(given: tuple[Path, ...], out: Path | None, runs: Path, cache_root: Path, as_json: bool) -> None:
    """Make one HTML page of some finished runs, to be read anywhere."""
    from cache.files import write_text
    from cache.inventory import inventory
    from cache.root import CacheRoot
    from evaluate.page.finished import read_runs
    from evaluate.page.page import make_page
    from train.run_folders import newest_run

    finished = read_runs(list(given) or [newest_run(runs)])
    target = out or (finished[0].path if len(finished) == 1 else Path()) / "report.html"
    target.parent.mkdir(parents=True, exist_ok=True)
    caches = {entry["fingerprint"]: entry["bytes"] for entry in inventory(CacheRoot(cache_root.expanduser())) if entry["complete"]}
    write_text(target, make_page(finished, caches))
    click.echo(json.dumps({"file": str(target), "runs": [str(run.path) for run in finished]}) if as_json else str(target))


@main.command()
@click.argument("run_and_query", metavar="[RUN] QUERY", nargs=-1, required=True)
@click.option("--top", type=click.IntRange(min=1), default=5, show_default=True, help="How many clips to show.")
@click.option("--cache", "reference", help="Another cache whose clips are searched too, without training; or the run's own, where it is now.")
@click.option("--alone", is_flag=True, help="Search the clips of --cache alone.")
@click.option("--thumbnails", type=click.Path(path_type=Path), help="Write the best-matching frame of each clip into this folder.")
@click.option("--root", type=click.Path(path_type=Path), help="Where the videos are now, for --thumbnails.  [default: where they were]")
@_device
@_runs
@_cache_root
@_json
def search(
    run_and_query: tuple[str, ...], top: int, reference: str | None, alone: bool, thumbnails: Path | None, root: Path | None, device: str,
    runs: Path, cache_root: Path, as_json: bool,
) -> None:  # fmt: skip
    """Find clips of a run's video database by words, and say why. Without RUN, the newest."""
    from train.run_folders import newest_run, read_config

    if len(run_and_query) > 2:
        raise click.UsageError("give one run and one query; put the query in quotes")
    query = run_and_query[-1]
    run = Path(run_and_query[0]) if len(run_and_query) == 2 else newest_run(runs)
    fingerprint = read_config(run)["fingerprint"]
    named = _find_cache(reference, cache_root) if reference else None
    own = named if named and named.fingerprint == fingerprint else _find_cache(fingerprint, cache_root)
    added = None if named is own else named
    if alone and not added:
        raise click.UsageError("--alone needs --cache with another cache than the run's")

    from evaluate.found import as_json_rows, found_table
    from evaluate.search import Searcher, cut_off
    from train.experiment import make_experiment
    from train.runs import Run

    opened = Run.open(run)
    experiment = make_experiment(own, opened.config, _torch_device(device))
    found = Searcher(experiment, opened, added, alone).search(query, top)
    if cut_off(experiment, query):
        click.echo("the query is longer than the text tower reads; its end was not used", err=True)
    if thumbnails:
        _write_thumbnails(found, thumbnails, root)
    click.echo(json.dumps({"query": query, "results": as_json_rows(found)}) if as_json else found_table(found))


@main.command()
@click.option("--methods", required=True, help="Methods with commas between.")
@click.option("--seeds", default="0,1,2", show_default=True, help="Training seeds with commas between.")
@click.option("--tasks", type=click.IntRange(min=1), required=True, help="K, the number of tasks.")
@click.option("--caches", help="Caches with commas between.  [default: the newest]")
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Change a setting of every run; may be given again.")
@click.option("--out", type=click.Path(path_type=Path), help="Where the runs and the tables go.  [default: sweep, under --runs]")
@click.option("--ray-address", help="Join this Ray cluster instead of starting one.")
@_device
@_runs
@_cache_root
@_json
def sweep(
    methods: str, seeds: str, tasks: int, caches: str | None, overrides: tuple[str, ...], out: Path | None, ray_address: str | None,
    device: str, runs: Path, cache_root: Path, as_json: bool,
) -> None:  # fmt: skip
    """Run every combination of methods, seeds and caches, and print mean ± sd per method."""
    from evaluate.sweep import sweep as run_sweep
    from evaluate.sweep import sweep_table
    from extract.ray_session import ray_session

    found = [_find_cache(reference, cache_root) for reference in (caches.split(",") if caches else [None])]
    folder = out or runs / "sweep"
    body = run_sweep(
        found,
        methods.split(","),
        _numbers(seeds),
        tasks,
        _overrides(overrides),
        _torch_device(device).type,
        folder,
        lambda: ray_session(ray_address),
        _progress("sweep", "runs", as_json),
    )
    click.echo(json.dumps(body) if as_json else f"{sweep_table(body)}\n\n{folder / 'sweep.json'}")


@main.group("cache")
def cache_group() -> None:
    """List, check, share and remove caches."""


@cache_group.command("ls")
@_cache_root
@_json
def cache_ls(cache_root: Path, as_json: bool) -> None:
    """What is under the cache root, the newest first, unfinished caches last."""
    from cache.inventory import inventory, inventory_table
    from cache.root import CacheRoot

    entries = inventory(CacheRoot(cache_root.expanduser()))
    click.echo(json.dumps({"caches": entries}) if as_json else inventory_table(entries))


@cache_group.command("info")
@click.argument("reference", metavar="[CACHE]", required=False)
@_cache_root
@_json
def cache_info(reference: str | None, cache_root: Path, as_json: bool) -> None:
    """Everything that is known of a cache."""
    from cache.inventory import describe, description
    from cache.root import CacheRoot

    body = describe(CacheRoot(cache_root.expanduser()), reference)
    click.echo(json.dumps(body) if as_json else description(body))


@cache_group.command("verify")
@click.argument("reference", metavar="[CACHE]", required=False)
@click.option("--deep", is_flag=True, help="Also extract a seeded sample of clips again and compare.")
@click.option("--root", type=click.Path(path_type=Path), help="Where the videos are now, for --deep.  [default: where they were]")
@_cache_root
@_json
@click.pass_context
def cache_verify(context: click.Context, reference: str | None, deep: bool, root: Path | None, cache_root: Path, as_json: bool) -> None:
    """Read every byte of a cache and compare it with its checksums; exit code 4 if damage is found."""
    from cache.root import CacheRoot
    from cache.verify import verdict, verify

    path = CacheRoot(cache_root.expanduser()).locate(reference)
    found = verify(path)
    body: dict[str, Any] = {"ok": found.ok, "path": str(path), **found.as_json()}
    if deep and found.ok:
        from extract.reextract import compare_sample

        body["deep"] = compare_sample(path, root)
        body["ok"] = not body["deep"]["differing"]
    click.echo(json.dumps(body) if as_json else verdict(body))
    context.exit(0 if body["ok"] else 4)


@cache_group.command("export")
@click.argument("file", type=click.Path(path_type=Path))
@click.argument("reference", metavar="[CACHE]", required=False)
@_cache_root
@_json
def cache_export(file: Path, reference: str | None, cache_root: Path, as_json: bool) -> None:
    """Write a cache into one HDF5 file."""
    from cache.bundle import export_bundle

    cache = _find_cache(reference, cache_root)
    export_bundle(cache, file)
    body = {"fingerprint": cache.fingerprint, "file": str(file), "bytes": file.stat().st_size}
    click.echo(json.dumps(body) if as_json else f"cache {cache.fingerprint[:12]}: {file}, {body['bytes'] / 1e6:.1f} MB")


@cache_group.command("import")
@click.argument("file", type=click.Path(path_type=Path))
@_cache_root
@_json
def cache_import(file: Path, cache_root: Path, as_json: bool) -> None:
    """Check a bundle and publish it under the cache root."""
    from cache.bundle import import_bundle
    from cache.root import CacheRoot

    root = CacheRoot(cache_root.expanduser())
    root.open_for_writing()
    cache = import_bundle(file, root, lambda holder: click.echo(f"{holder} is importing this bundle; waiting for it", err=True))
    body = {"fingerprint": cache.fingerprint, "path": str(cache.path)}
    click.echo(json.dumps(body) if as_json else f"cache {cache.fingerprint[:12]}: {cache.path}")


@cache_group.command("rm")
@click.argument("reference", metavar="[CACHE]", required=False)
@click.option("--yes", is_flag=True, help="Do not ask.")
@_cache_root
@_json
def cache_rm(reference: str | None, yes: bool, cache_root: Path, as_json: bool) -> None:
    """Remove a cache, complete or unfinished, after asking."""
    from cache.root import CacheRoot

    root = CacheRoot(cache_root.expanduser())
    unfinished = root.locate_unfinished(reference)
    path = unfinished or root.locate(reference)
    if isinstance(path, str):
        raise StructAlignError(f"{path} is not on this machine; remove it where it is")
    if not yes and not _confirmed(f"Remove {'unfinished ' if unfinished else ''}cache {path}?"):
        raise StructAlignError("nothing was removed; answer y, or give --yes")
    if unfinished:
        root.abandon(unfinished)
    else:
        root.remove(path)
    click.echo(json.dumps({"removed": str(path)}) if as_json else f"removed {path}")


@main.command()
@click.option("--seed", default=0, show_default=True, help="Seed of the world and of the training.")
@click.option("--tasks", type=click.IntRange(min=1), default=10, show_default=True, help="K, the number of tasks.")
@click.option("--out", type=click.Path(path_type=Path), help="The run's folder.")
@_runs
@_cache_root
@_json
def demo(seed: int, tasks: int, out: Path | None, runs: Path, cache_root: Path, as_json: bool) -> None:
    """World, extraction, training and evaluation in one go."""
    given = ["--seed", str(seed), "--cache-root", str(cache_root)]
    report = _extract(extract.make_context("extract", given).params, _progress("extract", "clips", as_json))
    learning = train.make_context("train", [*given, "--tasks", str(tasks), "--runs", str(runs), *(["--out", str(out)] if out else [])])
    results, path = _train(str(report.cache.path), learning.params, as_json)
    _print_results(results, path, as_json)


def _progress(verb: str, unit: str, quiet: bool) -> ProgressLine:
    progress = ProgressLine(verb, unit, quiet)
    click.get_current_context().find_root().meta[PROGRESS] = progress  # for who interrupts
    return progress


def _extract(options: dict[str, Any], progress: ProgressLine) -> Any:
    from cache.root import CacheRoot
    from extract.choices import choose
    from extract.datasets import read_dataset
    from extract.datasets.source import Source
    from extract.plan import make_plan, what_changed
    from train.settings import extraction_defaults

    root = CacheRoot(options["cache_root"].expanduser())
    root.open_for_writing()
    source = read_dataset(options["dataset"], options["root"], options["splits"], root.path, options["seed"])
    settings = choose(options, extraction_defaults(options["dataset"]))
    began = time.monotonic()
    if options["limit"]:
        from extract.limit import limit_catalog

        source = Source(limit_catalog(source.catalog, options["limit"]), source.root)
    plan = make_plan(source, settings, root)
    fingerprint = plan.spec.fingerprint()
    if root.is_published(fingerprint) and not settings.retry_bad:
        from cache.store import FeatureCache
        from extract.plan import ExtractReport

        return ExtractReport(FeatureCache.open(root.folder(fingerprint)), True, time.monotonic() - began)
    if (changed := what_changed(plan, root)) and not progress.quiet:
        click.echo(changed, err=True)

    from extract.pipeline import extract as run_extract  # torch: only once there is something to do

    settings = replace(settings, device=_torch_device(settings.device).type)
    return run_extract(source, plan, settings, root, progress, lambda line: click.echo(line, err=True))


def _train(reference: str | None, options: dict[str, Any], quiet: bool) -> tuple[dict[str, Any], Path]:
    from train.settings import resolve

    cache = _find_cache(reference, options["cache_root"])
    if reference is None and not quiet:
        click.echo(f"cache {cache.fingerprint[:12]} ({cache.catalog.dataset}), the newest", err=True)
    recipe = resolve(cache.catalog.dataset, options["method"], _overrides(options["overrides"]))

    from evaluate.continual import default_run_name, run_continual  # torch: only once the input is known to be sound

    out = options["out"] or options["runs"] / default_run_name(cache, recipe.name, options["tasks"], options["seed"])
    progress, epochs, tasks = _progress("train", "epochs", quiet), recipe.settings.epochs, options["tasks"]
    board = None
    if options["log"] == "tensorboard":
        from evaluate.tensorboard import TensorBoardLog

        board = TensorBoardLog(out, epochs)
    last = ""

    def learned(task: int, epoch: int, losses: dict[str, float]) -> None:
        loss = sum(value for name, value in losses.items() if name != "score")
        progress((task - 1) * epochs + epoch, tasks * epochs, f"task {task}, epoch {epoch}, loss {loss:.3f}{last}")
        if board:
            board.epoch(task, epoch, losses)

    def measured(scores: dict[str, Any]) -> None:
        nonlocal last
        last = f", R@1 {scores['t2v']['R@1']:.2f} after {'zero-shot' if not scores['stage'] else 'task ' + str(scores['stage'])}"
        if not quiet:
            name = f"task {scores['stage']}" if scores["stage"] else "zero-shot"
            click.echo(f"{name}: R@1 {scores['t2v']['R@1']:.2f} over {scores['clips']} clips ({scores['seconds']:.1f} s)", err=True)
        if board:
            board.stage(scores)

    results = run_continual(
        cache, recipe, tasks, options["seed"], _torch_device(options["device"]), out, options["overwrite"], learned, measured,
        options["checkpoint_every"],
    )  # fmt: skip
    return results, out


def _write_thumbnails(found: list[Any], folder: Path, root: Path | None) -> None:
    from extract.decoder import Decoder
    from extract.errors import ClipError
    from extract.thumbnails import write_thumbnail

    folder.mkdir(parents=True, exist_ok=True)
    with Decoder(60) as decoder:
        for place, one in enumerate(found, 1):
            videos = root or Path(one.cache.provenance.get("root", ""))
            try:
                write_thumbnail(decoder, videos, one.clip, one.frame, one.frames, folder / f"{place:02d}-{one.clip.id}.jpg")
            except ClipError as error:
                click.echo(f"no thumbnail of {one.clip.id} ({videos / one.clip.path}): {error.reason}, {error.message}", err=True)


def _confirmed(question: str) -> bool:
    try:
        return click.confirm(question, err=True)
    except click.Abort:  # nobody is there to answer
        click.echo(err=True)
        return False


def _find_cache(reference: str | None, cache_root: Path) -> Any:
    from cache.root import CacheRoot

    return CacheRoot(cache_root.expanduser()).find(reference)


def _torch_device(name: str) -> Any:
    import torch

    if name == "cuda" and not torch.cuda.is_available():
        raise StructAlignError("--device cuda: torch sees no CUDA device; use --device cpu")
    return torch.device(name if name != "auto" else "cuda" if torch.cuda.is_available() else "cpu")


def _overrides(pairs: tuple[str, ...]) -> dict[str, str]:
    for text in pairs:
        if "=" not in text:
            raise click.UsageError(f"--set {text}: give it as KEY=VALUE")
    return {key.strip(): value.strip() for key, _, value in (text.partition("=") for text in pairs)}


def _numbers(text: str) -> list[int]:
    try:
        return [int(part) for part in text.split(",")]
    except ValueError as error:
        raise click.UsageError(f"--seeds {text}: give whole numbers with commas between, such as 0,1,2") from error


def _print_results(results: dict[str, Any], path: Path, as_json: bool) -> None:
    from evaluate.report import results_table

    click.echo(json.dumps(results) if as_json else f"{results_table(results)}\n\n{path / 'results.json'}")


if __name__ == "__main__":
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    main()
