"""The tokens of one request, read as the service reads them, or taken for valid with claims that are given."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import click
import urllib3

from cors_authz.edge.clock import monotonic_seconds
from cors_authz.edge.jwks import FILE_SCHEDULE, URI_SCHEDULE, HttpsFetch, KeySource, read_key_file
from cors_authz.edge.tokens import TokenReader
from cors_authz.pdp.claims import verified
from cors_authz.pdp.facts import Facts
from cors_authz.pdp.readings import Readings, TokenReading, TokenState
from cors_authz.policy.compiled import Provider


class Gathered(NamedTuple):
    """The readings of one decision, and sentences about what they could not be or assume."""

    readings: Readings
    notes: tuple[str, ...]


def gather(facts: Facts, claims: Mapping[str, Mapping[str, object]], now: float) -> Gathered:
    """Read the tokens that the decision needs.

    Args:
        facts: the request held against the policy.
        claims: by provider, the claims of a token that is taken for valid, unverified.
        now: seconds since the epoch.

    Keys are got only if a token is there to be checked with them, once, within the bounds of `edge.jwks`.

    Raises: click.UsageError for claims of a provider that the policy does not have.
    """
    _demand_known(claims, facts.policy.providers)
    providers = {name: facts.policy.providers[name] for name in facts.needs.providers if name not in claims}
    sources = {name: source for name, provider in providers.items() if (source := _source(provider)) is not None}
    reader = TokenReader(providers, sources)
    tokens = {name: _read(reader, name, facts, now, sources.get(name)) for name in providers}
    named = facts.policy.providers
    assumed = {name: verified(claims[name], named[name].roles) for name in facts.needs.providers if name in claims}
    return Gathered(Readings(now, tokens | assumed), (*_key_notes(sources), *_claim_notes(facts, claims)))


def _demand_known(claims: Mapping[str, object], providers: Mapping[str, Provider]) -> None:
    for name in claims:
        if name not in providers:
            known = ", ".join(providers) or "none"
            raise click.UsageError(f"the policy has no token provider `{name}`; it has: {known}")


def _source(provider: Provider) -> KeySource | None:
    algorithms = provider.algorithms
    if provider.jwks_file:
        return KeySource(provider.jwks_file, algorithms, read_key_file, FILE_SCHEDULE, monotonic_seconds)
    if provider.jwks_uri:
        fetch = HttpsFetch(urllib3.PoolManager(), monotonic_seconds)
        return KeySource(provider.jwks_uri, algorithms, fetch, URI_SCHEDULE, monotonic_seconds)
    return None


def _read(reader: TokenReader, name: str, facts: Facts, now: float, source: KeySource | None) -> TokenReading:
    request = facts.request
    reading = reader.read(name, request.headers, request.metadata, now)
    if reading.state is not TokenState.UNAVAILABLE or source is None:
        return reading
    source.tick()
    return reader.read(name, request.headers, request.metadata, now)


def _key_notes(sources: Mapping[str, KeySource]) -> tuple[str, ...]:
    return tuple(
        f"the keys of `{name}` cannot be had ({source.last_error}); --claims {name}=JSON takes its token for valid"
        for name, source in sources.items()
        if source.last_error
    )


def _claim_notes(facts: Facts, claims: Mapping[str, object]) -> tuple[str, ...]:
    return tuple(
        f"a valid token of `{name}` is assumed, not verified"
        if name in facts.needs.providers
        else f"the claims of `{name}` change nothing: no token of it is read for this request"
        for name in claims
    )
