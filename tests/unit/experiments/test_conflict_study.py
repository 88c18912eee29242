"""A study resumes from its captions' outcomes, without the runs; its table agrees with them."""

import re
from contextlib import AbstractContextManager
from pathlib import Path
from types import ModuleType

import pytest
import torch
from helpers.cli import ROOT, Cli
from structalign.cache.reader import FeatureCache
from structalign.core.errors import StructAlignError
from structalign.core.files import read_json
from structalign.core.ray_session import ray_session
from structalign.evaluate.bootstrap import Outcomes
from structalign.experiments import conflict_study, sweep_runs
from structalign.experiments.study_outcomes import FIGURES, Measured, read_measured, write_measured

CATEGORIES = ("birds", "cars", "cats", "dogs")


def outcomes(hits: int, lost: float) -> Outcomes:
    """40 captions of 20 clips: ``hits`` rank first, half of the others among the first ten."""
    queries = tuple((f"clip{n // 2}", n % 2) for n in range(40))
    first = torch.zeros(40, dtype=torch.float64)
    first[torch.randperm(40, generator=torch.Generator().manual_seed(hits))[:hits]] = 2.5
    ten = first.clone()
    ten[(first == 0).nonzero()[: (40 - hits) // 2]] = 2.5
    figures = dict(zip(FIGURES, (first, ten, torch.full((40,), lost / 40)), strict=True))
    return Outcomes(
        queries, tuple(CATEGORIES[n % 4] for n in range(40)),
        {name: value.double() for name, value in figures.items()},
    )  # fmt: skip


def measured(seed: int) -> list[Measured]:
    return [
        Measured(conflict, world, f"{world}-{conflict}", seed, method, outcomes(hits + seed, lost))
        for conflict in (0.0, 1.0)
        for world in (0, 1)
        for method, hits, lost in (("finetune", 10, 4.0), ("structalign", 18, 0.0))
    ]


def none_is_made(*_: object) -> FeatureCache:
    raise AssertionError("everything asked for has been measured")


def test_what_captions_found_is_read_as_it_was_written(tmp_path: Path) -> None:
    write_measured(tmp_path / "seed-3.parquet", measured(3), {"seconds": 60.0})
    found, facts = read_measured(tmp_path / "seed-3.parquet")
    assert facts == {"seconds": 60.0}
    assert [run[:5] for run in found] == [run[:5] for run in measured(3)]
    for run, expected in zip(found, measured(3), strict=True):
        assert run.outcomes.queries == expected.outcomes.queries
        assert run.outcomes.categories == expected.outcomes.categories
        for name in FIGURES:
            assert torch.equal(run.outcomes.figures[name], expected.outcomes.figures[name])


def test_a_table_from_the_files_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for seed in (0, 2):
        write_measured(tmp_path / f"seed-{seed}.parquet", measured(seed), {"seconds": 1800})
    conflict_study.main(["--out", str(tmp_path), "--methods", "structalign", "--seeds", "0,2"])
    said = capsys.readouterr()
    assert "16 runs, 1.0 hours of one core" in said.err
    assert said.out.strip() == (tmp_path / "study.md").read_text().strip()
    rows = [line.split(" | ") for line in said.out.splitlines() if line.startswith("| structalign")]
    # 18 and 20 of 40 against 10 and 12 of 40
    assert [row[1].split()[0] for row in rows] == ["47.5", "47.5"]
    assert [row[4].split()[0] for row in rows] == ["20.0", "20.0"]
    assert [row[5].split()[0] for row in rows] == ["−4.0", "−4.0"]
    assert (tmp_path / "recall.svg").read_text().startswith("<svg")


def test_a_figure_draws_your_own_method_and_some_of_the_studys() -> None:
    names = {"structalign": "mine@12345678", "finetune": "finetune"}
    runs = [run._replace(method=names[run.method]) for run in measured(0)]
    runs += [run._replace(method="clip4clip") for run in runs if run.method == "finetune"]
    cells = conflict_study.bootstrap_cells(
        runs, ["finetune", "mine@12345678", "clip4clip"], "finetune"
    )
    drawn = conflict_study.figure(cells, "R@1", "R@1, percent")
    assert "mine@12345678" in drawn and "finetune" in drawn and "clip4clip" not in drawn


@pytest.mark.slow
def test_a_method_is_added_to_the_files(
    tmp_path: Path, shared: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Tried and run by itself; what is there stays as it is, and is not run again."""
    for name, value in {"CONFLICTS": (0.0,), "WORLDS": (0,), "TASKS": 2}.items():
        monkeypatch.setattr(conflict_study, name, value)
    there = [run for run in measured(0) if run[:2] == (0.0, 0)][:1]
    write_measured(tmp_path / "seed-0.parquet", there, {"seconds": 60.0})
    [cache] = (shared.home / "cache" / "caches").iterdir()
    asked = []

    def world(*place: float | None) -> FeatureCache:
        asked.append(place)
        return FeatureCache.open(str(cache))

    own = tmp_path / "mine.py"
    base = "from structalign.train.methods.zeroshot import ZeroShot"
    own.write_text(f"{base}\n\n\nclass Mine(ZeroShot):\n    pass\n")
    methods = conflict_study.named([str(own), "finetune"])
    mine, _ = methods
    assert re.fullmatch("mine@[0-9a-f]{8}", mine)
    started: list[str | None] = []

    def begin(address: str | None) -> AbstractContextManager[ModuleType]:
        started.append(address)
        return ray_session(address)

    monkeypatch.setattr(sweep_runs, "ray_session", begin)
    runs, hours = conflict_study.run_study(tmp_path, world, methods, [0])
    assert started == [None], "once for tries and runs, and not again for what they left"
    assert [run.method for run in runs] == ["finetune", mine]
    assert runs[0].outcomes.queries == there[0].outcomes.queries
    assert runs[1].cache == world().fingerprint
    assert len(runs[1].outcomes.queries) > 4 and hours > 60 / 3600
    choices = read_json(tmp_path / "choices.json")["0.0"]
    assert list(choices["chosen"]) == [mine] and len(choices["tries"]) == 3
    assert str(tmp_path) not in (tmp_path / "choices.json").read_text()
    assert set(asked) == {(0.0, 0, None), ()}
    asked.clear()
    again, _ = conflict_study.run_study(tmp_path, world, methods, [0])
    assert not asked and [run[:5] for run in again] == [run[:5] for run in runs]
    own.write_text(own.read_text() + "# another version\n")
    assert mine not in conflict_study.named([str(own)])


def test_the_cut_that_a_method_needs() -> None:
    methods = ["finetune", "clip_vip", "clip_vip:proxies=2", "joint"]
    groups = {None: ["finetune", "joint"], 0: ["clip_vip", "clip_vip:proxies=2"]}
    assert conflict_study.by_cut(methods) == groups


def test_a_file_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "seed-1.parquet").write_bytes(b"PAR1 but no more")
    with pytest.raises(StructAlignError, match=r"seed-1.parquet holds no outcomes of a study"):
        read_measured(tmp_path / "seed-1.parquet")


def test_the_published_table_is_that_of_the_published_outcomes() -> None:
    """docs/results.md, but for the last digit of a float."""
    methods = conflict_study.named(conflict_study.METHODS)
    runs, _ = conflict_study.run_study(ROOT / "docs" / "study", none_is_made, methods, [0, 1, 2])
    written = conflict_study.table(
        conflict_study.bootstrap_cells(runs, list(methods), "finetune"), "finetune"
    )
    page = (ROOT / "docs" / "results.md").read_text()
    page = page[page.index("\nConflict 0\n") :]
    for made in filter(None, written.splitlines()):
        name = made.split(" | ")[0]
        told = page[page.index(name) :].splitlines()[0]
        page = page[page.index(name) + len(name) :]
        numbers = [
            [float(one.replace("−", "-")) for one in re.findall(r"−?\d+\.\d", line)]
            for line in (made, told)
        ]
        assert numbers[0] == pytest.approx(numbers[1], abs=0.11), name
