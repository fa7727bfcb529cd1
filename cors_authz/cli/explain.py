"""`cors-authz explain`: the answer to one request, and every step that leads to it."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, NoReturn

import click

from cors_authz.cli.explanation_json import to_json
from cors_authz.cli.explanation_text import to_text
from cors_authz.cli.policy_option import environment_option, loaded_from, policy_option
from cors_authz.cli.request_input import (
    CurlWords,
    Given,
    read_bounded,
    read_check_request,
    read_claims,
    read_curl,
    read_json,
)
from cors_authz.cli.token_input import gather
from cors_authz.edge.clock import now_seconds
from cors_authz.pdp.explain import explain as explain_decision
from cors_authz.pdp.match import match

_CURL_FLAGS: Final = "-X, -H, -d, -I, -A, -e, -b"


class _Explain(click.Command):
    """Says of an unknown flag which ones of curl's are understood."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse the arguments."""
        try:
            return super().parse_args(ctx, args)
        except click.NoSuchOption as error:
            _refuse_flag(error, ctx)


def _refuse_flag(error: click.NoSuchOption, ctx: click.Context) -> NoReturn:
    known = f"of curl's flags, {_CURL_FLAGS} are understood"
    raise click.UsageError(f"`{error.option_name}` is not understood; {known}", ctx) from error


def _one_url(_ctx: click.Context, _parameter: click.Parameter, words: tuple[str, ...]) -> str:
    urls = words[1:] if words[:1] == ("curl",) else words
    if len(urls) > 1:
        raise click.UsageError(f"one request is explained, and `{urls[1]}` is a second URL")
    return "".join(urls)


@click.command(cls=_Explain)
@policy_option
@environment_option
@click.argument("url", nargs=-1, callback=_one_url, metavar="[URL]")
@click.option("-X", "--request", "method", default="", help="The method; without it GET, or POST with -d.")
@click.option("-H", "--header", "headers", multiple=True, help="A header, `name: value`; repeatable.")
@click.option("-d", "--data", "--data-raw", "--data-binary", "data", multiple=True, help="A body, as curl sends it.")
@click.option("-I", "--head", is_flag=True, help="Ask by HEAD.")
@click.option("-A", "--user-agent", "agent", default="", help="The header User-Agent.")
@click.option("-e", "--referer", default="", help="The header Referer.")
@click.option("-b", "--cookie", default="", help="The header Cookie.")
@click.option("--compressed", is_flag=True, expose_value=False, hidden=True)
@click.option("--check-request", type=click.Path(path_type=Path), help="A CheckRequest, binary or as text proto.")
@click.option("--source", default="", help="The client's address.")
@click.option("--principal", default="", help="The SPIFFE ID in the client's certificate.")
@click.option("--claims", multiple=True, metavar="PROVIDER=JSON", help="Take a token with these claims for valid.")
@click.option("--at", metavar="INSTANT", help="The time of the request, such as 2026-11-20T00:00:00Z; default now.")
@click.option("--json", "as_json", is_flag=True, help="Write one JSON object.")
def explain(policy_path: Path, environment: str, at: str | None, *, as_json: bool, **given: object) -> None:
    r"""Explain the answer to one request: the decision, its steps, its headers, and what a browser makes of it.

    The request is a URL with curl's flags, a CheckRequest in a file, or a JSON object on standard input (URL `-`, or
    none): {"method", "url", "headers", "source", "principal", "claims"}. Tokens are verified as the service does,
    unless --claims says what they hold.

    The decision's id is not drawn; a placeholder stands for it. Exit 0 whatever the decision, 3 for an invalid policy.
    """
    now = _instant(at)
    policy = loaded_from(policy_path, environment).policy
    request, claims = _given(**given)  # type: ignore[arg-type] # click checked them
    facts = match(request, policy)
    readings, notes = gather(facts, claims, now)
    explanation = explain_decision(facts, readings)
    click.echo(to_json(explanation, notes) if as_json else to_text(explanation, notes), nl=False)


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
