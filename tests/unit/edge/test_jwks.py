"""Key sets: what is kept of them, when they are read again, and what a bad issuer can do (little)."""

from __future__ import annotations

import json
import logging
import ssl
import time
from base64 import urlsafe_b64encode
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import IPv4Address
from itertools import count
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pytest
import urllib3
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from hypothesis import given, settings
from hypothesis import strategies as st

from cors_authz.edge.jwks import (
    FETCH_SECONDS,
    KEEP_SECONDS,
    MAX_CANDIDATES,
    MAX_SET_BYTES,
    URI_SCHEDULE,
    HttpsFetch,
    KeysError,
    KeySource,
    KeySources,
    parse_key_set,
    read_key_file,
)
from cors_authz.edge.metrics.catalogue import JWKS_FAILURES, JWKS_FETCHED
from cors_authz.edge.metrics.sample import Sample
from cors_authz.policy.compiled import Provider

ALL = ("RS256", "ES256", "EdDSA")


def b64(raw: bytes) -> str:
    return urlsafe_b64encode(raw).rstrip(b"=").decode()


def rsa_members(bits: int = 2048) -> dict[str, object]:
    key = rsa.generate_private_key(public_exponent=65537, key_size=bits)
    n = key.public_key().public_numbers().n
    return {"kty": "RSA", "n": b64(n.to_bytes(bits // 8, "big")), "e": "AQAB"}


def ec_members() -> dict[str, object]:
    point = ec.generate_private_key(ec.SECP256R1()).public_key().public_numbers()
    x, y = (b64(part.to_bytes(32, "big")) for part in (point.x, point.y))
    return {"kty": "EC", "crv": "P-256", "x": x, "y": y}


SEED = bytes(range(32))
ED_PUBLIC = b64(ed25519.Ed25519PrivateKey.from_private_bytes(SEED).public_key().public_bytes_raw())
RSA: dict[str, object] = {**rsa_members(), "kid": "r1"}
EC: dict[str, object] = {**ec_members(), "kid": "e1"}
ED: dict[str, object] = {"kty": "OKP", "crv": "Ed25519", "x": ED_PUBLIC, "kid": "o1"}


def key_set(*keys: object) -> bytes:
    return json.dumps({"keys": keys}).encode()


KEPT: dict[str, tuple[object, str, int]] = {
    "an RSA key serves RS256": (RSA, "RS256", 1),
    "an RSA key does not serve ES256": (RSA, "ES256", 0),
    "a P-256 key serves ES256": (EC, "ES256", 1),
    "an Ed25519 key serves EdDSA": (ED, "EdDSA", 1),
    "an Ed25519 key may say EdDSA": ({**ED, "alg": "EdDSA"}, "EdDSA", 1),
    "an Ed25519 key may say Ed25519": ({**ED, "alg": "Ed25519"}, "EdDSA", 1),
    "a key for another algorithm is passed over": ({**RSA, "alg": "RS512"}, "RS256", 0),
    "a key may say what it is for": ({**RSA, "use": "sig", "key_ops": ["verify"], "alg": "RS256"}, "RS256", 1),
    "a key for encryption is passed over": ({**RSA, "use": "enc"}, "RS256", 0),
    "a key that only signs is passed over": ({**RSA, "key_ops": ["sign"]}, "RS256", 0),
    "key_ops that is a string is passed over": ({**RSA, "key_ops": "verify"}, "RS256", 0),
    "an RSA key of 1024 bits is passed over": (rsa_members(1024), "RS256", 0),
    "an RSA key of 20000 bits is passed over": ({**RSA, "n": b64(b"\xff" * 2500)}, "RS256", 0),
    "an RSA key without modulus is passed over": ({**RSA, "n": None}, "RS256", 0),
    "an RSA key without exponent is passed over": ({**RSA, "e": None}, "RS256", 0),
    "a modulus that is no base64url is passed over": ({**RSA, "n": "=" * 400}, "RS256", 0),
    "a key on another curve is passed over": ({**EC, "crv": "P-384"}, "ES256", 0),
    "a point off the curve is passed over": ({**EC, "y": EC["x"]}, "ES256", 0),
    "X25519 is passed over": ({**ED, "crv": "X25519"}, "EdDSA", 0),
    "a secret is passed over": ({"kty": "oct", "k": "c2VjcmV0", "kid": "r1"}, "RS256", 0),
    "a key of an unknown type is passed over": ({**RSA, "kty": "AKP"}, "RS256", 0),
    "a type that is a list is passed over": ({**RSA, "kty": ["RSA"]}, "RS256", 0),
    "a key that is a string is passed over": ("RSA", "RS256", 0),
    "a key id that is a number is none": ({**RSA, "kid": 1}, "RS256", 1),
}


@pytest.mark.parametrize(("jwk", "algorithm", "then"), KEPT.values(), ids=KEPT)
def test_which_keys_serve_an_algorithm(jwk: object, algorithm: str, then: int) -> None:
    ring = parse_key_set(key_set({}, jwk), (algorithm,))
    assert (len(ring.candidates(algorithm, "")), ring.size) == (then, then)


def test_only_pinned_algorithms_are_kept() -> None:
    ring = parse_key_set(key_set(RSA, EC, ED), ("ES256",))
    assert {name: len(ring.candidates(name, "")) for name in ALL} == {"RS256": 0, "ES256": 1, "EdDSA": 0}


def test_private_members_do_not_enter_the_process() -> None:
    ring = parse_key_set(key_set({**ED, "d": b64(SEED)}), ALL)
    assert [key.is_private for key in ring.candidates("EdDSA", "o1")] == [False]


def test_candidates_share_the_tokens_key_id_or_have_none() -> None:
    others = [{**ED, "kid": "a"}, {**ED, "kid": "b"}, {"kty": "OKP", "crv": "Ed25519", "x": ED_PUBLIC}]
    ring = parse_key_set(key_set(*others), ALL)
    assert [len(ring.candidates("EdDSA", kid)) for kid in ("a", "c", "")] == [2, 1, 3]


def test_a_set_of_many_keys_costs_a_token_only_so_many_verifications() -> None:
    ring = parse_key_set(key_set(*[ED] * 100), ALL)
    assert len(ring.candidates("EdDSA", "o1")) == MAX_CANDIDATES


BAD_SETS = {
    "nothing": (b"", "the key set is not JSON"),
    "a page of HTML": (b"<html>", "the key set is not JSON"),
    "half a set": (key_set(RSA)[:-1], "the key set is not JSON"),
    "a list": (b"[]", "the key set has no list `keys`"),
    "an object without keys": (b"{}", "the key set has no list `keys`"),
    "keys that are an object": (b'{"keys":{}}', "the key set has no list `keys`"),
    "nesting without end": (b"[" * 100_000, "the key set is not JSON"),
    "a set that is too long": (b" " * (MAX_SET_BYTES + 1), "the key set is longer than 1048576 bytes"),
}


@pytest.mark.parametrize(("raw", "why"), BAD_SETS.values(), ids=BAD_SETS)
def test_what_is_no_key_set(raw: bytes, why: str) -> None:
    with pytest.raises(KeysError, match=why):
        parse_key_set(raw, ALL)


MEMBERS = st.dictionaries(
    st.sampled_from(["kty", "crv", "n", "e", "x", "y", "alg", "use", "key_ops", "kid"]),
    st.sampled_from(["RSA", "EC", "OKP", "P-256", "Ed25519", "AQAB", "sig"]) | st.text() | st.integers() | st.none(),
)


@settings(max_examples=200)
@given(st.sampled_from([RSA, EC, ED]), MEMBERS)
def test_no_key_takes_the_others_along(jwk: dict[str, object], changes: dict[str, object]) -> None:
    ring = parse_key_set(key_set({**jwk, **changes}, ED), ("RS256", "ES256", "EdDSA"))
    assert ring.candidates("EdDSA", "o1")


class Issuer:
    """What an issuer answers (an exception is raised), how often it was asked, and the time."""

    def __init__(self) -> None:
        self.answer: bytes | Exception = key_set(RSA)
        self.asked = 0
        self.time = 1000.0
        self.source = KeySource("https://id.example/jwks", ALL, self._load, URI_SCHEDULE, lambda: self.time)

    def at(self, seconds: float) -> float:
        """Let the thread's work be done at a second after the first, and say how long it would sleep."""
        self.time = 1000.0 + seconds
        return self.source.tick()

    def _load(self, about: str) -> bytes:
        assert about == "https://id.example/jwks"
        self.asked += 1
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def test_before_the_first_answer_there_are_no_keys() -> None:
    source = Issuer().source
    assert (source.current(), source.last_error) == (None, "")


def test_keys_are_read_at_once_and_then_every_five_minutes() -> None:
    issuer = Issuer()
    sleeps = [issuer.at(seconds) for seconds in (0, 10, 299, 300, 301)]
    assert (sleeps, issuer.asked) == ([300, 290, 1, 300, 299], 2)


def test_the_ring_is_the_same_until_the_set_changes() -> None:
    issuer = Issuer()
    issuer.at(0)
    first = issuer.source.current()
    issuer.at(300)
    second = issuer.source.current()
    issuer.answer = key_set(RSA, EC)
    issuer.at(600)
    assert (first is second, issuer.source.current() is second) == (True, False)


def test_a_failure_keeps_the_last_good_keys_and_is_tried_again_soon() -> None:
    issuer = Issuer()
    issuer.at(0)
    ring = issuer.source.current()
    issuer.answer = KeysError("down")
    sleep = issuer.at(300)
    assert (sleep, issuer.source.current() is ring, issuer.source.last_error) == (10, True, "down")
    issuer.answer = key_set(RSA)
    assert (issuer.at(310), issuer.source.last_error) == (300, "")


def test_the_last_good_keys_are_given_up_after_a_day() -> None:
    issuer = Issuer()
    issuer.at(0)
    issuer.answer = KeysError("down")
    issuer.at(KEEP_SECONDS - 1)
    before = issuer.source.current()
    issuer.at(KEEP_SECONDS)
    assert (before is None, issuer.source.current()) == (False, None)


def test_a_set_that_cannot_be_read_changes_nothing() -> None:
    issuer = Issuer()
    issuer.at(0)
    ring = issuer.source.current()
    issuer.answer = b"<html>"
    issuer.at(300)
    assert issuer.source.current() is ring
    assert issuer.source.last_error.startswith("the key set is not JSON")


def test_a_set_from_which_all_keys_were_withdrawn_is_believed() -> None:
    issuer = Issuer()
    issuer.at(0)
    issuer.answer = key_set()
    issuer.at(300)
    ring = issuer.source.current()
    assert ring is not None
    assert ring.size == 0


def test_whoever_asks_gets_at_most_one_refresh_in_ten_seconds() -> None:
    issuer = Issuer()
    issuer.at(0)
    for tenth in range(1, 300):
        issuer.source.ask()
        issuer.at(tenth / 10)
    assert issuer.asked == 3


def test_asking_once_brings_one_refresh_only() -> None:
    issuer = Issuer()
    issuer.at(0)
    issuer.source.ask()
    sleeps = [issuer.at(seconds) for seconds in (4, 10, 20)]
    assert (sleeps, issuer.asked) == ([6, 300, 290], 2)


def test_an_error_that_nobody_foresaw_is_logged_and_survived(caplog: pytest.LogCaptureFixture) -> None:
    issuer = Issuer()
    issuer.answer = ZeroDivisionError("1/0")
    sleep = issuer.at(0)
    assert (sleep, issuer.source.last_error) == (10, "internal error: ZeroDivisionError")
    assert [record.levelname for record in caplog.records] == ["ERROR", "WARNING"]


def test_an_issuer_that_was_never_up_is_logged_as_such(caplog: pytest.LogCaptureFixture) -> None:
    issuer = Issuer()
    issuer.answer = KeysError("down")
    issuer.at(0)
    assert caplog.messages == ["keys of `https://id.example/jwks`: down; there are none to serve with"]


def test_an_issuer_that_stays_down_is_one_line_of_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    issuer = Issuer()
    issuer.at(0)
    issuer.answer = KeysError("down")
    for seconds in range(300, 400, 10):
        issuer.at(seconds)
    issuer.answer = key_set(RSA)
    issuer.at(400)
    assert [record.getMessage() for record in caplog.records] == [
        "keys of `https://id.example/jwks`: a new key set is in use, with 1 keys for RS256/ES256/EdDSA",
        "keys of `https://id.example/jwks`: down; the last good ones serve on",
        "keys of `https://id.example/jwks`: can be had again",
    ]


def until(holds: Callable[[], object]) -> bool:
    """Wait up to five seconds for something that a thread brings about."""
    deadline = time.monotonic() + 5
    while not (held := holds()) and time.monotonic() < deadline:
        time.sleep(0.01)
    return bool(held)


def test_the_thread_reads_is_woken_and_stops_promptly() -> None:
    answered = count()
    ticks = count(step=100)
    source = KeySource("x", ALL, lambda _: key_set({"n": next(answered)}), URI_SCHEDULE, lambda: float(next(ticks)))
    source.start()
    assert until(source.current)
    first = source.current()
    source.ask()
    assert until(lambda: source.current() is not first)
    started = time.monotonic()
    source.stop()
    assert time.monotonic() - started < 0.5


def test_stopping_does_not_wait_for_a_fetch_that_hangs() -> None:
    hangs, release = Event(), Event()

    def load(_about: str) -> bytes:
        hangs.set()
        release.wait(10)
        return key_set()

    source = KeySource("x", ALL, load, URI_SCHEDULE, time.monotonic)
    source.start()
    assert hangs.wait(5)
    started = time.monotonic()
    source.stop()
    release.set()
    assert time.monotonic() - started < 2


def test_a_source_that_never_started_can_be_stopped_and_then_asks_nobody() -> None:
    issuer = Issuer()
    issuer.source.stop()
    issuer.source.start()
    issuer.source.stop()
    assert (issuer.source.current(), issuer.asked) == (None, 0)


def provider(name: str, **sources: str) -> Provider:
    return Provider(name, "https://id.example", ("shop",), ("EdDSA",), **sources)  # type: ignore[arg-type]


@pytest.fixture
def sources() -> Iterator[KeySources]:
    made = KeySources(lambda _: key_set(ED), time.monotonic)
    yield made
    made.stop()


def test_a_file_has_been_read_once_its_source_is_handed_out(tmp_path: Path, sources: KeySources) -> None:
    file = tmp_path / "jwks.json"
    file.write_bytes(key_set(ED))
    source = sources.of([provider("main", jwks_file=str(file))])["main"]
    assert source.current() is not None


def test_a_file_behind_a_symbolic_link_is_followed_when_the_link_is_swapped(
    tmp_path: Path, sources: KeySources
) -> None:
    old, new, link, swap = (tmp_path / name for name in ("old", "new", "link", "swap"))
    old.write_bytes(key_set({**ED, "kid": "o1"}))
    new.write_bytes(key_set({**ED, "kid": "o2"}))
    link.symlink_to(old)
    source = sources.of([provider("main", jwks_file=str(link))])["main"]
    first = source.current()
    swap.symlink_to(new)
    swap.replace(link)
    assert until(lambda: source.current() is not first)


def test_a_file_that_is_not_there_is_an_error_that_names_it(tmp_path: Path) -> None:
    with pytest.raises(KeysError, match=r"jwks\.json` cannot be read: No such file or directory"):
        read_key_file(str(tmp_path / "jwks.json"))


def test_of_a_huge_file_only_as_much_is_read_as_proves_it(tmp_path: Path) -> None:
    file = tmp_path / "jwks.json"
    file.write_bytes(b" " * (2 * MAX_SET_BYTES))
    assert len(read_key_file(str(file))) == MAX_SET_BYTES + 1


def test_a_reload_keeps_the_sources_that_both_policies_use(sources: KeySources) -> None:
    kept, dropped = provider("a", jwks_uri="https://a.example"), provider("b", jwks_uri="https://b.example")
    before = sources.of([kept, dropped, provider("envoy", envoy_metadata="payload")])
    renamed = [provider("c", jwks_uri="https://a.example")]
    after = sources.of(renamed)
    sources.keep_only(renamed)
    again = sources.of([dropped, *renamed])
    assert (set(before), set(after)) == ({"a", "b"}, {"c"})
    assert (after["c"] is before["a"], again["c"] is before["a"], again["b"] is before["b"]) == (True, True, False)


def certificate(folder: Path) -> Path:
    """Make a certificate for 127.0.0.1 that nobody else trusts."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "issuer")])
    now = datetime(2020, 1, 1, tzinfo=UTC)
    signed = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now)
        .not_valid_after(now + timedelta(days=36500))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(IPv4Address("127.0.0.1"))]), critical=False)
        .sign(key, SHA256())
    )
    file = folder / "issuer.pem"
    secret = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    file.write_bytes(secret + signed.public_bytes(Encoding.PEM))
    return file


class Handler(BaseHTTPRequestHandler):
    """An issuer, good or bad by the path."""

    released: Event

    def do_GET(self) -> None:
        """Answer."""
        ANSWERS[self.path](self)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002, ANN401 - the signature is the library's
        """Keep the output of the tests clean."""

    def send(self, status: int, body: bytes, **headers: str) -> None:
        """Answer with a body."""
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        if "content_length" not in headers:
            self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


ANSWERS: dict[str, Callable[[Handler], object]] = {
    "/good": lambda issuer: issuer.send(200, key_set(ED)),
    "/moved": lambda issuer: issuer.send(302, b"moved", location="/good"),
    "/in-clear": lambda issuer: issuer.send(302, b"", location=f"http://{issuer.headers['host']}/good"),
    "/to-a-file": lambda issuer: issuer.send(302, b"", location="file:///etc/passwd"),
    "/round": lambda issuer: issuer.send(307, b"", location="/round"),
    "/nowhere": lambda issuer: issuer.send(302, b""),
    "/error": lambda issuer: issuer.send(500, key_set(ED)),
    "/none": lambda issuer: issuer.send(204, b""),
    "/large": lambda issuer: issuer.send(200, b" " * (MAX_SET_BYTES + 1)),
    "/cut": lambda issuer: issuer.send(200, key_set(ED), content_length="9999"),
    "/silent": lambda issuer: issuer.released.wait(10),
    "/packed": lambda issuer: issuer.send(200, b"\x1f\x8b", content_encoding="gzip"),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("issuer")


@pytest.fixture(scope="module")
def issuer_url(folder: Path) -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate(folder))
    server.socket = context.wrap_socket(server.socket, server_side=True)
    Handler.released = Event()
    thread = Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    yield f"https://127.0.0.1:{server.server_port}"
    Handler.released.set()
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def fetch(folder: Path, issuer_url: str) -> Iterator[HttpsFetch]:
    assert issuer_url
    with urllib3.PoolManager(ca_certs=str(folder / "issuer.pem")) as pool:
        yield HttpsFetch(pool, time.monotonic)


@pytest.mark.parametrize("path", ["/good", "/moved"])
def test_a_key_set_is_fetched(path: str, issuer_url: str, fetch: HttpsFetch) -> None:
    assert fetch(issuer_url + path) == key_set(ED)


def test_a_body_is_handed_on_as_it_came(issuer_url: str, fetch: HttpsFetch) -> None:
    assert fetch(issuer_url + "/packed") == b"\x1f\x8b"


BAD_ANSWERS = {
    "a redirect to http": ("/in-clear", "is not https"),
    "a redirect to a file": ("/to-a-file", "`file:///etc/passwd` is not https"),
    "a redirect in a circle": ("/round", "more than 3 redirects"),
    "a redirect to nowhere": ("/nowhere", "the answer has status 302"),
    "an error with a key set as its body": ("/error", "the answer has status 500"),
    "an answer without a body": ("/none", "the answer has status 204"),
    "an answer that is too long": ("/large", "the key set is longer than 1048576 bytes"),
    "an answer that is cut off": ("/cut", "cannot be fetched: .*IncompleteRead"),
}


@pytest.mark.parametrize(("path", "why"), BAD_ANSWERS.values(), ids=BAD_ANSWERS)
def test_a_bad_answer(path: str, why: str, issuer_url: str, fetch: HttpsFetch) -> None:
    with pytest.raises(KeysError, match=why):
        fetch(issuer_url + path)


def test_an_issuer_that_is_silent_is_given_up(folder: Path, issuer_url: str) -> None:
    with (
        urllib3.PoolManager(ca_certs=str(folder / "issuer.pem")) as pool,
        pytest.raises(KeysError, match=r"cannot be fetched: .*timed out"),
    ):
        HttpsFetch(pool, time.monotonic, timeout_seconds=0.3)(issuer_url + "/silent")


BAD_URLS = {
    "http": ("http://127.0.0.1:1/jwks", "is not https"),
    "a port where nobody listens": ("https://127.0.0.1:1/jwks", "cannot be fetched"),
    "a URL that is none": ("https://[", "cannot be fetched"),
}


@pytest.mark.parametrize(("url", "why"), BAD_URLS.values(), ids=BAD_URLS)
def test_a_bad_url(url: str, why: str, fetch: HttpsFetch) -> None:
    with pytest.raises(KeysError, match=why):
        fetch(url)


def test_a_certificate_that_nobody_vouches_for_is_refused(issuer_url: str) -> None:
    with (
        urllib3.PoolManager() as pool,
        pytest.raises(KeysError, match="certificate verify failed"),
    ):
        HttpsFetch(pool, time.monotonic)(issuer_url + "/good")


def test_an_answer_that_drips_is_given_up(folder: Path, issuer_url: str) -> None:
    ticks = count(step=int(FETCH_SECONDS) + 1)
    with (
        urllib3.PoolManager(ca_certs=str(folder / "issuer.pem")) as pool,
        pytest.raises(KeysError, match="took longer than 10 seconds"),
    ):
        HttpsFetch(pool, lambda: float(next(ticks)))(issuer_url + "/good")


def test_a_source_serves_the_keys_of_a_real_issuer(issuer_url: str, fetch: HttpsFetch) -> None:
    made = KeySources(fetch, time.monotonic)
    source = made.of([provider("main", jwks_uri=issuer_url + "/good")])["main"]
    assert until(source.current)
    made.stop()
    assert source.last_error == ""


def test_it_is_told_when_the_keys_of_each_provider_in_force_were_read_and_how_often_that_failed() -> None:
    def fetch(url: str) -> bytes:
        if url == "https://b.example":
            raise KeysError("down")
        return key_set(ED)

    clock = [100.0]
    sources = KeySources(fetch, lambda: clock[0], lambda: 5000.0)
    a, b, c = (provider(name, jwks_uri=f"https://{name}.example") for name in "abc")
    made = sources.of([a, b, c])
    assert until(lambda: made["a"].current() and made["b"].last_error and made["c"].current())
    assert list(sources.samples()) == []
    sources.keep_only([a, b])
    clock[0] = 107.0
    assert list(sources.samples()) == [
        Sample(JWKS_FETCHED, ("a",), 4993.0),
        Sample(JWKS_FAILURES, ("a",), 0),
        Sample(JWKS_FETCHED, ("b",), 0.0),
        Sample(JWKS_FAILURES, ("b",), 1),
    ]
    sources.stop()
    assert list(sources.samples()) == []
