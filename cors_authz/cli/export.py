"""`cors-authz export`: configuration for those who stand around the service."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any, Final

import click

from cors_authz.cli.envoy_address import BoundAddress, ReachedAddress, clash, is_name, leads_to
from cors_authz.envoy.address import Address, is_ip
from cors_authz.envoy.bootstrap import Config, Options, ServiceTls, bootstrap
from cors_authz.envoy.parts import PLACES, Part, part_of
from cors_authz.policy.finding import shown

_ADMIN: Final = "127.0.0.1:9901"
_WHOLE: Final = "all"
_HEAD: Final = "An Envoy that asks cors-authz about every request. What the comments say was measured on Envoy 1.40."


class _File(click.ParamType[str]):
    """A file of Envoy's, which is not looked at here."""

    name = "file"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:  # noqa: ANN401 - click's signature
        """Refuse what neither YAML nor JSON can say: Python keeps bytes that are not UTF-8 as lone surrogates."""
        path = str(value)
        try:
            path.encode()
        except UnicodeEncodeError:
            self.fail(
                f"`{shown(path)}` has bytes that are not UTF-8, and no configuration of Envoy can say them", param, ctx
            )
        return path


_bound: Final = BoundAddress()
_reached: Final = ReachedAddress()
_pem: Final = _File()


@click.group()
def export() -> None:
    """Print configuration for those who stand around the service."""


@export.command()
@click.option(
    "--part",
    type=click.Choice([_WHOLE, *(part.value for part in Part)]),
    default=_WHOLE,
    show_default=True,
    help="A whole Envoy, or what to paste into one that you have; that one needs all four parts.",
)
@click.option("--upstream", type=_reached, help="What is protected; a whole Envoy needs it.")
@click.option(
    "--authz",
    type=_reached,
    multiple=True,
    default=["127.0.0.1:9191"],
    show_default=True,
    help="An endpoint of `cors-authz serve`; once for each worker. A name stands for all of its addresses.",
)
@click.option("--authz-ca", type=_pem, help="Speak TLS to the service: who signed its certificate (PEM).")
@click.option("--authz-name", metavar="NAME", help="What the service's certificate names; by default --authz's host.")
@click.option("--authz-cert", type=_pem, help="The certificate chain that Envoy shows to the service (PEM).")
@click.option("--authz-key", type=_pem, help="Its private key (PEM).")
@click.option(
    "--timeout-ms",
    type=click.IntRange(50, 60_000),
    default=Options().timeout_ms,
    show_default=True,
    help="How long a check may take, all of its tries; each gets a fifth of it.",
)
@click.option(
    "--shadow",
    is_flag=True,
    help="The policy decides in shadow: the upstream's own CORS headers stay on. Without it they are taken off.",
)
@click.option("--access-log", type=_reached, help="Where `cors-authz access-log` listens; without it, nothing is sent.")
@click.option("--access-log-ca", type=_pem, help="Speak TLS to it: who signed its certificate (PEM).")
@click.option("--access-log-name", metavar="NAME", help="What its certificate names; by default --access-log's host.")
@click.option("--access-log-cert", type=_pem, help="The certificate chain that Envoy shows to it (PEM).")
@click.option("--access-log-key", type=_pem, help="Its private key (PEM).")
@click.option("--listen", type=_bound, default="0.0.0.0:10000", show_default=True, help="Where clients connect.")
@click.option(
    "--admin",
    type=_bound,
    default=_ADMIN,
    show_default=True,
    help="Envoy's admin interface; whoever reaches it controls Envoy.",
)
@click.option(
    "--format",
    "form",
    type=click.Choice(["yaml", "json"]),
    default="yaml",
    show_default=True,
    help="YAML has comments that say what fails without a setting.",
)
def envoy(form: str, part: str, **given: Any) -> None:  # noqa: ANN401 - click checked each of them
    """Print the configuration of an Envoy that asks the service and, with --access-log, tells what clients got.

    Paths of files are Envoy's: they are not looked at here.
    """
    config = _whole(given) if part == _WHOLE else part_of(Part(part), _endpoints(given), _options(given))
    text = json.dumps(config, indent=2) + "\n" if form == "json" else _yaml(config, part, shadow=given["shadow"])
    click.echo(text, nl=False)


