"""Settings: what no server can listen on is refused before anything starts, by the name of the setting."""

from __future__ import annotations

from pathlib import Path

import pytest

from cors_authz.edge.settings import Settings, SettingsError


def settings(listen: str) -> Settings:
    return Settings(Path("policy.yaml"), "prod", listen, threads=4, drain_seconds=2.5, grace_seconds=5)


@pytest.mark.parametrize(
    "listen", ["127.0.0.1:9191", "[::]:9191", "localhost:0", "0.0.0.0:65535", "unix:/run/cors-authz.sock"]
)
def test_an_address_is_kept(listen: str) -> None:
    assert settings(listen).listen == listen


NO_ADDRESS = {
    "a port alone": "9191",
    "no host": ":9191",
    "no port": "127.0.0.1:",
    "a name for a port": "127.0.0.1:http",
    "a port beyond the highest": "127.0.0.1:65536",
    "a negative port": "127.0.0.1:-1",
    "digits that are not ASCII": "127.0.0.1:\u0669\u0661",
    "nothing": "",
}


@pytest.mark.parametrize("listen", NO_ADDRESS.values(), ids=NO_ADDRESS)
def test_what_is_no_address_is_refused(listen: str) -> None:
    with pytest.raises(SettingsError) as raised:
        settings(listen)
    assert str(raised.value) == f"listen: `{listen}` is no address; write host:port or unix:/path"


@pytest.mark.parametrize("listen", ["unix:", "unix:run/cors-authz.sock"])
def test_a_socket_needs_an_absolute_path(listen: str) -> None:
    with pytest.raises(SettingsError) as raised:
        settings(listen)
    assert str(raised.value) == f"listen: `{listen}` has no absolute path; write unix:/run/cors-authz.sock"


@pytest.mark.parametrize("seconds", [float("nan"), float("inf"), -0.1])
@pytest.mark.parametrize("name", ["drain-seconds", "grace-seconds"])
def test_a_time_that_is_none_is_refused_by_name(name: str, seconds: float) -> None:
    times = {"drain_seconds": 1.0, "grace_seconds": 1.0, name.replace("-", "_"): seconds}
    with pytest.raises(SettingsError) as raised:
        Settings(Path("policy.yaml"), "prod", "127.0.0.1:0", 4, **times)
    assert str(raised.value) == f"{name}: `{seconds}` is no time; write a number of seconds, 0 or more"
