"""Where what is there is not what was asked for, the error says what to type, and typing it works."""

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.data import test_layouts as layouts

from showtell.data.__main__ import main


def flickr8k(root: Path, pictures: str = "Flicker8k_Dataset") -> None:
    """As its authors published it."""
    layouts.touch(root / pictures)
    rows = [f"{name}#{i}\t{layouts.said(name, i)} .\n" for name in layouts.NAMES for i in range(5)]
    for name in ("Flickr8k.token.txt", "Flickr8k.lemma.token.txt"):
        layouts.write(root / name, "".join(rows))
    layouts.write(root / "Flickr_8k.trainImages.txt", "\n".join(layouts.NAMES[:15]))
    layouts.write(root / "Flickr_8k.devImages.txt", "\n".join(layouts.NAMES[15:]))
    layouts.write(root / "ExpertAnnotations.txt", "1.jpg\t2.jpg#2\t1\t1\t1\n")
    layouts.write(root / "readme.txt", "If you publish work based on this dataset, please cite\n")


def two_levels(root: Path) -> None:
    flickr8k(root, "Flicker8k_Dataset/Flicker8k_Dataset")


def images_instead(root: Path) -> None:
    flickr8k(root, "Images")


def inner(layout: Callable[[Path], None]) -> Callable[[Path], None]:
    return lambda root: layout(root / "a" / "inner")


def two_tables(root: Path) -> None:
    layouts.csv(root)
    shutil.copy(root / "captions.csv", root / "captions_old.csv")


def classes(root: Path) -> None:
    for number, name in enumerate(layouts.NAMES):
        layouts.touch(root / ("black_cat", "dog", "cow")[number % 3], [name])


def unknown_columns(root: Path) -> None:
    layouts.touch(root / "images")
    rows = [f"{name},{layouts.said(name)},somebody\n" for name in layouts.NAMES]
    layouts.write(root / "list.csv", "foto,words,who\n" + "".join(rows))


ADVICE: dict[str, tuple[Callable[[Path], None], list[str], list[str]]] = {
    "another year": (layouts.coco_2017, ["data=coco2014"], ["data=coco2017"]),
    "not Karpathy's": (layouts.coco_2017, ["data=karpathy"], ["data=coco2017"]),
    "Karpathy's": (layouts.karpathy, ["data=coco2014"], ["data=karpathy"]),
    "Kaggle's": (layouts.kaggle_flickr8k, ["data=flickr8k"], ["data=custom"]),
    "own photographs": (layouts.sidecars, ["data=coco2017"], ["data=custom"]),
    "no data set named": (layouts.csv, [], ["data=custom"]),
    "the authors' Flickr8k": (flickr8k, ["data=custom"], ["data=flickr8k"]),
    "another folder": (
        images_instead, ["data=flickr8k"], ["data.train_images=Images", "data.val_images=Images"]
    ),
    "one level deeper": (
        two_levels, ["data=flickr8k"],
        [f"data.{split}_images=Flicker8k_Dataset/Flicker8k_Dataset" for split in ("train", "val")],
    ),
    "all one level deeper": (inner(layouts.coco_2017), ["data=coco2017"], ["data=coco2017", "data.root=ROOT/inner"]),
    "two tables": (
        two_tables, ["data=custom"], ["data.train_annotations=captions.csv", "data.val_annotations=captions.csv"]
    ),
    "classes": (classes, ["data=custom"], ["data.train_annotations=folder_names"]),
}  # fmt: skip


@pytest.mark.parametrize("name", ADVICE)
def test_the_advice_is_right(tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str) -> None:
    layout, words, advised = ADVICE[name]
    layout(tmp_path)
    root = tmp_path / "a" if name == "all one level deeper" else tmp_path
    asked = [*words, f"data.root={root}"]
    assert main(["check", *asked, "--fast"]) == 2
    error = capsys.readouterr().err
    typed = re.findall(r"data[.=][^\s?,;)]+", error.rpartition("; ")[2])
    assert typed == [word.replace("ROOT", str(root)) for word in advised] and error.count("\n") == 1
    following = {word.partition("=")[0]: word for word in [*asked, *typed]}
    assert main(["check", *following.values(), "--fast"]) == 0


def test_columns_can_be_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    unknown_columns(tmp_path)
    words = ["check", "data=custom", f"data.root={tmp_path}", "--fast"]
    assert main(words) == 2
    error = capsys.readouterr().err
    assert (
        "`foto`, `words`, `who` do not tell which holds captions; say which, e.g. data.caption_column=words\n" in error
    )
    assert main([*words, "data.caption_column=words"]) == 0
    assert "pictures from `foto`, captions from `words`" in capsys.readouterr().out
    assert main([*words, "data.caption_column=word"]) == 2
    assert "no column `word` (data.caption_column); its columns are `foto`, `words`, `who`" in capsys.readouterr().err


def test_pictures_without_captions_are_told_how_to_get_some(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    layouts.touch(tmp_path)
    assert main(["check", str(tmp_path)]) == 2
    assert "holds 20 pictures but no captions; write a captions.csv (image,caption)" in capsys.readouterr().err
    layouts.write(tmp_path / "captions.csv", layouts.table(",", "image", "caption"))
    assert main(["check", str(tmp_path), "--fast"]) == 0


def test_a_sheet_is_to_be_saved_as_csv(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    layouts.touch(tmp_path)
    layouts.touch(tmp_path, ["captions.xlsx"])
    assert main(["check", str(tmp_path)]) == 2
    assert "no captions; save captions.xlsx as CSV in UTF-8" in capsys.readouterr().err
    (tmp_path / "captions.csv").write_bytes(layouts.table(",", "image", "caption").encode("utf-16"))
    assert main(["check", str(tmp_path)]) == 2
    assert "captions.csv: byte 0 is not UTF-8 text; save the file as UTF-8" in capsys.readouterr().err


def test_a_key_of_nearly_the_name_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    layouts.coco_files(tmp_path)
    file = tmp_path / "captions_train.json"
    right = file.read_text()
    file.write_text(right.replace("file_name", "filename"))
    assert main(["check", str(tmp_path), "--fast"]) == 2
    assert "images[0].file_name is missing; found `filename`, wanted `file_name`: rename it" in capsys.readouterr().err


def test_a_folder_of_nearly_the_name_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    layouts.csv(tmp_path / "holidays")
    assert main(["check", "data=custom", f"data.root={tmp_path}/holiday"]) == 2
    assert f"did you mean {tmp_path}/holidays?" in capsys.readouterr().err
