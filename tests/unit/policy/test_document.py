"""Text in, places out: what is read of YAML, what is refused, and where each thing stands."""

from __future__ import annotations

from typing import NamedTuple

import pytest

from cors_authz.policy.document import Document, Source, read_documents
from cors_authz.policy.finding import Place
from cors_authz.policy.scalar import Blank, plain_value
from cors_authz.policy.tree import MAX_FILE_BYTES

HEAD = "apiVersion: cors-authz/v1\nkind: PolicyBundle\nmetadata: {name: shop}\n"


def said(*texts: str | bytes) -> list[str]:
    """Read files `p.yaml`, `q.yaml`, ... and give the findings as an operator reads them."""
    sources = [
        Source(f"{name}.yaml", text if isinstance(text, bytes) else text.encode())
        for name, text in zip("pqrs", texts, strict=False)
    ]
    return [str(finding) for finding in read_documents(sources)[1]]


def document(text: str) -> Document:
    (read,), findings = read_documents([Source("p.yaml", text.encode())])
    assert findings == ()
    return read


NOTHING = "CX046 the policy is empty; it begins with apiVersion: cors-authz/v1"
NO_VALUE = "CX046 a value is missing here, a bracket above is not closed, or one closes what none has opened"
TOO_DEEP = "CX046 nested more than 32 deep; a policy needs far less, so look for brackets that are not closed"

