"""The options of `serve` that say who watches its checks: the audit trail, and whoever reads metrics."""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from pathlib import Path
from typing import Any, Final, TypeVar

import click

from cors_authz.edge.audit.options import AuditOptions, WhenFull, WriterOptions
from cors_authz.edge.metrics.endpoint import MetricsOptions
from cors_authz.edge.settings_error import SettingsError

_OFF: Final = "off"
_DEFAULTS: Final = WriterOptions(targets=("-",))

F = TypeVar("F", bound=Callable[..., object])

_OPTIONS: Final = (
    click.option(
        "--audit",
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
        is_flag=True,
        envvar="CORS_AUTHZ_AUDIT_REQUIRED",
        show_envvar=True,
        help="Refuse every check (503) while the audit trail cannot be written.",
    ),
    click.option(
        "--audit-when-full",
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
    return reduce(lambda decorated, option: option(decorated), reversed(_OPTIONS), command)


def watched(how: dict[str, Any]) -> tuple[AuditOptions | None, MetricsOptions | None]:
    """Take the options out of what click gave, which has `workers` too.

    Raises: SettingsError.
    """
    targets = tuple(target for target in how.pop("audit") if target != _OFF)
    kept = {name: how.pop(f"audit_{name}") for name in ("required", "keep", "key", "rotate_bytes")}
    lines = {"queue_lines": how.pop("audit_queue"), "head_lines": how.pop("audit_head_records")}
    when_full = WhenFull(how.pop("audit_when_full"))
    told = {name: how.pop(f"audit_{name}") for name in ("sample_allow", "reveal")}
    listen = how.pop("metrics_listen")
    metrics = MetricsOptions(listen=listen, workers=how["workers"]) if listen != _OFF else None
    if not targets and kept["required"]:
        raise SettingsError("audit-required: nothing is recorded; name where by --audit")
    if not targets:
        return None, metrics
    writer = WriterOptions(targets=targets, when_full=when_full, **kept, **lines)
    return AuditOptions(writer=writer, **told), metrics
