"""The sources of `doctor`: a running Envoy, files of its configuration, Kubernetes objects, and audit files."""

from __future__ import annotations

import re
import sys
from codecs import BOM_UTF8
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import click
import orjson

from cors_authz.cli.audit_lines import TornFileError, lines_of
from cors_authz.cli.usage_input import Mends, fetched
from cors_authz.doctor.hosts import Asking
from cors_authz.doctor.lined import MAX_BYTES, UnreadableError, documents
from cors_authz.doctor.manifests import judges, things_in
from cors_authz.doctor.parsing import NotEnvoyError, setup_of_bootstrap, setup_of_dump
from cors_authz.doctor.setup import Setup
from cors_authz.doctor.things import Thing
from cors_authz.policy.finding import shown

DUMP_OF_A_RUNNING: Final = "config_dump"
"""How the source is called that no file holds."""

MAX_DUMP_BYTES: Final = 256 << 20
"""That of a mesh with 100,000 routes; 100 MB take 5 s and 0.6 GB to judge."""

MAX_HOSTS: Final = 10_000
"""Clients invent them; of more, the first are counted."""

_SCHEMES: Final = ("http://", "https://")
_PAGE: Final = "/config_dump?include_eds"
_PAGE_OF_ADMIN: Final = re.compile(r"(?:/config_dump(?:\?.*)?)?/*$")
_STDIN: Final = Path("-")
_MENDS: Final = Mends(
    "name a file with --config-dump", "which is more than is read", "name the address of an Envoy's admin interface"
)
_NO_HOST: Final = ""


def setup_at(url: str) -> Setup:
    """Ask a running Envoy for its configuration.

    Raises: click.UsageError where there is no Envoy's admin interface.
    """
    if not url.startswith(_SCHEMES):
        raise click.UsageError(f"`{url}` is no URL; write http://{url}")
    address = _PAGE_OF_ADMIN.sub("", url) + _PAGE
    return _of_dump(DUMP_OF_A_RUNNING, fetched(address, _MENDS, MAX_DUMP_BYTES), f"`{address}`")


def setup_in_dump(path: Path) -> Setup:
    """Read a dump that was saved.

    Raises: click.UsageError.
    """
    return _of_dump(str(path), _data_of(path, MAX_DUMP_BYTES), f"`{path}`")


def _of_dump(source: str, data: bytes, named: str) -> Setup:
    try:
        # As Windows saves it.
        return setup_of_dump(source, orjson.loads(data.removeprefix(BOM_UTF8)))
    except orjson.JSONDecodeError as error:
        raise click.UsageError(f"{named} is no config_dump of an Envoy: it is not JSON ({error})") from error
    except NotEnvoyError as error:
        raise click.UsageError(str(error)) from error


def setup_in_bootstrap(path: Path) -> Setup:
    """Read a bootstrap, YAML or JSON.

    Raises: click.UsageError.
    """
    try:
        read = documents(str(path), _data_of(path, MAX_BYTES))
        return setup_of_bootstrap(str(path), read[0] if read else None)
    except (UnreadableError, NotEnvoyError) as error:
        raise click.UsageError(str(error)) from error


def things_at(paths: Iterable[Path]) -> tuple[Thing, ...]:
    """Read rendered Kubernetes objects.

    Raises: click.UsageError, also where no object makes an Envoy ask a service.
    """
    things = tuple(thing for path in paths for thing in things_in(str(path), _documents(path)))
    if not judges(things):
        said = "no AuthorizationPolicy with `action: CUSTOM`, no SecurityPolicy with `extAuth`, no mesh configuration"
        raise click.UsageError(f"there is nothing to judge in these manifests: {said}")
    return things


def _documents(path: Path) -> tuple[Any, ...]:
    try:
        return documents(str(path), _data_of(path, MAX_BYTES))
    except UnreadableError as error:
        raise click.UsageError(str(error)) from error


def _data_of(path: Path, most: int) -> bytes:
    try:
        if path == _STDIN:
            data = sys.stdin.buffer.read(most + 1)
        else:
            with path.open("rb") as stream:
                data = stream.read(most + 1)
    except OSError as error:
        raise click.UsageError(f"`{path}` cannot be read: {error.strerror}") from error
    if len(data) > most:
        raise click.UsageError(f"`{path}` has more than {most >> 20} MiB")
    return data


def asked_in(names: Sequence[str]) -> Iterator[Asking]:
    """Count the hosts that the decisions of audit files are about, those that are asked for most first."""
    for name in names:
        counts: Counter[str] = Counter()
        for host in _hosts(name):
            if host in counts or len(counts) < MAX_HOSTS:
                counts[host] += 1
        yield from (Asking(shown(host), times, name) for host, times in counts.most_common())


def _hosts(name: str) -> Iterator[str]:
    try:
        for line in lines_of(name):
            if host := _host_of(line):
                yield host
    except TornFileError:
        click.echo(f"the end of `{name}` is missing; what there is was read", err=True)


def _host_of(line: bytes) -> str:
    try:
        record = orjson.loads(line)
    except orjson.JSONDecodeError:
        return _NO_HOST
    if not isinstance(record, dict) or record.get("kind") != "decision":
        return _NO_HOST
    host = record.get("host")
    return host if isinstance(host, str) else _NO_HOST
