"""`cors-authz origins`: who asks, which listed origins nobody uses, and which unlisted ones ask."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final, TypeVar

import click

from cors_authz.cli.origins_json import stale_json, strangers_json, usage_json
from cors_authz.cli.origins_patch import addition, removal
from cors_authz.cli.origins_text import (
    DAY_SECONDS,
    length_text,
    listed_text,
    source_notes,
    span_text,
    stale_text,
    strangers_text,
    usage_text,
)
from cors_authz.cli.policy_option import environment_option, loaded_from, policy_option, sources_at
from cors_authz.cli.usage_input import read_into
from cors_authz.edge.clock import now_seconds
from cors_authz.review.drift import TooShortError, stale, strangers
from cors_authz.review.listing import Listing
from cors_authz.review.usage import Usage

DRIFT: Final = 6

F = TypeVar("F", bound=Callable[..., object])

_UNIT_SECONDS: Final = {"m": 60, "h": 3_600, "d": DAY_SECONDS}


class _Time(click.ParamType[float]):
    """A time such as `90d`, in seconds."""

    name = "TIME"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Read the time."""
        match = re.fullmatch(r"([1-9][0-9]{0,5})([mhd])", str(value))
        if match is None:
            self.fail(f"`{value}` is no time; write 90d, 36h or 30m", param, ctx)
        return float(int(match[1]) * _UNIT_SECONDS[match[2]])


sources_argument: Callable[[F], F] = click.argument("sources", nargs=-1, required=True, metavar="SOURCE...")
output_option: Callable[[F], F] = click.option(
    "-o", "--output", type=click.Choice(["text", "json"]), default="text", show_default=True
)
fail_option: Callable[[F], F] = click.option("--fail", is_flag=True, help="Exit 6 if there is any.")
patch_option: Callable[[F], F] = click.option(
    "--patch", is_flag=True, help="Print a proposed change as a diff instead."
)


@click.group()
def origins() -> None:
    """Hold the origins that a policy lists against those that ask.

    A SOURCE is an audit file (gzip or not; `-` for standard input) or the URL of a running service's metrics endpoint,
    such as http://127.0.0.1:8080. Several are added up: all workers, all replicas. Numbers are of checks from foreign
    origins; a preflight is one of its own.
    """


@origins.command()
@click.option("--policy", "policy_path", type=click.Path(path_type=Path), help="Say how each line of it was used, too.")
@environment_option
@output_option
@sources_argument
def usage(policy_path: Path | None, environment: str, output: str, sources: tuple[str, ...]) -> None:
    """Print who asked: when first, when last, how often, by tenant, resource group, origin group and origin."""
    listing = Listing(loaded_from(policy_path, environment)) if policy_path else None
    read = _read(sources, listing)
    lines = listing.lines() if listing else ()
    if output == "json":
        click.echo(usage_json(read, lines))
        return
    click.echo(usage_text(read), nl=False)
    if listing:
        click.echo("\n" + listed_text(lines, read), nl=False)
    _print_notes(read)


@origins.command("stale")
@policy_option
@environment_option
@click.option("--unused-for", "seconds", type=_Time(), default="90d", show_default=True, help="Such as 90d or 36h.")
@patch_option
@fail_option
@output_option
@sources_argument
def stale_command(policy_path: Path, environment: str, seconds: float, sources: tuple[str, ...], **how: object) -> None:
    """Print the listed origins and patterns that nobody used for so long, up to the end of the sources.

    A pattern is used by whatever it admits, unless a narrower line of its origin group admits that too. If the sources
    do not reach back so far, or are silent for most of that time, nothing is told (exit 2). Sources must be of every
    environment that the lines are for.
    """
    listing = Listing(loaded_from(policy_path, environment))
    read = _read(sources, listing)
    try:
        found = stale(read, listing, seconds)
    except TooShortError as error:
        raise click.UsageError(_too_short(read, error, seconds)) from error
    if how["patch"]:
        _print_patch(*removal(policy_path, sources_at(policy_path), found))
    elif how["output"] == "json":
        click.echo(stale_json(read, found))
    else:
        click.echo(stale_text(found, seconds), nl=False)
    _end(read, found, how)


@origins.command()
@policy_option
@environment_option
@click.option("--top", type=click.IntRange(1, 1_000), default=20, show_default=True, help="How many, by their checks.")
@patch_option
@fail_option
@output_option
@sources_argument
def unknown(policy_path: Path, environment: str, top: int, sources: tuple[str, ...], **how: object) -> None:
    """Print the origins that ask where no rule is for them, the most frequent first.

    Each that is like a listed one (another scheme, another port, www., one typo away) says so. With --patch, a diff
    puts those that may belong to somebody as comments into the list that serves what they ask for most.
    """
    listing = Listing(loaded_from(policy_path, environment))
    read = _read(sources, listing)
    found = strangers(read, listing, top)
    if how["patch"]:
        _print_patch(addition(policy_path, sources_at(policy_path), found, listing))
    elif how["output"] == "json":
        click.echo(strangers_json(read, found))
    else:
        click.echo(strangers_text(found), nl=False)
    _end(read, found, how)


def _read(sources: Sequence[str], listing: Listing | None) -> Usage:
    read = Usage(now_seconds(), listing)
    read_into(read, sources)
    return read


def _end(read: Usage, found: Sequence[object], how: Mapping[str, object]) -> None:
    if how["output"] == "text" or how["patch"]:
        _print_notes(read)
    if found and how["fail"]:
        sys.exit(DRIFT)


def _too_short(read: Usage, error: TooShortError, seconds: float) -> str:
    if read.sources.torn:
        names = ", ".join(read.sources.torn)
        return f"the ends of these are missing, and with them who asked: {names}; name whole files"
    if error.silence:
        return (
            f"there is no decision from {span_text(error.silence)}, which is most of {length_text(seconds)}, so nothing"
            " can be told; add the audit files of that time, or take the line out whose time is wrong"
        )
    if error.span is None:
        return "the sources hold no decision, so nothing can be told; name audit files"
    known = f"{length_text(error.span.until - error.span.since)} ({span_text(error.span)})"
    return (
        f"the sources tell of {known}, which is too short to say what was unused for {length_text(seconds)}; add older"
        " audit files, or ask for a shorter --unused-for"
    )


def _print_patch(patch: str, *notes: str) -> None:
    click.echo(patch, nl=False)
    for note in notes:
        click.echo(note, err=True)


def _print_notes(read: Usage) -> None:
    for note in source_notes(read.sources, read.sources.reach()):
        click.echo(note, err=True)
