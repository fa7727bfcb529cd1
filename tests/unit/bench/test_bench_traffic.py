"""The bench's traffic is what it says: the mix, the answers, and nothing twice."""

from __future__ import annotations

from base64 import urlsafe_b64decode
from collections import Counter
from pathlib import Path
from typing import Final

import orjson
import pytest

from cors_authz._gen.wire.external_auth_pb2 import CheckRequest
from cors_authz.edge.policy_files import read_sources
from cors_authz.envoy.decode import decode
from cors_authz.fetch.request import Request
from cors_authz.pdp.claims import verified
from cors_authz.pdp.decide import decide
from cors_authz.pdp.match import match
from cors_authz.pdp.readings import Readings, TokenReading, TokenState
from cors_authz.policy.finding import Severity
from cors_authz.policy.load import Loaded, check_policy, load_policy
from tests.bench.estate import Estate
from tests.bench.tokens import Issuer
from tests.bench.traffic import NEW_TOKENS, PASS, TOKENS, Check, Expect, Traffic, write_trace

NOW: Final = 1_800_000_000
ESTATE: Final = Estate(groups=40, origins=200)


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Loaded:
    folder = tmp_path_factory.mktemp("shop")
    ESTATE.write(folder / "policy", folder / "jwks.json", "r1")
    return load_policy(read_sources(folder / "policy"), "prod")


@pytest.fixture(scope="module")
def passes() -> list[list[Check]]:
    traffic = Traffic(ESTATE, Issuer(NOW), seed=1)
    return [list(traffic.mixed(1)) for _ in range(2)]


def test_every_request_has_the_outcome_that_it_is_labelled_with(loaded: Loaded, passes: list[list[Check]]) -> None:
    assert [_outcome(loaded, check) for check in passes[0]] == [check.outcome for check in passes[0]]


def test_a_pass_is_30_percent_preflights_and_10_percent_refused(passes: list[list[Check]]) -> None:
    counted = Counter(check.outcome for check in passes[0])
    assert counted == {"allow": 1260, "preflight_allow": 540, "preflight_deny": 60, "deny": 140}


def test_a_pass_has_form_posts_and_websocket_handshakes(passes: list[list[Check]]) -> None:
    requests = [_request(check) for check in passes[0]]
    forms = [each for each in requests if each.headers.get("content-type") == "application/x-www-form-urlencoded"]
    assert (len(forms), sum("upgrade" in each.headers for each in requests)) == (100, 100)


def test_a_pass_meets_all_routes_and_all_origins(passes: list[list[Check]]) -> None:
    requests = [_request(check) for check in passes[0]]
    routes = {(each.host, each.target.split("/")[1]) for each in requests}
    listed = {ESTATE.origin(group, index) for group in range(ESTATE.origin_groups) for index in range(10)}
    assert (len(routes), {each.headers.get("origin", "") for each in requests} >= listed) == (40, True)


def test_a_pass_shows_500_tokens_and_a_later_one_25_that_are_new(passes: list[list[Check]]) -> None:
    first, second = (_tokens(checks) for checks in passes)
    # Ten more have expired, and are no users any longer.
    assert (len(first), len(second), len(second - first)) == (TOKENS + 10, TOKENS + 10, NEW_TOKENS)


def test_no_two_requests_are_alike(passes: list[list[Check]]) -> None:
    requests = [_request(check) for check in (*passes[0], *passes[1])]
    assert (
        len({each.headers["x-request-id"] for each in requests}) == len({each.target for each in requests}) == 2 * PASS
    )


def test_hot_requests_differ_in_id_path_and_request_id_alone() -> None:
    one, other = (
        CheckRequest.FromString(check.message).attributes.request.http
        for check in Traffic(ESTATE, Issuer(NOW), seed=1).hot(2)
    )
    different = {field.name for field, _ in one.ListFields() if getattr(one, field.name) != getattr(other, field.name)}
    names = {name for name in one.headers if one.headers[name] != other.headers[name]}
    assert (different, names) == ({"id", "path", "headers"}, {":path", "x-request-id"})


def test_requests_are_as_long_as_those_of_browsers() -> None:
    (check,) = Traffic(ESTATE, Issuer(NOW), seed=1).hot(1)
    headers = CheckRequest.FromString(check.message).attributes.request.http.headers
    assert (len(check.message) > 1800, len(headers)) == (True, 25)


def test_the_trace_on_disk_is_expectation_length_message(tmp_path: Path) -> None:
    checks = [Check(b"abc", "allow"), Check(b"", "preflight_allow")]
    assert write_trace(checks, tmp_path / "trace").read_bytes() == b"\x01\x03\x00\x00\x00abc\x02\x00\x00\x00\x00"
    assert [check.expect for check in checks] == [Expect.ALLOW, Expect.REFUSE]


@pytest.mark.parametrize("estate", [Estate(10, 100), ESTATE, Estate(300, 3000)], ids=str)
def test_estates_of_any_size_are_policies_without_a_warning(estate: Estate, tmp_path: Path) -> None:
    estate.write(tmp_path / "policy", tmp_path / "jwks.json", "r1")
    findings = check_policy(read_sources(tmp_path / "policy"), "prod")
    assert [finding for finding in findings if finding.severity is not Severity.INFO] == []


def _request(check: Check) -> Request:
    request = decode(check.message)
    assert request is not None
    return request


def _tokens(checks: list[Check]) -> set[str]:
    return {_request(check).headers.get("authorization", "") for check in checks} - {""}


def _outcome(loaded: Loaded, check: Check) -> str:
    request = _request(check)
    readings = Readings(NOW, {"main": _reading(request.headers.get("authorization", ""))})
    return decide(match(request, loaded.policy), readings).outcome.value


def _reading(authorization: str) -> TokenReading:
    """Read the claims as they stand: signatures are what the service's own tests are about."""
    if not authorization:
        return TokenReading(TokenState.MISSING, {})
    payload = authorization.split(".")[1]
    claims = orjson.loads(urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    return verified(claims, "roles") if claims["exp"] > NOW else TokenReading(TokenState.EXPIRED, {})