REFUSED: dict[str, tuple[str, list[str]]] = {
    "a policy of nothing": ("", [f"p.yaml:1:1: {NOTHING}"]),
    "a policy of empty documents": ("---\n---\n# nothing\n--- ~\n", [f"p.yaml:1:1: {NOTHING}"]),
    "an alias": (
        HEAD + "originGroups:\n  a: {origins: &m [https://a.example]}\n  b: {origins: *m}\n",
        ["p.yaml:6:16: CX046 `*m`: aliases are not read; give the list a name in headerSets"],
    ),
    "an alias as a key": (
        HEAD + "guards: {*m : {authenticated: true}}\n",
        ["p.yaml:4:10: CX046 `*m`: aliases are not read; give the list a name in headerSets"],
    ),
    "a merge key, and not the keys that it may have brought": (
        HEAD + "resourceGroups:\n  a:\n    <<: {match: [{hosts: [a.example]}]}\n    allow: []\n",
        ["p.yaml:6:5: CX046 `<<`: merge keys are not read; write the keys out, or give a list a name in headerSets"],
    ),
    "a merge key, and not what it leaves undecided": (
        HEAD + "originGroups:\n  a:\n    <<: {origins: [https://a.example]}\n",
        ["p.yaml:6:5: CX046 `<<`: merge keys are not read; write the keys out, or give a list a name in headerSets"],
    ),
    "a key that is only called like a merge key": (
        HEAD + "originGroups: {a: {origins: [https://a.example], '<<': 1}}\n",
        [
            (
                "p.yaml:4:50: CX046 `<<` is not a key of an origin group; its keys are `origins`, `any`, `perTenant`, "
                "`trust`, `webView`, `dangerouslySharedSuffix`, `environments`, `contact`, `owner`, `reviewBy`, "
                "`description`"
            )
        ],
    ),
    "an alias for a version": (
        "apiVersion: *v\nkind: PolicyBundle\nmetadata: {name: shop}\n",
        ["p.yaml:1:13: CX046 `*v`: aliases are not read; give the list a name in headerSets"],
    ),
    "a merge key for a version and a kind": (
        "<<: {apiVersion: cors-authz/v1, kind: PolicyBundle}\n",
        ["p.yaml:1:1: CX046 `<<`: merge keys are not read; write the keys out, or give a list a name in headerSets"],
    ),
    "a tag for a document": ("!x y", ["p.yaml:1:1: CX046 `!x`: tags are not read; drop it, and put text in quotes"]),
    "a tag, and no second complaint about its value": (
        HEAD + "originGroups:\n  a: {origins: [!!str 1], trust: !mine high}\n",
        [
            "p.yaml:5:17: CX046 `!!str`: tags are not read; drop it, and put text in quotes",
            "p.yaml:5:34: CX046 `!mine`: tags are not read; drop it, and put text in quotes",
        ],
    ),
    "a tag on a key": (
        HEAD + "!!str guards: {}\n",
        ["p.yaml:4:1: CX046 `!!str`: tags are not read; drop it, and put text in quotes"],
    ),
    "a tag on a list": (
        HEAD + "originGroups: {a: {origins: !!seq [https://a.example]}}\n",
        ["p.yaml:4:29: CX046 `!!seq`: tags are not read; drop it, and put text in quotes"],
    ),
    "every key that is written twice": (
        HEAD + "guards:\n  a: {authenticated: true}\n  a: {authenticated: true, authenticated: true}\n  a: {}\n",
        [
            "p.yaml:6:3: CX046 `a` is written twice (also p.yaml:5:3); keep one of the two",
            "p.yaml:6:28: CX046 `authenticated` is written twice (also p.yaml:6:7); keep one of the two",
            "p.yaml:7:3: CX046 `a` is written twice (also p.yaml:5:3); keep one of the two",
        ],
    ),
    "a list as a key": (
        HEAD + "guards:\n  ? [a]\n  : {authenticated: true}\n",
        ["p.yaml:5:5: CX046 a list or a map as a key; keys are text: put it in quotes if it is meant as text"],
    ),
    "brackets without end": ("[" * 100_000, [f"p.yaml:1:33: {TOO_DEEP}"]),
    "braces without end": ("{a: " * 100_000, [f"p.yaml:1:129: {TOO_DEEP}"]),
    "dashes without end": ("- " * 100_000, [f"p.yaml:1:65: {TOO_DEEP}"]),
    "a pattern that begins an alias": (
        HEAD + "x: [*.shop.example]",
        ["p.yaml:4:6: CX046 `*` and `&` begin an alias or an anchor in YAML; put a value that begins so in quotes"],
    ),
    "a slot that begins a map": (
        HEAD + "x: [{tenant}.shop.example]",
        [
            (
                "p.yaml:4:13: CX046 the list is not closed; add `,` or `]`, and put a value that begins "
                "with `{` or `*` in "
                "quotes"
            )
        ],
    ),
    "a list that nothing closes, at the end of the file": (
        HEAD + "x: [\n",
        [f"p.yaml:5:1: {NO_VALUE}"],
    ),
    "a bracket that closes what none has opened": (
        HEAD + "x: ]\n",
        [f"p.yaml:4:4: {NO_VALUE}"],
    ),
    "a quote that is not closed, where it begins": (
        HEAD + "x: 'a\ny: b\n",
        ["p.yaml:4:4: CX046 the quote that begins here is not closed"],
    ),
    "a tab as indentation": (
        HEAD + "guards:\n\ta: {}\n",
        ["p.yaml:5:1: CX046 a tab in the indentation; indent with spaces"],
    ),
    "a tab after spaces, of a byte order mark, long characters and lines of another system": (
        "\ufeff# äöü 😀\r\nguards:\r\n  \ta: {}\r\n",
        ["p.yaml:3:3: CX046 a tab in the indentation; indent with spaces"],
    ),
    "a tab before an entry of a list": (
        HEAD + "guards:\n  a:\n    anyRole:\n\t- admin\n",
        ["p.yaml:7:1: CX046 a tab in the indentation; indent with spaces"],
    ),
    "a character that begins no value, after a tab": (
        HEAD + "guards:\n  a: \t@x\n",
        [
            (
                "p.yaml:5:7: CX046 a value cannot begin with this character in YAML (`@`, `%`, a backtick); put the"
                " value in quotes"
            )
        ],
    ),
    "what no sentence of ours describes": (
        HEAD + "x: |x\n",
        [
            (
                "p.yaml:4:5: CX046 not readable as YAML: did not find expected comment or line break; put the value in "
                "quotes, or mend its indentation"
            )
        ],
    ),
    "a control character": (
        HEAD + "x: é\x07",
        ["p.yaml:4:5: CX046 the character `U+0007` is not allowed in YAML; remove it"],
    ),
    "a break that only the parser sees, which would end a comment": (
        HEAD + "# like prod\u2028environments: {prod: {like: dev}}\n",
        ["p.yaml:4:12: CX046 the character `U+2028` ends a line where nobody sees it; remove it"],
    ),
    "the break of old mainframes": (
        HEAD + "\x85",
        ["p.yaml:4:1: CX046 the character `U+0085` ends a line where nobody sees it; remove it"],
    ),
    "a list for a document": (
        "- a\n",
        ["p.yaml:1:1: CX046 a list, not a document; it begins with apiVersion: cors-authz/v1"],
    ),
    "a text for a document": (
        "hello\n",
        ["p.yaml:1:1: CX046 the text `hello`, not a document; it begins with apiVersion: cors-authz/v1"],
    ),
    "neither version nor kind": (
        "metadata: {name: shop}\n",
        [
            "p.yaml:1:1: CX046 the document has no `apiVersion`; write apiVersion: cors-authz/v1",
            "p.yaml:1:1: CX046 the document has no `kind`; write kind: PolicyBundle or PolicyPart or TenantOverlay",
        ],
    ),
    "a version of tomorrow": (
        "apiVersion: cors-authz/v2\nkind: PolicyBundle\n",
        [
            (
                "p.yaml:1:13: CX046 `cors-authz/v2` is not one of the values of `apiVersion`; write apiVersion: "
                "cors-authz/v1"
            )
        ],
    ),
    "a version that is a number, and a kind without a value": (
        "apiVersion: 1\nkind:\n",
        [
            "p.yaml:1:13: CX046 `apiVersion` is the number `1`; write apiVersion: cors-authz/v1",
            "p.yaml:2:6: CX046 `kind` has no value; write kind: PolicyBundle or PolicyPart or TenantOverlay",
        ],
    ),
    "a kind that is cut short": (
        "apiVersion: cors-authz/v1\nkind: Policy\n",
        ["p.yaml:2:7: CX046 `Policy` is not one of the values of `kind`; did you mean `PolicyBundle`?"],
    ),
    "a kind with a slip": (
        "apiVersion: cors-authz/v1\nkind: PolicyBundel\n",
        ["p.yaml:2:7: CX046 `PolicyBundel` is not one of the values of `kind`; did you mean `PolicyBundle`?"],
    ),
    "a second document of a file, where it stands": (
        HEAD + "---\n" + HEAD + "guards: {a: *m}\n",
        ["p.yaml:8:13: CX046 `*m`: aliases are not read; give the list a name in headerSets"],
    ),
}


