"""The one way to write a policy: layout and quotes are settled, comments and the order of keys stay the author's."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from io import StringIO
from typing import Any, Final

import yaml
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.error import YAMLError
from ruamel.yaml.scalarstring import DoubleQuotedScalarString, PlainScalarString

from cors_authz.policy.canonical import canonical
from cors_authz.policy.document import Source, read_documents

WIDTH: Final = 120
_NEVER_WRAP: Final = 1_000_000

# What reads as text without quotes, wherever it stands. The look-ahead names what some YAML reads as something else.
_PLAIN: Final = re.compile(
    r"(?!(?:null|true|false)$|[-+]?[.]?[0-9][0-9_.]*(?:e[-+]?[0-9]+)?$|[-+]?0[box][0-9a-f_]+$|[-+]?[.](?:inf|nan)$"
    r"|[0-9]{4}-[0-9]{1,2}-[0-9]{1,2})"
    r"[a-z0-9/_.](?:[\w./@+()$^!%-]|:(?=[^\s])|[ ](?![#\s]))*",
    re.IGNORECASE,
)
_COMMENT: Final = re.compile(r"(?:^|\s)#.*$", re.MULTILINE)
_SCALAR: Final = "s"
_BYTE_ORDER_MARK: Final = "\ufeff"


class FormatError(Exception):
    """A policy that cannot be formatted without losing something; the message says why."""


def format_policy(name: str, data: bytes) -> str:
    """Write a policy file in the one way.

    Two spaces a level, lists on the level of their key, text in double quotes only where it needs them, flow
    collections that fit in 120 columns stay on one line and others are opened. Formatting what is formatted changes
    nothing.

    Args:
        name: the file's name, for messages.
        data: the file, at most one byte more than the bound of a document.

    Raises: FormatError for what is no valid document, or if what the documents say, or a comment, would change.
    """
    documents, findings = read_documents((Source(name, data),))
    if findings:
        raise FormatError("\n".join(str(finding) for finding in findings))
    text = data.decode().removeprefix(_BYTE_ORDER_MARK)
    formatted = _dumped(text)
    after, _ = read_documents((Source(name, formatted.encode()),))
    if canonical(after) != canonical(documents) or _comments(formatted) != _comments(text):
        raise FormatError(f"{name}: formatting would lose a comment or change a value; the file is left as it is")
    return formatted


def _comments(text: str) -> Counter[str]:
    return Counter(match.group().strip() for match in _COMMENT.finditer("".join(_outside_scalars(text))))


def _outside_scalars(text: str) -> Iterator[str]:
    # A `#` within a text is no comment, and what surrounds it may change.
    done = 0
    for token in yaml.scan(text, Loader=yaml.CSafeLoader):
        if isinstance(token, yaml.ScalarToken):
            begin, end = token.start_mark.index, token.end_mark.index
            # The header of a block scalar may carry a comment.
            begin = text.index("\n", begin) if token.style in {"|", ">"} else begin
            yield text[done:begin] + _SCALAR
            done = end
    yield text[done:]


def _dumped(text: str) -> str:
    writer = YAML()
    writer.preserve_quotes = True
    writer.width = _NEVER_WRAP
    writer.brace_single_entry_mapping_in_flow_sequence = True
    writer.indent(mapping=2, sequence=2, offset=0)
    try:
        roots = list(writer.load_all(text))
    except (YAMLError, ValueError) as error:
        raise FormatError(str(error)) from error
    out = StringIO()
    writer.dump_all([_laid_out(_settled(root), 0, 0) for root in roots], out)
    return "".join(f"{line.rstrip()}\n" for line in out.getvalue().removesuffix("\n").split("\n"))


def _settled(node: Any) -> Any:  # noqa: ANN401 - a node of the YAML library
    if isinstance(node, CommentedMap | CommentedSeq):
        for step in list(node) if isinstance(node, CommentedMap) else range(len(node)):
            node[step] = _settled(node[step])
        return node
    return _quoted(node) if isinstance(node, str) else node


def _quoted(text: str) -> str:
    # A scalar string of the library: in place of a mere text, its collections put back the old quotes.
    quoted: str = PlainScalarString(text) if _PLAIN.fullmatch(text) else DoubleQuotedScalarString(text)
    return quoted


def _laid_out(node: Any, flow_column: int, block_column: int) -> Any:  # noqa: ANN401 - a node of the YAML library
    """Open what does not fit, from the outside in: what an opened collection holds may fit on lines of its own."""
    if not isinstance(node, CommentedMap | CommentedSeq) or not node or _fits(node, flow_column):
        return node
    node.fa.set_block_style()
    if isinstance(node, CommentedSeq):
        for item in node:
            _laid_out(item, block_column + 2, block_column + 2)
    else:
        for key, value in node.items():
            below = block_column + (0 if isinstance(value, CommentedSeq) else 2)
            _laid_out(value, block_column + len(f"{key}: "), below)
    return node


def _fits(node: CommentedMap | CommentedSeq, column: int) -> bool:
    # Within a flow collection the library loses comments.
    return bool(node.fa.flow_style()) and not _has_comments(node) and column + len("".join(_written(node))) <= WIDTH


def _has_comments(node: object) -> bool:
    if not isinstance(node, CommentedMap | CommentedSeq):
        return False
    within = node.values() if isinstance(node, CommentedMap) else node
    return bool(node.ca.items) or any(_has_comments(item) for item in within)


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
