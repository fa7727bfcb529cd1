"""`cors-authz audit`: the files of the audit trail, verified and read."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import click
import orjson

from cors_authz.cli.audit_text import to_text, verdict_lines
from cors_authz.edge.audit.signing import keys_of
from cors_authz.edge.settings_error import SettingsError
from cors_authz.review.audit.joined import Joined, join, lines_with, request_of
from cors_authz.review.audit.verify import Verifier

BROKEN: Final = 7
"""The exit code for a chain that is not whole."""

_MAX_LINE_BYTES: Final = 256 << 10

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

    Exit codes: 0 whole, 2 usage, 7 not whole.
    """
    names = [str(path) for path in files]
    try:
        verifier = Verifier(names, keys_of(public_keys) if public_keys else None)
    except SettingsError as error:
        raise click.UsageError(str(error)) from error
    for number, path in enumerate(files):
        verifier.read(number, _lines(path))
    report = verifier.report()
    for line in verdict_lines(report, names, are_signed=bool(public_keys)):
        click.echo(line)
    sys.exit(BROKEN if report.breach_count else 0)


@audit.command()
@_files
@click.option("--request", "request_id", metavar="ID", help="The x-request-id.")
@click.option("--decision", "decision_id", metavar="ID", help="The x-cors-authz-decision-id.")
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
    click.echo(orjson.dumps(joined._asdict()).decode() if form == "json" else to_text(joined), nl=form == "json")


def _of_request(files: tuple[Path, ...], request_id: str) -> Joined:
    return join(line for path in files for line in lines_with(_lines(path), "request_id", request_id))


def _of_decision(files: tuple[Path, ...], decision_id: str) -> Joined:
    joined = join(line for path in files for line in lines_with(_lines(path), "decision_id", decision_id))
    request_id = request_of((*joined.decisions, *joined.deliveries))
    return _of_request(files, request_id) if request_id else joined


def _lines(path: Path) -> Iterator[bytes]:
    """Give the lines of a file, each with its end; one that is too long in its first piece alone."""
    with path.open("rb") as file:
        while line := file.readline(_MAX_LINE_BYTES):
            yield line
            while not line.endswith(b"\n") and (line := file.readline(_MAX_LINE_BYTES)):
                pass
