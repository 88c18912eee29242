"""The search page in a real browser: type, play, filter, compare, phone width, keyboard, token."""

import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from helpers.cli import EXTRACT, QUICK, Cli
from helpers.numbered import picture, write_timed
from helpers.server import Server, serving
from PIL import Image

if TYPE_CHECKING:
    from playwright import sync_api
else:
    sync_api = pytest.importorskip("playwright.sync_api", reason="no playwright here")
BROWSER = shutil.which("chromium") or shutil.which("chromium-browser")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        BROWSER is None and not os.environ.get("CI"),
        reason="no chromium here; install Debian's package to try the page",
    ),
]
READY = "document.querySelectorAll('article').length > 0"
FOUND = "document.getElementById('status').textContent.includes('clips, the best first')"


def until(page: "sync_api.Page", expression: str) -> None:
    """Wait for something; the page's own policy forbids Playwright to evaluate text there."""
    deadline = time.monotonic() + 30
    while not page.evaluate(expression):
        assert time.monotonic() < deadline, expression
        time.sleep(0.05)


@pytest.fixture(scope="module")
def server(shared: Cli, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("served")
    for method in ("structalign", "zeroshot"):
        shared.json("train", *QUICK, "--method", method, "--out", folder / method)
    with serving(shared, folder / "structalign", folder / "zeroshot") as server:
        yield server


@pytest.fixture(scope="module")
def browser() -> "Iterator[sync_api.Browser]":
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def page(browser: "sync_api.Browser", server: Server) -> "Iterator[sync_api.Page]":
    """The page; no message may appear on the browser's console."""
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    messages: list[str] = []
    page.on("console", lambda message: messages.append(message.text))
    page.on("pageerror", lambda error: messages.append(str(error)))
    page.goto(server.url)
    until(page, "document.getElementById('status').textContent.includes('to search')")
    yield page
    assert messages == []
    page.close()


def search(page: "sync_api.Page", words: str) -> None:
    page.fill("#query", words)
    page.keyboard.press("Enter")
    until(page, FOUND)
    until(page, READY)


def test_type_and_play_from_the_best_frame(page: "sync_api.Page", server: Server) -> None:
    search(page, "a red circle")
    assert page.locator("article").count() == 12
    ready = "[...document.querySelectorAll('video')].every(v => v.readyState >= 2 && !v.seeking)"
    until(page, ready)
    first = page.locator("article").first
    hit = server.ask("/api/search?q=a+red+circle").json["results"][0]
    best = first.locator(".timeline .best").get_attribute("title") or ""
    assert best.startswith(f"frame {hit['frame']}: ") and best.endswith(f"at 0:0{hit['time']:.1f}")
    shown = first.locator("video").evaluate("v => v.currentTime")
    assert shown == pytest.approx(hit["time"], abs=0.002)
    first.locator(".words button").first.click()
    until(page, "document.querySelector('video').currentTime > 0")
    facts = first.locator(".facts").inner_text()
    assert "words and frames" in facts and "whole clip" in facts and "best at 0:0" in facts


def test_bars_of_all_results_share_one_scale(page: "sync_api.Page", server: Server) -> None:
    search(page, "a red circle")
    hits = server.ask("/api/search?q=a+red+circle").json["results"]
    heights = page.evaluate(
        "[...document.querySelectorAll('.timeline i')].map(i => parseFloat(i.style.height))"
    )
    cosines = [match["cosine"] for hit in hits for match in hit["frame_words"]]
    least, range_ = min(cosines), max(max(cosines) - min(cosines), 0.05)
    expected = [20 + 80 * (cosine - least) / range_ for cosine in cosines]
    assert heights == pytest.approx(expected, abs=0.1)


# What the browser shows of each article, and the number that the shown frame carries.
SHOWN = """() => [...document.querySelectorAll('article')].map(article => {
  const [video, still] = [article.querySelector('video'), article.querySelector('.still')];
  const shown = still.hidden ? video : still;
  const canvas = document.createElement('canvas');
  [canvas.width, canvas.height] = [128, 96];
  const brush = canvas.getContext('2d');
  brush.drawImage(shown, 0, 0, 128, 96);
  const isWhite = bit => brush.getImageData(bit * 16 + 8, 56, 1, 1).data[0] > 127;
  return {
    name: article.querySelector('.name').textContent,
    kind: shown.tagName, hasSound: !still.hidden && !video.hidden,
    message: article.querySelector('.gone').textContent,
    number: [0, 1, 2, 3, 4, 5, 6, 7].reduce((sum, bit) => sum + (isWhite(bit) << bit), 0),
  };
})"""
LOADED = """[...document.querySelectorAll('article')].every(article => {
  const [video, still] = [article.querySelector('video'), article.querySelector('.still')];
  return still.hidden ? video.readyState >= 2 && !video.seeking && video.videoWidth
                      : still.complete && still.naturalWidth;
})"""
STEADY = [n / 25 for n in range(50)]
UNEVEN = [0.04 * n if n < 25 else n - 24.0 for n in range(30)]
LATE = [2 + time for time in STEADY]


def write_files(folder: Path) -> dict[str, list[float]]:
    """Files of all kinds, and when each of their numbered frames is shown."""
    write_timed(folder / "late.mp4", LATE, sound=(0, 5))
    write_timed(folder / "late.webm", LATE, "libvpx", (0, 5), "libopus")
    write_timed(folder / "uneven.mp4", UNEVEN)
    write_timed(folder / "live.webm", STEADY, "libvpx", live="1")
    write_timed(folder / "long-sound.mp4", STEADY, sound=(0, 6))
    write_timed(folder / "hevc.mp4", STEADY, "libx265")
    write_timed(folder / "heard.mp4", STEADY, "libx265", sound=(0, 2))
    write_timed(folder / "film.avi", STEADY, "mpeg4")
    write_timed(folder / "film.ts", STEADY)
    write_timed(folder / "old.3gp", STEADY, "mpeg4")
    frames = [Image.fromarray(picture(number)) for number in range(50)]
    frames[0].save(folder / "film.gif", save_all=True, append_images=frames[1:], duration=40)
    times = {"late.mp4": LATE, "late.webm": LATE, "uneven.mp4": UNEVEN}
    return {file.name: times.get(file.name, STEADY) for file in folder.iterdir()}


PLAYED = ("late.mp4", "late.webm", "uneven.mp4", "live.webm", "long-sound.mp4")


def test_every_kind_of_file_shows_the_frame_that_was_found(
    browser: "sync_api.Browser", cli: Cli
) -> None:
    folder = cli.home / "files"
    folder.mkdir()
    times = write_files(folder)
    rows = [f"{name},{name},{'test' if n else 'train'},films,a grey film"
            for n, name in enumerate(times)]  # fmt: skip
    (folder / "manifest.csv").write_text("\n".join(["clip_id,path,split,category,caption", *rows]))
    cli.json(*EXTRACT, "--root", folder, "--cut", "4")
    cli.json("train", "--method", "zeroshot", "--tasks", "1", "--out", cli.home / "run")
    printed = cli.json("search", cli.home / "run", "a film", "--top", "12")["results"]
    with serving(cli, cli.home / "run") as server:
        hits = server.ask("/api/search?q=a+film").json["results"]
        assert {hit["clip"]: hit["time"] for hit in hits} == {
            hit["clip"]: hit["time"] for hit in printed
        }
        types = {hit["clip"]: server.ask(hit["video"]).headers["Content-Type"] for hit in hits}
        assert types["film.ts"] == "video/mp2t" and types["old.3gp"] == "video/3gpp"
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        page.goto(server.url)
        page.wait_for_selector("#query", state="visible")
        search(page, "a film")
        until(page, LOADED)
        time.sleep(0.3)  # a frame is painted after its seek ends
        shown = {article["name"]: article for article in page.evaluate(SHOWN)}
        page.close()
    assert shown.keys() == times.keys()
    for hit in hits:
        name = hit["clip"]
        article = shown[name]
        at = min(range(len(times[name])), key=lambda n: abs(times[name][n] - hit["time"]))
        assert hit["time"] == pytest.approx(times[name][at], abs=0.0011), name
        assert (article["number"], name) == (at, name)
        assert article["kind"] == ("VIDEO" if name in PLAYED else "IMG"), name
        assert article["hasSound"] == (name == "heard.mp4"), name
    assert "only the sound" in shown["heard.mp4"]["message"]
    assert "cannot play" in shown["hevc.mp4"]["message"] + shown["film.avi"]["message"]
    assert "animation" in shown["film.gif"]["message"]


def test_filter_compare_and_keyboard(page: "sync_api.Page") -> None:
    search(page, "a blue square")
    page.select_option("#task", "2")
    until(page, "document.getElementById('status').textContent.includes('of 16 clips')")
    assert all("task 2" in facts for facts in page.locator(".facts").all_inner_texts())
    page.select_option("#task", "")
    page.select_option("#compare", "zeroshot")
    until(page, "document.querySelectorAll('section').length === 2")
    assert page.locator("section h2").all_inner_texts() == ["structalign", "zeroshot"]
    assert "the other run" in page.locator(".facts").first.inner_text()
    page.keyboard.press("Escape")
    page.evaluate("document.activeElement.blur()")
    page.keyboard.press("j")
    page.keyboard.press("j")
    assert page.evaluate("[...document.querySelectorAll('article')].indexOf(document.activeElement)"
                         ) == 1  # fmt: skip
    page.keyboard.press("/")
    assert page.evaluate("document.activeElement.id") == "query"


@pytest.mark.parametrize(("width", "dark"), [(390, False), (1280, True)])
def test_it_fits_a_phone_and_the_dark(page: "sync_api.Page", width: int, dark: bool) -> None:
    page.emulate_media(color_scheme="dark" if dark else "light")
    page.set_viewport_size({"width": width, "height": 800})
    search(page, "a striped ring")
    page.select_option("#compare", "zeroshot")
    until(page, "document.querySelectorAll('section').length === 2")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    paper = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert paper == ("rgb(21, 24, 28)" if dark else "rgb(255, 255, 255)")
    kinds = "button, input:not([hidden]), select, video"
    is_unnamed = (
        "e => e.offsetParent && !(e.getAttribute('aria-label') || e.textContent.trim() "
        "|| e.labels?.length)"
    )
    unnamed = page.evaluate(
        f"[...document.querySelectorAll('{kinds}')].filter({is_unnamed}).length"
    )
    assert unnamed == 0, "a screen reader could not say what this is"


def test_a_word_that_does_not_fit_its_frame_ends_in_dots(page: "sync_api.Page") -> None:
    """It was cut off in the middle of a letter, or looked like another word."""
    search(page, "kaleidoscopically")
    texts = page.locator(".timeline b")
    assert texts.first.inner_text() == "kaleidoscopically"
    fit = """b => getComputedStyle(b).textOverflow === 'ellipsis'
        && b.scrollWidth > b.clientWidth && b.clientWidth <= b.parentNode.clientWidth"""
    assert texts.first.evaluate(fit)


def test_long_names_leave_the_filters_in_one_row(page: "sync_api.Page") -> None:
    """The last filter stood alone in a second row."""
    page.evaluate("""document.querySelectorAll('.filters option').forEach(
        option => { option.textContent = 'a-long-name-of-a-run-or-a-category-or-a-cache'; })""")
    bounds = "e => e.map(label => label.getBoundingClientRect().toJSON())"
    boxes = page.locator(".filters label").evaluate_all(bounds)
    assert len({box["top"] for box in boxes}) == 1 and boxes[-1]["right"] <= 1264


def test_a_slash_typed_first_is_the_key_and_no_part_of_the_query(page: "sync_api.Page") -> None:
    """The field has the focus when the page is loaded."""
    assert page.evaluate("document.activeElement.id") == "query"
    page.keyboard.type("/a/b")
    assert page.input_value("#query") == "a/b"


def test_an_uploaded_video_finds_itself(page: "sync_api.Page", videos: Path) -> None:
    clip = sorted(videos.glob("*.mp4"))[0]
    page.set_input_files("#file", str(clip))
    until(page, FOUND)
    assert clip.name in page.locator("#status").inner_text()
    assert "whole clip 1.00" in page.locator(".facts").first.inner_text()


def test_a_token_is_required_and_videos_play_after_the_login(
    browser: "sync_api.Browser", shared: Cli, tmp_path: Path
) -> None:
    shared.json("train", *QUICK, "--method", "zeroshot", "--out", tmp_path / "run")
    with serving(shared, tmp_path / "run", "--token", "hush") as server:
        page = browser.new_page()
        page.goto(server.url)
        page.fill("#token", "hush")
        page.keyboard.press("Enter")
        page.wait_for_selector("#query", state="visible")
        search(page, "a red circle")
        until(page, "document.querySelector('video').readyState >= 2")
        page.close()


def test_a_part_of_a_video_is_shown_from_its_start_to_its_end(
    browser: "sync_api.Browser", cli: Cli, videos: Path
) -> None:
    files = sorted(videos.glob("*.mp4"))[:4]
    rows = [f"{f.stem},{f},0.4,1.2,shapes,{s},a red circle moves" for f in files
            for s in (["train"] if f in files[:2] else ["test"])]  # fmt: skip
    (cli.home / "manifest.csv").write_text(
        "\n".join(["clip_id,path,start,end,category,split,caption", *rows]) + "\n"
    )
    cli.json(*EXTRACT, "--root", videos, "--splits", cli.home, "--cut", "4", "--name", "parts")
    cli.json("train", "--method", "zeroshot", "--tasks", "1", "--out", cli.home / "run")
    with serving(cli, cli.home / "run") as server:
        hits = server.ask("/api/search?q=a+red+circle").json["results"]
        assert [(hit["start"], hit["end"]) for hit in hits] == [(0.4, 1.2)] * 4
        page = browser.new_page()
        page.goto(server.url)
        page.wait_for_selector("#query", state="visible")
        search(page, "a red circle")
        facts = page.locator(".facts").all_inner_texts()
        assert all("0:00.4 to 0:01.2" in text for text in facts)
        until(page, "[...document.querySelectorAll('video')].every(v => v.currentTime > 0)")
        times = page.evaluate("[...document.querySelectorAll('video')].map(v => v.currentTime)")
        assert all(0.4 < time < 1.2 for time in times)
        page.evaluate("document.querySelector('video').playbackRate = 4")
        page.evaluate("document.querySelector('video').play()")
        until(page, "document.querySelector('video').paused")
        assert page.evaluate("document.querySelector('video').currentTime") == pytest.approx(0.4)
        page.close()
