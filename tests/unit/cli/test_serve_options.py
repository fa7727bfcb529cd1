"""`serve`: every option has its variable, and what cannot be is refused by the name of the setting."""

from __future__ import annotations

import logging
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import click
import pytest
from click.testing import CliRunner, Result

from cors_authz.cli import serve as module
from cors_authz.cli.main import cli
from cors_authz.cli.protection import Protection
from cors_authz.cli.serve import serve
from cors_authz.edge.audit.options import AuditOptions, WhenFull, WriterOptions
from cors_authz.edge.generation import GenerationError
from cors_authz.edge.metrics.options import MetricsOptions
from cors_authz.edge.settings import MAX_WORKERS, Settings
from cors_authz.edge.transport.interface import Bounds, Tls, TransportChoice, TransportError, TransportOptions
from cors_authz.edge.workers.supervisor import WorkersError

ROOT = Path(__file__).parents[3]
OPTIONS = [option for option in serve.params if isinstance(option, click.Option)]


def run(*arguments: str, **variables: str) -> Result:
    return CliRunner().invoke(cli, ["serve", *arguments], env=variables)


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[Settings]:
    settings: list[Settings] = []
    monkeypatch.setattr(module, "run", settings.append)
    monkeypatch.setattr(module, "log_to_stderr", lambda _level, _form: logging.NullHandler())
    return settings


def test_the_command_is_there_without_grpc_which_must_be_told_things_first_and_without_what_compiles_policies() -> None:
    script = "import sys, cors_authz.cli.serve; print({'grpc', 'pydantic', 'yaml'} & set(sys.modules))"
    told = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert told.stdout == "set()\n"


@pytest.mark.parametrize("option", OPTIONS, ids=lambda option: option.opts[0])
def test_an_option_shows_its_variable(option: click.Option) -> None:
    variable = f"CORS_AUTHZ_{option.opts[0].removeprefix('--').replace('-', '_').upper()}"
    assert (option.envvar, option.show_envvar) == (variable, True)
    assert variable in run("--help").stdout.replace("\n", "").replace(" ", "")


def test_without_options_the_defaults_hold(started: list[Settings]) -> None:
    assert run("--policy", "p.yaml").exit_code == 0
    assert started == [
        Settings(
            policy=Path("p.yaml"),
            environment="prod",
            listen="127.0.0.1:9191",
            workers=1,
            transport=TransportOptions(),
            grpc_experiments=None,
            audit=None,
            metrics=None,
            drain_seconds=2.5,
            grace_seconds=5,
            log_level="info",
            log_format="text",
        )
    ]


def test_variables_set_what_options_do_not(started: list[Settings], tmp_path: Path) -> None:
    pem = {name: tmp_path / name for name in ("cert", "key", "ca")}
    for file in pem.values():
        file.touch()
    result = run(
        "--max-concurrent",
        "9",
        CORS_AUTHZ_POLICY="/p",
        CORS_AUTHZ_ENVIRONMENT="uat",
        CORS_AUTHZ_LISTEN="unix:/run/a.sock",
        CORS_AUTHZ_MAX_CONCURRENT="3",
        CORS_AUTHZ_DRAIN_SECONDS="0",
        CORS_AUTHZ_GRACE_SECONDS="1.5",
        CORS_AUTHZ_WORKERS="3",
        CORS_AUTHZ_TRANSPORT="grpc-server",
        CORS_AUTHZ_TLS_CERT=str(pem["cert"]),
        CORS_AUTHZ_TLS_KEY=str(pem["key"]),
        CORS_AUTHZ_TLS_CLIENT_CA=str(pem["ca"]),
        CORS_AUTHZ_GRPC_EXPERIMENTS="-event_engine_listener",
        CORS_AUTHZ_AUDIT="/run/audit.jsonl otlp",
        CORS_AUTHZ_AUDIT_REQUIRED="true",
        CORS_AUTHZ_AUDIT_WHEN_FULL="block",
        CORS_AUTHZ_AUDIT_SAMPLE_ALLOW="0.25",
        CORS_AUTHZ_AUDIT_REVEAL="header:x-client claim:sub",
        CORS_AUTHZ_AUDIT_KEY=str(pem["key"]),
        CORS_AUTHZ_AUDIT_HEAD_RECORDS="10",
        CORS_AUTHZ_AUDIT_ROTATE_BYTES="0",
        CORS_AUTHZ_AUDIT_KEEP="3",
        CORS_AUTHZ_AUDIT_QUEUE="1024",
        CORS_AUTHZ_METRICS_LISTEN="0.0.0.0:8080",
        CORS_AUTHZ_LOG_LEVEL="debug",
        CORS_AUTHZ_LOG_FORMAT="json",
    )
    assert result.exit_code == 0
    assert started == [
        Settings(
            policy=Path("/p"),
            environment="uat",
            listen="unix:/run/a.sock",
            workers=3,
            transport=TransportOptions(
                choice=TransportChoice.GRPC_SERVER,
                tls=Tls(pem["cert"], pem["key"], pem["ca"]),
                bounds=Bounds(concurrent=9),
            ),
            grpc_experiments="-event_engine_listener",
            audit=AuditOptions(
                writer=WriterOptions(
                    targets=("/run/audit.jsonl", "otlp"),
                    rotate_bytes=0,
                    keep=3,
                    queue_lines=1024,
                    when_full=WhenFull.BLOCK,
                    required=True,
                    key=pem["key"],
                    head_lines=10,
                ),
                sample_allow=0.25,
                reveal=("header:x-client", "claim:sub"),
            ),
            metrics=MetricsOptions(listen="0.0.0.0:8080", workers=3),
            drain_seconds=0,
            grace_seconds=1.5,
            log_level="debug",
            log_format="json",
        )
    ]


