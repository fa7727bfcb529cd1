"""The one way to write a policy: layout and quotes are settled, comments and the order of keys stay the author's."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from io import StringIO
from typing import Any, Final

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.error import YAMLError
from ruamel.yaml.scalarstring import DoubleQuotedScalarString

from cors_authz.policy.canonical import canonical
from cors_authz.policy.document import Source, read_documents

WIDTH: Final = 120
_NEVER_WRAP: Final = 1_000_000

# What reads as text without quotes, wherever it stands. The look-ahead names what YAML 1.2 reads as something else.
_PLAIN: Final = re.compile(
    r"(?!(?:null|true|false)$|[-+]?(?:[0-9]|\.[0-9]|\.inf|\.nan))(?i:[a-z0-9/_.])"
    r"(?:[\w./@+()$^!-]|:(?=[^\s])|[ ](?![#\s]))*"
)
_COMMENT: Final = re.compile(r"(?:^|\s)#.*$", re.MULTILINE)


class FormatError(Exception):
    """A policy that cannot be formatted without losing something; the message says why."""


def format_policy(name: str, text: str) -> str:
    """Write a policy file in the one way.

    Two spaces a level, lists on the level of their key, text in double quotes only where it needs them, flow
    collections that fit in 120 columns stay on one line and others are opened. Formatting what is formatted changes
    nothing.

    Args:
        name: the file's name, for messages.
        text: the file.

    Raises: FormatError for text that is no valid document, or if what the documents say, or a comment, would change.
    """
    documents, findings = read_documents((Source(name, text.encode()),))
    if findings:
        raise FormatError("\n".join(str(finding) for finding in findings))
    formatted = _dumped(text)
    after, _ = read_documents((Source(name, formatted.encode()),))
    if canonical(after) != canonical(documents) or _comments(formatted) != _comments(text):
        raise FormatError(f"{name}: formatting would lose a comment or change a value; the file is left as it is")
    return formatted


def _comments(text: str) -> Counter[str]:
    return Counter(match.group().strip() for match in _COMMENT.finditer(text))


def _dumped(text: str) -> str:
    yaml = YAML()
    yaml.preserve_quotes = True
    yaml.width = _NEVER_WRAP
    yaml.indent(mapping=2, sequence=2, offset=0)
    try:
        roots = list(yaml.load_all(text))
    except YAMLError as error:
        raise FormatError(str(error)) from error
    out = StringIO()
    yaml.dump_all([_settled(root, 0) for root in roots], out)
    return "".join(f"{line.rstrip()}\n" for line in out.getvalue().splitlines())


def _settled(node: Any, column: int) -> Any:  # noqa: ANN401 - a node of the YAML library
    if isinstance(node, CommentedMap):
        for key in list(node):
            node[key] = _settled(node[key], column + 2)
        _open_if_long(node, column)
    elif isinstance(node, CommentedSeq):
        for index, item in enumerate(list(node)):
            node[index] = _settled(item, column + 2)
        _open_if_long(node, column)
    elif isinstance(node, str):
        return _quoted(node)
    return node


def _quoted(text: str) -> str:
    return str(text) if _PLAIN.fullmatch(text) else DoubleQuotedScalarString(text)


def _open_if_long(node: CommentedMap | CommentedSeq, column: int) -> None:
    if node.fa.flow_style() and column + len("".join(_written(node))) > WIDTH:
        node.fa.set_block_style()


def _written(node: object) -> Iterator[str]:
    if isinstance(node, CommentedMap):
        for key, value in node.items():
            yield f"{key}: "
            yield from _written(value)
            yield ", "
    elif isinstance(node, CommentedSeq):
        for value in node:
            yield from _written(value)
            yield ", "
    else:
        yield f'"{node}"' if isinstance(node, DoubleQuotedScalarString) else str(node)
