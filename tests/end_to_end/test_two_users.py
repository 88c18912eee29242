"""Two real users of one group share a root: what one began or published, the other goes on with."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from helpers.cli import EXTRACT, ROOT, Cli

GROUP, FIRST, SECOND = 54001, 54002, 54003
# May read what only root can (this Python, the test's folder), and write as nobody special.
READ = ("--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search")


def as_user(user: int) -> list[str]:
    return ["setpriv", f"--reuid={user}", f"--regid={GROUP}", "--clear-groups", *READ]


def can_be_others() -> bool:
    if os.geteuid() != 0 or shutil.which("setpriv") is None:
        return False
    done = subprocess.run(
        [*as_user(FIRST), sys.executable, "-c", "pass"], capture_output=True, check=False
    )
    return done.returncode == 0


pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not can_be_others(), reason="only root with setpriv can be two users"),
]


class Lab:
    """A shared root with a group, and its members."""

    def __init__(self, cli: Cli, videos: Path, folder: Path) -> None:
        self.cli, self.root, self.folder = cli, folder / "lab", folder
        self.videos = Path(shutil.copytree(videos, folder / "videos"))
        self.videos.chmod(0o755)
        self.root.mkdir()
        for above in (folder, *folder.parents[:-2]):  # pytest's are closed to others
            above.chmod(above.stat().st_mode | 0o011)
        os.chown(self.root, 0, GROUP)
        self.root.chmod(0o2775)

    def start(self, user: int, *arguments: str) -> subprocess.Popen[str]:
        home = self.folder / str(user)
        home.mkdir(exist_ok=True)
        os.chown(home, user, GROUP)
        line = (*EXTRACT, "--root", self.videos, "--cache-root", self.root, *arguments)
        return subprocess.Popen(
            [*as_user(user), sys.executable, str(ROOT / "cli.py"), *map(str, line)],
            env={**self.cli.environment, "HOME": str(home)},
            cwd=home,
            umask=0o022,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def extract(self, user: int, *arguments: str) -> str:
        """Standard output, exit code 0 or 3."""
        process = self.start(user, *arguments)
        out, err = process.communicate(timeout=120)
        assert process.returncode in (0, 3), err
        return out


@pytest.fixture
def lab(cli: Cli, videos: Path, tmp_path: Path) -> Lab:
    return Lab(cli, videos, tmp_path)


def test_an_unfinished_cache_is_taken_over(lab: Lab) -> None:
    """Both were locked out for good: only its owner may change a file's mode."""
    begun = lab.start(FIRST)
    while len(list(lab.root.glob("staging/*/tokens/c.*"))) < 5:
        assert begun.poll() is None, begun.communicate()
        time.sleep(0.02)
    begun.send_signal(signal.SIGKILL)
    begun.communicate()
    assert "32 of 32 clips" in lab.extract(SECOND)
    published = next(lab.root.glob("caches/*"))
    assert {path.stat().st_uid for path in (published, *published.rglob("*"))} == {SECOND}
    assert not any(path.stat().st_mode & 0o222 for path in published.rglob("*"))
    assert "already there" in lab.extract(FIRST)


def test_quarantined_clips_are_tried_again_by_another(lab: Lab) -> None:
    film = next(lab.videos.glob("*.mp4"))
    body = film.read_bytes()
    film.unlink()
    assert "31 of 32 clips" in lab.extract(FIRST, "--max-bad", "0.1")
    for user in (SECOND, FIRST):
        assert "31 of 32 clips" in lab.extract(user, "--max-bad", "0.1", "--retry-bad")
        published = [path for path in lab.root.glob("caches/*") if path.name[0] != "."]
        assert [path.stat().st_uid for path in published] == [user]
    film.write_bytes(body)
    assert "32 of 32 clips" in lab.extract(SECOND)
