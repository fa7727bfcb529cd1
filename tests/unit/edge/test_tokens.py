"""Tokens: each refused one is a single edit away from one that is accepted."""

from __future__ import annotations

import hashlib
import hmac
import json
from base64 import urlsafe_b64encode
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import NamedTuple

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given, settings
from hypothesis import strategies as st

from cors_authz.edge.jwks import FILE_SCHEDULE, KEEP_SECONDS, KeysError, KeySource
from cors_authz.edge.metrics.catalogue import TOKENS
from cors_authz.edge.metrics.sample import Sample
from cors_authz.edge.tokens import JWT_AUTHN, MAX_TOKEN_CHARS, TokenReader
from cors_authz.pdp.claims import verified
from cors_authz.pdp.readings import TokenReading, TokenState
from cors_authz.policy.compiled import Provider, TokenPlace

NOW = 1_800_000_000.0
ISSUER = "https://id.example"
CLAIMS: Mapping[str, object] = {"iss": ISSUER, "aud": "shop", "sub": "kim", "exp": NOW + 60, "roles": ["clerk"]}
MAIN = Provider("main", ISSUER, ("shop", "till"), ("RS256", "ES256", "EdDSA"), jwks_uri="https://id.example/jwks")

RSA = rsa.generate_private_key(public_exponent=65537, key_size=2048)
OTHER_RSA = rsa.generate_private_key(public_exponent=65537, key_size=2048)
EC = ec.generate_private_key(ec.SECP256R1())
ED = ed25519.Ed25519PrivateKey.generate()
ED448 = ed448.Ed448PrivateKey.generate()

NO_KEY = "no key of the issuer fits key id and signature"
NO_ALGORITHM = "the token's algorithm is not RS256 or ES256 or EdDSA"
NO_PARTS = "the token is not three base64url parts with dots between them"
TWO_COOKIES = "cookie session stands in more than one place"


def b64(raw: bytes) -> str:
    return urlsafe_b64encode(raw).rstrip(b"=").decode()


