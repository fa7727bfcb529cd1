"""`cors-authz schema`: what editors complete a policy with."""

from __future__ import annotations

import json

import click

from cors_authz.policy.json_schema import json_schema


@click.command()
def schema() -> None:
    """Print the JSON Schema of a policy document.

    Editors complete with it: `# yaml-language-server: $schema=policy.schema.json` as a policy's first line.
    """
    click.echo(json.dumps(json_schema(), indent=2))
