"""The options of `serve` that say who watches its checks: the audit trail, and whoever reads metrics."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeVar

import click

from cors_authz.cli.protection import Protection
from cors_authz.cli.service_options import with_options
from cors_authz.edge.audit.options import AuditOptions, WhenFull, WriterOptions
from cors_authz.edge.metrics.options import MetricsOptions
from cors_authz.edge.settings_error import SettingsError

_OFF: Final = "off"
_DEFAULTS: Final = WriterOptions(targets=("-",))
_UNSAID: Final[dict[str, object]] = {
    "required": _DEFAULTS.required,
    "when_full": _DEFAULTS.when_full.value,
    "sample_allow": 1.0,
    "reveal": (),
    "key": None,
    "head_records": _DEFAULTS.head_lines,
    "rotate_bytes": _DEFAULTS.rotate_bytes,
    "keep": _DEFAULTS.keep,
    "queue": _DEFAULTS.queue_lines,
}
"""The options that say how to record, as they are where nobody gives them."""

F = TypeVar("F", bound=Callable[..., object])

_OPTIONS: Final = (
    click.option(
        "--audit",
        cls=Protection,
        multiple=True,
        metavar="PATH|-|otlp|off",
        default=[_OFF],
        show_default=True,
        envvar="CORS_AUTHZ_AUDIT",
        show_envvar=True,
        help="Where each decision is written as a line of JSON: a file, - for standard output, otlp for a collector of"
        " logs. Several may be given.",
    ),
    click.option(
        "--audit-required",
        cls=Protection,
        is_flag=True,
        envvar="CORS_AUTHZ_AUDIT_REQUIRED",
        show_envvar=True,
        help="Refuse every check (503) while the audit trail cannot be written.",
    ),
    click.option(
        "--audit-when-full",
        cls=Protection,
        type=click.Choice([choice.value for choice in WhenFull]),
        default=_DEFAULTS.when_full.value,
        show_default=True,
        envvar="CORS_AUTHZ_AUDIT_WHEN_FULL",
        show_envvar=True,
        help="What becomes of a record that finds no room: allows are dropped first, or the check waits up to 0.2 s.",
    ),
    click.option(
        "--audit-sample-allow",
        type=float,
        default=1.0,
        show_default=True,
        envvar="CORS_AUTHZ_AUDIT_SAMPLE_ALLOW",
        show_envvar=True,
        help="The share of allowed requests that is recorded, 0 to 1; refusals and errors always are.",
    ),
    click.option(
        "--audit-reveal",
        multiple=True,
        metavar="header:NAME|claim:NAME",
        envvar="CORS_AUTHZ_AUDIT_REVEAL",
        show_envvar=True,
        help="A header or a claim that is recorded with its value, beside the built-in ones. Several may be given.",
    ),
    click.option(
        "--audit-key",
        cls=Protection,
        type=click.Path(path_type=Path),
        envvar="CORS_AUTHZ_AUDIT_KEY",
        show_envvar=True,
        help="The private key (Ed25519, PEM) that signs the chain of records.",
    ),
    click.option(
        "--audit-head-records",
        type=int,
        default=_DEFAULTS.head_lines,
        show_default=True,
        envvar="CORS_AUTHZ_AUDIT_HEAD_RECORDS",
        show_envvar=True,
        help="After so many records the chain is anchored by a head.",
    ),
    click.option(
        "--audit-rotate-bytes",
        type=int,
        default=_DEFAULTS.rotate_bytes,
        show_default=True,
        envvar="CORS_AUTHZ_AUDIT_ROTATE_BYTES",
        show_envvar=True,
        help="The size from which an audit file is put aside for a new one; 0 leaves that to others.",
    ),
    click.option(
        "--audit-keep",
        type=int,
        default=_DEFAULTS.keep,
        show_default=True,
        envvar="CORS_AUTHZ_AUDIT_KEEP",
        show_envvar=True,
        help="How many files that were put aside are kept.",
    ),
    click.option(
        "--audit-queue",
        type=int,
        default=_DEFAULTS.queue_lines,
        show_default=True,
        envvar="CORS_AUTHZ_AUDIT_QUEUE",
        show_envvar=True,
        help="How many records may wait to be written.",
    ),
    click.option(
        "--metrics-listen",
        default=_OFF,
        show_default=True,
        metavar="HOST:PORT|off",
        envvar="CORS_AUTHZ_METRICS_LISTEN",
        show_envvar=True,
        help="Where /metrics, /origins and /healthz are read. Several workers take the ports from it on.",
    ),
)


def watch_options(command: F) -> F:
    """Add the options to a command, in their order; `watched` reads them."""
    return with_options(_OPTIONS, command)


def watched(how: dict[str, Any]) -> tuple[AuditOptions | None, MetricsOptions | None]:
    """Take the options out of what click gave, which has `workers` too.

    Raises: SettingsError.
    """
    listen = how.pop("metrics_listen")
    metrics = MetricsOptions(listen=listen, workers=how["workers"]) if listen != _OFF else None
    return _recorded(how), metrics


def _recorded(how: dict[str, Any]) -> AuditOptions | None:
    targets = how.pop("audit")
    given = {name: how.pop(f"audit_{name}") for name in _UNSAID}
    if _OFF in targets:
        _refuse_for_nothing(targets, given)
        return None
    writer = WriterOptions(
        targets=targets,
        when_full=WhenFull(given["when_full"]),
        queue_lines=given["queue"],
        head_lines=given["head_records"],
        **{name: given[name] for name in ("required", "keep", "key", "rotate_bytes")},
    )
    return AuditOptions(writer=writer, sample_allow=given["sample_allow"], reveal=given["reveal"])


def _refuse_for_nothing(targets: tuple[str, ...], given: dict[str, Any]) -> None:
    if len(targets) > 1:
        raise SettingsError("audit: off stands alone; leave it out, or all others")
    for name, value in given.items():
        if value != _UNSAID[name]:
            raise SettingsError(f"audit-{name.replace('_', '-')}: nothing is recorded; name where by --audit")
