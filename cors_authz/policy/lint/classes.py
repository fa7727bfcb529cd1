"""Findings about sensitivity classes: what goes beyond one, and what would loosen one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Final, NamedTuple

from cors_authz.policy import schema
from cors_authz.policy.compiled import Credential, Reach, Trust, Unlisted
from cors_authz.policy.effective import BUILT_IN_CLASSES, SensitivityClass
from cors_authz.policy.estate import Named
from cors_authz.policy.finding import Finding
from cors_authz.policy.lint.any_of import reached_guards
from cors_authz.policy.lint.rule_at import rules_at
from cors_authz.policy.lint.wording import duration_text, list_text, unknown_name_text
from cors_authz.policy.subject import Subject

_KEYS_OF_A_CLASS: Final = {
    "minTrust": "min_trust",
    "credentials": "credentials",
    "maxAge": "max_age",
    "plainHttp": "plain_http",
    "unlisted": "unlisted",
    "exceptions": "exceptions",
}
_KEYS_OF_UNLISTED: Final = ("reads", "embeds", "navigations")
_TIGHTNESS: Final = (Reach.FORWARD, Reach.SAME_SITE, Reach.DENY)


# --- Rules beyond their class -----------------------------------------------------------------------------------------


def trust_below_class(subject: Subject) -> Iterator[Finding]:
    """CX014: whoever holds an origin of little trust would reach data that asks for more."""
    for at in rules_at(subject):
        sensitivity = subject.class_of(at.group)
        for index, group in at.admitted(subject):
            trust = Trust.NONE if group.model.any else Trust[group.model.trust.upper()]
            if trust < sensitivity.min_trust:
                text = _below(group, sensitivity)
                yield at.finding("CX014", text, "origins", index)


def _below(group: Named[schema.OriginGroup], sensitivity: SensitivityClass) -> str:
    demands = f"class {sensitivity.name} demands {sensitivity.min_trust.name.lower()}"
    if group.model.any:
        return f"`{group.name}` is every origin and has no trust; {demands}: list the origins, or move the route"
    mend = "raise the group's trust with its owner, or move the route"
    return f"`{group.name}` has trust {group.model.trust}; {demands}: {mend}"


def credentials_beyond_class(subject: Subject) -> Iterator[Finding]:
    """CX014: a kind of credential that a class does not grant would reach its data by way of one rule."""
    for at in rules_at(subject):
        sensitivity = subject.class_of(at.group)
        for index, name in enumerate(at.model.credentials):
            if Credential(name) not in sensitivity.credentials:
                grants = _credentials_text(sensitivity.credentials) if sensitivity.credentials else "none"
                text = f"credential `{name}` is beyond class {sensitivity.name}, which grants {grants}"
                yield at.finding("CX014", f"{text}: drop it, or move the route", "credentials", index)


def _credentials_text(credentials: frozenset[Credential]) -> str:
    return list_text(credential.value for credential in Credential if credential in credentials)


def max_age_beyond_class(subject: Subject) -> Iterator[Finding]:
    """CX014: an origin that is withdrawn would pass for longer than the class says."""
    for at in rules_at(subject):
        sensitivity = subject.class_of(at.group)
        if at.model.max_age is not None and at.model.max_age > sensitivity.max_age:
            most = duration_text(sensitivity.max_age)
            text = f"maxAge {duration_text(at.model.max_age)} is beyond class {sensitivity.name}; write {most} or less"
            yield at.finding("CX014", text, "maxAge")


def group_looser_than_class(subject: Subject) -> Iterator[Finding]:
    """CX014: one group would forward what its class keeps from other sites."""
    for group in subject.estate.resource_groups.values():
        sensitivity = subject.class_of(group)
        for key, written in _reaches(group.model.unlisted):
            base: Reach = getattr(sensitivity.unlisted, key)
            if _is_looser(written, base):
                text = f"unlisted.{key} {written.value} is looser than {base.value} of class {sensitivity.name}"
                place = group.place("unlisted", key)
                yield Finding(place, "CX014", f"{text}; a group may only tighten it", about=group.about)


def _reaches(unlisted: schema.Unlisted | None) -> Iterator[tuple[str, Reach]]:
    for key in _KEYS_OF_UNLISTED:
        written = getattr(unlisted, key, None)
        if written:
            yield key, Reach(written)


def _is_looser(reach: Reach, base: Reach) -> bool:
    return _TIGHTNESS.index(reach) < _TIGHTNESS.index(base)


def unknown_classes(subject: Subject) -> Iterator[Finding]:
    """CX046: data of a class that nobody defined has no ceiling."""
    for group in subject.estate.resource_groups.values():
        name = group.model.sensitivity
        if name not in subject.classes:
            text = unknown_name_text(name, "sensitivity class", subject.classes)
            yield Finding(group.place("sensitivity"), "CX046", text, about=group.about)
    for name, model in _classes(subject):
        if model.like is not None and model.like not in subject.classes:
            text = unknown_name_text(model.like, "sensitivity class", subject.classes)
            yield _finding(subject, "CX046", text, name, "like")


# --- Classes ----------------------------------------------------------------------------------------------------------


def _classes(subject: Subject) -> Iterator[tuple[str, schema.SensitivityClass]]:
    yield from subject.estate.bundle.model.sensitivity_classes.items()


def _finding(subject: Subject, code: str, text: str, *path: str | int) -> Finding:
    place = subject.estate.bundle.place("sensitivityClasses", *path)
    return Finding(place, code, text, about=f"sensitivityClasses/{path[0]}")


class _Ceiling(NamedTuple):
    """One key of two classes: how each is written, and whether the first is the looser one."""

    path: tuple[str, ...]
    written: str
    base: str
    is_looser: bool


def loosened_classes(subject: Subject) -> Iterator[Finding]:
    """CX014: every group of the class would be open wider than its name promises."""
    for name, model in _classes(subject):
        for base, whose in _bases(subject, name, model):
            for ceiling in _ceilings(subject.classes[name], base):
                if ceiling.is_looser:
                    said = f"class {name}: {'.'.join(ceiling.path)} {ceiling.written} is looser than {whose}"
                    path = _written_path(model, ceiling.path)
                    text = f"{said} {ceiling.base}; a class may only be tightened"
                    yield _finding(subject, "CX014", text, name, *path)


def _bases(subject: Subject, name: str, model: schema.SensitivityClass) -> Iterator[tuple[SensitivityClass, str]]:
    if name in BUILT_IN_CLASSES:
        yield BUILT_IN_CLASSES[name], "the built-in"
    if model.like is not None and model.like in subject.classes and model.like != name:
        yield subject.classes[model.like], f"{model.like}'s"


def _written_path(model: schema.SensitivityClass, path: tuple[str, ...]) -> tuple[str, ...]:
    """What a class does not write itself comes from the one that it is like."""
    written = getattr(model, _KEYS_OF_A_CLASS[path[0]])
    own = written is not None and (len(path) == 1 or getattr(written, path[1]) is not None)
    return path if own else ("like",)


def _ceilings(own: SensitivityClass, base: SensitivityClass) -> Iterator[_Ceiling]:
    trusts = own.min_trust.name.lower(), base.min_trust.name.lower()
    yield _Ceiling(("minTrust",), *trusts, own.min_trust < base.min_trust)
    kinds = _credentials_text(own.credentials), _credentials_text(base.credentials)
    yield _Ceiling(("credentials",), *kinds, not own.credentials <= base.credentials)
    ages = duration_text(own.max_age), duration_text(base.max_age)
    yield _Ceiling(("maxAge",), *ages, own.max_age > base.max_age)
    for key, allowed, above in (
        ("plainHttp", own.plain_http, base.plain_http),
        ("exceptions", own.exceptions, base.exceptions),
    ):
        yield _Ceiling((key,), "allowed", "refused", allowed and not above)
    yield from _ceilings_of_unlisted(own.unlisted, base.unlisted)


def _ceilings_of_unlisted(own: Unlisted, base: Unlisted) -> Iterator[_Ceiling]:
    for key in _KEYS_OF_UNLISTED:
        reach: Reach = getattr(own, key)
        above: Reach = getattr(base, key)
        yield _Ceiling(("unlisted", key), reach.value, above.value, _is_looser(reach, above))


def classes_without_base(subject: Subject) -> Iterator[Finding]:
    """CX046: what a class leaves unsaid, and nothing else says, nobody decided."""
    for name, model in _classes(subject):
        missing = list(_missing(model)) if name not in BUILT_IN_CLASSES and model.like is None else []
        if missing:
            text = f"class {name} without `like` states every key; add {', '.join(missing)}, or say like: internal"
            place = subject.estate.bundle.document.key_place("sensitivityClasses", name)
            yield Finding(place, "CX046", text, about=f"sensitivityClasses/{name}")


def _missing(model: schema.SensitivityClass) -> Iterator[str]:
    for key, attribute in _KEYS_OF_A_CLASS.items():
        if getattr(model, attribute) is None:
            yield key
    if model.unlisted is not None:
        written = dict(_reaches(model.unlisted))
        yield from (f"unlisted.{key}" for key in _KEYS_OF_UNLISTED if key not in written)


def classes_in_a_circle(subject: Subject) -> Iterator[Finding]:
    """CX047: classes that lean on each other stand on nothing."""
    written = subject.estate.bundle.model.sensitivity_classes
    for name in written:
        chain = _chain(name, written)
        if name in chain:
            circle = ", which is like ".join(chain[: chain.index(name) + 1])
            text = f"class {name} is like {circle}; let one of them be like a built-in class"
            yield _finding(subject, "CX047", text, name, "like")


def _chain(name: str, written: Mapping[str, schema.SensitivityClass]) -> list[str]:
    """Follow `like` from a class, until it ends or comes by a class again."""
    chain: dict[str, None] = {}
    while name in written and (above := written[name].like) is not None and above not in chain:
        chain[above] = None
        name = above
    return list(chain)


# --- Guards of classes ------------------------------------------------------------------------------------------------


def unknown_guards_of_classes(subject: Subject) -> Iterator[Finding]:
    """CX046: a guard that nobody defined keeps nobody out."""
    for name, model in _classes(subject):
        for index, guard in enumerate(model.guards):
            if guard not in subject.estate.guards:
                text = unknown_name_text(guard, "guard", subject.estate.guards)
                yield _finding(subject, "CX046", text, name, "guards", index)


def guards_of_parts(subject: Subject) -> Iterator[Finding]:
    """CX046: a guard that a part defines could be widened by that part for every group of the class."""
    for name, model in _classes(subject):
        for index, guard in enumerate(model.guards):
            foreign = _foreign(subject, guard)
            if foreign:
                through = f" through `{guard}`" if foreign.name != guard else ""
                text = (
                    f"class {name} names guard `{foreign.name}`{through}, which {foreign.document.file} defines; a"
                    " class's guards stand in the PolicyBundle"
                )
                yield _finding(subject, "CX046", text, name, "guards", index)


def _foreign(subject: Subject, name: str) -> Named[schema.Guard] | None:
    """Find, in a guard and in what its `anyOf` reaches, one that stands outside the bundle."""
    bundle = subject.estate.bundle.document
    reached = reached_guards(subject.estate.guards, name)
    return next((guard for guard in reached if guard.document is not bundle), None)


RULES: Final[tuple[Callable[[Subject], Iterator[Finding]], ...]] = (
    trust_below_class,
    credentials_beyond_class,
    max_age_beyond_class,
    group_looser_than_class,
    unknown_classes,
    loosened_classes,
    classes_without_base,
    classes_in_a_circle,
    unknown_guards_of_classes,
    guards_of_parts,
)
