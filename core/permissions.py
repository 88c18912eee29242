"""Permissions of a shared folder: unfinished work is open to the group, the rest read-only."""

import os
import secrets
import shutil
import stat
from contextlib import suppress
from pathlib import Path

from .files import link_or_copy

GROUP = stat.S_IRGRP | stat.S_IWGRP
WRITE = stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH
OWN = ".own"  # how the name of an own copy ends


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


def own_copy(folder: Path) -> Path:
    """``folder`` if all of it is ours, else a copy of it beside it that is.

    Only its owner may change a file's mode: an unfinished cache that another member of the group
    began could not be made read-only. Nothing is moved, so a kill in here costs the copy alone;
    what an earlier one left is removed first. Our own files are linked.
    """
    for left in folder.parent.glob(f".{folder.name}.*{OWN}"):
        with suppress(PermissionError):  # another member's: it waits for them
            make_writable(left)
            shutil.rmtree(left)
    user, inside = os.geteuid(), sorted(folder.rglob("*"))
    # root may change any mode
    if user == 0 or all(path.lstat().st_uid == user for path in (folder, *inside)):
        return folder
    own = folder.with_name(f".{folder.name}.{secrets.token_hex(4)}{OWN}")
    own.mkdir()
    for path in inside:
        target = own / path.relative_to(folder)
        if path.is_dir():
            target.mkdir()
        elif path.lstat().st_uid == user:
            link_or_copy(path, target)
        else:
            shutil.copyfile(path, target)
    return own


def make_writable(folder: Path) -> None:
    """Restore the owner's write permission of folders, so that they can be moved or removed.

    Files keep their modes: they may be linked into a published cache.
    """
    for path in (folder, *folder.rglob("*")):
        mode = stat.S_IMODE(path.lstat().st_mode)
        # What is writable may belong to another member, who alone may change its mode.
        if path.is_dir() and not mode & stat.S_IWUSR:
            path.chmod(mode | stat.S_IWUSR)


def _readable(path: Path) -> int:
    """The mode with the readers that the folder above has.

    Libraries leave files that only their owner can read.
    """
    mode = stat.S_IMODE(path.stat().st_mode)
    above = stat.S_IMODE(path.parent.stat().st_mode)
    enter = above & (stat.S_IXGRP | stat.S_IXOTH) if path.is_dir() else 0
    return mode | (above & (stat.S_IRGRP | stat.S_IROTH)) | enter