def _whole(given: dict[str, Any]) -> Config:
    if given["upstream"] is None:
        raise click.UsageError("a whole Envoy needs --upstream; --part prints what needs none")
    if clash(given["listen"], given["admin"]):
        raise click.UsageError(f"--listen `{given['listen']}` and --admin `{given['admin']}` are one; choose two")
    for flag, reached in _reached_by(given):
        for own in ("listen", "admin"):
            if leads_to(reached, given[own]):
                raise click.UsageError(
                    f"{flag} `{reached}` leads to --{own} `{given[own]}` of Envoy itself; choose another"
                )
    return bootstrap(given["listen"], _endpoints(given), given["upstream"], given["admin"], _options(given))


def _reached_by(given: dict[str, Any]) -> Iterator[tuple[str, Address]]:
    yield "--upstream", given["upstream"]
    yield from (("--authz", each) for each in given["authz"])
    if given["access_log"] is not None:
        yield "--access-log", given["access_log"]


def _endpoints(given: dict[str, Any]) -> Sequence[Address]:
    authz: Sequence[Address] = given["authz"]
    sockets = [address for address in authz if address.path]
    names = [address for address in authz if not address.path and not is_ip(address.host)]
    if sockets and names:
        raise click.UsageError(
            f"--authz: Envoy keeps no cluster of a name (`{names[0]}`) and a Unix socket (`{sockets[0]}`); choose one"
        )
    return authz


def _options(given: dict[str, Any]) -> Options:
    access_log = given["access_log"]
    return Options(
        timeout_ms=given["timeout_ms"],
        authz_tls=_tls(given, "authz", given["authz"]),
        shadow=given["shadow"],
        access_logs=access_log,
        access_logs_tls=_tls(given, "access-log", [access_log] if access_log else []),
    )


def _tls(given: dict[str, Any], flag: str, endpoints: Sequence[Address]) -> ServiceTls | None:
    """Read the flags that begin with a flag's name: how TLS is spoken to its endpoints."""
    ca, name, cert, key = (given[f"{flag.replace('-', '_')}_{part}"] for part in ("ca", "name", "cert", "key"))
    if ca is None and name is cert is key is None:
        return None
    if not ca:
        # Also where a shell's variable is empty: that must not turn TLS off.
        raise click.UsageError(f"--{flag}-name, --{flag}-cert and --{flag}-key need --{flag}-ca, and it names a file")
    if bool(cert) != bool(key) or "" in (cert, key):
        raise click.UsageError(f"--{flag}-cert and --{flag}-key go together, and each names a file")
    if not endpoints:
        raise click.UsageError(f"--{flag}-ca needs --{flag}, which says where")
    return ServiceTls(ca, _certified_name(name, flag, endpoints), cert or "", key or "")


def _certified_name(name: str | None, flag: str, endpoints: Sequence[Address]) -> str:
    """Take what the certificate names from the endpoints, where they say it."""
    if name is not None and not is_ip(name) and not is_name(name):
        raise click.UsageError(f"--{flag}-name: `{name}` is neither a host name nor an IP address")
    names = {address.host for address in endpoints} if name is None else {name}
    if len(names) > 1 or "" in names:
        raise click.UsageError(f"--{flag} does not say what the certificate names; say it by --{flag}-name")
    # The dot that ends a name in the DNS is in no certificate: https://datatracker.ietf.org/doc/html/rfc6066#section-3.
    return names.pop().removesuffix(".")


def _yaml(config: Config, part: str, *, shadow: bool) -> str:
    from cors_authz.envoy.annotate import annotated
    from cors_authz.envoy.notes import NOTES, SHADOW_NOTES

    head = _HEAD if part == _WHOLE else PLACES[Part(part)]
    return f"# {head}\n{annotated(config, SHADOW_NOTES if shadow else NOTES)}"