@pytest.mark.parametrize(("text", "findings"), REFUSED.values(), ids=REFUSED)
def test_refuses(text: str, findings: list[str]) -> None:
    assert said(text) == findings


def test_a_byte_that_is_no_utf8_is_refused_where_it_stands() -> None:
    assert said("é: ä".encode() + b"\nb: \xff") == [
        "p.yaml:2:4: CX046 the byte `0xff` is not UTF-8; save the file as UTF-8"
    ]


def test_columns_do_not_count_a_byte_order_mark() -> None:
    assert said(b"\xef\xbb\xbfa: \xff") == ["p.yaml:1:4: CX046 the byte `0xff` is not UTF-8; save the file as UTF-8"]


def test_a_document_with_a_mistake_is_left_out_though_its_model_would_do() -> None:
    twice = HEAD + "guards: {a: {authenticated: true}, a: {authenticated: true}}\n"
    assert read_documents([Source("p.yaml", twice.encode())])[0] == ()


def test_a_file_of_a_mebibyte_is_read_and_one_byte_more_is_not() -> None:
    full = HEAD + "#" * (MAX_FILE_BYTES - len(HEAD))
    assert said(full) == []
    assert said(full + "#") == [
        "p.yaml:1:1: CX046 the file has 1048577 bytes; 1 MiB is the most: move some to a PolicyPart"
    ]


