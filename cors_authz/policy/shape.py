"""What an object of the policy language is: known keys, and the rules between them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import ClassVar, NamedTuple, Protocol

from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel
from pydantic.json_schema import JsonSchemaValue

from cors_authz.policy.finding import ticked


class Objection(NamedTuple):
    """What a rule says of an object: the key at fault (none: the object itself) and the sentence after its name."""

    key: str | None
    text: str


class Rule(Protocol):
    """What the keys of one object demand of each other: said to the author, and said in JSON Schema."""

    def objections(self, keys: Mapping[str, object], term: str) -> Iterator[Objection]:
        """Say what is wrong with an object that has these keys; `term` is what such an object is called."""

    def schema(self) -> JsonSchemaValue:
        """Say the same in JSON Schema."""


def _key(attribute: str) -> str:
    return to_camel(attribute.removesuffix("_"))


class Shape(BaseModel):
    """An object of the policy language: its keys are known, and so are the rules between them."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, alias_generator=_key, defer_build=True)

    term: ClassVar[str]
    """What such an object is called, with its article."""
    rules: ClassVar[tuple[Rule, ...]] = ()


class ExactlyOne(NamedTuple):
    """One of the keys, and no other of them."""

    keys: tuple[str, ...]

    def objections(self, keys: Mapping[str, object], term: str) -> Iterator[Objection]:
        """See `Rule`."""
        present = [key for key in keys if key in self.keys]
        if not present:
            yield Objection(None, f"has none of {ticked(self.keys)}; {term} has exactly one of them")
        for other in present[1:]:
            yield Objection(other, f"has `{other}` beside `{present[0]}`; {term} has one of them: leave one out")

    def schema(self) -> JsonSchemaValue:
        """See `Rule`."""
        return {"oneOf": [{"required": [key]} for key in self.keys]}


class Excludes(NamedTuple):
    """A key that is not written beside some others."""

    key: str
    others: tuple[str, ...]

    def objections(self, keys: Mapping[str, object], term: str) -> Iterator[Objection]:
        """See `Rule`."""
        if self.key in keys:
            for other in keys:
                if other in self.others:
                    yield Objection(other, f"has `{other}` beside `{self.key}`; {term} with `{self.key}` has none")

    def schema(self) -> JsonSchemaValue:
        """See `Rule`."""
        return {"dependentSchemas": {self.key: {"properties": dict.fromkeys(self.others, False)}}}


class Needs(NamedTuple):
    """A key that means nothing without another."""

    key: str
    needed: str

    def objections(self, keys: Mapping[str, object], term: str) -> Iterator[Objection]:
        """See `Rule`."""
        if self.key in keys and self.needed not in keys:
            yield Objection(self.key, f"has `{self.key}` and no `{self.needed}`; {term} that has the one has the other")

    def schema(self) -> JsonSchemaValue:
        """See `Rule`."""
        return {"dependentRequired": {self.key: [self.needed]}}


class NotEmpty(NamedTuple):
    """At least one key."""

    def objections(self, keys: Mapping[str, object], term: str) -> Iterator[Objection]:
        """See `Rule`."""
        if not keys:
            yield Objection(None, f"is empty, and {term} without a key says nothing; write one or leave it out")

    def schema(self) -> JsonSchemaValue:
        """See `Rule`."""
        return {"minProperties": 1}


class AlgorithmsPinned(NamedTuple):
    """Algorithms wherever we check signatures ourselves, so everywhere but behind Envoy's own verification."""

    def objections(self, keys: Mapping[str, object], term: str) -> Iterator[Objection]:
        """See `Rule`."""
        source = keys.get("keys")
        if "algorithms" not in keys and isinstance(source, Mapping) and source and "envoyMetadata" not in source:
            yield Objection(None, f"has no `algorithms`; {term} pins them: write algorithms: [ES256], or what it uses")

    def schema(self) -> JsonSchemaValue:
        """See `Rule`."""
        verified_here = {"properties": {"keys": {"not": {"required": ["envoyMetadata"]}}}}
        return {"if": verified_here, "then": {"required": ["algorithms"]}}
