"""The page in a headless browser, on desktop and phone, light, dark and printed.

Charts are drawn, nothing overflows, nothing is executed, and the console stays quiet.
"""

import csv
import json
import os
import re
import shutil
import subprocess
from datetime import UTC, datetime
from html import escape, unescape
from importlib.metadata import version
from pathlib import Path

import pytest
from helpers.cli import EXTRACT, QUICK, TWO_EPOCHS, Cli
from helpers.runs import as_version_0_3
from structalign.evaluate.metrics import METRICS

BROWSER = next(
    (
        path
        for name in ("chromium", "chromium-browser", "google-chrome")
        if (path := shutil.which(name))
    ),
    None,
)
LOOK = """<script>top.document.title = JSON.stringify({
  overflow: document.documentElement.scrollWidth - document.documentElement.clientWidth,
  width: document.documentElement.clientWidth,
  drawn: [...document.querySelectorAll("svg")].filter(
    s => s.getBBox().width > 50 && s.getBoundingClientRect().width > 50).length,
  figures: document.querySelectorAll("figure:not(.frame)").length,
  pictures: [...document.images].filter(i => i.complete && i.naturalWidth > 0 && i.alt).length,
  links: [...document.querySelectorAll("nav a")].filter(
    a => document.querySelector(a.getAttribute("href"))).length,
  paper: getComputedStyle(document.body).backgroundColor,
  sections: [...document.querySelectorAll("h2")].map(h => h.textContent),
  elements: ["script", "iframe", "object", "link"].map(
    t => document.querySelectorAll(t).length),
  cut: [...document.querySelectorAll("svg")].filter(s => {
    const box = s.getBBox(), view = s.viewBox.baseVal;
    return box.x < 0 || box.x + box.width > view.width + 1;
  }).map(s => s.getAttribute("aria-label")),
  wider: [...document.querySelectorAll(".scroll")].filter(
    part => part.scrollWidth > part.clientWidth).length,
  shown: [...document.querySelectorAll("nav, figure details")].filter(
    part => part.getClientRects().length).length,
  owned: window.owned === true,
})</script>"""

pytestmark = pytest.mark.skipif(
    BROWSER is None and not os.environ.get("CI"),
    reason="no chromium here; install Debian's package to look at reports",
)


