"""The search server by HTTP: its responses, who gets them, and files that are never served."""

import io
import json
import os
import signal
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import pytest
from helpers.cli import EXTRACT, QUICK, Cli
from helpers.server import Server, serving
from PIL import Image
from structalign.extract.video.decoder import Decoder

QUERY = "/api/search?q=a+red+circle&top=4"


@pytest.fixture(scope="module")
def runs(shared: Cli, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("served")
    for method in ("structalign", "finetune"):
        shared.json("train", *QUICK, "--method", method, "--out", folder / method)
    return [folder / "structalign", folder / "finetune"]


@pytest.fixture(scope="module")
def server(shared: Cli, runs: list[Path]) -> Iterator[Server]:
    with serving(shared, *runs) as server:
        yield server


def multipart(name: str, body: bytes) -> tuple[bytes, str]:
    edge = "edge0edge"
    head = f'--{edge}\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n\r\n'
    return head.encode() + body + f"\r\n--{edge}--\r\n".encode(), (
        f"multipart/form-data; boundary={edge}"
    )


def approximately(value: Any) -> Any:
    """A JSON value that equals others but for rounding."""
    if isinstance(value, dict):
        return {key: approximately(item) for key, item in value.items()}
    if isinstance(value, list):
        return [approximately(item) for item in value]
    return pytest.approx(value, abs=1e-4) if isinstance(value, float) else value


def test_search_gives_what_the_command_line_prints(
    server: Server, shared: Cli, runs: list[Path]
) -> None:
    for run in runs:
        response = server.ask(f"{QUERY}&run={run.name}").json
        printed = shared.json("search", run, "a red circle", "--top", "4")
        assert response.pop("run") == run.name and response["clips"] == 32
        for result in response["results"]:
            assert result.pop("video") and result.pop("thumbnail")
        assert approximately(response) == printed


def test_filters_search_the_clips_of_a_task_category_or_cache(server: Server) -> None:
    first = server.ask("/api/runs").json[0]
    assert first["clips"] == 32 and len(first["tasks"]) == 2
    name = first["tasks"][1][0]
    body = server.ask(f"{QUERY}&top=50&category={quote(name)}").json
    assert body["clips"] == 8 and {hit["category"] for hit in body["results"]} == {name}
    body = server.ask(f"{QUERY}&top=50&task=2").json
    assert body["clips"] == 16 and {hit["task"] for hit in body["results"]} == {2}
    fingerprint = first["caches"][0]["fingerprint"]
    assert server.ask(f"{QUERY}&cache={fingerprint}").json["clips"] == 32
    body = server.ask(f"{QUERY}&cache=another").json
    assert body["clips"] == 0 and body["results"] == []


def test_videos_answer_range_requests(server: Server, videos: Path) -> None:
    hit = server.ask(QUERY).json["results"][0]
    whole = (videos / f"{hit['clip']}.mp4").read_bytes()
    assert server.ask(hit["video"]).body == whole
    part = server.ask(hit["video"], Range="bytes=10-19")
    assert part.status == 206 and part.body == whole[10:20]
    assert part.headers["Content-Range"] == f"bytes 10-19/{len(whole)}"
    assert part.headers["Content-Type"] == "video/mp4"
    assert server.ask(hit["video"], Range=f"bytes={len(whole)}-").status == 416
    picture = server.ask(hit["thumbnail"])
    assert picture.headers["Content-Type"] == "image/jpeg" and picture.body[:2] == b"\xff\xd8"
    clip = server.ask(f"/api/clips/{hit['clip']}").json
    assert clip["captions"] == hit["captions"] and clip["video"] == hit["video"]


def test_a_video_finds_itself_and_a_picture_is_a_video(server: Server, videos: Path) -> None:
    hit = server.ask(QUERY).json["results"][0]
    body, kind = multipart("mine.mp4", (videos / f"{hit['clip']}.mp4").read_bytes())
    response = server.ask("/api/search?top=3", body, Content_Type=kind).json
    assert response["query"] == "mine.mp4" and response["results"][0]["global"] > 0.99
    assert hit["clip"] in [result["clip"] for result in response["results"][:2]]  # or its twin
    body, kind = multipart("frame.jpg", server.ask(hit["thumbnail"]).body)
    assert len(server.ask("/api/search?top=3", body, Content_Type=kind).json["results"]) == 3
    body, kind = multipart("no.mp4", b"no video at all")
    refused = server.ask("/api/search", body, Content_Type=kind)
    assert refused.status == 422 and refused.json["detail"].startswith("no.mp4: unreadable")


def test_an_upload_that_is_too_large_is_refused_before_it_is_read(server: Server) -> None:
    host, port = server.url.removeprefix("http://").split(":")
    for header, status in (("Content-Length: 300000000", b"413"),
                           ("Transfer-Encoding: chunked", b"411")):  # fmt: skip
        with socket.create_connection((host, int(port))) as connection:
            head = f"POST /api/search HTTP/1.1\r\nHost: localhost\r\n{header}\r\n\r\n"
            connection.sendall(head.encode())
            assert connection.recv(65536).split()[1] == status


@pytest.mark.parametrize(
    ("path", "status", "message"),
    [
        ("/api/search", 422, "q: Field required"),
        ("/api/search?q=" + "x" * 501, 422, "500 characters"),
        ("/api/search?q=%20", 422, "no word"),
        ("/api/search?q=a&top=101", 422, "top: Input should be less than or equal to 100"),
        ("/api/search?q=a&top=-1", 422, "top: Input should be greater than or equal to 1"),
        ("/api/search?q=a&top=x&task=0", 422, "valid integer, unable"),
        ("/api/search?q=a&task=x", 422, "task: Input should be a valid integer"),
        ("/api/search?q=a&task=", 422, "task: Input should be a valid integer"),
        ("/api/search?q=a&task=0", 422, "task: Input should be greater than or equal to 1"),
        ("/api/clips/none/thumbnail?frame=", 422, "frame: Input should be a valid integer"),
        ("/api/search?q=a&run=", 422, "unknown run ''"),
        ("/api/search?q=a&run=mine", 422, "unknown run 'mine'"),
        ("/api/clips/none", 404, "no clip 'none'"),
        ("/api/clips/none/video", 404, "no clip 'none'"),
        ("/api/clips/none/thumbnail?frame=1", 404, "no clip 'none'"),
        ("/api/clips/none/thumbnail?frame=0", 422, "frame: Input should be greater"),
        ("/docs", 404, "Not Found"),
    ],
)
def test_bad_requests_get_a_line(server: Server, path: str, status: int, message: str) -> None:
    reply = server.ask(path)
    assert reply.status == status and message in reply.json["detail"]
    assert reply.json["detail"].count("Input") <= 1 + path.count("top=x"), "one reason each"


@pytest.mark.parametrize(
    ("body", "status", "message"),
    [
        (b"xx", 422, "the body is not JSON (Expecting value)"),
        (b"{}", 422, "token: Field required"),
        (b"[]", 422, "body: Input should be a valid dictionary"),
        (b"\xff", 400, "There was an error parsing the body"),
    ],
)
def test_a_login_that_is_none_gets_a_line(
    server: Server, body: bytes, status: int, message: str
) -> None:
    reply = server.ask("/api/login", body, Content_Type="application/json")
    assert reply.status == status and message in reply.json["detail"]


def test_strange_text_in_every_place(server: Server, videos: Path) -> None:
    """Half of a surrogate pair, or bytes that are no UTF-8, were an internal error in names."""
    video = sorted(videos.glob("*.mp4"))[0].read_bytes()
    body, kind = multipart("+2AA-.mp4", video)
    reply = server.ask("/api/search?top=1", body, Content_Type=f"{kind}; charset=utf-7")
    assert reply.status == 200 and reply.json["query"] == "?.mp4"
    half = "%ED%A0%80"
    assert server.ask(f"/api/search?q=a{half}").status == 200
    for name in ("run", "task", "frame", "%FF", half):
        assert server.ask(f"{QUERY}&{name}={half}").status in (200, 422)
    assert server.ask(f"/api/clips/{half}?cache={half}").status == 404
    for name in ("Authorization", "Cookie", "If_None_Match", "Range"):
        strange: dict[str, Any] = {name: "Bearer structalign=\xff\\377"}
        assert server.ask(QUERY, **strange).status == 200


@pytest.mark.parametrize(
    ("body", "kind", "message"),
    [
        (b"{}", "application/json", "file: Field required"),
        (b"x=1", "application/x-www-form-urlencoded", "file: Field required"),
        (b"no edge", "multipart/form-data", "boundary"),
        (b"--a\r\nno header", "multipart/form-data; boundary=a", "Invalid multipart data"),
    ],
)
def test_an_upload_that_is_none_gets_a_line(
    server: Server, body: bytes, kind: str, message: str
) -> None:
    reply = server.ask("/api/search", body, Content_Type=kind)
    assert reply.status in (400, 422) and message in reply.json["detail"]


def test_a_frame_is_a_picture_and_must_be_one_of_the_clips(server: Server, videos: Path) -> None:
    hit = server.ask(QUERY).json["results"][0]
    picture = server.ask(f"{hit['thumbnail']}&frame={hit['frame']}")
    assert picture.headers["Content-Type"] == "image/jpeg"
    with Decoder(60) as decoder:
        path = videos / hit["path"]
        frames = decoder.decode(path, None, None, hit["frame_count"], by_time=True).frames
    with Image.open(io.BytesIO(picture.body)) as image:
        wanted = Image.fromarray(frames[hit["frame"] - 1]).resize(image.size)
        assert np.abs(np.asarray(image, int) - np.asarray(wanted, int)).mean() < 8
    beyond = server.ask(f"{hit['thumbnail']}&frame={hit['frame_count'] + 1}")
    assert beyond.status == 404 and beyond.json["detail"].startswith("no frame 5; the clips")


def test_a_client_does_not_get_what_it_has(server: Server) -> None:
    hit = server.ask(QUERY).json["results"][0]
    for path in (hit["video"], hit["thumbnail"], f"{hit['thumbnail']}&frame=2", "/", "/page.js"):
        tag = server.ask(path).headers["ETag"]
        for value in (tag, f'"other", W/{tag}', "*"):
            same = server.ask(path, If_None_Match=value, Range="bytes=0-3")
            assert same.status == 304 and same.body == b"" and same.headers["ETag"] == tag
            assert same.headers["Cache-Control"]
        assert server.ask(path, If_None_Match='"other"').status == 200


def test_ranges_hold_for_the_file_that_a_client_began_with(server: Server, videos: Path) -> None:
    hit = server.ask(QUERY).json["results"][0]
    whole, url = (videos / f"{hit['clip']}.mp4").read_bytes(), hit["video"]
    tag = server.ask(url).headers["ETag"]
    assert server.ask(url, Range="bytes=5-9", If_Range=tag).body == whole[5:10]
    assert server.ask(url, Range="bytes=5-9", If_Range='"another"').body == whole
    assert server.ask(url, Range="bytes=-9").body == whole[-9:]
    assert server.ask(url, Range="bytes=5-").body == whole[5:]
    both = server.ask(url, Range="bytes=0-1,-2")
    assert both.status == 206 and whole[:2] in both.body and whole[-2:] in both.body
    for other in ("bytes=9-5", "items=0-5", "bytes=a-b", "bytes", "bytes=0-" + "9" * 5000):
        reply = server.ask(url, Range=other)  # no Range that HTTP knows counts as none
        assert (reply.status, reply.body) == (200, whole), other
    end = server.ask(url, Range=f"bytes={len(whole)}-")
    assert end.status == 416 and end.headers["Content-Range"] == f"bytes */{len(whole)}"


def test_head_is_get_without_the_body(server: Server) -> None:
    hit = server.ask(QUERY).json["results"][0]
    paths = (
        hit["video"], hit["thumbnail"], f"/api/clips/{hit['clip']}", QUERY, "/api/runs", "/",
        "/api/health", "/page.css", "/favicon.ico", "/api/clips/none", "/api/search",
    )  # fmt: skip
    for path in paths:
        head, full = server.ask(path, method="HEAD"), server.ask(path)
        assert (head.status, head.body) == (full.status, b""), path
        for name in ("Content-Type", "Content-Length", "ETag", "Accept-Ranges"):
            assert head.headers[name] == full.headers[name], (path, name)
    part = server.ask(hit["video"], method="HEAD", Range="bytes=2-5")
    assert part.status == 206 and part.headers["Content-Length"] == "4"


def test_a_wrong_method_is_told_the_right_ones(server: Server) -> None:
    for path, allowed in (("/api/search", "GET, HEAD, POST"), ("/api/clips/none", "GET, HEAD")):
        reply = server.ask(path, b"", method="PUT")
        assert reply.status == 405 and reply.headers["Allow"] == allowed
    assert server.ask("/api/login").headers["Allow"] == "POST"


def test_the_api_is_documented_and_headers_are_strict(server: Server) -> None:
    paths = server.ask("/openapi.json").json["paths"]
    assert {"/api/search", "/api/clips/{name}", "/api/runs", "/api/health"} <= set(paths)
    for path in ("/", "/page.js", QUERY, "/api/clips/none"):
        headers = server.ask(path).headers
        assert "default-src 'none'" in headers["Content-Security-Policy"]
        assert headers["X-Content-Type-Options"] == "nosniff" and "Server" not in headers
    page = server.ask("/").body.decode() + server.ask("/page.css").body.decode()
    assert "//" not in page.replace("<!doctype", "") and "innerHTML" not in (
        server.ask("/page.js").body.decode()
    )


def test_another_host_name_or_site_is_refused(server: Server) -> None:
    """A page on another site points a host name at this machine (DNS rebinding)."""
    assert server.ask(QUERY, Host="evil.example").status == 421
    assert server.ask(QUERY, Host="[::1").status in (200, 400, 421)
    for name in ("localhost:1", "127.0.0.1", "[::1]:80"):
        assert server.ask(QUERY, Host=name).status == 200
    body, kind = multipart("a.mp4", b"")
    assert (
        server.ask("/api/search", body, Content_Type=kind, Sec_Fetch_Site="cross-site").status
        == 403
    )


TRAVERSAL = (
    "../../etc/passwd", "..%2f..%2fetc%2fpasswd", "%2e%2e/%2e%2e/etc/passwd",
    "..%252f..%252fetc%252fpasswd", "....//etc/passwd", "%2fetc%2fpasswd", "a%00b", "page.js%2f..",
)  # fmt: skip


@pytest.mark.parametrize("name", TRAVERSAL)
def test_no_name_reaches_a_file_that_is_not_a_clip(server: Server, name: str) -> None:
    """Sent through a socket: urllib would normalise the path."""
    host, port = server.url.removeprefix("http://").split(":")
    for path in (f"/api/clips/{name}/video", f"/{name}", f"/page.{name}"):
        with socket.create_connection((host, int(port))) as connection:
            line = f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
            connection.sendall(line.encode())
            response = b""
            while block := connection.recv(65536):
                response += block
        assert response.split()[1] in (b"404", b"422", b"400"), (path, response[:200])
        assert b"root:" not in response


@pytest.mark.slow
def test_links_out_of_the_folder_and_lost_videos_are_not_served(cli: Cli, videos: Path) -> None:
    root = cli.home / "root"
    root.mkdir()
    for file in videos.iterdir():
        os.link(file, root / file.name) if file.suffix == ".mp4" else (
            (root / file.name).write_bytes(file.read_bytes())
        )
    cli.json(*EXTRACT, "--root", root, "--cut", "4")
    cli.json("train", "--method", "zeroshot", "--tasks", "2", "--out", cli.home / "run")
    names = sorted(file.stem for file in root.glob("*.mp4"))
    secret = cli.home / "secret.mp4"
    secret.write_bytes(b"secret")
    (root / f"{names[0]}.mp4").unlink()
    (root / f"{names[0]}.mp4").symlink_to(secret)
    (root / f"{names[1]}.mp4").unlink()
    with serving(cli, cli.home / "run") as server:
        outside = server.ask(f"/api/clips/{names[0]}/video")
        assert outside.status == 404 and "outside of its folder" in outside.json["detail"]
        gone = server.ask(f"/api/clips/{names[1]}/video")
        assert gone.status == 404 and "no longer there" in gone.json["detail"]
        assert server.ask(f"/api/clips/{names[1]}/thumbnail").status == 404
        assert server.ask(f"/api/clips/{names[2]}/video").status == 200


@pytest.mark.slow
def test_a_token_is_required(shared: Cli, runs: list[Path]) -> None:
    error = shared.error("serve", runs[0], "--host", "0.0.0.0")
    assert "give --token or set STRUCTALIGN_TOKEN" in error
    with serving(shared, runs[0], "--token", "hush") as server:
        assert server.ask("/").status == 200 and server.ask("/api/runs").status == 401
        assert server.ask(QUERY, Authorization="Bearer wrong").status == 401
        assert server.ask(QUERY, Authorization="Bearer hush").status == 200
        login = {"Content_Type": "application/json"}
        for wrong in (b'{"token": "no"}', rb'{"token": "\ud800"}'):
            assert server.ask("/api/login", wrong, **login).status == 401
        cookie = server.ask("/api/login", b'{"token": "hush"}', **login).headers["Set-Cookie"]
        assert "HttpOnly" in cookie and "SameSite=strict" in cookie
        assert server.ask(QUERY, Cookie=cookie.split(";")[0]).status == 200
        assert server.ask("/openapi.json").status == 401
        behind_a_proxy: dict[str, Any] = {"Host": "lab.example", "Authorization": "Bearer hush"}
        assert server.ask(QUERY, **behind_a_proxy).status == 200


def test_what_cannot_be_served(shared: Cli, runs: list[Path], server: Server) -> None:
    assert "is not a run" in shared.error("serve", shared.home)
    twice = shared.error("serve", runs[0], runs[0])
    assert "two of these runs are called structalign" in twice
    port = server.url.rsplit(":", 1)[1]
    assert "give another --port" in shared.error("serve", runs[0], "--port", port)


@pytest.mark.slow
def test_32_clients_at_once_get_results(server: Server) -> None:
    """No error; benchmarks/serving.py measures the times."""
    wrong: list[object] = []

    def send(number: int) -> None:
        for repeat in range(4):
            reply = server.ask(f"/api/search?q=a+red+circle+{number * repeat}&top=5")
            if reply.status != 200 or len(reply.json["results"]) != 5:
                wrong.append(reply.body)

    threads = [threading.Thread(target=send, args=(number,)) for number in range(32)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


@pytest.mark.slow
def test_it_ends_cleanly(shared: Cli, runs: list[Path]) -> None:
    with serving(shared, runs[1]) as server:
        hit = json.loads(server.ask(QUERY).body)["results"][0]
        slow = socket.create_connection(("127.0.0.1", int(server.url.rsplit(":", 1)[1])))
        slow.sendall(f"GET {hit['video']} HTTP/1.1\r\n".encode())  # an unfinished request
    assert server.process.returncode == 130
    assert server.process.communicate()[1].splitlines()[1:] == ["the server has ended"]
    slow.close()


def test_sigterm_ends_it_with_a_word(shared: Cli, runs: list[Path]) -> None:
    """It said that nothing is lost and that the same command continues."""
    with serving(shared, runs[0]) as server:
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(20) == 130
    assert server.process.communicate()[1].splitlines()[1:] == ["the server has ended"]
