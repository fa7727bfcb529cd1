"""`cors-authz doctor`: what is wrong in how an Envoy asks the service."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, Final, NamedTuple

import click

from cors_authz.cli.doctor_forms import FORMS
from cors_authz.cli.doctor_input import asked_in, setup_at, setup_in_bootstrap, setup_in_dump, things_at
from cors_authz.cli.finding_forms import summary
from cors_authz.cli.policy_option import environment_option, loaded_from
from cors_authz.doctor import hosts, manifests, scope
from cors_authz.doctor.diagnose import diagnose, in_order
from cors_authz.doctor.finding import Finding, Where
from cors_authz.doctor.hosts import Governed, RoutedHost
from cors_authz.doctor.reads import Reads, reads_of
from cors_authz.doctor.setup import Setup
from cors_authz.policy.finding import Severity
from cors_authz.policy.load import Loaded

FOUND: Final = 6

_SOURCES: Final = ("envoy", "config_dump", "bootstrap", "manifests")
_READERS: Final[Mapping[str, Callable[[Any], Setup]]] = {
    "envoy": setup_at,
    "config_dump": setup_in_dump,
    "bootstrap": setup_in_bootstrap,
}
_MAX_ASKED: Final = 20
"""Scanners ask for any host; those that are asked for most come first."""

_file = click.Path(path_type=Path, allow_dash=True)


@click.command()
@click.option("--envoy", metavar="URL", help="A running Envoy's admin interface, such as http://127.0.0.1:9901.")
@click.option("--config-dump", type=_file, help="Its /config_dump?include_eds, saved as JSON.")
@click.option("--bootstrap", type=_file, help="A configuration file with static listeners, YAML or JSON.")
@click.option("--manifests", type=_file, multiple=True, help="Rendered Kubernetes objects; several times for several.")
@click.option("--policy", "policy_path", type=click.Path(path_type=Path), help="Hold its hosts and needs against it.")
@environment_option
@click.option("--audit", multiple=True, metavar="FILE", help="With --policy: an audit file; who asks for which host.")
@click.option("--format", "form", type=click.Choice(list(FORMS)), default="text", show_default=True)
def doctor(policy_path: Path | None, environment: str, audit: tuple[str, ...], form: str, **sources: Any) -> None:  # noqa: ANN401 - click checked each of them
    """Say what is wrong in how an Envoy asks the service, why, and which lines to change.

    Name one of --envoy, --config-dump, --bootstrap and --manifests; `-` is standard input. What a control plane makes
    of Kubernetes objects is seen in the Envoy alone. Exit 0 if there is no error and no warning, 6 if there is.
    """
    given = [name for name in _SOURCES if sources[name]]
    if len(given) != 1:
        raise click.UsageError("name one source: --envoy, --config-dump, --bootstrap or --manifests")
    if audit and policy_path is None:
        raise click.UsageError("--audit needs --policy: hosts are held against those that it lists")
    loaded = loaded_from(policy_path, environment) if policy_path else None
    seen = _seen(given[0], sources, reads_of(loaded.policy) if loaded else Reads())
    governed = Governed(loaded.policy, _patterns(loaded, policy_path)) if loaded and policy_path else None
    found = in_order((*seen.findings, *(_of_hosts(seen.hosts, governed, audit) if governed else ())))
    click.echo(FORMS[form](found), nl=False)
    if form == "text":
        click.echo(f"{seen.judged}: {summary(each.rule.severity for each in found)}", err=True)
    if any(finding.rule.severity is not Severity.INFO for finding in found):
        sys.exit(FOUND)


class _Seen(NamedTuple):
    findings: Sequence[Finding]
    hosts: Sequence[RoutedHost]
    judged: str


def _seen(kind: str, sources: Mapping[str, Any], reads: Reads) -> _Seen:
    if kind == "manifests":
        things = things_at(sources[kind])
        return _Seen(
            tuple(manifests.findings(things, reads)), tuple(manifests.routed(things)), f"{len(things)} objects"
        )
    setup = _READERS[kind](sources[kind])
    managers = scope.judged(setup)
    if not managers and not setup.refused:
        raise click.UsageError(f"`{setup.source}` has no listener that clients reach: nothing could be judged")
    asking = sum(bool(manager.checks) for manager in managers)
    judged = f"{asking} of {len(managers)} connection managers ask a service"
    return _Seen(diagnose(setup, reads), tuple(hosts.routed(setup)), judged)


def _of_hosts(routed: Iterable[RoutedHost], governed: Governed, audit: Sequence[str]) -> Iterator[Finding]:
    yield from hosts.findings(routed, governed)
    yield from islice(hosts.asked_findings(asked_in(audit), governed), _MAX_ASKED)


def _patterns(loaded: Loaded, path: Path) -> Iterator[tuple[str, Where]]:
    """Give the hosts of a policy, and where they stand, seen from where the command runs."""
    base = path if path.is_dir() else path.parent
    for route in loaded.subject.routes:
        file = (base / route.place.file).as_posix()
        yield route.host.text, Where(file, route.place.line, f"resource group {route.group.name}")
