"""`access-log`: options become settings, and what cannot be is refused."""

from __future__ import annotations

import logging
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from cors_authz.cli import access_log as module
from cors_authz.cli.main import cli
from cors_authz.edge.access_log import run as listening
from cors_authz.edge.access_log.options import AccessLogOptions, StreamBounds
from cors_authz.edge.audit.options import WriterOptions
from cors_authz.edge.generation import GenerationError
from cors_authz.edge.metrics.options import MetricsOptions
from cors_authz.edge.policy_files import PolicyFilesError
from cors_authz.edge.transport.interface import Tls, TransportError

ROOT = Path(__file__).parents[3]


def run(*arguments: str, **variables: str) -> Result:
    return CliRunner().invoke(cli, arguments, env=variables)


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[AccessLogOptions]:
    options: list[AccessLogOptions] = []
    monkeypatch.setattr(listening, "listen", options.append)
    monkeypatch.setattr(module, "log_to_stderr", lambda _level, _form: logging.NullHandler())
    monkeypatch.setattr(module, "end_at_once", lambda: None)
    return options


def test_without_options_the_defaults_hold(started: list[AccessLogOptions]) -> None:
    assert run("access-log").exit_code == 0
    assert started == [
        AccessLogOptions(
            listen="127.0.0.1:9192",
            lines=WriterOptions(targets=("-",), setting="lines"),
            policy=None,
            environment="prod",
            sample_agreeing=1.0,
            metrics=None,
            tls=None,
            bounds=StreamBounds(),
            grace_seconds=2.0,
        )
    ]


def test_options_and_variables_become_settings(started: list[AccessLogOptions], tmp_path: Path) -> None:
    pem = {name: tmp_path / name for name in ("cert", "key", "ca")}
    for file in pem.values():
        file.touch()
    result = run(
        *("access-log", "--max-streams", "9", "--lines", "off", "--metrics-listen", "127.0.0.1:9193"),
        *("--tls-cert", str(pem["cert"]), "--tls-key", str(pem["key"]), "--tls-client-ca", str(pem["ca"])),
        CORS_AUTHZ_POLICY="/p",
        CORS_AUTHZ_ENVIRONMENT="uat",
        CORS_AUTHZ_ACCESS_LOG_LISTEN="unix:/run/a.sock",
        CORS_AUTHZ_ACCESS_LOG_MAX_STREAMS="3",
        CORS_AUTHZ_ACCESS_LOG_SAMPLE_AGREEING="0.25",
        CORS_AUTHZ_GRACE_SECONDS="0",
    )
    assert result.exit_code == 0, result.output
    assert started == [
        AccessLogOptions(
            listen="unix:/run/a.sock",
            lines=None,
            policy=Path("/p"),
            environment="uat",
            sample_agreeing=0.25,
            metrics=MetricsOptions(listen="127.0.0.1:9193"),
            tls=Tls(pem["cert"], pem["key"], pem["ca"]),
            bounds=StreamBounds(streams=9),
            grace_seconds=0,
        )
    ]


def test_lines_are_signed_with_a_key(started: list[AccessLogOptions]) -> None:
    assert run("access-log", "--lines", "/l", CORS_AUTHZ_ACCESS_LOG_LINES_KEY="/k").exit_code == 0
    assert [options.lines for options in started] == [
        WriterOptions(targets=("/l",), key=Path("/k"), setting="lines"),
    ]


REFUSED = {
    "an address that is none": (("--listen", "9192"), "listen: `9192` is not an address"),
    "metrics at no address": (("--metrics-listen", "9193"), "metrics-listen: `9193`"),
    "a key without its certificate": (("--tls-key", "k"), "tls-cert: a certificate and its key go together"),
    "no target of lines": (("--lines", ""), "lines: name each target once"),
    "a key for no lines": (("--lines", "off", "--lines-key", "k"), "lines-key: no lines are written; name where"),
    "a share beyond 1": (("--sample-agreeing", "2"), "Invalid value for '--sample-agreeing'"),
}


@pytest.mark.parametrize("sentence", REFUSED)
@pytest.mark.usefixtures("started")
def test_what_cannot_be_is_a_usage_error(sentence: str) -> None:
    arguments, why = REFUSED[sentence]

    result = run("access-log", *arguments)

    assert result.exit_code == 2
    assert why in result.stderr


@pytest.mark.parametrize("name", ["TLS_CERT", "TLS_KEY", "TLS_CLIENT_CA", "ACCESS_LOG_LINES_KEY"])
def test_an_empty_variable_does_not_turn_protection_off(name: str, started: list[AccessLogOptions]) -> None:
    result = run("access-log", **{f"CORS_AUTHZ_{name}": ""})
    assert (result.exit_code, started) == (2, [])
    assert f"CORS_AUTHZ_{name} is set and empty" in result.stderr


def test_the_help_names_every_target_of_lines() -> None:
    assert "--lines PATH|-|otlp|off" in run("access-log", "--help").stdout


FAULTS: dict[str, tuple[Callable[[], Exception], int]] = {
    "an address that is taken": (lambda: TransportError("taken"), 1),
    "a policy that cannot be compiled": (lambda: GenerationError("no memory"), 1),
    "a policy that is not there": (lambda: PolicyFilesError("not there"), 2),
}


@pytest.mark.parametrize("sentence", FAULTS)
@pytest.mark.usefixtures("started")
def test_what_goes_wrong_at_the_start_is_told(sentence: str, monkeypatch: pytest.MonkeyPatch) -> None:
    fault, code = FAULTS[sentence]

    def listen(_options: AccessLogOptions) -> None:
        raise fault()

    monkeypatch.setattr(listening, "listen", listen)
    result = run("access-log")

    assert (result.exit_code, str(fault()) in result.stderr) == (code, True)


UNWRITABLE = {
    "a file in no folder": (
        ("--lines", "/absent/l"),
        "lines: `/absent/l` cannot be written: No such file or directory",
    ),
    "a key that is not there": (("--lines-key", "/absent/k"), "lines-key: `/absent/k` cannot be read: No such file"),
}


@pytest.mark.parametrize("sentence", UNWRITABLE)
def test_lines_that_cannot_be_written_are_told_by_their_own_option(sentence: str) -> None:
    arguments, why = UNWRITABLE[sentence]
    command = [sys.executable, "-m", "cors_authz", "access-log", "--listen", "127.0.0.1:0", *arguments]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)

    assert (ended.returncode, why in " ".join(ended.stderr.split())) == (2, True), ended.stderr


def test_an_invalid_policy_is_refused_as_by_serve(tmp_path: Path) -> None:
    policy = tmp_path / "policy.yaml"
    policy.write_text("apiVersion: cors-authz/v1\nkind: PolicyBundle\n")
    command = [sys.executable, "-m", "cors_authz", "access-log", "--listen", "127.0.0.1:0", "--policy", str(policy)]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)

    assert (ended.returncode, "policy.yaml:1:1: CX" in ended.stderr) == (3, True)
