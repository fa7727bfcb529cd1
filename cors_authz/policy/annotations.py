"""What the models take at a path of a document, read from their annotations."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from types import UnionType
from typing import Annotated, Any, TypeGuard, Union, get_args, get_origin

from cors_authz.policy.shape import Shape
from cors_authz.policy.tree import Path


def is_shape(annotation: Any) -> TypeGuard[type[Shape]]:  # noqa: ANN401 -- see `bare`
    """Tell whether an annotation is one of the models of objects."""
    return isinstance(annotation, type) and issubclass(annotation, Shape)


def bare(annotation: Any) -> Any:  # noqa: ANN401 -- annotations have no type of their own
    """Take off `Annotated` and `| None`."""
    while get_origin(annotation) in {Annotated, Union, UnionType}:
        annotation = get_args(annotation)[0]
    return annotation


def keys_of(shape: type[Shape]) -> dict[str, Any]:
    """Give the keys of an object as YAML writes them, each with its annotation."""
    return {str(field.alias): field.annotation for field in shape.model_fields.values()}


def annotation_at(root: type[Shape], path: Path) -> Any:  # noqa: ANN401 -- see `bare`
    """Give what stands at a path of a document, without `Annotated` and `| None`."""
    here: Any = root
    for step in path:
        here = bare(here)
        if is_shape(here):
            here = keys_of(here).get(str(step))
        else:
            here = get_args(here)[-1] if get_origin(here) is dict else get_args(here)[0]
    return bare(here)


def shape_at(root: type[Shape], path: Path) -> type[Shape]:
    """Give the model of the object at a path."""
    shape: type[Shape] = annotation_at(root, path)
    return shape


@cache
def parts_of(shape: type[Shape]) -> Mapping[str, tuple[type[Shape], bool]]:
    """Give the keys below which a rule may apply: the shape there, and whether many of it stand there."""
    parts = {}
    for key, annotation in keys_of(shape).items():
        taken = bare(annotation)
        many = get_origin(taken) in {tuple, dict}
        child = bare(get_args(taken)[-1 if get_origin(taken) is dict else 0]) if many else taken
        if is_shape(child) and (child.rules or parts_of(child)):
            parts[key] = (child, many)
    return parts
