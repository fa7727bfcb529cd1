"""The JSON Schema of policy documents, for editors and for tools that never load a policy."""

from __future__ import annotations

from typing import Any

from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue, models_json_schema
from pydantic_core.core_schema import DictSchema, ModelSchema, NullableSchema, WithDefaultSchema

from cors_authz.policy.schema import API_VERSION, KINDS


def json_schema() -> dict[str, Any]:
    """Give the JSON Schema of a policy document, for editors and for tools that never load a policy.

    What JSON Schema can say is refused here exactly where loading refuses it; in addition it knows the grammars that
    the compiler checks. Spec: https://json-schema.org/draft/2020-12/schema.
    """
    models = [(model, "validation") for model in KINDS.values()]
    _, written = models_json_schema(models, schema_generator=_Generator)  # type: ignore[arg-type]
    return {
        "$schema": GenerateJsonSchema.schema_dialect,
        "$id": "urn:cors-authz:policy:v1",
        "title": "cors-authz policy, v1",
        "type": "object",
        "required": ["apiVersion", "kind"],
        "properties": {"apiVersion": {"const": API_VERSION}, "kind": {"enum": list(KINDS)}},
        "allOf": [_of_kind(kind) for kind in KINDS],
        "$defs": written["$defs"],
    }


def _of_kind(kind: str) -> dict[str, Any]:
    says_it = {"properties": {"kind": {"const": kind}}, "required": ["kind"]}
    return {"if": says_it, "then": {"$ref": f"#/$defs/{kind}"}}


class _Generator(GenerateJsonSchema):
    """Writes what loading accepts: no nulls, names checked in maps, and the rules between keys."""

    def nullable_schema(self, schema: NullableSchema) -> JsonSchemaValue:
        """Leave null out: in the models it means that a key is not there, and no author can write it."""
        return self.generate_inner(schema["schema"])

    def default_schema(self, schema: WithDefaultSchema) -> JsonSchemaValue:
        """Show a default only where it says something."""
        inner = self.generate_inner(schema["schema"])
        default: Any = schema.get("default")
        if not default:
            return inner
        return {**inner, "default": list(default) if isinstance(default, tuple) else default}

    def dict_schema(self, schema: DictSchema) -> JsonSchemaValue:
        """Check names by `propertyNames`: pydantic's `patternProperties` would let any other name pass."""
        names = self.generate_inner(schema["keys_schema"])
        return {
            "type": "object",
            "propertyNames": names,
            "additionalProperties": self.generate_inner(schema["values_schema"]),
        }

    def model_schema(self, schema: ModelSchema) -> JsonSchemaValue:
        """Add the rules of the shape to its keys."""
        written = super().model_schema(schema)
        rules = [rule.schema() for rule in schema["cls"].rules]
        return {**written, "allOf": rules} if rules else written

    def field_title_should_be_set(self, schema: Any) -> bool:  # noqa: ANN401 -- the signature is pydantic's
        """Give no titles: a key's name says it already."""
        del schema
        return False
