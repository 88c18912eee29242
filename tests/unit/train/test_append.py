"""A newer version of a cache adds the clips that are new: each clip is learnt and found once."""

import json
from pathlib import Path

from helpers.cli import EXTRACT, QUICK, Cli


def test_clips_that_the_run_has_are_taken_once(cli: Cli, videos: Path, tmp_path: Path) -> None:
    """By the content of their videos, whatever they are called; they were there twice."""
    head, *rows = (videos / "manifest.csv").read_text().splitlines()
    category = head.split(",").index("category")
    names = list(dict.fromkeys(row.split(",")[category] for row in rows))
    older = [row for row in rows if row.split(",")[category] in names[:2]]
    paths = []
    for name, chosen in (("older", older), ("newer", [f"again-{row}" for row in rows])):
        file = tmp_path / f"{name}.csv"
        file.write_text("\n".join([head, *chosen]) + "\n")
        own = ("--splits", file, "--root", videos, "--cut", "4", "--name", name)
        paths.append(cli.json(*EXTRACT, *own)["path"])
    run = tmp_path / "run"
    zeroshot = (*QUICK[:2], "--method", "zeroshot", "--out", run)
    cli.json("train", "--cache", paths[0], *zeroshot)
    done = cli("search", run, "a red ball", "--cache", paths[1], "--top", "99", "--json")
    added = json.loads(done.stdout)
    assert added["clips"] == 48 and len(added["results"]) == 32
    assert sum(len(hit["copies"]) for hit in added["results"]) == 16
    assert "16 of 32 clips of cache" in done.stderr and "are shown once" in done.stderr
    only = cli.json("search", run, "a red ball", "--cache", paths[1], "--only")
    assert only["clips"] == 32
    done = cli("append", run, "--cache", paths[1], "--tasks", "1", "--json")
    assert done.returncode == 0, done.stderr
    results = cli.json("eval", run)
    assert results["categories"] == [[names[0]], [names[1]], names[2:]]
    found = cli.json("search", run, "a red ball", "--top", "99")
    assert found["clips"] == 32
    assert len({hit["clip"].removeprefix("again-") for hit in found["results"]}) == 32
    assert "is learnt already" in cli("append", run, "--cache", paths[1], "--tasks", "1").stderr
    assert cli.json("verify", run)["ok"] and cli.json("eval", run, "--again")["tasks"] == 3
