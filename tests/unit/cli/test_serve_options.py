"""`serve`: every option has its variable, and what cannot be is refused by the name of the setting."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import click
import pytest
from click.testing import CliRunner, Result

from cors_authz.cli import serve as module
from cors_authz.cli.main import cli
from cors_authz.cli.serve import serve
from cors_authz.edge.server import ServerError
from cors_authz.edge.settings import Settings

OPTIONS = [option for option in serve.params if isinstance(option, click.Option)]


def run(*arguments: str, **variables: str) -> Result:
    return CliRunner().invoke(cli, ["serve", *arguments], env=variables)


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[Settings]:
    settings: list[Settings] = []
    monkeypatch.setattr(module, "run", settings.append)
    monkeypatch.setattr(module, "log_to_stderr", lambda _level, _form: None)
    return settings


@pytest.mark.parametrize("option", OPTIONS, ids=lambda option: option.opts[0])
def test_an_option_shows_its_variable(option: click.Option) -> None:
    variable = f"CORS_AUTHZ_{option.opts[0].removeprefix('--').replace('-', '_').upper()}"
    assert (option.envvar, option.show_envvar) == (variable, True)
    assert variable in run("--help").stdout.replace("\n", "").replace(" ", "")


def test_without_options_the_defaults_hold(started: list[Settings]) -> None:
    assert run("--policy", "p.yaml").exit_code == 0
    assert started == [Settings(Path("p.yaml"), "prod", "127.0.0.1:9191", 4, 2.5, 5)]


def test_variables_set_what_options_do_not(started: list[Settings]) -> None:
    result = run(
        "--threads",
        "7",
        CORS_AUTHZ_POLICY="/p",
        CORS_AUTHZ_ENVIRONMENT="uat",
        CORS_AUTHZ_LISTEN="unix:/run/a.sock",
        CORS_AUTHZ_THREADS="3",
        CORS_AUTHZ_DRAIN_SECONDS="0",
        CORS_AUTHZ_GRACE_SECONDS="1.5",
    )
    assert result.exit_code == 0
    assert started == [Settings(Path("/p"), "uat", "unix:/run/a.sock", 7, 0, 1.5)]


class Refused(NamedTuple):
    """Options, and the setting that the refusal names."""

    arguments: tuple[str, ...]
    named: str


REFUSED = {
    "no policy": Refused((), "--policy"),
    "an address without a port": Refused(("--policy", "p", "--listen", "9191"), "listen: `9191` is no address"),
    "a relative socket": Refused(("--policy", "p", "--listen", "unix:a"), "listen: `unix:a` has no absolute path"),
    "no threads": Refused(("--policy", "p", "--threads", "0"), "--threads"),
    "threads in words": Refused(("--policy", "p", "--threads", "four"), "--threads"),
    "too many threads": Refused(("--policy", "p", "--threads", "65"), "--threads"),
    "time that runs back": Refused(("--policy", "p", "--drain-seconds", "-1"), "--drain-seconds"),
    "grace without end": Refused(("--policy", "p", "--grace-seconds", "inf"), "--grace-seconds"),
    "a grace that is no number": Refused(
        ("--policy", "p", "--grace-seconds", "nan"), "grace-seconds: `nan` is no time"
    ),
    "an unknown level": Refused(("--policy", "p", "--log-level", "loud"), "--log-level"),
    "an unknown format": Refused(("--policy", "p", "--log-format", "xml"), "--log-format"),
}


@pytest.mark.parametrize("case", REFUSED.values(), ids=REFUSED)
def test_a_setting_that_cannot_be_is_named(case: Refused, started: list[Settings]) -> None:
    result = run(*case.arguments)
    assert (result.exit_code, started) == (2, [])
    assert case.named in result.stderr


def test_a_bad_variable_is_named(started: list[Settings]) -> None:
    result = run("--policy", "p", CORS_AUTHZ_THREADS="many")
    assert (result.exit_code, "CORS_AUTHZ_THREADS" in result.stderr, started) == (2, True, [])


def test_an_address_that_is_taken_is_told(monkeypatch: pytest.MonkeyPatch, started: list[Settings]) -> None:
    def fail(_settings: Settings) -> None:
        raise ServerError("cannot listen on `x`")

    monkeypatch.setattr(module, "run", fail)
    result = run("--policy", "p")
    assert (result.exit_code, result.stderr, started) == (1, "Error: cannot listen on `x`\n", [])
