"""What of the documents is written from the code, held fresh."""

from __future__ import annotations

from pathlib import Path

import pytest

from docs.generated import files
from docs.marked import between


@pytest.mark.parametrize(("document", "text"), files().items(), ids=lambda value: getattr(value, "name", ""))
def test_the_tables_of_a_document_are_those_of_the_code(document: Path, text: str) -> None:
    assert document.read_text() == text, "run: make docs"


@pytest.mark.parametrize("text", ["# Metrics\n", "# Metrics\n<a>\n", "# Metrics\n<b>\n", "<b>\n<a>\n"])
def test_a_document_without_a_place_for_it_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="no place for it: write <a> and <b>"):
        between(text, "<a>", "<b>", "new")
