"""Damaged files of every layout: each caption is read or accounted for, or one line refuses the file."""

import random
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.data.mutations import mutated
from tests.data.test_layouts import LAYOUTS

from showtell.data.annotations import AnnotationError, Split
from showtell.data.formats import read_split
from showtell.data.settings import FolderConfig

Layout = Callable[[Path], None]
SPLITS = ("train", "val")
MOST = 5
"""Captions of a picture."""


def annotation_files(root: Path) -> list[Path]:
    """All that is not a picture."""
    return sorted(file for file in root.rglob("*") if file.is_file() and file.suffix != ".jpg")


def captions_in(root: Path) -> set[str]:
    """The captions whose words still stand in the files, looked for without a reader."""
    # a JSON beside a text says it again, and so does TextCaps of each picture's five
    files = (file for file in annotation_files(root) if not file.with_suffix(".txt").exists() or file.suffix == ".txt")
    text = "\n".join(file.read_bytes().decode("utf-8", "replace") for file in files)
    text = re.sub(r'"reference_strs": \[[^]]*\]', "", text)
    found = (f"picture {picture} seen by person {person}" for picture in range(1, 21) for person in range(MOST))
    return {caption for caption in found if caption in text}


def read(root: Path) -> tuple[Split, Split] | str:
    """Both splits, or the line that refuses them."""
    try:
        train, val = (read_split(FolderConfig(root=str(root)), name) for name in SPLITS)  # type: ignore[arg-type]
    except AnnotationError as error:
        return str(error)
    return train, val


def unaccounted(root: Path, found: tuple[Split, Split]) -> list[str]:
    """Captions that stand in the files and that neither a picture has nor a line speaks of."""
    said = "\n".join(caption for split in found for picture in split.pictures for caption in picture.captions)
    said += "\n".join(line for split in found for line in split.told)  # as columns are called
    lost = sorted(caption for caption in captions_in(root) if caption not in said)
    skipped = sum(len(split.skipped) for split in found)
    told = "\n".join(found[0].told)
    if "not read: `" in told:
        return []  # a whole column
    counted = re.findall(r"(\d+) (?:pictures? for the test|rows with fewer columns)", told)
    # a line speaks of a picture with all its captions, or of one of them
    return lost if len(lost) > MOST * (skipped + sum(map(int, counted))) else []


def damage(root: Path, layout: Layout, seed: int) -> Path:
    """Writes the layout, and one of its files with up to three faults."""
    rng = random.Random(seed)
    layout(root)
    file = rng.choice(annotation_files(root))
    file.write_bytes(mutated(file.read_bytes(), rng, rng.choice((1, 1, 1, 2, 3))))
    return file


def check(root: Path, layout: Layout, seed: int) -> str | None:
    """The line that refused the damaged layout, if one did."""
    damage(root, layout, seed)
    found = read(root)
    if isinstance(found, str):
        assert "\n" not in found and len(found) < 1000, found
        return found
    assert not unaccounted(root, found), (layout.__name__, seed)
    return None


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(sorted(LAYOUTS, key=lambda layout: layout.__name__)), st.integers(0, 2**32))
def test_damaged_annotations_are_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, layout: Layout, seed: int
) -> None:
    check(tmp_path_factory.mktemp("damaged"), layout, seed)


def test_the_account_notices_a_caption_that_a_reader_loses(tmp_path: Path) -> None:
    next(iter(LAYOUTS))(tmp_path)
    train, val = read(tmp_path)
    assert not unaccounted(tmp_path, (train, val))  # type: ignore[arg-type]
    assert unaccounted(tmp_path, (replace(train, pictures=train.pictures[1:]), val))  # type: ignore[arg-type,type-var]
