"""Addresses: one reader for whatever listens, and what it refuses."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cors_authz.envoy.address import Address
from cors_authz.policy.finding import shown

PARSED = {
    "a host and a port": ("authz:9000", Address("authz", 9000)),
    "an IPv4 address": ("127.0.0.1:0", Address("127.0.0.1", 0)),
    "an IPv6 address loses its brackets": ("[::1]:65535", Address("::1", 65535)),
    "a Unix socket": ("unix:/run/authz.sock", Address("", 0, "/run/authz.sock")),
    "a Unix socket as a URL": ("unix:///run/authz.sock", Address("", 0, "/run/authz.sock")),
    "a relative Unix socket": ("unix:authz.sock", Address("", 0, "authz.sock")),
}


@pytest.mark.parametrize("sentence", PARSED)
def test_addresses_are_read(sentence: str) -> None:
    text, expected = PARSED[sentence]

    assert Address.parse(text) == expected


HOST_MEND = "is not an address; write HOST:PORT, [IPv6]:PORT or unix:PATH"
SOCKET_MEND = "names no Unix socket; write unix:PATH"
REFUSED = {
    "no port": ("authz", HOST_MEND),
    "an empty port": ("authz:", HOST_MEND),
    "no host": (":9000", HOST_MEND),
    "empty brackets": ("[]:9000", HOST_MEND),
    "a port above 65535": ("authz:65536", HOST_MEND),
    "a port longer than Python converts": ("authz:" + "9" * 5000, HOST_MEND),
    "a port that is no number": ("authz:http", HOST_MEND),
    "a negative port": ("authz:-1", HOST_MEND),
    "a port in digits that are not ASCII": ("authz:٣", HOST_MEND),
    "an IPv6 address without brackets": ("::1:9000", HOST_MEND),
    "a host that does not print": ("\x1b:9000", HOST_MEND),
    "brackets around a name": ("[authz]:9000", HOST_MEND),
    "a Unix socket without a path": ("unix:", SOCKET_MEND),
    "a path that does not print": ("unix:/run/\x07", "has characters that no path should have; write unix:PATH"),
    "a Unix socket with a host": ("unix://host/run/authz.sock", SOCKET_MEND),
}


@pytest.mark.parametrize("sentence", REFUSED)
def test_what_is_no_address_is_refused_with_a_mend(sentence: str) -> None:
    text, mend = REFUSED[sentence]

    with pytest.raises(ValueError) as error:  # noqa: PT011 - the whole text is compared
        Address.parse(text)

    assert str(error.value) == f"`{shown(text)}` {mend}"


ADDRESSES = st.one_of(
    st.builds(
        Address, st.sampled_from(["authz", "10.0.0.1", "::1", "2001:db8::1"]), st.integers(0, 0xFFFF), st.just("")
    ),
    st.builds(Address, st.just(""), st.just(0), st.from_regex(r"/?[a-z][a-z./]{0,20}", fullmatch=True)),
)


@given(ADDRESSES)
def test_parse_reads_what_str_writes(address: Address) -> None:
    assert Address.parse(str(address)) == address


@given(st.text(max_size=40))
def test_parse_returns_what_str_writes_or_refuses(text: str) -> None:
    try:
        address = Address.parse(text)
    except ValueError:
        return
    assert Address.parse(str(address)) == address


WORKERS = {
    "a port counts up": ("[::1]:9000", ["[::1]:9000", "[::1]:9001"]),
    "a port that the system chooses stays": ("localhost:0", ["localhost:0", "localhost:0"]),
    "a socket is numbered": ("unix:///run/a", ["unix:/run/a-0", "unix:/run/a-1"]),
}


@pytest.mark.parametrize("sentence", WORKERS)
def test_each_worker_has_an_address(sentence: str) -> None:
    first, addresses = WORKERS[sentence]

    assert [str(Address.parse(first).of_worker(number)) for number in range(2)] == addresses
