"""`schema`: valid JSON Schema that takes the reference policies and refuses what loading refuses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner
from jsonschema import Draft202012Validator

from cors_authz.cli.main import cli

REFERENCE = Path(__file__).parents[2] / "policies" / "reference"


def printed() -> dict[str, Any]:
    result = CliRunner().invoke(cli, ["schema"])
    assert result.exit_code == 0
    schema: dict[str, Any] = json.loads(result.stdout)
    return schema


def test_it_is_valid_and_says_which_it_is() -> None:
    schema = printed()
    Draft202012Validator.check_schema(schema)
    assert (schema["$schema"], schema["$id"]) == (
        "https://json-schema.org/draft/2020-12/schema",
        "urn:cors-authz:policy:v1",
    )


@pytest.mark.parametrize("file", sorted(REFERENCE.rglob("*.yaml")), ids=lambda file: f"{file.parent.name}/{file.name}")
def test_it_takes_the_reference_policies(file: Path) -> None:
    validator = Draft202012Validator(printed())
    for document in yaml.load_all(file.read_text(), Loader=_Texts):
        assert [error.message for error in validator.iter_errors(document)] == []
        assert not validator.is_valid({**document, "unknown": 1})
        assert not validator.is_valid({**document, "kind": "Unknown"})


class _Texts(yaml.SafeLoader):
    """Reads dates as text, as YAML 1.2 does."""


_Texts.yaml_implicit_resolvers = {
    first: [(tag, expression) for tag, expression in known if not tag.endswith(":timestamp")]
    for first, known in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
