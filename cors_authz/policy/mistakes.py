"""What is wrong with the shape of a document: every mistake in a sentence, at its path, with the mend."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from difflib import get_close_matches
from typing import Any, Final, NamedTuple, get_args, get_origin

from pydantic import ValidationError

from cors_authz.policy.annotations import annotation_at, bare, is_shape, keys_of, parts_of, shape_at
from cors_authz.policy.finding import shown, ticked
from cors_authz.policy.forms import DATE, FORMS, INSTANT, NAME, moment_of
from cors_authz.policy.scalar import Blank
from cors_authz.policy.schema import (
    API_VERSION,
    KINDS,
    AllowRule,
    Exception_,
    Jwt,
    Model,
    PolicyBundle,
    ResourceGroup,
    ResponseHeaders,
)
from cors_authz.policy.shape import Shape
from cors_authz.policy.tree import Data, Partial, Path


class Fault(NamedTuple):
    """A mistake at a path of a document: at the value, or at the key that leads to it."""

    path: Path
    text: str
    at_key: bool = False
    code: str = "CX046"


def model_of(data: Data) -> tuple[Model | None, list[Fault]]:
    """Read a document.

    Returns: its model, None where it has none; and every mistake of its shape. Never raises.
    """
    faults = _unknown_kind(data)
    if faults or not isinstance(data, dict) or data.get("kind") not in KINDS:
        return None, faults
    return _validated(KINDS[data["kind"]], data)


def _validated(model: type[Model], data: object) -> tuple[Model | None, list[Fault]]:
    faults = list(_broken_rules(model, data))
    try:
        return model.model_validate(data), faults
    except ValidationError as refused:
        errors = refused.errors(include_url=False)
        return None, [*faults, *(fault for error in errors if (fault := _fault(model, error)))]


# --- the document as a whole ------------------------------------------------------------------------------------------


def _unknown_kind(data: object) -> list[Fault]:
    """Say why no model describes a document: it is no map, or of another version or kind."""
    if not isinstance(data, dict):
        begins = f"apiVersion: {API_VERSION}"
        return [] if data is Blank.UNREAD else [Fault((), f"{_said(data)}, not a document; it begins with {begins}")]
    faults = []
    for key, known in (("apiVersion", (API_VERSION,)), ("kind", tuple(KINDS))):
        if key not in data and not isinstance(data, Partial):
            faults.append(Fault((), f"the document has no `{key}`; write {key}: {' or '.join(known)}"))
        elif key in data and data[key] not in known and data[key] is not Blank.UNREAD:
            faults.append(Fault((key,), _unknown(key, data[key], known)))
    return faults


def _unknown(key: str, value: object, known: Sequence[str]) -> str:
    if not isinstance(value, str):
        written = "has no value" if value is Blank.NULL else f"is {_said(value)}"
        return f"`{key}` {written}; write {key}: {' or '.join(known)}"
    near = _suggestion(_KINDS_MEANT.get(value.casefold(), value), known) if len(known) > 1 else ""
    return f"`{shown(value)}` is not one of the values of `{key}`{near or f'; write {key}: ' + ' or '.join(known)}"


# The nearest spelling is PolicyPart, and a part alone is no policy.
_KINDS_MEANT: Final[Mapping[str, str]] = {"policy": "PolicyBundle"}


def _said(value: object) -> str:
    match value:
        case bool():
            return f"`{str(value).lower()}`"
        case int() | float():
            return f"the number `{shown(str(value))}`"
        case str():
            return f"the text `{shown(value)}`"
        case Mapping():
            return "a map"
        case _:
            return "a list"


def _called(path: Path) -> str:
    """Call the value at a path by its key, an entry of a list by its number, the whole by its kind of thing."""
    match path:
        case ():
            return "the document"
        case (*_, str() as key, int() as index):
            return f"entry {index + 1} of `{shown(key)}`"
        case _:
            return f"`{shown(str(path[-1]))}`"


def _suggestion(word: object, words: Sequence[str]) -> str:
    near = get_close_matches(str(word).casefold(), [known.casefold() for known in words], 1)
    meant = next((known for known in words if near and known.casefold() == near[0]), None)
    return f"; did you mean `{meant}`?" if meant else ""


# --- the rules between keys -------------------------------------------------------------------------------------------


def _broken_rules(shape: type[Shape], data: object, path: Path = ()) -> Iterator[Fault]:
    """Ask the rules of every object in the data that one of the models describes."""
    if not isinstance(data, dict):
        return
    if shape.rules and not isinstance(data, Partial):
        for rule in shape.rules:
            for key, text in rule.objections(data, shape.term):
                yield Fault((*path, key) if key else path, f"{_called(path)} {text}", at_key=True)
    for key, (child, many) in parts_of(shape).items():
        if key in data:
            for step, part in _each(data[key], many=many):
                yield from _broken_rules(child, part, (*path, key, *step))


def _each(data: object, *, many: bool) -> Iterator[tuple[Path, object]]:
    """Give the objects that stand at a key, each with the rest of its path."""
    if not many:
        yield (), data
    elif isinstance(data, dict):
        yield from (((key,), part) for key, part in data.items())
    elif isinstance(data, tuple):
        yield from (((index,), part) for index, part in enumerate(data))


# --- what a key takes -------------------------------------------------------------------------------------------------


class _Refusal(NamedTuple):
    """An error of pydantic, with the root of the models that it was found in."""

    root: type[Shape]
    path: Path
    value: object
    limits: Mapping[str, Any]


def _fault(root: type[Shape], error: Mapping[str, Any]) -> Fault | None:
    """Say an error of pydantic in a sentence; None where it follows from something that was refused before."""
    kind, path, value = error["type"], error["loc"], error["input"]
    missing = kind == "missing"
    if value is Blank.UNREAD or (missing and isinstance(value, Partial)) or _counts_refused(error):
        return None
    of_key = kind != "extra_forbidden" and path[-1:] == ("[key]",)
    path = path[:-1] if of_key else path
    if missing and path[-1] in _EXCEPTION_NEEDS and shape_at(root, path[:-1]) is Exception_:
        mend = _EXCEPTION_NEEDS[path[-1]].format(until=_end_for(value))
        return Fault(path[:-1], f"{shown(str(path[-2]))} has no `{path[-1]}`; {mend}", at_key=True, code="CX024")
    text = _SENTENCES[kind](_Refusal(root, path, value, error.get("ctx", {})))
    return Fault(path[:-1] if missing else path, text, at_key=missing or of_key or kind == "extra_forbidden")


def _counts_refused(error: Mapping[str, Any]) -> bool:
    """Tell whether a list is short only because pydantic counts the entries that it accepts."""
    return error["type"] == "too_short" and bool(len(error["input"]) >= error["ctx"]["min_length"])


_EXCEPTION_NEEDS: Final[Mapping[str, str]] = {
    "until": "an exception ends: write until: {until}",
    "reason": "an exception says why: write reason: and one sentence",
    "ticket": "an exception can be looked up: write ticket: and its number",
}
_USUAL_LENGTH: Final = timedelta(days=21)
_SOME_END: Final = "2026-12-31T00:00:00Z"


def _end_for(data: Mapping[str, object]) -> str:
    """Suggest an end for an exception: three weeks after its beginning, where that is known."""
    begun = moment_of(INSTANT, str(data.get("from")))
    try:
        return f"{begun + _USUAL_LENGTH:%Y-%m-%dT%H:%M:%SZ}" if begun else _SOME_END
    except OverflowError:
        return _SOME_END


def _many(term: str) -> str:
    bare = term.removeprefix("an ").removeprefix("a ")
    return f"{bare[:-1]}ies" if bare.endswith("y") else f"{bare}s"


_WANTED: Final[Mapping[Any, str]] = {
    str: "text",
    int: "a whole number",
    float: "a percentage",
    dict: "a map",
    timedelta: "a duration",
    datetime: "a date",
}


def _wanted(annotation: Any) -> str:  # noqa: ANN401 -- see `bare`
    if get_origin(annotation) is tuple:
        item = bare(get_args(annotation)[0])
        return f"a list of {_many(item.term) if is_shape(item) else 'text'}"
    if is_shape(annotation):
        return "a map"
    return _WANTED[get_origin(annotation) or annotation]


def _of_wrong_type(problem: _Refusal) -> str:
    called, value = _called(problem.path), problem.value
    if value is Blank.NULL:
        return _without_value(problem)
    annotation = annotation_at(problem.root, problem.path)
    return f"{called} wants {_wanted(annotation)}, not {_said(value)}{_retyped(annotation, problem)}"


def _retyped(annotation: Any, problem: _Refusal) -> str:  # noqa: ANN401 -- see `bare`
    """Say how the value is written in the type that is wanted, where that is plain."""
    value = problem.value
    if group_wanted := _group_wanted(problem):
        return f"; {group_wanted}"
    if get_origin(annotation) is tuple and isinstance(value, str) and not is_shape(bare(get_args(annotation)[0])):
        return f"; write {problem.path[-1]}: [{shown(value)}]"
    if annotation is timedelta and isinstance(value, int) and not isinstance(value, bool):
        return f"; write its unit too: {value}s"
    if annotation is str and isinstance(value, int | float):
        return "; put it in quotes"
    return ""


def _owner(problem: _Refusal) -> tuple[Any, str | int]:
    """Give what holds the value, or the list that the value is an entry of; and the key there."""
    path = problem.path[:-1] if isinstance(problem.path[-1], int) else problem.path
    return annotation_at(problem.root, path[:-1]), path[-1]


_NAMING_GROUPS: Final[Mapping[tuple[type[Shape], str | int], str]] = {
    (AllowRule, "origins"): "a rule",
    (ResponseHeaders, "timingAllowOrigin"): "`timingAllowOrigin`",
}


def _group_wanted(problem: _Refusal) -> str | None:
    """Say where an origin is written, if one stands where the name of an origin group is wanted."""
    owner, key = _owner(problem)
    naming = _NAMING_GROUPS.get((owner, key)) if is_shape(owner) else None
    if naming and problem.value == "*":
        return "`*` names no origin group; say `anyone: {any: true}` in originGroups and name it"
    if naming and isinstance(problem.value, str) and "://" in problem.value:
        said = f"`{shown(problem.value)}` is an origin; {naming} names origin groups"
        return f"{said}: put it in originGroups and name the group here"
    return None


def _of_wrong_form(problem: _Refusal) -> str:
    if group_wanted := _group_wanted(problem):
        return group_wanted
    form = FORMS[problem.limits["pattern"]]
    text = str(problem.value)
    return f"`{shown(text)}` is not {form.noun}; write {_reformed(form.pattern, text) or form.written}"


def _reformed(pattern: str, text: str) -> str | None:
    """Write the text in the form that is wanted, where only the spelling is off."""
    if pattern == NAME.pattern:
        name = re.sub("[^a-z0-9]+", "-", text.lower()).strip("-")
        return f"`{name}`" if re.fullmatch(NAME.pattern, name) else None
    if pattern == INSTANT.pattern and moment_of(DATE, text):
        return f"{text}T00:00:00Z"
    return _in_utc(text) if pattern in {DATE.pattern, INSTANT.pattern} else None


def _in_utc(text: str) -> str | None:
    try:
        moment = datetime.fromisoformat(text)
        return f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}" if moment.tzinfo else None
    except (ValueError, OverflowError):
        return None


def _of_no_choice(problem: _Refusal) -> str:
    if problem.value is Blank.NULL:
        return _without_value(problem)
    choices = re.sub("'([^']*)'", r"`\1`", problem.limits["expected"])
    if choices == "true":
        return f"{_called(problem.path)} is true or is left out, not {_said(problem.value)}"
    if _owner(problem) == (Jwt, "algorithms") and re.fullmatch("HS[0-9]+", str(problem.value), re.IGNORECASE):
        said = f"`{shown(str(problem.value))}` signs with a shared secret, which verifies no issuer"
        return f"{said}; use one of {choices.replace('`', '').replace(' or ', ', ')}"
    near = _suggestion(problem.value, re.findall("`([^`]*)`", choices)) if isinstance(problem.value, str) else ""
    return f"{_called(problem.path)} takes {choices}, not {_said(problem.value)}{near}"


def _of_unknown_key(problem: _Refusal) -> str:
    shape, key = shape_at(problem.root, problem.path[:-1]), str(problem.path[-1])
    keys = keys_of(shape)
    begun = f"`{shown(key)}` is not a key of {shape.term}"
    if len(problem.path) == 1 and key in keys_of(PolicyBundle):
        return f"{begun}; it stands in the PolicyBundle: move it there"
    return begun + (_suggestion(key, list(keys)) or f"; its keys are {ticked(keys)}")


def _of_missing_key(problem: _Refusal) -> str:
    owner, key = problem.path[:-1], problem.path[-1]
    mend = f"write its rules{_or_nothing(problem)}" if key == "allow" else f"add {key}"
    return f"{_called(owner)} has no `{key}`; {shape_at(problem.root, owner).term} needs one: {mend}"


def _of_short_list(problem: _Refusal) -> str:
    least = problem.limits["min_length"]
    if not problem.value:
        return f"{_called(problem.path)} is an empty list; name at least {least}{_or_nothing(problem)}"
    return f"{_called(problem.path)} has too few entries; name at least {least}"


def _of_short_text(problem: _Refusal) -> str:
    if not problem.value:
        return f"{_called(problem.path)} is empty; write something{_or_nothing(problem)}"
    least = problem.limits["min_length"]
    return f"`{shown(str(problem.value))}` is too short for {_called(problem.path)}; {least} characters are the least"


def _without_value(problem: _Refusal) -> str:
    return f"{_called(problem.path)} has no value; write one{_or_nothing(problem)}"


def _or_nothing(problem: _Refusal) -> str:
    """Offer to leave the value out, unless its key is required; `allow` says nothing by an empty list."""
    owner = annotation_at(problem.root, problem.path[:-1])
    if owner is ResourceGroup and problem.path[-1] == "allow":
        return ", or allow: [] to let in no script of another origin"
    required = is_shape(owner) and problem.path[-1] in {
        field.alias for field in owner.model_fields.values() if field.is_required()
    }
    return "" if required else " or leave it out"


_SENTENCES: Final[Mapping[str, Callable[[_Refusal], str]]] = {
    "extra_forbidden": _of_unknown_key,
    "missing": _of_missing_key,
    "literal_error": _of_no_choice,
    "string_pattern_mismatch": _of_wrong_form,
    "string_too_short": _of_short_text,
    "string_too_long": lambda p: (
        f"{_called(p.path)} has {len(str(p.value))} characters; {p.limits['max_length']} is the most: shorten it"
    ),
    "too_short": _of_short_list,
    "listed_twice": lambda p: f"{_called(p.path)} names one of its entries twice; name each once",
    "greater_than_equal": lambda p: f"{_called(p.path)} is `{p.value}`; {p.limits['ge']} is the least",
    "less_than_equal": lambda p: f"{_called(p.path)} is `{p.value}`; {p.limits['le']} is the most",
    **dict.fromkeys(("string_type", "int_type", "tuple_type", "dict_type", "model_type"), _of_wrong_type),
}