def look(
    page: Path, folder: Path, width: int = 1280, dark: bool = False, printed: bool = False
) -> tuple[dict[str, object], str]:
    """Load a copy of the page with a script that inspects it; also return the console's lines."""
    assert BROWSER, "CI has no chromium; .ci/run installs it"
    copy = folder / "copy.html"
    text = page.read_text().replace("</body>", f"{LOOK}</body>")
    looking = escape(text.replace("@media print", "@media all") if printed else text)
    # windows cannot be as narrow as phones
    frame = f'<iframe style="width:{width}px;height:900px;border:0" srcdoc="{looking}"></iframe>'
    copy.write_text(f"<!doctype html><meta charset=utf-8><title>not yet</title>{frame}")
    command = [
        BROWSER,
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        f"--user-data-dir={folder / 'profile'}",
        "--window-size=1400,1000",
    ]
    command += [
        "--enable-logging=stderr",
        f"--blink-settings=preferredColorScheme={0 if dark else 1}",
        "--dump-dom",
        copy.as_uri(),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    title = re.search(r"<title>(.*?)</title>", done.stdout, re.DOTALL)
    assert title, done.stdout[:500]
    return json.loads(unescape(title[1])), "\n".join(
        line for line in done.stderr.splitlines() if "CONSOLE" in line
    )


@pytest.fixture(scope="module")
def page(shared: Cli, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("report")
    runs = []
    line = ("train", *QUICK, *TWO_EPOCHS)
    for method, seed in (("structalign", 0), ("structalign", 1), ("zeroshot", 0)):
        runs.append(folder / f"{method}{seed}")
        shared.json(*line, "--method", method, "--seed", str(seed), "--out", runs[-1])
    shared.json("report", *runs, "--out", folder / "report.html")
    return folder / "report.html"


@pytest.mark.parametrize(
    ("width", "dark"), [(1280, False), (1280, True), (400, False), (400, True)]
)
def test_it_reads_well(page: Path, tmp_path: Path, width: int, dark: bool) -> None:
    seen, console = look(page, tmp_path, width, dark)
    assert console == ""
    assert seen["overflow"] == 0 and width - 20 <= int(str(seen["width"])) <= width  # a scroll bar
    assert seen["drawn"] == seen["figures"] and int(str(seen["figures"])) >= 9
    assert seen["cut"] == [], "a label outside of its picture"
    assert seen["paper"] == ("rgb(21, 24, 28)" if dark else "rgb(255, 255, 255)")
    assert seen["elements"] == [1, 0, 0, 0]  # the script is the one that looks
    assert int(str(seen["pictures"])) >= 3 and seen["links"] == len(list(seen["sections"]))  # type: ignore[call-overload]
    assert {
        "Results",
        "Task matrix",
        "Against the ideal simplex",
        "Drift of old tasks",
        "Use of the experts",
        "Where these runs come from",
        "How to repeat these runs",
    } <= set(seen["sections"])  # type: ignore[call-overload]


def test_it_prints_whole(page: Path, tmp_path: Path) -> None:
    """On A4 with the usual margins nothing is cut, and folded numbers are left out."""
    seen, console = look(page, tmp_path, 700, printed=True)
    assert console == "" and (seen["overflow"], seen["wider"], seen["shown"]) == (0, 0, 0)
    assert seen["drawn"] == seen["figures"]
    on_screen, _ = look(page, tmp_path, 700)
    assert int(str(on_screen["wider"])) > 0 and int(str(on_screen["shown"])) > 0


def test_it_needs_no_network_and_holds_the_figures(page: Path) -> None:
    text = page.read_text()
    links = re.findall(r"(?:src|href)=\"?([^\"]*)|(url\(|@import)", text)
    assert all(link.startswith(("#", "data:image/jpeg;base64,")) for link, _ in links)
    results = json.loads((page.parent / "zeroshot0" / "results.json").read_text())
    assert f"<td>{results['final']['t2v']['R@1']:.2f} [" in text
    assert all(f"<th>{metric.title}</th>" in text for metric in METRICS)
    (opening,) = re.findall(r'<p class="summary">(.*?)</p>', text)
    runs = [
        json.loads((page.parent / f"structalign{n}" / "results.json").read_text()) for n in "01"
    ]
    best = sum(run["final"]["t2v"]["R@1"] for run in runs) / 2
    zero = results["final"]["t2v"]["R@1"]
    name, value = ("structalign", best) if best >= zero else ("zeroshot", zero)
    assert f"After 2 tasks {name} puts the right clip first for {value:.1f}% [" in opening
    assert "95% bootstrap intervals over captions and each method" in opening
    assert ", over 1 common run [" in opening
    stages = json.loads((page.parent / "structalign0" / "results.json").read_text())["stages"]
    same_clips = [f"{stage['zero_shot']['R@1']:.2f}" for stage in stages[1:]]
    assert "zero-shot, the same clips" in text
    assert all(f"<td>{value}</td></tr>" in text for value in same_clips)
    origin = text[text.index("<h2>Where these runs come from") :]
    today = f"{datetime.now(UTC):%Y-%m-%d}"
    assert all(said in origin for said in (f"torch {version('torch')}", "cpu", "demo, cut 4"))
    assert origin.count(f"<td>{today}T") == 3 and "<td>manifest, " in origin
    assert "±" in text and "--method structalign --seed 1 --set epochs=2" not in text.split("±")[0]
    assert "structalign train --cache" in text and "--set rank=8" in text


def test_a_hostile_catalog_stays_text(cli: Cli, videos: Path, tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    attack = "<script>window.owned=true</script>\"'><img src=x onerror=window.owned=true>"
    with (videos / "manifest.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        if (videos / row["path"]).exists():
            (root / row["path"]).unlink(missing_ok=True)
            (root / row["path"]).symlink_to(videos / row["path"])
        row["category"], row["caption"] = f"{row['category']}{attack}", f"{row['caption']} {attack}"
    rows.append({**rows[0], "clip_id": "gone", "path": f"{attack.replace('/', '')}.mp4"})
    with (root / "manifest.csv").open("w", newline="") as file:
        table = csv.DictWriter(file, list(rows[0]))
        table.writeheader()
        table.writerows(rows)
    cli.json(*EXTRACT, "--root", root, "--cut", "4", "--max-bad", "0.5", code=3)
    cli.json("train", "--method", "zeroshot", "--tasks", "2", "--out", tmp_path / "run")
    cli.json("report", tmp_path / "run")
    seen, console = look(tmp_path / "run" / "report.html", tmp_path)
    assert seen["owned"] is False and seen["elements"] == [1, 0, 0, 0] and console == ""
    # it is there, as text
    assert "onerror=window.owned" in unescape((tmp_path / "run" / "report.html").read_text())


def test_what_cannot_be_reported(shared: Cli, page: Path, tmp_path: Path) -> None:
    assert "is not a run" in shared.error("report", tmp_path)
    half = Path(shutil.copytree(page.parent / "zeroshot0", tmp_path / "half"))
    results = json.loads((half / "results.json").read_text())
    as_version_0_3(half)  # whose results have no checksum
    (half / "results.json").write_text(json.dumps({**results, "dataset": "other"}))
    assert "differ in dataset (manifest, other)" in shared.error(
        "report", half, page.parent / "zeroshot0"
    )
    (half / "results.json").write_text("{")
    assert "results.json is damaged" in shared.error("report", half)
    (half / "results.json").unlink()
    assert "has no results yet" in shared.error("report", half)
