"""The search server under load: 32 clients on loopback, all at once.

python -m structalign.benchmarks.serving RUN [--cache-root DIR] [--clients 32] [--json]

Every client sends 20 queries of its own, one after another. Prints p50 and p95 in milliseconds, the
p50 of a client alone, requests a second, and how many requests failed.
"""

import argparse
import json
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from .parts.sentences import sentences

QUERIES = 20  # of each client


def time_query(url: str, query: str) -> float | None:
    """Seconds of one query; None when it failed."""
    began = time.perf_counter()
    try:
        parameters = urllib.parse.urlencode({"q": query, "top": 12})
        with urllib.request.urlopen(f"{url}/api/search?{parameters}", timeout=120) as reply:
            results = json.load(reply)["results"]
    except (urllib.error.URLError, OSError, ValueError):
        return None
    return time.perf_counter() - began if results else None


def measure(url: str, clients: int) -> dict[str, float]:
    """Measure one client alone, then all at once."""
    texts = sentences(clients * QUERIES)
    alone = sorted(filter(None, (time_query(url, text) for text in texts[: 2 * QUERIES])))
    began = time.perf_counter()

    def run_client(number: int) -> list[float | None]:
        return [time_query(url, text) for text in texts[number::clients]]

    with ThreadPoolExecutor(clients) as pool:
        times = [value for client in pool.map(run_client, range(clients)) for value in client]
    seconds = time.perf_counter() - began
    done = sorted(value for value in times if value is not None)
    return {
        "clients": clients,
        "failed": len(times) - len(done),
        "requests/s": len(done) / seconds,
        "p50, ms": 1e3 * done[len(done) // 2],
        "p95, ms": 1e3 * done[len(done) * 95 // 100],
        "one client p50, ms": 1e3 * alone[len(alone) // 2],
    }


def main() -> None:
    """Start a server, measure it, and stop it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("--cache-root")
    parser.add_argument("--clients", type=int, default=32)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    line = [sys.executable, "-m", "structalign.cli", "serve", str(given.run), "--port", "0"]
    line += ["--cache-root", given.cache_root] if given.cache_root else []
    server = subprocess.Popen(line, stderr=subprocess.PIPE, text=True)
    try:
        assert server.stderr
        for line_read in server.stderr:
            if url := re.search(r"http://\S+:\d+", line_read):
                break
        else:
            sys.exit("the server did not start")
        body = measure(url[0], given.clients)
    finally:
        server.send_signal(signal.SIGINT)
        server.wait(30)
    if given.json:
        print(json.dumps(body))
        return
    for name, value in body.items():
        print(f"{name:<24}{value:>10.4g}")


if __name__ == "__main__":
    main()
