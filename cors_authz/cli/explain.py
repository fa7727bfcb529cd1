"""`cors-authz explain`: the answer to one request, and every step that leads to it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, NoReturn

import click

from cors_authz.cli.curl_flags import UNDERSTOOD, curl_flags
from cors_authz.cli.explanation_json import to_json
from cors_authz.cli.explanation_text import to_text
from cors_authz.cli.policy_option import environment_option, loaded_from, policy_option
from cors_authz.cli.request_input import (
    CurlWords,
    Given,
    is_written_as_url,
    read_bounded,
    read_check_request,
    read_claims,
    read_curl,
    read_json,
)
from cors_authz.cli.token_input import gather
from cors_authz.edge.clock import now_seconds
from cors_authz.fetch.request import Kind
from cors_authz.pdp.explain import explain as explain_decision
from cors_authz.pdp.facts import Facts
from cors_authz.pdp.match import match
from cors_authz.policy.absence import absent_groups_of
from cors_authz.policy.finding import shown
from cors_authz.policy.subject import Subject

_NO_BODY: Final = (
    "`--json` asks for the answer as a JSON object and takes no data, unlike curl's;"
    " send data by -d '...' and -H 'Content-Type: application/json'"
)


class _Explain(click.Command):
    """Says of an unknown flag which ones of curl's are understood, and finds the one URL among curl's words."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse the arguments."""
        try:
            left = super().parse_args(ctx, args)
        except click.NoSuchOption as error:
            _refuse_flag(error, ctx)
        _refuse_bytes(ctx)
        words = (*ctx.params["url"], *ctx.params.pop("url_flags"))
        ctx.params["url"] = _one_url(words, as_json=ctx.params["as_json"])
        return left


def _refuse_bytes(ctx: click.Context) -> None:
    """Refuse text that is not UTF-8, once for every flag: Python keeps such bytes as lone surrogates."""
    for parameter in ctx.command.params:
        value = ctx.params.get(parameter.name or "")
        for text in value if isinstance(value, tuple) else (value,):
            if isinstance(text, str) and not _is_unicode(text):
                raise click.BadParameter(f"`{shown(text)}` has bytes that are not UTF-8", ctx, parameter)


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _refuse_flag(error: click.NoSuchOption, ctx: click.Context) -> NoReturn:
    known = f"of curl's flags, {UNDERSTOOD} are understood, and those that change nothing of the request"
    raise click.UsageError(f"`{error.option_name}` is not understood; {known}", ctx) from error


def _one_url(words: tuple[str, ...], *, as_json: bool) -> str:
    urls = words[1:] if words[:1] == ("curl",) else words
    if as_json and not all(map(is_written_as_url, urls)):
        raise click.UsageError(_NO_BODY)
    if len(urls) > 1:
        raise click.UsageError(f"one request is explained, and `{urls[1]}` is a second URL")
    return "".join(urls)


@click.command(cls=_Explain)
@policy_option
@environment_option
@click.argument("url", nargs=-1, metavar="[URL]")
@curl_flags
@click.option("--check-request", type=click.Path(path_type=Path), help="A CheckRequest, binary or as text proto.")
@click.option("--source", default="", help="The client's address.")
@click.option("--principal", default="", help="The SPIFFE ID in the client's certificate.")
@click.option("--claims", multiple=True, metavar="PROVIDER=JSON", help="Take a token with these claims for valid.")
@click.option("--at", metavar="INSTANT", help="The time of the request, such as 2026-11-20T00:00:00Z; default now.")
@click.option("--json", "as_json", is_flag=True, help="Write one JSON object.")
def explain(policy_path: Path, environment: str, at: str | None, *, as_json: bool, **given: object) -> None:
    r"""Explain the answer to one request: the decision, its steps, its headers, and what a browser makes of it.

    The request is a URL with curl's flags, a CheckRequest in a file, or a JSON object on standard input (URL `-`, or
    none): {"method", "url", "headers", "source", "principal", "claims"}. Flags of curl's that change nothing of the
    request, such as -s or -o FILE, are passed over. Tokens are verified as the service does, unless --claims says what
    they hold.

    The decision's id is not drawn; a placeholder stands for it. Exit 0 whatever the decision, 3 for an invalid policy.
    """
    now = _instant(at)
    loaded = loaded_from(policy_path, environment)
    request, claims = _given(**given)  # type: ignore[arg-type] # click checked them
    facts = match(request, loaded.policy)
    readings, assumed = gather(facts, claims, now)
    explanation = explain_decision(facts, readings)
    notes = (*_absences(facts, loaded.subject), *assumed)
    click.echo(to_json(explanation, notes) if as_json else to_text(explanation, notes), nl=False)


def _absences(facts: Facts, subject: Subject) -> Iterator[str]:
    """Say why an origin that the policy lists is unknown here."""
    if facts.standing is not None or facts.kind is Kind.SAME_ORIGIN:
        return
    for group in absent_groups_of(subject, facts.origin):
        elsewhere = " and ".join(group.environments)
        yield (
            f"`{facts.origin}` is in group `{group.name}`, which exists in {elsewhere} only;"
            f" this is {subject.environment.name}"
        )


def _given(
    *, source: str, principal: str, claims: tuple[str, ...], check_request: Path | None, **words: object
) -> Given:
    given = _request(check_request, CurlWords(**words))  # type: ignore[arg-type] # the same
    request = given.request
    return Given(
        request._replace(source=source or request.source, principal=principal or request.principal),
        {**given.claims, **read_claims(claims)},
    )


def _request(check_request: Path | None, words: CurlWords) -> Given:
    """Read the request from the one place where it is given."""
    if check_request is not None:
        _demand_alone(words, "--check-request")
        return Given(read_check_request(check_request), {})
    if words.url not in {"", "-"}:
        return Given(read_curl(words), {})
    _demand_alone(words._replace(url=""), "standard input")
    if sys.stdin.isatty() and not words.url:
        raise click.UsageError("no request is given; write a URL, --check-request FILE, or a JSON object on stdin")
    return read_json(read_bounded(sys.stdin.buffer))


def _demand_alone(words: CurlWords, where: str) -> None:
    if words != CurlWords(""):
        raise click.UsageError(f"the request comes from {where}, so neither a URL nor curl's flags may describe it")


def _instant(text: str | None) -> float:
    if text is None:
        return now_seconds()
    try:
        return datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC).timestamp()
    except ValueError as error:
        raise click.UsageError(f"`--at {text}` is not an instant; write 2026-11-20T00:00:00Z") from error
