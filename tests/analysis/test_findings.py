"""Captions at the edge of what there can be."""

from pathlib import Path

import pytest
from tests.analysis.conftest import material_of
from tests.analysis.test_command import data_of

from showtell.analysis.findings import analyse, lines
from showtell.analysis.material import Things
from showtell.analysis.page import write_page
from showtell.evaluation.things import coco_lexicon


@pytest.mark.parametrize(
    ("captions", "references"),
    [
        ([""], [["a dog"]]),
        (["a"], [["a"]]),
        (["", ""], [["..."], ["a dog", ""]]),
        (["a dog runs"] * 30, [["a dog runs"] * 2] * 30),
    ],
)
def test_little_to_say_is_no_error(captions: list[str], references: list[list[str]], tmp_path: Path) -> None:
    found = analyse(material_of(captions, references, things=Things(coco_lexicon(), None, "")))
    assert found.inventions is not None and (found.inventions.i.value, found.inventions.s.value) == (0, 0)
    assert next(iter(lines(found))).startswith("invented things")
    write_page(found, tmp_path / "p.html")
    assert [one["caption"] for one in data_of(tmp_path / "p.html")["pictures"]] == captions
