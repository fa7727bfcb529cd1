"""`cors-authz fmt`: the one way to write a policy."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final, NamedTuple

import click

from cors_authz.cli.policy_option import INVALID_POLICY
from cors_authz.edge.policy_files import PolicyFilesError, policy_files
from cors_authz.policy.format import FormatError, format_policy

_DRIFT: Final = 6


class _Formatted(NamedTuple):
    file: Path
    before: str
    after: str


@click.command()
@click.argument("path", type=click.Path(path_type=Path, allow_dash=True))
@click.option("--check", "only_check", is_flag=True, help="Write nothing; exit 6 if a file would change.")
def fmt(path: Path, *, only_check: bool) -> None:
    """Write the policy at PATH in the one way: a file, a directory, or `-` for standard input to standard output.

    Comments and the order of keys stay. If a file cannot be formatted without loss, all are left as they are (exit 3).
    """
    if str(path) == "-":
        click.echo(_formatted("standard input", sys.stdin.read()), nl=False)
        return
    changed = [one for one in _all_formatted(path) if one.before != one.after]
    for one in changed:
        click.echo(f"{one.file}{' would change' if only_check else ''}")
        if not only_check:
            one.file.write_bytes(one.after.encode())
    if changed and only_check:
        sys.exit(_DRIFT)


def _all_formatted(path: Path) -> list[_Formatted]:
    try:
        texts = {file: file.read_bytes().decode() for file in policy_files(path)}
    except PolicyFilesError as error:
        raise click.UsageError(str(error)) from error
    except (OSError, UnicodeDecodeError) as error:
        raise click.UsageError(f"`{path}` cannot be read: {error}") from error
    return [_Formatted(file, text, _formatted(str(file), text)) for file, text in texts.items()]


def _formatted(name: str, text: str) -> str:
    try:
        return format_policy(name, text)
    except FormatError as error:
        click.echo(str(error), err=True)
        sys.exit(INVALID_POLICY)
