"""What lint and compiler look at: the policy as it stands in one environment, its patterns read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple

from cors_authz.policy import schema
from cors_authz.policy.effective import EffectiveRule, SensitivityClass, classes_of, rules_of, with_head
from cors_authz.policy.estate import Environment, Estate, Named
from cors_authz.policy.finding import Finding, Place
from cors_authz.policy.grammar.host import parse_host_pattern
from cors_authz.policy.grammar.origin import parse_origin_pattern
from cors_authz.policy.grammar.path import parse_path_template
from cors_authz.policy.pattern import HostPattern, OriginPattern, PathTemplate, Problem

EVERY_PATH: Final = "/**"


class PatternAt(NamedTuple):
    """An origin pattern of an origin group, and where it stands in its list."""

    group: Named[schema.OriginGroup]
    position: int
    pattern: OriginPattern

    @property
    def place(self) -> Place:
        """Where the pattern is written."""
        return self.group.place("origins", self.position)


class RouteAt(NamedTuple):
    """One host, one path and the methods of a match entry; `methods` is None for all."""

    group: Named[schema.ResourceGroup]
    entry: int
    host: HostPattern
    path: PathTemplate
    methods: frozenset[str] | None

    @property
    def place(self) -> Place:
        """Where the match entry is written."""
        return self.group.place("match", self.entry)


@dataclass(frozen=True, slots=True)
class Subject:
    """A policy in one environment. What does not exist there is not in it."""

    estate: Estate
    environment: Environment
    classes: Mapping[str, SensitivityClass]
    patterns: Mapping[str, tuple[PatternAt, ...]]
    """By origin group; a group without patterns (`any`, `perTenant`) has an empty tuple."""
    routes: tuple[RouteAt, ...]
    rules: Mapping[str, tuple[EffectiveRule, ...]]
    """By resource group."""

    def class_of(self, group: Named[schema.ResourceGroup]) -> SensitivityClass:
        """The sensitivity class of a group; `internal` where the policy names one that it does not define."""
        return self.classes.get(group.model.sensitivity, self.classes["internal"])

    def origin_groups_of(self, rule: EffectiveRule) -> Iterator[Named[schema.OriginGroup]]:
        """The origin groups of a rule that exist in this environment."""
        for name in rule.model.origins:
            if name in self.patterns:
                yield self.estate.origin_groups[name]


class Reading(NamedTuple):
    """The patterns of a policy, read once for all environments, and what is wrong with them."""

    origins: Mapping[str, tuple[PatternAt, ...]]
    routes: tuple[RouteAt, ...]
    findings: tuple[Finding, ...]


def read_patterns(estate: Estate) -> Reading:
    """Read every origin, host and path of a policy; one that is wrong is left out and has its finding."""
    findings: list[Finding] = []
    origins = {name: tuple(_patterns(group, findings)) for name, group in estate.origin_groups.items()}
    routes = tuple(route for group in estate.resource_groups.values() for route in _routes(group, findings))
    return Reading(origins, routes, tuple(findings))


def subject_of(estate: Estate, reading: Reading, environment: Environment) -> Subject:
    """Take from a policy what exists in an environment."""
    classes = classes_of(estate)
    return Subject(
        estate=estate,
        environment=environment,
        classes=classes,
        patterns={
            name: patterns
            for name, patterns in reading.origins.items()
            if environment.has(estate.origin_groups[name].model.environments)
        },
        routes=tuple(
            route for route in reading.routes if environment.has(route.group.model.match[route.entry].environments)
        ),
        rules={name: rules_of(estate, group, classes) for name, group in estate.resource_groups.items()},
    )


def _patterns(group: Named[schema.OriginGroup], findings: list[Finding]) -> Iterator[PatternAt]:
    for index, text in enumerate(group.model.origins):
        pattern = parse_origin_pattern(text)
        if isinstance(pattern, Problem):
            findings.append(_finding(pattern, group.place("origins", index), group.about))
        else:
            yield PatternAt(group, index, pattern)


def _routes(group: Named[schema.ResourceGroup], findings: list[Finding]) -> Iterator[RouteAt]:
    for index, entry in enumerate(group.model.match):
        hosts = list(_hosts(group, index, entry, findings))
        paths = list(_paths(group, index, entry, findings))
        methods = _matched(entry.methods) if entry.methods and "*" not in entry.methods else None
        for host in hosts:
            for path in paths:
                yield RouteAt(group, index, host, path, methods)


def _matched(methods: Iterable[str]) -> frozenset[str]:
    """Give the methods that an entry matches: where GET is, HEAD is, and an OPTIONS that asks for no permission."""
    named = with_head(methods)
    return named | {"OPTIONS"} if "GET" in named else named


def _hosts(
    group: Named[schema.ResourceGroup], entry: int, model: schema.Match, findings: list[Finding]
) -> Iterator[HostPattern]:
    for index, text in enumerate(model.hosts):
        host = parse_host_pattern(text)
        if isinstance(host, Problem):
            findings.append(_finding(host, group.place("match", entry, "hosts", index), group.about))
        else:
            yield host


def _paths(
    group: Named[schema.ResourceGroup], entry: int, model: schema.Match, findings: list[Finding]
) -> Iterator[PathTemplate]:
    for index, text in enumerate(model.paths or (EVERY_PATH,)):
        path = parse_path_template(text)
        if isinstance(path, Problem):
            findings.append(_finding(path, group.place("match", entry, "paths", index), group.about))
        else:
            yield path


def _finding(problem: Problem, place: Place, about: str) -> Finding:
    return Finding(place, problem.code, problem.text, about=about)
