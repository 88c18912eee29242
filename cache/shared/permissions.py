"""Permissions of a shared folder: unfinished work is open to the group, the rest read-only."""

import os
import shutil
import stat
from pathlib import Path

GROUP = stat.S_IRGRP | stat.S_IWGRP
WRITE = stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH


def make_root(root: Path) -> None:
    """Make the root if it is missing: writable by its group, which its folders inherit (setgid)."""
    if not root.is_dir():
        root.mkdir(parents=True, exist_ok=True)
        root.chmod(stat.S_IMODE(root.stat().st_mode) | stat.S_ISGID | GROUP | stat.S_IXGRP)


def open_to_group(root: Path) -> None:
    """If the group may write to the root, let it write to all that this process makes."""
    if root.stat().st_mode & stat.S_IWGRP:
        mask = os.umask(0)
        os.umask(mask & ~(GROUP | stat.S_IXGRP))


def make_read_only(folder: Path) -> None:
    """Remove write permission from a folder and all in it; readers keep reading."""
    for path in (*folder.rglob("*"), folder):
        path.chmod(_readable(path) & ~WRITE)


def make_own(folder: Path) -> None:
    """Replace what another member of the group made by copies of our own.

    Only its owner may change a file's mode: an unfinished cache that somebody else began could not
    be made read-only. Folders are made anew, files move into them.
    """
    user = os.geteuid()
    if user == 0:  # may change any mode
        return
    inside = sorted(folder.rglob("*"), reverse=True)
    for path in (*inside, folder):
        if path.lstat().st_uid == user:
            continue
        own = path.with_name(f".{path.name}.{os.getpid()}.own")
        if path.is_dir():
            own.mkdir()
            for child in path.iterdir():
                os.rename(child, own / child.name)
            path.rmdir()
            os.rename(own, path)
        else:
            shutil.copyfile(path, own)
            os.replace(own, path)


def make_writable(folder: Path) -> None:
    """Restore the owner's write permission, so that a folder can be moved or removed."""
    for path in (folder, *folder.rglob("*")):
        mode = stat.S_IMODE(path.stat().st_mode)
        # What is writable may belong to another member, who alone may change its mode.
        if not mode & stat.S_IWUSR:
            path.chmod(mode | stat.S_IWUSR)


def _readable(path: Path) -> int:
    """The mode with the readers that the folder above has.

    Libraries leave files that only their owner can read.
    """
    mode = stat.S_IMODE(path.stat().st_mode)
    above = stat.S_IMODE(path.parent.stat().st_mode)
    enter = above & (stat.S_IXGRP | stat.S_IXOTH) if path.is_dir() else 0
    return mode | (above & (stat.S_IRGRP | stat.S_IROTH)) | enter