def test_a_byte_order_mark_counts_or_a_file_that_is_read_in_part_would_pass() -> None:
    assert said("\ufeff" + HEAD + "#" * (MAX_FILE_BYTES - len(HEAD) - 2)) == [
        "p.yaml:1:1: CX046 the file has 1048577 bytes; 1 MiB is the most: move some to a PolicyPart"
    ]


def test_a_byte_order_mark_is_no_part_of_the_first_key() -> None:
    assert document("\ufeff" + HEAD).place("apiVersion") == Place("p.yaml", 1, 13)


def test_thirty_two_levels_are_read() -> None:
    assert said("[" * 32 + "]" * 32) == [
        "p.yaml:1:1: CX046 a list, not a document; it begins with apiVersion: cors-authz/v1"
    ]
    assert said("[" * 33 + "]" * 33) == [f"p.yaml:1:33: {TOO_DEEP}"]


def test_an_anchor_that_nothing_names_is_read() -> None:
    assert said(HEAD + "originGroups: {a: {origins: &m [https://a.example]}}\n") == []


def test_mistakes_of_all_files_come_at_once_in_the_order_of_files_and_lines() -> None:
    good = HEAD.replace("Bundle", "Part").replace("shop", "shop, owner: shop")
    documents, findings = read_documents(
        [
            Source("b.yaml", (HEAD + "guards: {a: *m, b: 1}\nfoo: 1\n").encode()),
            Source("a.yaml", b"'"),
            Source("c.yaml", good.encode()),
        ]
    )
    assert [read.file for read in documents] == ["c.yaml"]
    assert [str(finding.place) for finding in findings] == ["b.yaml:4:13", "b.yaml:4:20", "b.yaml:5:1", "a.yaml:1:1"]


def test_what_stands_before_a_slip_of_yaml_is_still_judged() -> None:
    assert [text.split(":")[1] for text in said(HEAD + "foo: 1\n---\n'")] == ["4", "6"]


def test_no_files_are_no_policy() -> None:
    assert said() == [f"policy:1:1: {NOTHING}"]


def test_several_documents_of_a_file_are_read_and_empty_ones_skipped() -> None:
    part = "---\napiVersion: cors-authz/v1\nkind: PolicyPart\nmetadata: {name: a, owner: b}\n"
    documents, findings = read_documents([Source("p.yaml", (HEAD + part + "---\n" + part).encode())])
    assert findings == ()
    assert [(read.kind, read.place().line) for read in documents] == [
        ("PolicyBundle", 1),
        ("PolicyPart", 5),
        ("PolicyPart", 10),
    ]


TREE = (
    HEAD
    + """\
resourceGroups:
  orders:
    match:
    - {hosts: [api.example]}
    - hosts:
      - b.example
      - "c.example"
    allow: []
"""
)


class Way(NamedTuple):
    """A path, and where its value and its key stand."""

    path: tuple[str | int, ...]
    value: tuple[int, int]
    key: tuple[int, int]


