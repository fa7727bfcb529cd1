"""What the log says at the start: who watches, by which collector, and which variables nothing heeds."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from cors_authz.edge.announcement import announce, announce_watchers
from cors_authz.edge.audit.options import AuditOptions, WriterOptions
from cors_authz.edge.generation import Generation, Report
from cors_authz.edge.metrics.options import MetricsOptions
from cors_authz.edge.settings import Settings
from cors_authz.edge.settings_error import SettingsError
from cors_authz.edge.transport.interface import Tls, TransportOptions
from cors_authz.policy.finding import Finding, Place, Severity

ENDPOINT: Final = {"OTEL_EXPORTER_OTLP_ENDPOINT": "https://collector"}
AUDIT: Final = AuditOptions(writer=WriterOptions(targets=("/var/log/audit", "-", "otlp")))
METRICS: Final = MetricsOptions(listen="127.0.0.1:9464")


def _settings(**told: Any) -> Settings:  # noqa: ANN401 - as Settings takes it
    return Settings(policy=Path("policy.yaml"), environment="prod", listen="127.0.0.1:0", **told)


def _served(client_ca: Path | None) -> Settings:
    # Settings look whether their files may be read, and nothing more.
    file = Path(__file__)
    return _settings(transport=TransportOptions(tls=Tls(file, file, client_ca)))


LINES: Final[dict[str, tuple[Settings, Mapping[str, str], str]]] = {
    "nobody watches": (_settings(), {}, "TLS off; audit off; traces off; metrics off"),
    "callers need no certificate": (
        _served(None),
        {},
        "TLS on, callers need no certificate; audit off; traces off; metrics off",
    ),
    "callers need a certificate": (
        _served(Path(__file__)),
        {},
        "TLS on, callers need a certificate; audit off; traces off; metrics off",
    ),
    "who is told nothing of a collector takes the usual one": (
        _settings(audit=AUDIT),
        {},
        (
            "TLS off; audit to `/var/log/audit`, standard output, http://localhost:4317 (grpc), unsigned; "
            "traces off; metrics off"
        ),
    ),
    "a collector takes what it is sent": (
        _settings(metrics=METRICS),
        {**ENDPOINT, "OTEL_TRACES_SAMPLER": "traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0.010"},
        (
            "TLS off; audit off; traces to https://collector:443 (grpc), sampler traceidratio 0.01; "
            "metrics at 127.0.0.1:9464, to https://collector:443 (grpc)"
        ),
    ),
    "traces alone": (
        _settings(),
        {"OTEL_TRACES_EXPORTER": "otlp"},
        "TLS off; audit off; traces to http://localhost:4317 (grpc), sampler parentbased_always_on; metrics off",
    ),
}


@pytest.mark.parametrize("sentence", LINES)
def test_one_line_says_how_it_serves_and_who_watches(sentence: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    settings, environ, line = LINES[sentence]
    announce_watchers(settings, environ)
    assert caplog.messages == [line]


def test_a_trail_that_is_signed_names_its_key(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    key = tmp_path / "key"
    private = Ed25519PrivateKey.from_private_bytes(bytes(32))
    key.write_bytes(private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    announce_watchers(_settings(audit=AuditOptions(writer=WriterOptions(targets=("-",), key=key))), {})
    assert caplog.messages == [
        "TLS off; audit to standard output, signed with key 139e3940e64b5491; traces off; metrics off"
    ]


def test_a_variable_that_nothing_heeds_is_told_before(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    announce_watchers(_settings(), {"OTEL_EXPORTER_OTLP_ENPOINT": "http://x:1"})
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]
    assert caplog.messages[0].startswith("OTEL_EXPORTER_OTLP_ENPOINT: there is no such variable")


def test_what_cannot_be_ends_the_start() -> None:
    with pytest.raises(SettingsError, match=r"^OTEL_TRACES_SAMPLER: "):
        announce_watchers(_settings(), {**ENDPOINT, "OTEL_TRACES_SAMPLER": "sometimes"})


def test_what_a_policy_loaded_with_is_said_as_loud_as_check_says_it(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    place = Place("policy.yaml", 3, 1)
    warned = Finding(place, "CX010", "warned", Severity.WARNING)
    noted = Finding(place, "CX011", "noted", Severity.INFO)
    policy = Generation(Report("shop", "r1", "prod", (warned, noted)), ())

    announce(policy, ["127.0.0.1:9191"])

    assert [(record.levelname, record.message) for record in caplog.records] == [
        ("WARNING", "policy.yaml:3:1: CX010 warned"),
        ("INFO", "policy.yaml:3:1: CX011 noted"),
        ("INFO", "policy shop, revision r1, decides on 127.0.0.1:9191 as prod"),
    ]
