"""`cors-authz audit`: the files of the audit trail, verified and read."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Final

import click

from cors_authz.cli.audit_lines import lines_of
from cors_authz.cli.audit_text import to_json, to_text, verdict_lines
from cors_authz.edge.audit.signing import keys_of
from cors_authz.edge.settings_error import SettingsError
from cors_authz.policy.finding import printable
from cors_authz.review.audit.joined import Joined, ids_that_begin, join, lines_with, request_of
from cors_authz.review.audit.verify import Verifier

BROKEN: Final = 6
"""The exit code for a chain that is not whole."""

_MIN_BEGINNING: Final = 8
_OR_LESS: Final = f"or as much of its beginning, {_MIN_BEGINNING} characters at least, as no other has"

_files = click.argument(
    "files", nargs=-1, required=True, metavar="FILE...", type=click.Path(exists=True, dir_okay=False, path_type=Path)
)


@click.group()
def audit() -> None:
    """Verify and read the files of the audit trail."""


@audit.command()
@_files
@click.option(
    "--public-key",
    "public_keys",
    multiple=True,
    type=click.Path(path_type=Path),
    metavar="PEM",
    help="Every head must be signed with its private key (Ed25519). Several, where the key was changed.",
)
def verify(files: tuple[Path, ...], public_keys: tuple[Path, ...]) -> None:
    """Tell whether the chains in FILE... are whole: files of any number of writers, in any order.

    Names each line that was removed, changed, moved, doubled or put in, and the lines at the end that no head anchors.

    Exit codes: 0 whole, 2 usage, 6 not whole.
    """
    names = [str(path) for path in files]
    try:
        verifier = Verifier(names, keys_of(public_keys) if public_keys else None)
    except SettingsError as error:
        raise click.UsageError(str(error)) from error
    for number, name in enumerate(names):
        verifier.read(number, lines_of(name))
    report = verifier.report()
    for line in verdict_lines(report, names, are_signed=bool(public_keys)):
        click.echo(printable(line))
    sys.exit(BROKEN if report.breach_count else 0)


@audit.command()
@_files
@click.option("--request", "request_id", metavar="ID", help=f"The x-request-id, {_OR_LESS}.")
@click.option("--decision", "decision_id", metavar="ID", help=f"The x-cors-authz-decision-id, {_OR_LESS}.")
@click.option("-o", "--output", "form", type=click.Choice(["text", "json"]), default="text", show_default=True)
def show(files: tuple[Path, ...], request_id: str | None, decision_id: str | None, form: str) -> None:
    """Print what FILE... say of one request: each decision on it, and what the client got.

    A request may be decided on more than once: Envoy asks another instance where one does not answer.
    """
    if bool(request_id) == bool(decision_id):
        raise click.UsageError("name one: --request ID, or --decision ID")
    joined = _of_request(files, request_id) if request_id else _of_decision(files, decision_id or "")
    if not joined.decisions and not joined.deliveries:
        raise click.ClickException(f"no line of these files is of `{request_id or decision_id}`")
    click.echo(to_json(joined) if form == "json" else to_text(joined), nl=form == "json")


def _of_request(files: tuple[Path, ...], request_id: str) -> Joined:
    return join(lines_with(_lines(files), "request_id", _whole_id(files, "request_id", request_id)))


def _of_decision(files: tuple[Path, ...], decision_id: str) -> Joined:
    joined = join(lines_with(_lines(files), "decision_id", _whole_id(files, "decision_id", decision_id)))
    request_id = request_of((*joined.decisions, *joined.deliveries))
    return _of_request(files, request_id) if request_id else joined


def _whole_id(files: tuple[Path, ...], field: str, beginning: str) -> str:
    """Complete the beginning of an id; what is too short to be one is taken as it is."""
    if len(beginning) < _MIN_BEGINNING:
        return beginning
    found = ids_that_begin(_lines(files), field, beginning)
    if len(found) > 1:
        several = ", ".join(map(printable, found))
        raise click.UsageError(f"`{beginning}` is the beginning of several: {several}; write more of it")
    return found[0] if found else beginning


def _lines(files: tuple[Path, ...]) -> Iterator[bytes]:
    return chain.from_iterable(lines_of(str(path)) for path in files)