WAYS: dict[str, Way] = {
    "the document begins at its first key": Way((), (1, 1), (1, 1)),
    "a scalar": Way(("apiVersion",), (1, 13), (1, 1)),
    "a value in a map on one line": Way(("metadata", "name"), (3, 18), (3, 12)),
    "a map begins at its first key": Way(("resourceGroups",), (5, 3), (4, 1)),
    "a named object": Way(("resourceGroups", "orders"), (6, 5), (5, 3)),
    "an entry of a list has no key": Way(("resourceGroups", "orders", "match", 0), (7, 7), (7, 7)),
    "a key within an entry": Way(("resourceGroups", "orders", "match", 1, "hosts"), (9, 7), (8, 7)),
    "a text in a list": Way(("resourceGroups", "orders", "match", 1, "hosts", 1), (10, 9), (10, 9)),
    "a list": Way(("resourceGroups", "orders", "allow"), (11, 12), (11, 5)),
    "a key that is not there: the object": Way(("resourceGroups", "orders", "docs"), (6, 5), (5, 3)),
    "an index that is not there: the list": Way(("resourceGroups", "orders", "allow", 0), (11, 12), (11, 5)),
    "a negative index is not there": Way(("resourceGroups", "orders", "match", -1), (7, 5), (6, 5)),
    "a key of a list is not there": Way(("resourceGroups", "orders", "match", "hosts"), (7, 5), (6, 5)),
    "an index of a map is not there": Way(("resourceGroups", 0), (5, 3), (4, 1)),
    "a path below a text ends at the text": Way(("apiVersion", "x", 0), (1, 13), (1, 1)),
    "a path through nothing ends before it": Way(("nothing", "kind"), (1, 1), (1, 1)),
}


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_places(way: Way) -> None:
    read = document(TREE)
    assert read.place(*way.path) == Place("p.yaml", *way.value)
    assert read.key_place(*way.path) == Place("p.yaml", *way.key)


PLAIN: dict[str, str | int | float | bool | Blank] = {
    "": Blank.NULL,
    "~": Blank.NULL,
    "null": Blank.NULL,
    "NULL": Blank.NULL,
    "nULL": "nULL",
    "true": True,
    "True": True,
    "TRUE": True,
    "tRUE": "tRUE",
    "false": False,
    "yes": "yes",
    "no": "no",
    "on": "on",
    "12:30": "12:30",
    "2026-11-20": "2026-11-20",
    "0": 0,
    "-19": -19,
    "+7": 7,
    "007": 7,
    "0o17": 15,
    "0o18": "0o18",
    "0x1F": 31,
    "-0x1F": "-0x1F",
    "0b11": "0b11",
    "1_000": "1_000",
    "1.50": 1.5,
    ".5": 0.5,
    "-1e3": -1000.0,
    "1.": 1.0,
    ".": ".",
    "-": "-",
    "1.2.3": "1.2.3",
    ".inf": float("inf"),
    "-.INF": float("-inf"),
    "inf": "inf",
    "١٢": "١٢",
    "1" * 64: int("1" * 64),
    "1" * 65: "1" * 65,
    "1" * 5000: "1" * 5000,
}


@pytest.mark.parametrize("text", PLAIN, ids=lambda text: f"plain {text[:20]!r}")
def test_plain_scalars_follow_the_core_schema(text: str) -> None:
    assert (plain_value(text), type(plain_value(text))) == (PLAIN[text], type(PLAIN[text]))


def test_keys_and_quoted_values_are_text() -> None:
    read = document(HEAD + 'teams: {true: {contact: "1"}, 1: {contact: \'yes\'}, null: {contact: "true"}}\n')
    assert read.model.model_dump()["teams"] == {
        "true": {"contact": "1", "members": (), "governs": ()},
        "1": {"contact": "yes", "members": (), "governs": ()},
        "null": {"contact": "true", "members": (), "governs": ()},
    }


def test_a_finding_names_the_object_that_it_is_about() -> None:
    _, (finding,) = read_documents([Source("p.yaml", (HEAD + "teams: {web: {contact: 1}}\n").encode())])
    assert finding.about == "teams/web"


def test_a_value_is_shown_on_one_line_of_a_terminal() -> None:
    (text,) = said(HEAD + f'originGroups: {{a: {{origins: [x], trust: "\\e[31m\\n{"x" * 200}"}}}}\n')
    assert text == (
        "p.yaml:4:41: CX046 `trust` takes `low`, `medium` or `high`, not the text `\\x1b[31m\\n" + "x" * 113 + "…`"
    )
