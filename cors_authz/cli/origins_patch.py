"""Changes of a policy that `origins` proposes, as unified diffs; nothing is ever written."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final

import click

from cors_authz.cli.origins_text import instant
from cors_authz.policy.document import Source
from cors_authz.review.drift import Likeness, StaleLine, Stranger
from cors_authz.review.listing import Listing
from cors_authz.review.proposal import Proposal, ProposalError, Remark, diff, remarked, without

_WORTH_LISTING: Final = frozenset({None, Likeness.WWW, Likeness.PORT})
"""What an unlisted origin may be like to be proposed; the others are mistakes, or somebody who looks like one's own."""


def removal(path: Path, sources: Sequence[Source], found: Iterable[StaleLine]) -> tuple[str, ...]:
    """Give the diff that takes stale lines out of a policy, and a sentence for each list that cannot lose them all.

    Raises: click.ClickException if the policy would not load without them.
    """
    lines = {each.line.place: each.line for each in found}
    proposal = _proposed(lambda: without(sources, lines))
    emptied = dict.fromkeys((lines[place].origin_group, lines[place].tenant) for place in proposal.kept)
    places = {(line.origin_group, line.tenant): line.place for line in reversed(lines.values())}
    return (
        diff(sources, proposal, _below(path)),
        *(
            f"`{name}`{f' of tenant `{tenant}`' if tenant else ''} ({places[name, tenant]}) would be left without an"
            " origin, and stays: remove it by hand, with what names it"
            for name, tenant in emptied
        ),
    )


def addition(path: Path, sources: Sequence[Source], found: Iterable[Stranger], listing: Listing) -> str:
    """Give the diff that puts unlisted origins into a policy as comments.

    Raises: click.ClickException if that cannot be done without changing what the policy says.
    """
    remarks = tuple(_remarks(found, listing))
    return diff(sources, _proposed(lambda: remarked(sources, remarks)), _below(path))


def _remarks(found: Iterable[Stranger], listing: Listing) -> Iterator[Remark]:
    for stranger in found:
        names = [name for each in stranger.wanted for name in listing.lists_of(each.group)]
        if names and (stranger.mark.likeness if stranger.mark else None) in _WORTH_LISTING:
            last = listing.lines_of(names[0])[-1]
            yield Remark(last.place, f'"{stranger.origin}"', _note(stranger, names[0]))


def _note(stranger: Stranger, name: str) -> str:
    wanted = stranger.wanted[0]
    times = "once" if round(wanted.asks) == 1 else f"{round(wanted.asks)} times"
    since = instant(stranger.tally.first)[:10]
    return f"for {name}? asked for `{wanted.group}`, {times} since {since}; find out whose it is"


def _proposed(propose: Callable[[], Proposal]) -> Proposal:
    try:
        return propose()
    except ProposalError as error:
        raise click.ClickException(str(error)) from error


def _below(path: Path) -> Callable[[str], str]:
    base = path if path.is_dir() else path.parent
    return lambda name: (base / name).as_posix()
