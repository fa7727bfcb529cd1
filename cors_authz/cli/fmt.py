"""`cors-authz fmt`: the one way to write a policy."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final, NamedTuple

import click

from cors_authz.cli.policy_option import INVALID_POLICY, sources_at
from cors_authz.edge.policy_files import PolicyFilesError, rewrite
from cors_authz.policy.finding import printable
from cors_authz.policy.format import FormatError, format_policy
from cors_authz.policy.tree import MAX_FILE_BYTES

_DRIFT: Final = 6
_STDIN: Final = "standard input"


class _Formatted(NamedTuple):
    file: Path
    before: bytes
    after: bytes


@click.command()
@click.argument("path", type=click.Path(path_type=Path, allow_dash=True))
@click.option("--check", "only_check", is_flag=True, help="Write nothing; exit 6 if a file would change.")
def fmt(path: Path, *, only_check: bool) -> None:
    """Write the policy at PATH in the one way: a file, a directory, or `-` for standard input to standard output.

    Comments and the order of keys stay. If a file cannot be formatted without loss, all are left as they are (exit 3).
    """
    if str(path) == "-":
        _format_stdin(only_check=only_check)
        return
    changed = [one for one in _all_formatted(path) if one.before != one.after]
    for one in changed:
        if not only_check:
            _write(one)
        click.echo(printable(f"{one.file}{' would change' if only_check else ''}"))
    if changed and only_check:
        sys.exit(_DRIFT)


def _format_stdin(*, only_check: bool) -> None:
    before = sys.stdin.buffer.read(MAX_FILE_BYTES + 1)
    after = _formatted(_STDIN, before)
    if not only_check:
        click.echo(after, nl=False)
    elif before != after:
        click.echo(f"{_STDIN} would change")
        sys.exit(_DRIFT)


def _all_formatted(path: Path) -> list[_Formatted]:
    base = path if path.is_dir() else path.parent
    read = [(base / source.name, source.data) for source in sources_at(path)]
    return [_Formatted(file, data, _formatted(str(file), data)) for file, data in read]


def _formatted(name: str, data: bytes) -> bytes:
    try:
        return format_policy(name, data).encode()
    except FormatError as error:
        click.echo(str(error), err=True)
        sys.exit(INVALID_POLICY)


def _write(formatted: _Formatted) -> None:
    try:
        rewrite(formatted.file, formatted.after)
    except PolicyFilesError as error:
        raise click.UsageError(str(error)) from error