def test_without_further_options_an_audit_trail_has_its_own_defaults(started: list[Settings]) -> None:
    assert run("--policy", "p", "--audit", "-").exit_code == 0
    assert [settings.audit for settings in started] == [AuditOptions(writer=WriterOptions(targets=("-",)))]


def test_auto_is_a_worker_for_each_core(started: list[Settings], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "usable_cores", lambda: 5)
    assert run("--policy", "p", "--workers", "auto").exit_code == 0
    assert [settings.workers for settings in started] == [5]


def test_auto_keeps_to_the_highest_number(started: list[Settings], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "usable_cores", lambda: 512)
    assert run("--policy", "p", "--workers", "auto").exit_code == 0
    assert [settings.workers for settings in started] == [MAX_WORKERS]


class Refused(NamedTuple):
    """Options, and the setting that the refusal names."""

    arguments: tuple[str, ...]
    named: str


REFUSED = {
    "no policy": Refused((), "--policy"),
    "an address without a port": Refused(("--policy", "p", "--listen", "9191"), "listen: `9191` is not an address"),
    "an address that gRPC itself would refuse": Refused(
        ("--policy", "p", "--listen", "::1:9191"), "listen: `::1:9191` is not an address; write HOST:PORT"
    ),
    "a port longer than Python converts": Refused(
        ("--policy", "p", "--listen", f"127.0.0.1:{'9' * 5000}"), "is not an address; write HOST:PORT"
    ),
    "a metrics port longer than Python converts": Refused(
        ("--policy", "p", "--metrics-listen", f"127.0.0.1:{'9' * 5000}"), "is no address; write host:port"
    ),
    "a relative socket": Refused(("--policy", "p", "--listen", "unix:a"), "listen: `unix:a` has no absolute path"),
    "time that runs back": Refused(("--policy", "p", "--drain-seconds", "-1"), "--drain-seconds"),
    "grace without end": Refused(("--policy", "p", "--grace-seconds", "inf"), "--grace-seconds"),
    "a grace that is no number": Refused(
        ("--policy", "p", "--grace-seconds", "nan"), "grace-seconds: `nan` is no time"
    ),
    "no workers": Refused(("--policy", "p", "--workers", "0"), "workers: `0` cannot be; write 1 to 128, or auto"),
    "workers below none": Refused(("--policy", "p", "--workers", "-1"), "workers: `-1` cannot be"),
    "more workers than any machine has use for": Refused(
        ("--policy", "p", "--workers", "1000"), "workers: `1000` cannot be"
    ),
    "workers in words": Refused(("--policy", "p", "--workers", "many"), "--workers"),
    "ports beyond the highest": Refused(
        ("--policy", "p", "--workers", "2", "--listen", "[::]:65535"), "2 workers need the ports 65535 to 65536"
    ),
    "an unknown transport": Refused(("--policy", "p", "--transport", "aio"), "--transport"),
    "no calls at once": Refused(("--policy", "p", "--max-concurrent", "0"), "--max-concurrent"),
    "a certificate without a key": Refused(("--policy", "p", "--tls-cert", "c"), "tls-key: a certificate and its key"),
    "a key that is not there": Refused(
        ("--policy", "p", "--tls-cert", __file__, "--tls-key", "/absent"), "tls-key: `/absent` is no file"
    ),
    "records that are required and go nowhere": Refused(
        ("--policy", "p", "--audit-required"), "audit-required: nothing is recorded; name where by --audit"
    ),
    "off beside a target": Refused(("--policy", "p", "--audit", "off", "--audit", "-"), "audit: off stands alone"),
    **{
        f"{flag} of no record": Refused(("--policy", "p", flag, value), f"{flag[2:]}: nothing is recorded; name where")
        for flag, value in (
            ("--audit-when-full", "block"),
            ("--audit-sample-allow", "0.5"),
            ("--audit-reveal", "claim:sub"),
            ("--audit-key", "k"),
            ("--audit-head-records", "10"),
            ("--audit-rotate-bytes", "0"),
            ("--audit-keep", "2"),
            ("--audit-queue", "512"),
        )
    },
    "a record of half an allow": Refused(
        ("--policy", "p", "--audit", "-", "--audit-sample-allow", "2"), "audit-sample-allow: `2.0` is no share"
    ),
    "a secret that is to be recorded": Refused(
        ("--policy", "p", "--audit", "-", "--audit-reveal", "header:cookie"), "audit-reveal: header `cookie` holds"
    ),
    "metrics at no address": Refused(("--policy", "p", "--metrics-listen", "8080"), "metrics-listen: `8080` is no"),
    "too few ports for the metrics of all workers": Refused(
        ("--policy", "p", "--workers", "2", "--metrics-listen", "0.0.0.0:65535"), "need the ports 65535 to 65536"
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
    result = run("--policy", "p", CORS_AUTHZ_MAX_CONCURRENT="many")
    assert (result.exit_code, "CORS_AUTHZ_MAX_CONCURRENT" in result.stderr, started) == (2, True, [])


PROTECTING = ("TLS_CERT", "TLS_KEY", "TLS_CLIENT_CA", "AUDIT", "AUDIT_REQUIRED", "AUDIT_WHEN_FULL", "AUDIT_KEY")
"""Empty, each would take away what it is set for."""


@pytest.mark.parametrize("name", PROTECTING)
def test_an_empty_variable_does_not_turn_protection_off(name: str, started: list[Settings]) -> None:
    variable, setting = f"CORS_AUTHZ_{name}", name.lower().replace("_", "-")
    result = run("--policy", "p", **{variable: ""})
    assert (result.exit_code, started) == (2, [])
    assert result.stderr.endswith(f"Error: {setting}: {variable} is set and empty; write a value, or unset it\n")


def test_an_option_counts_before_an_empty_variable(started: list[Settings]) -> None:
    assert run("--policy", "p", "--audit", "off", CORS_AUTHZ_AUDIT="").exit_code == 0
    assert [settings.audit for settings in started] == [None]


def test_an_empty_variable_of_anything_else_leaves_its_default(started: list[Settings]) -> None:
    variables = {str(option.envvar): "" for option in OPTIONS if not isinstance(option, Protection)}
    assert run("--policy", "p", **variables).exit_code == 0
    assert started == [Settings(policy=Path("p"), environment="prod", listen="127.0.0.1:9191")]


@pytest.mark.parametrize("error", [GenerationError, TransportError, WorkersError])
def test_what_hinders_the_start_is_told(
    error: type[Exception], monkeypatch: pytest.MonkeyPatch, started: list[Settings]
) -> None:
    def fail(_settings: Settings) -> None:
        raise error("cannot listen on `x`")

    monkeypatch.setattr(module, "run", fail)
    result = run("--policy", "p")
    assert (result.exit_code, result.stderr, started) == (1, "Error: cannot listen on `x`\n", [])
