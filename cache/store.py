"""Where a cache lies: in a folder, or behind a URL. Another kind of place is another class here."""

import errno
import io
import os
import stat
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, Self

from ..core.errors import StructAlignError
from ..core.files import read_bytes


class ByteRanges(ABC):
    """One open file, read by byte ranges. ``version`` changes whenever the file does."""

    version: object

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @abstractmethod
    def tail(self, size: int) -> bytes:
        """The last ``size`` bytes, or the whole file if it is shorter."""

    @abstractmethod
    def read_into(self, buffers: Sequence[memoryview | bytearray], offset: int) -> int:
        """Fill buffers with the bytes from ``offset`` on; returns how many there were."""

    @abstractmethod
    def close(self) -> None:
        """Close the file."""


class Store(Protocol):
    """Read access to the files of one cache, by their names in ``layout``.

    ``reference`` opens the cache in another process, ``readers`` is how many chunks are read at a
    time, ``advice`` what a user can do if no complete cache is there.
    """

    path: Path
    reference: str
    readers: int
    advice: str

    def read(self, name: str) -> bytes | None:
        """A whole file, None if it is missing. Raises StructAlignError if it cannot be read."""

    def open(self, name: str) -> ByteRanges:
        """A file to read in parts; FileNotFoundError, now or on the first read, if missing."""

    def names(self) -> list[str] | None:
        """The names of all files, sorted; None where files cannot be listed."""

    def array(self, name: str) -> Any:
        """What Zarr opens an array from."""

    def as_folder(self, bodies: Mapping[str, bytes]) -> Path:
        """A local folder that holds these files of the cache, given with their bytes."""


class Local:
    """A folder."""

    # The system copies one reader's chunk while another's checksum is computed.
    readers = min(4, os.cpu_count() or 1)
    advice = "run extract, or name another with --cache"

    def __init__(self, path: Path) -> None:
        self.path, self.reference = path, str(path.resolve())

    def read(self, name: str) -> bytes | None:
        """Refuses pipes and devices, too: reading them would block."""
        try:
            return read_bytes(self.path / name)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise _unreadable(self.path / name, error) from error

    def open(self, name: str) -> ByteRanges:
        """Raises FileNotFoundError now."""
        return LocalFile(self.path / name)

    def names(self) -> list[str]:
        """The paths of all files below the folder, relative to it."""
        files = (file for file in self.path.rglob("*") if file.is_file())
        return sorted(file.relative_to(self.path).as_posix() for file in files)

    def array(self, name: str) -> Any:
        """The folder of the array."""
        return self.path / name

    def as_folder(self, bodies: Mapping[str, bytes]) -> Path:
        """The folder itself."""
        return self.path


class LocalFile(ByteRanges):
    """A file on a disk of this machine.

    Raises FileNotFoundError, and OSError for a pipe, a folder or a device.
    """

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_RDONLY | os.O_NONBLOCK)  # a pipe's opening would wait
        status = os.fstat(self._file)
        if not stat.S_ISREG(status.st_mode):
            os.close(self._file)
            raise OSError(errno.EINVAL, "not a plain file", str(path))
        self._size = status.st_size
        self.version: object = status.st_ino, status.st_size, status.st_mtime_ns

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)

    def tail(self, size: int) -> bytes:
        """One system call."""
        return os.pread(self._file, size, max(0, self._size - size))

    def read_into(self, buffers: Sequence[memoryview | bytearray], offset: int) -> int:
        """One system call, without a copy."""
        return os.preadv(self._file, buffers, offset)


class Remote:
    """A URL: s3://, http://, https://, and whatever else fsspec reads."""

    readers = 16
    advice = "check the address, the server and your rights"

    def __init__(self, url: str) -> None:
        try:
            from upath import UPath
        except ImportError as error:
            raise StructAlignError(
                f"reading {url} needs the extra 'remote': pip install 'structalign[remote]'"
            ) from error
        self.path, self.reference = UPath(url), url

    def read(self, name: str) -> bytes | None:
        """One request. Raises StructAlignError for every failure but a missing file."""
        try:
            return bytes((self.path / name).read_bytes())
        except FileNotFoundError:
            return None
        except Exception as error:  # every protocol has its own
            raise _unreadable(self.path / name, error) from error

    def open(self, name: str) -> ByteRanges:
        """Sends no request yet."""
        return RemoteFile(self.path / name)

    def names(self) -> None:
        """None: a plain HTTP server lists nothing."""

    def array(self, name: str) -> Any:
        """Zarr's own store over fsspec."""
        from zarr.storage import FsspecStore

        return FsspecStore.from_url(str(self.path / name), read_only=True)

    def as_folder(self, bodies: Mapping[str, bytes]) -> Path:
        """A temporary folder, removed together with this object."""
        self._fetched = tempfile.TemporaryDirectory(prefix="structalign-")
        for name, body in bodies.items():
            (Path(self._fetched.name) / name).write_bytes(body)
        return Path(self._fetched.name)


class RemoteFile(ByteRanges):
    """A file behind a URL."""

    version = None  # published files never change

    def __init__(self, path: Any) -> None:
        self._path = path

    def close(self) -> None:
        """Nothing is open between requests."""

    def tail(self, size: int) -> bytes:
        """One request; raises FileNotFoundError or StructAlignError."""
        return self._fetch(-size, None)[-size:]

    def read_into(self, buffers: Sequence[memoryview | bytearray], offset: int) -> int:
        """One request; raises FileNotFoundError or StructAlignError."""
        end = offset + sum(map(len, buffers))
        body = self._fetch(offset, end)
        if len(body) > end - offset:  # a server that does not know ranges sends the whole file
            body = body[offset:end]
        with io.BytesIO(body) as file:
            return sum(file.readinto(buffer) for buffer in buffers)

    def _fetch(self, start: int, end: int | None) -> bytes:
        try:
            return bytes(self._path.fs.cat_file(self._path.path, start=start, end=end))
        except FileNotFoundError:
            raise
        except Exception as error:  # every protocol has its own
            raise _unreadable(self._path, error) from error


def is_url(reference: str | Path) -> bool:
    """Whether a cache is named by a URL instead of a folder."""
    return "://" in str(reference)


def open_store(reference: str | Path) -> Store:
    """The place that a path or URL names. Raises StructAlignError if its library is missing."""
    return Remote(str(reference)) if is_url(reference) else Local(Path(reference))


def _unreadable(path: object, error: Exception) -> StructAlignError:
    return StructAlignError(f"cannot read {path}: {type(error).__name__}: {error}")
