"""A changed file of a run is named, or refused where it is read: no other hits in silence."""

import os
import random
import shutil
from collections.abc import Callable, Generator, Iterator
from pathlib import Path

import pytest
from helpers.cli import Cli
from helpers.runs import as_version_0_3, quick_run, shared_cache
from structalign.core.errors import StructAlignError
from structalign.evaluate.query_results import read_query_results
from structalign.evaluate.results import make_results, read_results
from structalign.search.searcher import Searcher
from structalign.train.loop import EpochDone, train_stream
from structalign.train.runs.create import create_run
from structalign.train.runs.run import Run
from structalign.train.runs.verify import RunReport, verify_run

QUERIES = ("a red ball", "a small square")


@pytest.fixture(scope="module")
def trained(shared: Cli, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of two tasks with an index."""
    run = quick_run(shared_cache(shared), tmp_path_factory.mktemp("verified") / "run")
    pytest.importorskip("faiss")
    Searcher(run, exact=0)
    return run.path


@pytest.fixture
def run(trained: Path, tmp_path: Path) -> Path:
    """A copy of it, whose index stays current: it is of files with these inodes."""
    return Path(shutil.copytree(trained, tmp_path / "run"))


def problems(run: Path) -> list[str]:
    report = verify_run(run)
    return [*report.damaged, *report.missing, *report.foreign]


def flips(run: Path) -> Iterator[tuple[Path, int]]:
    """Each file of a run with one byte flipped, at some places in turn; then it is whole again."""
    rng = random.Random(0)
    for file in sorted(path for path in run.rglob("*") if path.is_file()):
        body = file.read_bytes()
        for at in (0, len(body) // 2, len(body) - 1, *(rng.randrange(len(body)) for _ in range(5))):
            changed = bytearray(body)
            changed[at] ^= 1 << rng.randrange(8)
            file.write_bytes(changed)
            yield file, at
        file.write_bytes(body)


def test_a_run_as_it_was_written(run: Path, shared: Cli) -> None:
    assert verify_run(run) == RunReport()
    body = shared.json("verify", run)
    assert body["ok"] and body["unchecked"] == body["damaged"] == []


def test_each_flipped_byte_is_named(run: Path) -> None:
    files = set()
    for file, at in flips(run):
        files.add(file)
        assert str(file.relative_to(run)) in problems(run), f"{file} byte {at}"
    assert len(files) > 25 and not problems(run)


def test_no_flipped_byte_changes_hits_or_figures_in_silence(
    trained: Path, tmp_path: Path, shared: Cli
) -> None:
    """Refused, or the same as before: what is only named is not read."""
    run, cache = Path(shutil.copytree(trained, tmp_path / "run")), shared_cache(shared)

    def outcome() -> object:
        opened = Run.open(run, cache, device="cpu")
        hits = [
            [(result.clip.id, result.score) for result in Searcher(opened).search(query)]
            for query in QUERIES
        ]
        return hits, read_results(run), make_results(opened), read_query_results(run, 2)

    wanted, refused = outcome(), set()
    for file, at in list_once(flips(run)):
        try:
            assert outcome() == wanted, f"{file} byte {at}"
        except StructAlignError as error:
            refused.add(file.name)
            assert str(run) in str(error) and "\n" not in str(error)
    assert {"config.json", "state.safetensors", "gallery-test.safetensors", "gallery-train.json",
            "02.json", "02-answers.jsonl", "results.json", "checksums.json"} <= refused  # fmt: skip


def list_once(flipped: Iterator[tuple[Path, int]]) -> Iterator[tuple[Path, int]]:
    """One flip of each file: opening a run takes a while."""
    seen: set[Path] = set()
    for file, at in flipped:
        if file not in seen:
            seen.add(file)
            yield file, at


def swap(one: str, other: str) -> Callable[[Path], None]:
    def swapped(run: Path) -> None:
        (run / one).rename(run / "aside")
        (run / other).rename(run / one)
        (run / "aside").rename(run / other)

    return swapped


def truncated(run: Path) -> None:
    gallery = run / "tasks/02/gallery-train.safetensors"
    gallery.write_bytes(gallery.read_bytes()[:-100])


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (swap("tasks/01/gallery-test.safetensors", "tasks/02/gallery-test.safetensors"), 2),
        (swap("tasks/01", "tasks/02"), 2),
        (swap("index/01-train.faiss", "index/02-train.faiss"), 2),
        (swap("stages/01.json", "stages/02.json"), 4),
        (truncated, 1),
        (lambda run: (run / "tasks/01/gallery-train.json").unlink(), 1),
        (lambda run: (run / "tasks/01/checksums.json").unlink(), 1),
        (lambda run: (run / "stages/01.json").unlink(), 1),
        (lambda run: (run / "stages/02.json").unlink(), 1),
        (lambda run: shutil.rmtree(run / "tasks/02"), 1),
        (lambda run: shutil.copytree(run / "tasks/02", run / "tasks/03"), 1),
        (lambda run: shutil.copy(run / "stages/02.json", run / "stages/03.json"), 2),
        (lambda run: (run / "tasks/01/notes.txt").write_text("x"), 1),
        (lambda run: (run / "evaluated.json").unlink(), 1),
        (lambda run: (run / "evaluated.json").write_text("{}"), 1),
        (lambda run: os.truncate(run / "evaluated.json", 100), 1),
        (swap("evaluated.json", "results.json"), 1),
    ],
)  # fmt: skip
def test_a_missing_additional_or_swapped_file_is_named(
    change: Callable[[Path], object], named: int, run: Path, shared: Cli
) -> None:
    change(run)
    assert len(problems(run)) >= named
    assert shared.json("verify", run, code=4)["ok"] is False


@pytest.mark.parametrize("change", ["unlink", "truncate"])
def test_results_without_their_checksum_are_refused(change: str, run: Path) -> None:
    """Figures could be written by hand where ``evaluated.json`` was cut short."""
    results, state = run / "results.json", run / "evaluated.json"
    results.write_text(results.read_text().replace("R@1", "R@9", 1))
    state.unlink() if change == "unlink" else os.truncate(state, 100)
    with pytest.raises(StructAlignError, match="it is not as it was written"):
        read_results(run)


@pytest.mark.parametrize(
    "names", [("evaluated.json", "results.json"), ("stages/01.json", "stages/01-answers.jsonl")]
)
def test_files_of_another_run_are_named_and_refused(
    names: tuple[str, ...], run: Path, tmp_path: Path, shared: Cli
) -> None:
    other = quick_run(shared_cache(shared), tmp_path / "other", lr_text=1e-3)
    for name in names:
        shutil.copy(other.path / name, run / name)
    assert names[0] in problems(run)
    with pytest.raises(StructAlignError, match="is damaged"):
        read_results(run)
        Run.open(run, shared_cache(shared), device="cpu").stages()


@pytest.mark.parametrize(
    "name", ["tasks/01/gallery-train.json", "tasks/01/checksums.json", "tasks/02", "tasks/01"]
)
def test_a_missing_file_is_refused(name: str, run: Path, shared: Cli) -> None:
    path = run / name
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    with pytest.raises(StructAlignError, match="missing"):
        Searcher(Run.open(run, shared_cache(shared), device="cpu"))


def test_swapped_index_files_are_built_again(
    trained: Path, shared: Cli, capsys: pytest.CaptureFixture[str]
) -> None:
    """Their vectors are of other clips, and may be of more: IndexError."""
    cache = shared_cache(shared)

    def hits() -> list[str]:
        searcher = Searcher(Run.open(trained, cache, device="cpu"), exact=0)
        return [result.clip.id for result in searcher.search(QUERIES[0])]

    wanted = hits()
    swap("index/01-train.faiss", "index/02-evaluated.faiss")(trained)
    capsys.readouterr()
    assert hits() == wanted
    assert capsys.readouterr().err.count("it is built again") == 2
    assert not problems(trained)


def test_a_run_of_version_0_3_is_said_and_not_failed(run: Path, shared: Cli) -> None:
    as_version_0_3(run)
    report = shared.json("verify", run)
    assert report["ok"] and "tasks/01/gallery-test.safetensors" in report["unchecked"]
    done = shared("verify", run)
    assert done.returncode == 0 and "not checked, since written without checksums" in done.stdout
    Searcher(Run.open(run, shared_cache(shared), device="cpu"))
    shared.json("eval", run)
    assert shared.json("verify", run)["ok"]


def test_a_damaged_checkpoint_within_a_task_is_refused(shared: Cli, tmp_path: Path) -> None:
    """Else training went on from other weights."""
    settings = {"epochs": 3}
    run = create_run(
        shared_cache(shared), "finetune", 2, out=tmp_path / "run", device="cpu", settings=settings,
        log=print,
    )  # fmt: skip
    events = train_stream(run, checkpoint_every=0)
    next(event for event in events if isinstance(event, EpochDone) and event.epoch == 2)
    assert isinstance(events, Generator)
    events.close()
    (state,) = run.path.glob("unfinished/*/state.safetensors")
    body = bytearray(state.read_bytes())
    body[-1] ^= 1
    state.write_bytes(body)
    assert state.relative_to(run.path).as_posix() in problems(run.path)
    with pytest.raises(StructAlignError, match=r"or remove .*01-0001: its task begins again"):
        list(train_stream(run))