def number(value: int) -> str:
    return b64(value.to_bytes((value.bit_length() + 7) // 8, "big"))


def rsa_jwk(key: rsa.RSAPrivateKey, kid: str) -> dict[str, object]:
    public = key.public_key().public_numbers()
    return {"kty": "RSA", "kid": kid, "use": "sig", "alg": "RS256", "n": number(public.n), "e": number(public.e)}


def ec_jwk(key: ec.EllipticCurvePrivateKey, kid: str) -> dict[str, object]:
    point = key.public_key().public_numbers()
    x, y = (b64(part.to_bytes(32, "big")) for part in (point.x, point.y))
    return {"kty": "EC", "kid": kid, "crv": "P-256", "x": x, "y": y}


def ed_jwk(key: ed25519.Ed25519PrivateKey, kid: str) -> dict[str, object]:
    return {"kty": "OKP", "kid": kid, "crv": "Ed25519", "alg": "EdDSA", "x": b64(key.public_key().public_bytes_raw())}


def rs256(message: bytes) -> bytes:
    return RSA.sign(message, padding.PKCS1v15(), SHA256())


def other_rs256(message: bytes) -> bytes:
    return OTHER_RSA.sign(message, padding.PKCS1v15(), SHA256())


def es256(message: bytes) -> bytes:
    return b"".join(part.to_bytes(32, "big") for part in decode_dss_signature(EC.sign(message, ec.ECDSA(SHA256()))))


def es256_der(message: bytes) -> bytes:
    return EC.sign(message, ec.ECDSA(SHA256()))


def hs256_with_the_public_key(message: bytes) -> bytes:
    pem = RSA.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return hmac.digest(pem, message, hashlib.sha256)


JWKS = {"keys": [rsa_jwk(RSA, "r1"), ec_jwk(EC, "e1"), ed_jwk(ED, "o1")]}


def compact(header: object, payload: bytes, sign: Callable[[bytes], bytes] = rs256) -> str:
    message = f"{b64(json.dumps(header).encode())}.{b64(payload)}"
    return f"{message}.{b64(sign(message.encode()))}"


def token(sign: Callable[[bytes], bytes] = rs256, header: Mapping[str, object] | None = None, **claims: object) -> str:
    """Sign the accepted claims with some of them replaced, or left out where the value is None."""
    body = {name: value for name, value in {**CLAIMS, **claims}.items() if value is not None}
    return compact({"alg": "RS256", "kid": "r1", **(header or {})}, json.dumps(body).encode(), sign)


class Issuer:
    """A key set that can rotate and fail, and the readers' view of it."""

    def __init__(self, jwks: object = JWKS) -> None:
        self.raw = json.dumps(jwks).encode()
        self.down = False
        self.time = 0.0
        self.source = KeySource("keys", MAIN.algorithms, self._load, FILE_SCHEDULE, lambda: self.time)

    def refresh(self) -> None:
        """Let a second pass and the thread's work be done."""
        self.time += 1
        self.source.tick()

    def _load(self, _about: str) -> bytes:
        if self.down:
            raise KeysError("down")
        return self.raw


def reader(issuer: Issuer, provider: Provider = MAIN, entries: int = 100) -> TokenReader:
    issuer.refresh()
    return TokenReader({"main": provider}, {"main": issuer.source}, entries)


def read(reader: TokenReader, text: str, now: float = NOW) -> TokenReading:
    return reader.read("main", {"authorization": f"Bearer {text}"}, {}, now)


def valid(**claims: object) -> TokenReading:
    return verified({k: v for k, v in {**CLAIMS, **claims}.items() if v is not None}, "roles")


def invalid(why: str) -> TokenReading:
    return TokenReading(TokenState.INVALID, {}, why)


def missing(why: str) -> TokenReading:
    return TokenReading(TokenState.MISSING, {}, why)


EXPIRED = TokenReading(TokenState.EXPIRED, {}, "the token's time (exp) has passed")
WRONG_ISSUER = invalid("issuer is not https://id.example")
WRONG_AUDIENCE = invalid("audience is not shop or till")

SIGNED: dict[str, tuple[str, TokenReading]] = {
    "RS256 is accepted": (token(), valid()),
    "ES256 is accepted": (token(es256, {"alg": "ES256", "kid": "e1"}), valid()),
    "EdDSA is accepted": (token(ED.sign, {"alg": "EdDSA", "kid": "o1"}), valid()),
    "EdDSA is accepted under its newer name": (token(ED.sign, {"alg": "Ed25519", "kid": "o1"}), valid()),
    "a token without a key id is tried with the keys of its algorithm": (
        compact({"alg": "RS256"}, json.dumps(dict(CLAIMS)).encode()),
        valid(),
    ),
    "unknown header parameters are ignored": (token(header={"ver": 2, "x5t": "a" * 600}), valid()),
    "keys that the token brings along are not looked at": (
        token(header={"jwk": rsa_jwk(OTHER_RSA, "r1"), "jku": "https://evil.example", "x5u": "https://evil.example"}),
        valid(),
    ),
    "a key that the token brings along verifies nothing": (
        token(other_rs256, {"jwk": rsa_jwk(OTHER_RSA, "r1"), "jku": "https://evil.example"}),
        invalid(NO_KEY),
    ),
    "alg none is refused": (token(lambda _: b"x", {"alg": "none"}), invalid(NO_ALGORITHM)),
    "alg none without a signature is refused": (token(lambda _: b"", {"alg": "none"}), invalid(NO_PARTS)),
    "an empty signature is refused": (token(lambda _: b""), invalid(NO_PARTS)),
    "HS256 with the public key as its secret is refused": (
        token(hs256_with_the_public_key, {"alg": "HS256"}),
        invalid(NO_ALGORITHM),
    ),
    "RS512 is refused, though the key could": (token(header={"alg": "RS512"}), invalid(NO_ALGORITHM)),
    "the case of alg matters": (token(header={"alg": "rs256"}), invalid(NO_ALGORITHM)),
    "an alg that is a list is refused": (token(header={"alg": ["RS256"]}), invalid(NO_ALGORITHM)),
    "a header without alg is refused": (
        compact({"kid": "r1"}, json.dumps(dict(CLAIMS)).encode()),
        invalid("the token cannot be decoded"),
    ),
    "a header that is a list is refused": (compact(["alg"], b"{}"), invalid("the token's header is not an object")),
    "a header that is a string is refused": (compact("alg b64", b"{}"), invalid("the token cannot be decoded")),
    "a header nested too deep is refused": (
        f"{b64(b'[' * 5000)}.{b64(b'{}')}.{b64(b'x')}",
        invalid("the token cannot be decoded"),
    ),
    "the ES256 key under the alg RS256 is refused": (token(es256, {"kid": "e1"}), invalid(NO_KEY)),
    "the RSA key under the alg ES256 is refused": (token(header={"alg": "ES256"}), invalid(NO_KEY)),
    "an ES256 signature in DER is refused": (token(es256_der, {"alg": "ES256", "kid": "e1"}), invalid(NO_KEY)),
    "an Ed448 signature is refused": (token(ED448.sign, {"alg": "EdDSA", "kid": "o1"}), invalid(NO_KEY)),
    "Ed448 by its name is refused": (token(ED448.sign, {"alg": "Ed448", "kid": "o1"}), invalid(NO_ALGORITHM)),
    "crit is refused": (
        token(header={"crit": ["exp"], "exp": 1}),
        invalid("the token demands extensions (crit), and none is supported"),
    ),
    "an empty crit is refused": (
        token(header={"crit": []}),
        invalid("the token demands extensions (crit), and none is supported"),
    ),
    "an unencoded payload is refused": (token(header={"b64": False}), invalid("the token cannot be decoded")),
    "a key id that is a number is refused": (token(header={"kid": 1}), invalid("the token's key id is not a string")),
    "a header parameter of the wrong type is refused": (token(header={"typ": 1}), invalid(NO_KEY)),
    "an unknown key id is refused": (token(header={"kid": "r2"}), invalid(NO_KEY)),
    "another key is refused": (token(other_rs256), invalid(NO_KEY)),
    "a changed payload is refused": (
        ".".join((token().split(".")[0], b64(b'{"iss":"https://id.example"}'), token().split(".")[2])),
        invalid(NO_KEY),
    ),
    "another issuer is refused": (token(iss="https://id.example.evil"), WRONG_ISSUER),
    "the issuer with a slash more is refused": (token(iss="https://id.example/"), WRONG_ISSUER),
    "no issuer is refused": (token(iss=None), WRONG_ISSUER),
    "a list of issuers is refused": (token(iss=[ISSUER]), WRONG_ISSUER),
    "one of several audiences is enough": (token(aud=["mail", "till"]), valid(aud=["mail", "till"])),
    "another audience is refused": (token(aud="mail"), WRONG_AUDIENCE),
    "a longer audience is refused": (token(aud="shopping"), WRONG_AUDIENCE),
    "no audience is refused": (token(aud=None), WRONG_AUDIENCE),
    "an empty list of audiences is refused": (token(aud=[]), WRONG_AUDIENCE),
    "an audience that is an object is refused": (token(aud={"shop": 1}), WRONG_AUDIENCE),
    "the leeway keeps a token that expired 29.5 s ago": (token(exp=NOW - 29.5), valid(exp=NOW - 29.5)),
    "the leeway ends with its last second": (token(exp=NOW - 30), EXPIRED),
    "a token of 1970 is expired": (token(exp=0), EXPIRED),
    "an expired token of another key is invalid": (token(other_rs256, exp=0), invalid(NO_KEY)),
    "an expired token of another issuer is invalid": (token(exp=0, iss="https://evil.example"), WRONG_ISSUER),
    "a token without end is refused": (token(exp=None), invalid("exp is absent, and a token must end")),
    "an exp that is a string is refused": (token(exp="1900000000"), invalid("exp is not a time")),
    "an exp that is true is refused": (token(exp=True), invalid("exp is not a time")),
    "an exp beyond all time is refused": (token(exp=10**16), invalid("exp is not a time")),
    "nbf within the leeway is accepted": (token(nbf=NOW + 30), valid(nbf=NOW + 30)),
    "nbf beyond the leeway is refused": (token(nbf=NOW + 31), invalid("the token is not valid yet (nbf)")),
    "an nbf that is an object is refused": (token(nbf={}), invalid("nbf is not a time")),
    "iat within the leeway is accepted": (token(iat=NOW + 30), valid(iat=NOW + 30)),
    "iat beyond the leeway is refused": (token(iat=NOW + 31), invalid("the token was issued in the future (iat)")),
    "a payload that is not JSON is refused": (
        compact({"alg": "RS256", "kid": "r1"}, b"{"),
        invalid("the token's payload is not JSON"),
    ),
    "a payload that is a list is refused": (
        compact({"alg": "RS256", "kid": "r1"}, b"[]"),
        invalid("the payload is not an object"),
    ),
    "an exp of NaN is refused": (
        compact({"alg": "RS256", "kid": "r1"}, b'{"iss":"https://id.example","aud":"shop","exp":NaN}'),
        invalid("the token's payload is not JSON"),
    ),
    "a lone surrogate is refused": (
        compact({"alg": "RS256", "kid": "r1"}, b'{"iss":"https://id.example","aud":"shop","sub":"\\ud800"}'),
        invalid("the token's payload is not JSON"),
    ),
    "100 KB are refused": (token(pad="x" * 100_000), invalid(f"the token is longer than {MAX_TOKEN_CHARS} characters")),
    "12 KB are accepted": (token(pad="x" * 11_000), valid(pad="x" * 11_000)),
    "garbage is refused": ("garbage", invalid(NO_PARTS)),
    "two parts are refused": ("a.b", invalid(NO_PARTS)),
    "an encrypted token is refused": ("a.b.c.d.e", invalid(NO_PARTS)),
    "no token after Bearer is refused": ("", invalid(NO_PARTS)),
    "letters beyond ASCII are refused": (token() + "é", invalid(NO_PARTS)),
    "a line break at the end is refused": (token() + "\n", invalid(NO_PARTS)),
    "two tokens are refused": (f"{token()} {token()}", invalid(NO_PARTS)),
    "two headers joined by a comma are refused": (f"{token()},Bearer {token()}", invalid(NO_PARTS)),
    "padding is refused": (token() + "=", invalid(NO_PARTS)),
}


@pytest.mark.parametrize(("text", "then"), SIGNED.values(), ids=SIGNED)
def test_a_token(text: str, then: TokenReading) -> None:
    assert read(reader(Issuer()), text) == then


class Place(NamedTuple):
    """Where a provider looks, the header that arrives, and what is read of it."""

    place: TokenPlace
    name: str
    value: str
    then: TokenReading


GOOD = token()
PLACES = {
    "Authorization: the scheme is case-insensitive": Place(
        TokenPlace.AUTHORIZATION, "authorization", f"bEARER {GOOD}", valid()
    ),
    "Authorization: more spaces are one": Place(TokenPlace.AUTHORIZATION, "authorization", f"Bearer  {GOOD} ", valid()),
    "Authorization: another scheme is no bearer token": Place(
        TokenPlace.AUTHORIZATION, "authorization", "Basic a2lt", missing("authorization holds no bearer token")
    ),
    "Authorization: a bare token is no bearer token": Place(
        TokenPlace.AUTHORIZATION, "authorization", GOOD, missing("authorization holds no bearer token")
    ),
    "Authorization: empty is missing": Place(
        TokenPlace.AUTHORIZATION, "authorization", "", missing("authorization holds no bearer token")
    ),
    "header: the whole value is the token": Place(TokenPlace.HEADER, "x-token", GOOD, valid()),
    "header: empty is missing": Place(TokenPlace.HEADER, "x-token", "", missing("header x-token is absent")),
    "header: a scheme is no part of it": Place(TokenPlace.HEADER, "x-token", f"Bearer {GOOD}", invalid(NO_PARTS)),
    "header: twice is refused": Place(TokenPlace.HEADER, "x-token", f"{GOOD},{GOOD}", invalid(NO_PARTS)),
    "cookie: alone": Place(TokenPlace.COOKIE, "session", f"session={GOOD}", valid()),
    "cookie: among others, without a space": Place(TokenPlace.COOKIE, "session", f"a=b;session={GOOD}; c", valid()),
    "cookie: a name that ends the same is another": Place(
        TokenPlace.COOKIE, "session", f"xsession={GOOD}", missing("cookie session is absent")
    ),
    "cookie: the case of names matters": Place(
        TokenPlace.COOKIE, "session", f"Session={GOOD}", missing("cookie session is absent")
    ),
    "cookie: twice is refused, even the same": Place(
        TokenPlace.COOKIE, "session", f"session={GOOD}; session={GOOD}", invalid(TWO_COOKIES)
    ),
    "cookie: in two lines is refused": Place(
        TokenPlace.COOKIE, "session", f"session={GOOD},session={GOOD}", invalid(TWO_COOKIES)
    ),
    "cookie: hidden behind another line is refused": Place(
        TokenPlace.COOKIE, "session", f"a=b,session={GOOD}", invalid(TWO_COOKIES)
    ),
    "cookie: two, one of them hidden, is refused": Place(
        TokenPlace.COOKIE, "session", f"a=b,session={GOOD}; session={GOOD}", invalid(TWO_COOKIES)
    ),
    "cookie: before another line is refused": Place(
        TokenPlace.COOKIE, "session", f"session={GOOD},a=b", invalid(NO_PARTS)
    ),
    "cookie: in quotes is refused": Place(TokenPlace.COOKIE, "session", f'session="{GOOD}"', invalid(NO_PARTS)),
    "cookie: of a thousand": Place(TokenPlace.COOKIE, "session", "a=b; " * 1000 + f"session={GOOD}", valid()),
}


@pytest.mark.parametrize("case", PLACES.values(), ids=PLACES)
def test_where_a_token_travels(case: Place) -> None:
    provider = replace(MAIN, token_place=case.place, token_name=case.name)
    assert reader(Issuer(), provider).read("main", {provider.header: case.value}, {}, NOW) == case.then


ENVOY = replace(MAIN, jwks_uri="", envoy_metadata="payload")
METADATA: dict[str, tuple[Mapping[str, Mapping[str, object]], TokenReading]] = {
    "a payload is taken as verified": ({JWT_AUTHN: {"payload": CLAIMS}}, valid()),
    "no metadata is a missing token": ({}, missing("jwt_authn left no payload under payload")),
    "another key is a missing token": ({JWT_AUTHN: {"x": CLAIMS}}, missing("jwt_authn left no payload under payload")),
    "another filter's metadata is not looked at": (
        {"envoy.filters.http.lua": {"payload": CLAIMS}},
        missing("jwt_authn left no payload under payload"),
    ),
    "a payload that is no object is refused": (
        {JWT_AUTHN: {"payload": "kim"}},
        invalid("what jwt_authn left under payload is not an object"),
    ),
    "another issuer is refused": ({JWT_AUTHN: {"payload": {**CLAIMS, "iss": "https://evil.example"}}}, WRONG_ISSUER),
    "another audience is refused": ({JWT_AUTHN: {"payload": {**CLAIMS, "aud": ("mail",)}}}, WRONG_AUDIENCE),
    "an expired token is expired": ({JWT_AUTHN: {"payload": {**CLAIMS, "exp": NOW - 30}}}, EXPIRED),
    "an exp of NaN is refused": (
        {JWT_AUTHN: {"payload": {**CLAIMS, "exp": float("nan")}}},
        invalid("exp is not a time"),
    ),
    "an exp too large for a float is refused": (
        {JWT_AUTHN: {"payload": {**CLAIMS, "exp": 10**400}}},
        invalid("exp is not a time"),
    ),
}


@pytest.mark.parametrize(("metadata", "then"), METADATA.values(), ids=METADATA)
def test_what_envoy_verified(metadata: Mapping[str, Mapping[str, object]], then: TokenReading) -> None:
    tokens = TokenReader({"main": ENVOY}, {})
    assert tokens.read("main", {"authorization": f"Bearer {GOOD}"}, metadata, NOW) == then


def test_no_audience_is_demanded_where_the_provider_names_none() -> None:
    assert read(reader(Issuer(), replace(MAIN, audiences=())), token(aud=None)) == valid(aud=None)


def test_the_algorithms_are_pinned_by_the_provider() -> None:
    pinned = reader(Issuer(), replace(MAIN, algorithms=("ES256",)))
    assert read(pinned, token()) == invalid("the token's algorithm is not ES256")


def test_one_providers_token_is_not_anothers() -> None:
    issuer = Issuer()
    issuer.refresh()
    staff = replace(MAIN, name="staff", issuer="https://staff.example")
    tokens = TokenReader({"main": MAIN, "staff": staff}, {"main": issuer.source, "staff": issuer.source})
    headers = {"authorization": f"Bearer {GOOD}"}
    readings = [tokens.read(name, headers, {}, NOW) for name in ("main", "staff", "main")]
    assert readings == [valid(), invalid("issuer is not https://staff.example"), valid()]


UNAVAILABLE = TokenReading(TokenState.UNAVAILABLE, {}, "there are no keys of the issuer to check it with")


def test_without_keys_a_token_is_neither_good_nor_bad() -> None:
    issuer = Issuer()
    issuer.down = True
    tokens = reader(issuer)
    before = [read(tokens, GOOD), read(tokens, "garbage"), tokens.read("main", {}, {}, NOW)]
    issuer.down = False
    issuer.refresh()
    assert before == [UNAVAILABLE, invalid(NO_PARTS), missing("authorization holds no bearer token")]
    assert read(tokens, GOOD) == valid()


def test_an_issuer_that_goes_down_takes_its_tokens_along_after_a_day() -> None:
    issuer = Issuer()
    tokens = reader(issuer)
    issuer.down = True
    issuer.time += KEEP_SECONDS - 1
    still = read(tokens, GOOD)
    issuer.refresh()
    assert (still, read(tokens, GOOD)) == (valid(), UNAVAILABLE)


def test_a_key_that_was_rotated_out_stops_working_even_for_a_remembered_token() -> None:
    issuer = Issuer()
    tokens = reader(issuer)
    first = read(tokens, GOOD)
    issuer.raw = json.dumps({"keys": [rsa_jwk(OTHER_RSA, "r2")]}).encode()
    issuer.refresh()
    after = [read(tokens, GOOD), read(tokens, token(other_rs256, {"kid": "r2"}))]
    assert [first, *after] == [valid(), invalid(NO_KEY), valid()]


def test_a_token_of_an_unknown_key_brings_the_new_keys_before_their_time() -> None:
    issuer = Issuer()
    slow = KeySource(
        "keys", MAIN.algorithms, lambda _: issuer.raw, FILE_SCHEDULE._replace(period_seconds=300), lambda: issuer.time
    )
    slow.tick()
    tokens = TokenReader({"main": MAIN}, {"main": slow})
    issuer.raw = json.dumps({"keys": [rsa_jwk(OTHER_RSA, "r2")]}).encode()
    rotated = token(other_rs256, {"kid": "r2"})
    first = read(tokens, rotated)
    issuer.time += 1
    slow.tick()
    assert (first, read(tokens, rotated)) == (invalid(NO_KEY), valid())


def test_a_remembered_token_is_answered_by_the_very_same_reading() -> None:
    tokens = reader(Issuer())
    first = read(tokens, GOOD)
    assert read(tokens, GOOD) is first


def test_a_remembered_token_is_not_verified_again(monkeypatch: pytest.MonkeyPatch) -> None:
    verified: list[object] = []

    def counted(signature: object, _ring: object) -> bool:
        verified.append(signature)
        return True

    tokens = reader(Issuer())
    monkeypatch.setattr("cors_authz.edge.tokens._is_signed", counted)
    for _ in range(5):
        read(tokens, GOOD)
    assert len(verified) == 1


def test_a_remembered_token_expires() -> None:
    tokens = reader(Issuer())
    readings = [read(tokens, GOOD, NOW + seconds) for seconds in (0, 89.5, 90)]
    assert readings == [valid(), valid(), EXPIRED]


def test_refused_tokens_are_not_remembered() -> None:
    tokens = reader(Issuer())
    for text in (token(other_rs256), token(exp=0), "garbage"):
        assert read(tokens, text) is not read(tokens, text)


def test_the_memory_is_bounded_and_the_oldest_makes_room() -> None:
    tokens = reader(Issuer(), entries=2)
    texts = [token(ED.sign, {"alg": "EdDSA", "kid": "o1"}, sub=name) for name in ("ada", "kim", "noor")]
    first = [read(tokens, text) for text in texts]
    assert [read(tokens, text) is reading for text, reading in zip(texts[1:], first[1:], strict=True)] == [True, True]
    assert read(tokens, texts[0]) is not first[0]


def test_claims_cannot_be_changed_by_who_reads_them() -> None:
    claims = read(reader(Issuer()), GOOD).claims
    with pytest.raises(TypeError):
        claims["roles"] = ["admin"]  # type: ignore[index]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
HEADERS = st.dictionaries(
    st.sampled_from(["alg", "kid", "crit", "b64", "jku", "jwk", "x5c", "typ", "use"]),
    JSON | st.sampled_from(["RS256", "ES256", "EdDSA", "Ed25519", "r1", "e1", "o1"]),
)
ANYTHING = st.one_of(
    st.text(),
    st.builds("{}.{}.{}".format, *[st.binary().map(b64)] * 3),
    st.builds(
        compact,
        HEADERS | JSON,
        JSON.map(lambda value: json.dumps(value).encode()) | st.binary(),
        st.sampled_from([ED.sign, es256, lambda _: b"x", lambda _: b"\0" * 64]),
    ),
)
FUZZED = reader(Issuer())


@settings(max_examples=200)
@given(ANYTHING)
def test_nothing_that_a_client_sends_raises_or_is_repeated(text: str) -> None:
    reading = read(FUZZED, text)
    assert reading.state in {TokenState.INVALID, TokenState.EXPIRED}
    assert reading.claims == {}
    assert len(text) < 8 or text not in reading.why


@settings(max_examples=100)
@given(position=st.integers(0, len(GOOD) - 1), letter=st.sampled_from("ABCDabcd0123-_.=, é"))
def test_a_token_with_one_character_changed_is_refused(position: int, letter: str) -> None:
    changed = GOOD[:position] + letter + GOOD[position + 1 :]
    assert (read(FUZZED, changed).state is TokenState.VALID) is (changed == GOOD)


@settings(max_examples=200)
@given(st.dictionaries(st.sampled_from(["iss", "aud", "exp", "nbf", "iat", "sub"]), JSON))
def test_no_claims_raise(claims: dict[str, object]) -> None:
    tokens = TokenReader({"main": ENVOY}, {})
    reading = tokens.read("main", {}, {JWT_AUTHN: {"payload": {**CLAIMS, **claims}}}, NOW)
    assert (reading.claims == {}) is (reading.state is not TokenState.VALID)


def test_tokens_are_counted_by_whether_they_had_to_be_verified() -> None:
    tokens = reader(Issuer())
    for text in (GOOD, GOOD, GOOD, GOOD[:-4] + "AAAA", "nonsense"):
        read(tokens, text)
    assert list(tokens.samples()) == [Sample(TOKENS, ("remembered",), 2), Sample(TOKENS, ("verified",), 2)]
