"""The search server under load: 32 clients on loopback, all asking at once.

python -m structalign.benchmarks.serving RUN [--cache-root DIR] [--clients 32] [--json]

Every client asks 20 queries of its own, one after another. Prints p50 and p95 in milliseconds, what
one client alone waits, requests a second, and how many failed.
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

ASKED = 20  # queries of each client


def ask(url: str, query: str) -> float | None:
    """Seconds of one query; None where it failed."""
    began = time.perf_counter()
    try:
        asked = urllib.parse.urlencode({"q": query, "top": 12})
        with urllib.request.urlopen(f"{url}/api/search?{asked}", timeout=120) as reply:
            found = json.load(reply)["results"]
    except (urllib.error.URLError, OSError, ValueError):
        return None
    return time.perf_counter() - began if found else None


def measure(url: str, clients: int) -> dict[str, float]:
    """One client alone, then all at once."""
    texts = sentences(clients * ASKED)
    alone = sorted(filter(None, (ask(url, text) for text in texts[: 2 * ASKED])))
    began = time.perf_counter()

    def one(number: int) -> list[float | None]:
        return [ask(url, text) for text in texts[number::clients]]

    with ThreadPoolExecutor(clients) as pool:
        times = [value for found in pool.map(one, range(clients)) for value in found]
    seconds = time.perf_counter() - began
    known = sorted(value for value in times if value is not None)
    return {
        "clients": clients,
        "failed": len(times) - len(known),
        "requests/s": len(known) / seconds,
        "p50, ms": 1e3 * known[len(known) // 2],
        "p95, ms": 1e3 * known[len(known) * 95 // 100],
        "one client p50, ms": 1e3 * alone[len(alone) // 2],
    }


def main() -> None:
    """Start a server, ask it, end it."""
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
        for told in server.stderr:
            if found := re.search(r"http://\S+:\d+", told):
                break
        else:
            sys.exit("the server did not start")
        body = measure(found[0], given.clients)
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
