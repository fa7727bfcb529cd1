"""Settings: what no server can listen on is refused before anything starts, by the name of the setting."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import pytest

from cors_authz.edge.settings import MAX_WORKERS, Settings, tls_of
from cors_authz.edge.settings_error import SettingsError
from cors_authz.edge.transport.interface import Tls, TransportOptions


def settings(listen: str = "127.0.0.1:9191", workers: int = 1) -> Settings:
    return Settings(policy=Path("policy.yaml"), environment="prod", listen=listen, workers=workers)


def refusal(listen: str, workers: int = 1) -> str:
    with pytest.raises(SettingsError) as raised:
        settings(listen, workers)
    return str(raised.value)


@pytest.mark.parametrize(
    "listen", ["127.0.0.1:9191", "[::]:9191", "localhost:0", "0.0.0.0:65535", "unix:/run/cors-authz.sock"]
)
def test_an_address_is_kept(listen: str) -> None:
    assert settings(listen).endpoints() == (listen,)


NO_ADDRESS = {
    "a port alone": "9191",
    "no host": ":9191",
    "no port": "127.0.0.1:",
    "a name for a port": "127.0.0.1:http",
    "a port beyond the highest": "127.0.0.1:65536",
    "a negative port": "127.0.0.1:-1",
    "digits that are not ASCII": "127.0.0.1:\u0669\u0661",
    "IPv6 without brackets": "::1:9191",
    "nothing": "",
}


@pytest.mark.parametrize("listen", NO_ADDRESS.values(), ids=NO_ADDRESS)
def test_what_is_no_address_is_refused(listen: str) -> None:
    assert refusal(listen) == f"listen: `{listen}` is not an address; write HOST:PORT, [IPv6]:PORT or unix:PATH"


def test_a_socket_needs_an_absolute_path() -> None:
    assert refusal("unix:") == "listen: `unix:` names no Unix socket; write unix:PATH"
    assert refusal("unix:a.sock") == "listen: `unix:a.sock` has no absolute path; write unix:/run/cors-authz.sock"


@pytest.mark.parametrize("seconds", [float("nan"), float("inf"), -0.1])
@pytest.mark.parametrize("name", ["drain-seconds", "grace-seconds"])
def test_a_time_that_is_none_is_refused_by_name(name: str, seconds: float) -> None:
    times = {"drain_seconds": 1.0, "grace_seconds": 1.0, name.replace("-", "_"): seconds}
    with pytest.raises(SettingsError) as raised:
        Settings(policy=Path("policy.yaml"), environment="prod", listen="127.0.0.1:0", **times)  # type: ignore[arg-type] # none is text
    assert str(raised.value) == f"{name}: `{seconds}` is no time; write a number of seconds, 0 or more"


class Endpoints(NamedTuple):
    """An address, and what three workers make of it."""

    listen: str
    endpoints: tuple[str, str, str]


ENDPOINTS = {
    "ports from it on": Endpoints("0.0.0.0:9191", ("0.0.0.0:9191", "0.0.0.0:9192", "0.0.0.0:9193")),
    "up to the highest": Endpoints("[::1]:65533", ("[::1]:65533", "[::1]:65534", "[::1]:65535")),
    "each its free one": Endpoints("localhost:0", ("localhost:0",) * 3),
    "numbered sockets": Endpoints(
        "unix:/run/a.sock", ("unix:/run/a.sock-0", "unix:/run/a.sock-1", "unix:/run/a.sock-2")
    ),
}


@pytest.mark.parametrize("case", ENDPOINTS.values(), ids=ENDPOINTS)
def test_each_worker_has_an_endpoint(case: Endpoints) -> None:
    assert settings(case.listen, 3).endpoints() == case.endpoints


def test_ports_beyond_the_highest_are_refused() -> None:
    assert refusal("127.0.0.1:65534", 3) == (
        "listen: 3 workers need the ports 65534 to 65536, and the highest is 65535; choose a lower port"
    )


@pytest.mark.parametrize("workers", [0, -1, MAX_WORKERS + 1, 1000])
def test_a_number_of_workers_that_cannot_be_is_refused(workers: int) -> None:
    assert refusal("127.0.0.1:0", workers) == f"workers: `{workers}` cannot be; write 1 to 128, or auto"


def test_the_most_workers_are_taken() -> None:
    assert len(settings("127.0.0.1:0", MAX_WORKERS).endpoints()) == MAX_WORKERS


def test_the_path_of_a_socket_has_a_bound_that_its_number_counts_in() -> None:
    longest = "unix:/" + "x" * 106
    assert settings(longest).endpoints() == (longest,)
    path = "/" + "x" * 106
    assert refusal(longest + "x") == f"listen: `{path}x` is longer than the 107 bytes of a socket's path"
    assert refusal(longest, 2) == f"listen: `{path}-1` is longer than the 107 bytes of a socket's path"
    assert refusal("unix:/" + "\u00e9" * 54).endswith("is longer than the 107 bytes of a socket's path")


CERTIFICATE, KEY, CA = Path("tls.crt"), Path("tls.key"), Path("ca.crt")


def test_a_certificate_goes_with_its_key() -> None:
    assert tls_of(None, None, None) is None
    assert tls_of(CERTIFICATE, KEY, None) == Tls(CERTIFICATE, KEY)
    assert tls_of(CERTIFICATE, KEY, CA) == Tls(CERTIFICATE, KEY, CA)


HALVES = {
    "a certificate alone": ((CERTIFICATE, None, None), "tls-key: a certificate and its key go together; name both"),
    "a key alone": ((None, KEY, CA), "tls-cert: a certificate and its key go together; name both"),
    "callers' alone": ((None, None, CA), "tls-client-ca: nothing is served by TLS; name tls-cert and tls-key too"),
}


@pytest.mark.parametrize(("paths", "said"), HALVES.values(), ids=HALVES)
def test_half_of_tls_is_refused(paths: tuple[Path | None, Path | None, Path | None], said: str) -> None:
    with pytest.raises(SettingsError) as raised:
        tls_of(*paths)
    assert str(raised.value) == said


@pytest.mark.parametrize("absent", ["tls-cert", "tls-key", "tls-client-ca"])
@pytest.mark.parametrize("is_folder", [False, True], ids=["absent", "a folder"])
def test_files_of_tls_must_be_there(absent: str, is_folder: bool, tmp_path: Path) -> None:  # noqa: FBT001 - a row's value
    files = {name: tmp_path / name for name in ("tls-cert", "tls-key", "tls-client-ca")}
    for name, file in files.items():
        if name != absent:
            file.write_text("x")
        elif is_folder:
            file.mkdir()
    transport = TransportOptions(tls=Tls(*files.values()))
    with pytest.raises(SettingsError) as raised:
        Settings(policy=Path("p"), environment="prod", listen="127.0.0.1:0", transport=transport)
    assert str(raised.value) == f"{absent}: `{files[absent]}` is no file that we may read; name a PEM file"
