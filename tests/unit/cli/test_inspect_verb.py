"""`inspect`: facts for people and for machines."""

from __future__ import annotations

import json
from pathlib import Path

from click.testing import CliRunner, Result

from cors_authz.cli.main import cli
from cors_authz.policy.canonical import canonical
from cors_authz.policy.document import Source, read_documents

REFERENCE = Path(__file__).parents[2] / "policies" / "reference"
FIRST = REFERENCE / "01-spa-and-api.yaml"


def inspect(*arguments: object) -> Result:
    return CliRunner().invoke(cli, ["inspect", *map(str, arguments)])


def test_people_read_a_block_per_group() -> None:
    result = inspect(FIRST, "--environment", "staging")
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert lines[0].startswith("myapp, revision ")
    assert "    origins           https://myapp.com, https://staging.myapp.com" in lines
    assert "    credentials       cookie; taken off: bearer, mtls" in lines


def test_machines_read_one_object_with_the_canonical_documents() -> None:
    said = json.loads(inspect(FIRST, "--json").stdout)
    documents, _ = read_documents([Source(FIRST.name, FIRST.read_bytes())])
    assert (said["name"], said["environment"], said["documents"]) == ("myapp", "prod", canonical(documents))
    assert [group["name"] for group in said["groups"]] == ["api"]


def test_how_it_ends(tmp_path: Path) -> None:
    assert inspect(tmp_path / "gone.yaml").exit_code == 2
    unknown = inspect(FIRST, "--environment", "moon")
    assert (unknown.exit_code, "it declares prod, staging, dev" in unknown.stderr) == (2, True)
    bad = tmp_path / "p.yaml"
    bad.write_text(FIRST.read_text().replace("https://myapp.com", "null"))
    refused = inspect(bad)
    assert (refused.exit_code, refused.stdout) == (3, "")
    assert refused.stderr.startswith("p.yaml:7:27: CX002 `null`")
