"""Policy documents: YAML text in; models, the places of all that they say, and every mistake of their shape out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from cors_authz.policy.finding import Finding, Place
from cors_authz.policy.mistakes import Fault, model_of
from cors_authz.policy.schema import API_VERSION, Model
from cors_authz.policy.tree import Marks, Reader, Spot, Tree, key_of, spot_of, value_of


class Source(NamedTuple):
    """A file of the policy: its name as the operator wrote it, and its bytes."""

    name: str
    data: bytes


@dataclass(frozen=True, slots=True)
class Document:
    """A document without a mistake of its shape: what it says, and where."""

    file: str
    kind: str
    marks: Marks
    begin: Spot
    model: Model

    def place(self, *path: str | int) -> Place:
        """Give the place of the value at a path of keys, as YAML writes them, and of indices from 0.

        Returns: the place; that of the nearest value around it where the path leads to nothing. Never raises.
        """
        return Place(self.file, *value_of(spot_of(self.marks, self.begin, path)))

    def key_place(self, *path: str | int) -> Place:
        """Give the place of the key at a path; entries of lists have none, so there it is that of the value.

        Returns: the place; that of the nearest key around it where the path leads to nothing. Never raises.
        """
        return Place(self.file, *key_of(spot_of(self.marks, self.begin, path)))


def read_documents(sources: Sequence[Source]) -> tuple[tuple[Document, ...], tuple[Finding, ...]]:
    """Read the files of a policy.

    Args:
        sources: the files, each at most 1 MiB of UTF-8; one or more YAML documents a file, empty ones are skipped.

    Returns: the documents without a mistake; every mistake of the others (CX046; CX024 for an exception without end,
    reason or ticket) in the order of files and lines. A policy without any document is a mistake, too. Never raises.
    Spec: https://yaml.org/spec/1.2.2/.
    """
    documents: list[Document] = []
    findings: list[Finding] = []
    for source in sources:
        read, refused = _read_source(source)
        documents.extend(read)
        findings.extend(sorted(refused, key=lambda finding: (finding.place.line, finding.place.column)))
    if not documents and not findings:
        nowhere = Place(sources[0].name if sources else "policy", 1, 1)
        findings.append(Finding(nowhere, "CX046", f"the policy is empty; it begins with apiVersion: {API_VERSION}"))
    return tuple(documents), tuple(findings)


def _read_source(source: Source) -> tuple[list[Document], list[Finding]]:
    documents: list[Document] = []
    findings: list[Finding] = []
    reader = Reader(source.name, source.data)
    for read in reader.documents():
        model, faults = model_of(read.data)
        findings.extend(_finding(source.name, read, fault) for fault in faults)
        if model and not faults and read.whole:
            documents.append(Document(source.name, model.kind, read.marks, read.spot, model))
    return documents, [*reader.findings, *findings]


def _finding(file: str, read: Tree, fault: Fault) -> Finding:
    spot = spot_of(read.marks, read.spot, fault.path)
    about = "/".join(str(step) for step in fault.path[:2])
    place = Place(file, *(key_of(spot) if fault.at_key else value_of(spot)))
    return Finding(place, fault.code, fault.text, about=about)
