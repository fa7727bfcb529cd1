"""The shipped policy and the keys of the demo: they load, and they fit each other."""

from __future__ import annotations

import json
from importlib.resources import files
from pathlib import Path

import pytest

from cors_authz.demo.identity import AUDIENCE, ISSUER, TOKEN_SECONDS, Issuer
from cors_authz.demo.stage import ENVIRONMENT, KEY_FILE, write_policy
from cors_authz.edge.jwks import KeySources, parse_key_set
from cors_authz.edge.policy_files import read_sources
from cors_authz.edge.tokens import TokenReader
from cors_authz.pdp.readings import TokenReading, TokenState
from cors_authz.policy.compiled import Provider
from cors_authz.policy.finding import Finding, Severity
from cors_authz.policy.load import check_policy, load_policy

NOW = 1_800_000_000.0
SHIPPED = Path(str(files("cors_authz.demo"))) / "policy.yaml"
README = Path(__file__).parents[3] / "examples" / "demo" / "README.md"


def no_network(url: str) -> bytes:
    raise AssertionError(url)


def findings(path: Path, environment: str | None) -> list[Finding]:
    return [found for found in check_policy(read_sources(path), environment) if found.severity is not Severity.INFO]


@pytest.mark.parametrize("environment", [None, "dev", "staging", "prod"])
def test_the_shipped_policy_has_neither_errors_nor_warnings(environment: str | None) -> None:
    assert findings(SHIPPED, environment) == []


def test_the_copy_names_the_file_that_the_demo_writes_and_differs_in_nothing_else(tmp_path: Path) -> None:
    copy = write_policy(tmp_path, Issuer(lambda: NOW))
    keys = tmp_path / "jwks.json"
    assert copy.read_text().replace(str(keys), KEY_FILE) == SHIPPED.read_text()
    loaded = load_policy(read_sources(copy), ENVIRONMENT)
    (provider,) = loaded.policy.providers.values()
    assert (provider.jwks_file, provider.issuer, provider.audiences) == (str(keys), ISSUER, (AUDIENCE,))


def test_the_key_file_holds_one_public_key() -> None:
    raw = Issuer(lambda: NOW).key_set()
    (key,) = json.loads(raw)["keys"]
    assert set(key) == {"kty", "crv", "x", "y", "kid", "alg", "use"}
    assert parse_key_set(raw, ["ES256"]).size == 1


def read(token: str, issuer: Issuer, folder: Path, now: float) -> TokenReading:
    keys = folder / "jwks.json"
    keys.write_bytes(issuer.key_set())
    provider = Provider("main", ISSUER, (AUDIENCE,), ("ES256",), jwks_file=str(keys), leeway_seconds=0)
    sources = KeySources(no_network, lambda: 0.0)
    try:
        reader = TokenReader({"main": provider}, sources.of([provider]))
        return reader.read("main", {"authorization": f"Bearer {token}"}, {}, now)
    finally:
        sources.stop()


TOKENS = {
    "a clerk's token has the role": ("clerk", NOW, TokenState.VALID, ["clerk"]),
    "a visitor's has none": ("", NOW, TokenState.VALID, []),
    "a token ends": ("clerk", NOW + TOKEN_SECONDS + 1, TokenState.EXPIRED, None),
}


@pytest.mark.parametrize("sentence", TOKENS)
def test_tokens(tmp_path: Path, sentence: str) -> None:
    role, now, state, roles = TOKENS[sentence]
    issuer = Issuer(lambda: NOW)
    reading = read(issuer.token(role), issuer, tmp_path, now)
    assert (reading.state, reading.claims.get("roles")) == (state, roles)


def test_a_token_of_another_demo_does_not_verify(tmp_path: Path) -> None:
    stranger, issuer = Issuer(lambda: NOW), Issuer(lambda: NOW)
    assert read(stranger.token("clerk"), issuer, tmp_path, NOW).state is TokenState.INVALID


def test_the_example_points_to_the_policy_that_ships() -> None:
    assert "cors_authz/demo/policy.yaml" in README.read_text()
