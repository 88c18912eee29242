"""Permissions of a folder that a lab shares: what is being made is open to the group, what is published is read-only."""

import os
import stat
from pathlib import Path

GROUP = stat.S_IRGRP | stat.S_IWGRP
WRITE = stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH


def make_root(root: Path) -> None:
    """The root as it is, or a new one that its group may write to and whose group its folders inherit (setgid)."""
    if not root.is_dir():
        root.mkdir(parents=True, exist_ok=True)
        root.chmod(stat.S_IMODE(root.stat().st_mode) | stat.S_ISGID | GROUP | stat.S_IXGRP)


def open_to_group(root: Path) -> None:
    """If the group may write to the root, let it write to all that this process makes from now on; else change nothing."""
    if root.stat().st_mode & stat.S_IWGRP:
        mask = os.umask(0)
        os.umask(mask & ~(GROUP | stat.S_IXGRP))


def make_read_only(folder: Path) -> None:
    """Take write permission from a folder and everything in it; group and others keep reading what the folder's owner may read."""
    for path in (*folder.rglob("*"), folder):
        path.chmod(_readable(path) & ~WRITE)


def make_writable(folder: Path) -> None:
    """Give its owner write permission again where it was taken, so that it can be moved or removed."""
    for path in (folder, *folder.rglob("*")):
        mode = stat.S_IMODE(path.stat().st_mode)
        if not mode & stat.S_IWUSR:  # what is writable may be another member's of the group, who alone may change modes
            path.chmod(mode | stat.S_IWUSR)


def _readable(path: Path) -> int:
    """The mode with the readers that the folder above has: libraries leave files that only their owner can read."""
    mode = stat.S_IMODE(path.stat().st_mode)
    above = stat.S_IMODE(path.parent.stat().st_mode)
    return mode | (above & (stat.S_IRGRP | stat.S_IROTH)) | (above & (stat.S_IXGRP | stat.S_IXOTH) if path.is_dir() else 0)
