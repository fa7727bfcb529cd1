"""`cors-authz inspect`: the static facts of a policy."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import click

from cors_authz.cli.policy_option import environment_option, loaded_from
from cors_authz.policy.canonical import canonical
from cors_authz.policy.inspect import GroupFacts, RuleFacts, facts_of


@click.command()
@click.argument("path", type=click.Path(path_type=Path))
@environment_option
@click.option("--json", "as_json", is_flag=True, help="One JSON object, for machines.")
def inspect(path: Path, environment: str, *, as_json: bool) -> None:
    """Print what follows from the policy at PATH before any request is made.

    Per resource group: its routes, the `Vary` of its answers, whose identity it needs, what a preflight cannot show,
    what each rule grants and takes off, and whether Envoy's own filter could answer for it. With --json also the
    `documents` of the policy in canonical form, of which the revision is the digest.
    """
    loaded = loaded_from(path, environment)
    groups = facts_of(loaded.policy, loaded.subject)
    policy = loaded.policy
    if as_json:
        said = {"name": policy.name, "revision": policy.revision, "environment": policy.environment}
        documents = canonical(loaded.subject.estate.documents)
        facts = [asdict(group) for group in groups]
        click.echo(json.dumps({**said, "groups": facts, "documents": documents}, indent=2))
        return
    click.echo(f"{policy.name}, revision {policy.revision}, as {policy.environment}")
    for group in groups:
        click.echo("\n" + "\n".join(_lines(group)))


def _lines(group: GroupFacts) -> Iterator[str]:
    yield f"{group.name} ({group.sensitivity}{', owner ' + group.owner if group.owner else ''})  {group.place}"
    yield f"  routes              {_list(group.routes)}"
    yield f"  Vary                {_list(group.vary)}"
    yield f"  Vary of preflights  {_list(group.preflight_vary)}"
    yield f"  identity            {_list(group.identity)}"
    yield f"  not in a preflight  {_list(group.unknown_in_preflight)}"
    yield f"  push down to Envoy  {'no: ' + group.push_down if group.push_down else 'yes'}"
    for rule in group.rules:
        yield from _rule_lines(rule)
    if not group.rules:
        yield "  no script of another origin"


def _rule_lines(rule: RuleFacts) -> Iterator[str]:
    yield f"  {rule.name}  {rule.place}"
    yield f"    origins           {_list(rule.origins)}"
    yield f"    methods           {_list(rule.methods)}"
    yield f"    request headers   {_list(rule.headers)}"
    yield f"    exposed headers   {_list(rule.exposed)}"
    yield f"    credentials       {_list(rule.credentials)}; taken off: {_list(rule.withheld)}"
    yield f"    preflight kept    {rule.max_age_seconds} s"


def _list(items: tuple[str, ...]) -> str:
    return ", ".join(items) if items else "none"
