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
OWN = ".own"  # suffix of the name of a copy


def make_root(root: Path) -> None:
    """Make the root if it is missing: writable by its group, which its folders inherit (setgid)."""
    if not root.is_dir():
        root.mkdir(parents=True, exist_ok=True)
        root.chmod(stat.S_IMODE(root.stat().st_mode) | stat.S_ISGID | GROUP | stat.S_IXGRP)


def open_to_group(root: Path) -> None:
    """If the group may write to the root, let it write to everything this process creates."""
    if root.stat().st_mode & stat.S_IWGRP:
        mask = os.umask(0)
        os.umask(mask & ~(GROUP | stat.S_IXGRP))


def make_read_only(folder: Path) -> None:
    """Remove write permission from a folder and its content; read permission stays."""
    for path in (*folder.rglob("*"), folder):
        path.chmod(_readable(path) & ~WRITE)


def own_copy(folder: Path) -> Path:
    """``folder`` if this user owns all of it, else a copy next to it that the user owns.

    Only its owner may change a file's mode: an unfinished cache that another member of the group
    began could not be made read-only. Nothing is moved: a kill loses only the copy, and copies
    that earlier kills left are removed first.
    """
    for abandoned in folder.parent.glob(f".{folder.name}.*{OWN}"):
        with suppress(PermissionError):  # another member's: that member's next call removes it
            make_writable(abandoned)
            shutil.rmtree(abandoned)
    user, inside = os.geteuid(), sorted(folder.rglob("*"))
    # The superuser may change any mode.
    if user == 0 or all(path.lstat().st_uid == user for path in (folder, *inside)):
        return folder
    copy = folder.with_name(f".{folder.name}.{secrets.token_hex(4)}{OWN}")
    copy.mkdir()
    for path in inside:
        target = copy / path.relative_to(folder)
        if path.is_dir():
            target.mkdir()
        elif path.lstat().st_uid == user:
            link_or_copy(path, target)
        else:
            shutil.copyfile(path, target)
    return copy


def make_writable(folder: Path) -> None:
    """Let the owner write to a folder and those in it; files may be links and keep their modes."""
    for path in (folder, *folder.rglob("*")):
        mode = stat.S_IMODE(path.lstat().st_mode)
        # A folder that is writable already may belong to another member: leave its mode.
        if path.is_dir() and not mode & stat.S_IWUSR:
            path.chmod(mode | stat.S_IWUSR)


def _readable(path: Path) -> int:
    """The file's mode, readable by all who can read the folder: libraries may write owner-only."""
    mode = stat.S_IMODE(path.stat().st_mode)
    parent = stat.S_IMODE(path.parent.stat().st_mode)
    enter = parent & (stat.S_IXGRP | stat.S_IXOTH) if path.is_dir() else 0
    return mode | (parent & (stat.S_IRGRP | stat.S_IROTH)) | enter
