"""The files of a policy: one file, or a directory read recursively."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    # Who watches the files does not read them, and is to stay without all that reading takes.
    from cors_authz.policy.document import Source

MAX_FILES: Final = 10_000

# Refused and not skipped: nobody would notice a rule that is never read.
_MISNAMED: Final = ".yml"


class PolicyFilesError(Exception):
    """The policy cannot be read from where it should be; the message says why and what to do."""


def read_sources(path: Path) -> tuple[Source, ...]:
    """Read the policy at a path.

    A directory is read recursively: `*.yaml`, hidden names skipped, so the hidden data directories of a mounted
    ConfigMap are read once, through the links beside them. Files are named as they lie below the directory. Of each
    file at most one byte more than the bound of a document is read, so that a huge one is refused and not held.

    Raises: PolicyFilesError if there is nothing to read, it cannot be read, or a `.yml` file would be passed over.
    """
    from cors_authz.policy.document import Source

    files = policy_files(path)
    base = path.parent if files == (path,) else path
    return tuple(Source(file.relative_to(base).as_posix(), _read(file)) for file in files)


def policy_files(path: Path) -> tuple[Path, ...]:
    """Name the files of the policy at a path, in the order of their names.

    Raises: PolicyFilesError if there are none, or more than any policy has, if one ends in `.yml`, or nobody lets us
    look.
    """
    try:
        files = tuple(islice(_files(path), MAX_FILES + 1))
    except OSError as error:
        raise _unreadable(path, error) from error
    if not files:
        raise PolicyFilesError(f"`{path}` {_without_files(path)}; name a policy file or its directory")
    misnamed = next((file for file in files if file.suffix == _MISNAMED), None)
    if misnamed:
        raise PolicyFilesError(f"`{misnamed}` would not be read: policy files end in .yaml; rename it")
    if len(files) > MAX_FILES:
        raise PolicyFilesError(f"`{path}` holds more than {MAX_FILES} policy files; name the directory of one policy")
    return files


def _without_files(path: Path) -> str:
    if path.exists():
        return "holds no policy: no file ends in .yaml"
    return "is a link that leads nowhere" if path.is_symlink() else "does not exist"


def rewrite(file: Path, data: bytes) -> None:
    """Put other bytes into a file in one step: who watches it reads the old ones or the new ones, and never a part.

    Permissions stay, the owner where we may say so, and a link leads where it led.

    Raises: PolicyFilesError; the file is then as it was.
    """
    try:
        _swap(file.resolve(), data)
    except OSError as error:
        raise PolicyFilesError(
            f"`{file}` cannot be written: {error.strerror}; check that it and its directory may be written to"
        ) from error


def _swap(file: Path, data: bytes) -> None:
    from tempfile import NamedTemporaryFile

    if not os.access(file, os.W_OK):
        # Renaming asks the directory alone.
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    before = file.stat()
    # A hidden name is no policy to whoever reads the directory meanwhile.
    with NamedTemporaryFile(dir=file.parent, prefix=".", delete=False) as new:
        try:
            new.write(data)
            new.flush()
            with suppress(PermissionError):
                os.fchown(new.fileno(), before.st_uid, before.st_gid)
            os.fchmod(new.fileno(), stat.S_IMODE(before.st_mode))
            Path(new.name).replace(file)
        except BaseException:
            Path(new.name).unlink(missing_ok=True)
            raise


def fingerprint(path: Path) -> tuple[tuple[str, int, int, int], ...]:
    """Describe the files of a policy so that any change shows: name, inode, size and time of each. Never raises.

    The time is that of the inode: a copy may set back the time of the content, and mended permissions leave it alone.
    """
    try:
        return tuple(_fingerprint(file) for file in islice(_files(path), MAX_FILES + 1))
    except OSError:
        return ()


def _files(path: Path) -> Iterator[Path]:
    if not path.is_dir():
        yield from (path,) if path.is_file() else ()
        return
    walked = {_identity(path)}
    for folder, folders, names in os.walk(path, followlinks=True):
        # A link may lead back up: each directory is read once, however many names it has.
        folders[:] = sorted(
            name for name in folders if not name.startswith(".") and _is_new(Path(folder, name), walked)
        )
        yield from (Path(folder, name) for name in sorted(names) if _may_be_policy(name))


def _is_new(folder: Path, walked: set[tuple[int, int]]) -> bool:
    identity = _identity(folder)
    is_new = identity not in walked
    walked.add(identity)
    return is_new


def _identity(folder: Path) -> tuple[int, int]:
    stat = folder.stat()
    return stat.st_dev, stat.st_ino


def _may_be_policy(name: str) -> bool:
    return name.endswith((".yaml", _MISNAMED)) and not name.startswith(".")


def _fingerprint(file: Path) -> tuple[str, int, int, int]:
    stat = file.stat()
    return str(file), stat.st_ino, stat.st_size, stat.st_ctime_ns


def _read(file: Path) -> bytes:
    from cors_authz.policy.tree import MAX_FILE_BYTES

    if file.exists() and not file.is_file():
        # To open a pipe would wait for whoever writes to it.
        raise PolicyFilesError(f"`{file}` is no regular file; a policy is read from files alone")
    try:
        with file.open("rb") as stream:
            return stream.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise _unreadable(file, error) from error


def _unreadable(path: Path, error: OSError) -> PolicyFilesError:
    return PolicyFilesError(f"`{path}` cannot be read: {error.strerror}; check that it is there and may be read")
