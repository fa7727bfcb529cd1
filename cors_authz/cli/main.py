"""The verbs of `cors-authz`. A verb is imported when it is asked for, so that each pays for its own libraries alone."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import Final

import click

from cors_authz import __version__

_VERBS: Final = {
    "access-log": "compare what clients got with what was decided",
    "audit": "the files of the audit trail, verified and read",
    "check": "parse and lint a policy",
    "demo": "a tour through a real Envoy on this machine",
    "doctor": "what is wrong in how an Envoy asks the service",
    "explain": "the answer to one request, and every step that leads to it",
    "export": "configuration for those who stand around the service",
    "fmt": "write a policy in the one way",
    "health": "whether a service that runs is serving",
    "inspect": "what follows from a policy before any request is made",
    "observe": "decisions and traces live on this terminal",
    "origins": "who asks: how often, who never does, and who is not listed",
    "schema": "the JSON Schema of a policy, for editors",
    "serve": "answer Envoy's checks",
}


class _Verbs(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        """Name the verbs."""
        del ctx
        return list(_VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a verb's module and give its command."""
        del ctx
        if cmd_name not in _VERBS:
            return None
        name = cmd_name.replace("-", "_")
        command = getattr(import_module(f"cors_authz.cli.{name}"), name)
        assert isinstance(command, click.Command)  # noqa: S101 - for the type checker: every verb is one
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the verbs without importing them."""
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl(list(_VERBS.items()))


def _version() -> str:
    """Give the version, and whether what each check runs through is compiled."""
    spec = find_spec("cors_authz.pdp.decide")
    is_native = spec is not None and spec.origin is not None and not spec.origin.endswith(".py")
    return f"{__version__} (native)" if is_native else __version__


@click.command(cls=_Verbs, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(_version(), message="%(version)s")
def cli() -> None:
    """One policy for who may call what from a browser, answered to Envoy's external-authorization filter.

    Exit codes: 0 ok, 1 internal, 2 usage, 3 invalid policy, 6 drift, findings, or a broken audit trail.
    """
