"""What the verbs share: how a policy and an environment are named, read and refused."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final, NoReturn, TypeVar

import click

from cors_authz.edge.clock import now
from cors_authz.edge.collector import collector_at_rest
from cors_authz.edge.policy_files import PolicyFilesError, read_sources
from cors_authz.policy.finding import PolicyError, UnknownEnvironmentError

if TYPE_CHECKING:
    # `serve` compiles in a child process, and is to stay without all that reading a policy takes.
    from cors_authz.policy.document import Source
    from cors_authz.policy.load import Loaded

INVALID_POLICY: Final = 3

F = TypeVar("F", bound=Callable[..., object])

policy_option: Callable[[F], F] = click.option(
    "--policy",
    "policy_path",
    required=True,
    type=click.Path(path_type=Path),
    envvar="CORS_AUTHZ_POLICY",
    show_envvar=True,
    help="The policy: a file, or a directory that is read recursively.",
)
environment_option: Callable[[F], F] = click.option(
    "--environment",
    default="prod",
    show_default=True,
    envvar="CORS_AUTHZ_ENVIRONMENT",
    show_envvar=True,
    help="The environment to run as.",
)


def sources_at(path: Path) -> tuple[Source, ...]:
    """Read the files of a policy; what cannot be read is a usage error (exit 2)."""
    try:
        return read_sources(path)
    except PolicyFilesError as error:
        raise click.UsageError(str(error)) from error


def loaded_from(path: Path, environment: str) -> Loaded:
    """Load a policy, or end with every error of it on standard error (exit 3)."""
    from cors_authz.policy.load import load_policy

    try:
        with collector_at_rest():
            return load_policy(sources_at(path), environment, now())
    except UnknownEnvironmentError as error:
        raise click.UsageError(str(error)) from error
    except PolicyError as error:
        refuse(error)


def refuse(error: PolicyError) -> NoReturn:
    """End because a policy is invalid."""
    for finding in error.findings:
        click.echo(str(finding), err=True)
    sys.exit(INVALID_POLICY)
