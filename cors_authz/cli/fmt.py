"""`cors-authz fmt`: the one way to write a policy."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

import click

from cors_authz.cli.policy_option import INVALID_POLICY
from cors_authz.edge.policy_files import policy_files
from cors_authz.policy.format import FormatError, format_policy

_DRIFT: Final = 6


@click.command()
@click.argument("path", type=click.Path(path_type=Path, allow_dash=True))
@click.option("--check", "only_check", is_flag=True, help="Write nothing; exit 6 if a file would change.")
def fmt(path: Path, *, only_check: bool) -> None:
    """Write the policy at PATH in the one way: a file, a directory, or `-` for standard input to standard output.

    Comments and the order of keys stay. A file that cannot be formatted without loss is left as it is (exit 3).
    """
    if str(path) == "-":
        click.echo(_formatted("standard input", sys.stdin.read()), nl=False)
        return
    changed = [file for file in policy_files(path) if _rewrite(file, only_check=only_check)]
    for file in changed:
        click.echo(f"{file}{' would change' if only_check else ''}")
    if changed and only_check:
        sys.exit(_DRIFT)


def _rewrite(file: Path, *, only_check: bool) -> bool:
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise click.UsageError(f"`{file}` cannot be read: {error}") from error
    formatted = _formatted(str(file), text)
    if formatted != text and not only_check:
        file.write_text(formatted, encoding="utf-8")
    return formatted != text


def _formatted(name: str, text: str) -> str:
    try:
        return format_policy(name, text)
    except FormatError as error:
        click.echo(str(error), err=True)
        sys.exit(INVALID_POLICY)
