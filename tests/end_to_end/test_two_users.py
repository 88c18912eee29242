"""Two real users of one group share a root: what one began or published, the other goes on with."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from helpers.cli import EXTRACT, ROOT, Cli, Forked
from structalign.cache import FeatureCache
from structalign.cache.verify import verify

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

    def line(self, user: int, *arguments: str) -> tuple[list[str], dict[str, str], Path]:
        """A user's words after ``structalign``, environment and home folder."""
        home = self.folder / str(user)
        home.mkdir(exist_ok=True)
        os.chown(home, user, GROUP)
        line = (*EXTRACT, "--root", self.videos, "--cache-root", self.root, *arguments)
        return list(map(str, line)), {**self.cli.environment, "HOME": str(home)}, home

    def start(self, user: int, *arguments: str) -> Forked:
        line, environment, home = self.line(user, *arguments)
        command = [sys.executable, str(ROOT / "cli.py"), *line]
        return Forked(command, environment, home, tuple(as_user(user)))

    def extract(self, user: int, *arguments: str) -> str:
        """Standard output, exit code 0 or 3."""
        process = self.start(user, *arguments)
        out, err = process.communicate(timeout=120)
        assert process.returncode in (0, 3), err
        return out

    def kill_midway(self, user: int) -> None:
        """Start an extraction and kill it once some tokens are staged."""
        process = self.start(user)
        while not list(self.root.glob("staging/*/tokens/c.*")):
            assert process.poll() is None, process.communicate()
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
        process.communicate()


@pytest.fixture
def lab(cli: Cli, videos: Path, tmp_path: Path) -> Lab:
    return Lab(cli, videos, tmp_path)


def test_an_unfinished_cache_is_taken_over(lab: Lab) -> None:
    """Both were locked out for good: only its owner may change a file's mode."""
    lab.kill_midway(FIRST)
    assert "32 of 32 clips" in lab.extract(SECOND)
    published = next(lab.root.glob("caches/*"))
    assert {path.stat().st_uid for path in (published, *published.rglob("*"))} == {SECOND}
    assert not any(path.stat().st_mode & 0o222 for path in published.rglob("*"))
    assert "already there" in lab.extract(FIRST)


KILLS_ITSELF = """
import os, shutil, signal, sys
module, name, left = {"os": os, "shutil": shutil}[sys.argv[1]], sys.argv[2], int(sys.argv[3])
del sys.argv[1:4]
real = getattr(module, name)
def until_killed(*arguments):
    global left
    left -= 1
    if left < 0:
        os.kill(os.getpid(), signal.SIGKILL)
    return real(*arguments)
setattr(module, name, until_killed)
from structalign.cli import main
main()
"""


@pytest.mark.parametrize(
    "moment", [("shutil", "copyfile", "3"), ("os", "rename", "0"), ("os", "rename", "1")]
)
def test_killed_while_taking_over(lab: Lab, moment: tuple[str, str, str]) -> None:
    """What had been moved into a folder of its own was removed as foreign by the next try."""
    lab.kill_midway(FIRST)
    line, environment, home = lab.line(SECOND)
    taking_over = subprocess.run(
        [*as_user(SECOND), sys.executable, "-c", KILLS_ITSELF, *moment, *line],
        env=environment, cwd=home, umask=0o022, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (taking_over.stdout, taking_over.returncode) == ("", -signal.SIGKILL)
    lab.extract(SECOND)
    (published,) = (path for path in lab.root.glob("caches/*") if path.name[0] != ".")
    assert verify(published).ok and len(FeatureCache.open(published)) == 32
    assert {path.stat().st_uid for path in (published, *published.rglob("*"))} == {SECOND}


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


WITHOUT_PRIVILEGE = """
import ctypes, json, os, sys
from pathlib import Path
from structalign.cache import reader, tokens
from structalign.cache.inventory import inventory
from structalign.cache.root import CacheRoot
root = CacheRoot(sys.argv[1])
list(inventory(root))  # imports what it needs, while this process may read Python's own files
libc = ctypes.CDLL(None)
assert libc.capset((ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)()) == 0
listed = [(Path(entry["path"]).name, entry.get("error", "")) for entry in inventory(root)]
print(json.dumps([listed, root.find(None).path.name, root.find(sys.argv[2]).path.name]))
"""


def test_what_a_member_may_not_read_costs_itself_alone(lab: Lab) -> None:
    """A PermissionError ended 'ls' and 'train' for everybody; it lies first, as the newest."""
    lab.extract(FIRST)
    good = next(lab.root.glob("caches/[!.]*"))
    shutil.copytree(good, good.with_name("closed-folder")).chmod(0)
    (shutil.copytree(good, good.with_name("closed-file")) / "spec.json").chmod(0)
    shutil.copytree(good, good.with_name(".other.1.leaving"))
    home = lab.folder / str(SECOND)
    home.mkdir()
    done = subprocess.run(
        [*as_user(SECOND), sys.executable, "-c", WITHOUT_PRIVILEGE, lab.root, "manifest"],
        env={**lab.cli.environment, "HOME": str(home)}, cwd=home, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    listed, newest, named = json.loads(done.stdout)
    errors = dict(listed)
    assert len(listed) == 3 and errors.pop(good.name) == ""
    assert all("Permission denied" in error for error in errors.values()), errors
    assert newest == named == good.name
