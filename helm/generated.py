"""What of the chart is written from elsewhere: the table of values, what its schema demands, monitoring's files.

`python -m helm.generated` writes it; a test holds that it is fresh.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

import yaml

from cors_authz.policy.json_schema import json_schema
from docs.marked import between, table

ROOT: Final = Path(__file__).resolve().parents[1]
CHART: Final = ROOT / "helm" / "cors-authz"

_VALUES: Final = CHART / "values.yaml"
_SCHEMA: Final = CHART / "values.schema.json"
_README: Final = CHART / "README.md"
_MONITORING: Final = ROOT / "monitoring"
_BEGIN: Final = "<!-- values: begin; written by `make chart` -->"
_END: Final = "<!-- values: end -->"
_POLICY: Final = "policy."
# Go's regular expressions, by which helm checks, know no look-ahead.
_LOOK_AHEAD: Final = "(?"


class Value(NamedTuple):
    """A value of the chart: its dotted path, its default as it is written, and what the comment above it says.

    A heading with values below it has no default of its own.
    """

    path: str
    default: str
    comment: str


def files() -> dict[Path, str]:
    """Give each file that is written from elsewhere, with its text."""
    dashboards = sorted((_MONITORING / "dashboards").glob("*.json"))
    copies = {CHART / "files" / path.relative_to(_MONITORING): path.read_text() for path in dashboards}
    return {
        **copies,
        CHART / "files" / "rules.yaml": (_MONITORING / "rules.yaml").read_text(),
        CHART / "files" / "policy-fields.json": json.dumps(policy_fields(), indent=1) + "\n",
        _SCHEMA: _schema(),
        _README: _readme(),
    }


def values() -> Iterator[Value]:
    """Give the chart's values in their order.

    A mapping is one value, unless comments stand above its parts: then it is a heading of theirs, and given if it has a
    comment too.
    """
    text = _VALUES.read_text()
    root = yaml.compose(text)
    assert isinstance(root, yaml.MappingNode)  # noqa: S101 - a chart's values are a mapping
    yield from _values(root, "", text.splitlines())


def _values(mapping: yaml.MappingNode, prefix: str, lines: list[str]) -> Iterator[Value]:
    for key, value in mapping.value:
        comment = _comment_above(key.start_mark.line, lines)
        path = prefix + key.value
        is_heading = isinstance(value, yaml.MappingNode) and (not comment or _is_explained(value, lines))
        if comment or not is_heading:
            yield Value(path, "" if is_heading else _written(value), comment)
        if is_heading:
            yield from _values(value, f"{path}.", lines)


def _is_explained(node: yaml.Node, lines: list[str]) -> bool:
    """Say whether a part of a mapping has a comment of its own, which none has that shares its heading's line."""
    if not isinstance(node, yaml.MappingNode) or node.flow_style:
        return False
    return any(_comment_above(key.start_mark.line, lines) for key, _ in node.value)


def _comment_above(line: int, lines: list[str]) -> str:
    first = line
    while first and lines[first - 1].lstrip().startswith("#"):
        first -= 1
    return " ".join(text.strip().removeprefix("#").strip() for text in lines[first:line])


def _written(node: yaml.Node) -> str:
    return json.dumps(yaml.safe_load(yaml.serialize(node)), ensure_ascii=False)


def _readme() -> str:
    rows = (
        (f"`{value.path}`", value.default and f"`{value.default}`", value.comment.replace("|", "\\|"))
        for value in values()
    )
    return between(_README.read_text(), _BEGIN, _END, table(("value", "default", "what it says"), rows))


def _schema() -> str:
    schema = json.loads(_SCHEMA.read_text())
    own = {name: body for name, body in schema["$defs"].items() if not name.startswith(_POLICY)}
    schema["$defs"] = own | dict(_policy_definitions())
    _require_defaults(schema, yaml.safe_load(_VALUES.read_text()), schema["$defs"])
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


def _require_defaults(part: dict[str, Any], defaults: dict[str, Any], definitions: dict[str, Any]) -> None:
    """Demand each value that has a default, unless the schema takes null in its place.

    A null takes a default away, and helm does so before the schema is asked.
    """
    parts = {key: _resolved(body, definitions) for key, body in part.get("properties", {}).items() if key in defaults}
    demanded = [key for key in defaults if key in parts and not _takes_null(parts[key])]
    if demanded:
        part["required"] = demanded
    elif parts:
        part.pop("required", None)
    for key in demanded:
        if isinstance(defaults[key], dict):
            _require_defaults(parts[key], defaults[key], definitions)


def _takes_null(body: dict[str, Any]) -> bool:
    return "null" in body.get("type", ()) or None in body.get("enum", ())


def _resolved(body: dict[str, Any], definitions: dict[str, Any]) -> dict[str, Any]:
    return definitions[body["$ref"].removeprefix("#/$defs/")] if "$ref" in body else body


def policy_fields() -> dict[str, dict[str, str]]:
    """Give the fields of each type of a policy, each with the type that it leads to, or with nothing.

    Templates know no JSON schema, and a policy that is a text is known to them alone. `T{}` is a mapping of names to T,
    and `T` also a list of them.
    """
    return {
        name: {field: _type_of(body) for field, body in sorted(each["properties"].items())}
        for name, each in json_schema()["$defs"].items()
    }


def _type_of(body: Any) -> str:  # noqa: ANN401 - any JSON
    if "additionalProperties" in body:
        each = _type_of(body["additionalProperties"])
        return each and each + "{}"
    leads: dict[str, str] = body.get("items", body)
    return leads.get("$ref", "").rpartition("/")[2]


def _policy_definitions() -> Iterator[tuple[str, Any]]:
    policy = json_schema()
    document = {key: body for key, body in policy.items() if key not in {"$schema", "$id", "$defs"}}
    yield f"{_POLICY}document", _embedded(document)
    for name, body in policy["$defs"].items():
        yield _POLICY + name, _embedded(body)


def _embedded(body: Any) -> Any:  # noqa: ANN401 - any JSON
    """Give a part of the policy's schema as it stands within another, without what Go cannot read."""
    if isinstance(body, list):
        return [_embedded(each) for each in body]
    if not isinstance(body, dict):
        return body
    if "propertyNames" in body:
        return _named_by_pattern(body)
    return {key: _reference(key, each) for key, each in body.items() if not _is_unreadable(key, each)}


def _named_by_pattern(body: dict[str, Any]) -> dict[str, Any]:
    """Say by pattern which names a mapping may have: of `propertyNames`, helm tells a path that is another's."""
    rest = {key: each for key, each in body.items() if key not in {"propertyNames", "additionalProperties"}}
    named = {body["propertyNames"]["pattern"]: _embedded(body["additionalProperties"])}
    return {**_embedded(rest), "patternProperties": named, "additionalProperties": False}


def _reference(key: str, value: Any) -> Any:  # noqa: ANN401 - any JSON
    return value.replace("#/$defs/", f"#/$defs/{_POLICY}") if key == "$ref" else _embedded(value)


def _is_unreadable(key: str, value: Any) -> bool:  # noqa: ANN401 - any JSON
    return key == "pattern" and isinstance(value, str) and (_LOOK_AHEAD + "!" in value or _LOOK_AHEAD + "=" in value)


def main() -> None:
    """Write the files."""
    for path, text in files().items():
        path.write_text(text)


if __name__ == "__main__":
    main()
