"""Layouts in which people keep pictures and captions: each is written here as it lies on their disks, and found."""

import json
import shlex
from collections.abc import Callable
from pathlib import Path

import pytest

from showtell.config import DataConfig
from showtell.config.presets import data_config
from showtell.data.__main__ import main
from showtell.data.annotations import Split
from showtell.data.formats import read_split
from showtell.data.settings import FolderConfig

NAMES = [f"{number}.jpg" for number in range(1, 21)]


def touch(folder: Path, names: list[str] = NAMES) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


def said(name: str, number: int = 0) -> str:
    return f"picture {Path(name).stem} seen by person {number}"


def table(mark: str, *header: str, names: list[str] = NAMES) -> str:
    rows = [mark.join([name, said(name)]) for name in names]
    return "\n".join([*([mark.join(header)] if header else []), *rows]) + "\n"


def write(file: Path, content: object) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(content if isinstance(content, str) else json.dumps(content))


def coco(names: list[str], first: int = 0, **image: object) -> dict[str, object]:
    images = [{"id": first + i, "file_name": name, **image} for i, name in enumerate(names)]
    notes = [{"id": first + i, "image_id": first + i, "caption": said(name)} for i, name in enumerate(names)]
    return {"info": {}, "images": images, "annotations": notes}


def csv(root: Path) -> None:
    touch(root / "photos")
    write(root / "captions.csv", table(",", "image", "caption"))


def semicolons(root: Path) -> None:
    """As a German Excel saves it, with a byte order mark."""
    touch(root)
    write(root / "Tabelle1.csv", "\ufeff" + table(";", "datei", "beschreibung").replace("\n", "\r\n"))


def tsv(root: Path) -> None:
    """open_clip's."""
    touch(root / "images")
    write(root / "train.tsv", table("\t", "filepath", "title"))


def csv_per_split(root: Path) -> None:
    touch(root / "images")
    write(root / "train.csv", table(",", "image", "caption", names=NAMES[:15]))
    write(root / "val.csv", table(",", "image", "caption", names=NAMES[15:]))


def csv_with_split(root: Path) -> None:
    """Flickr30k on Hugging Face: JSON lists in `raw`, a column `split`."""
    touch(root / "flickr30k-images")
    rows = [f'"[""{said(n)}"", ""{said(n, 1)}""]",{"val" if i >= 15 else "train"},{n}\n' for i, n in enumerate(NAMES)]
    write(root / "flickr_annotations_30k.csv", "raw,split,filename\n" + "".join(rows))


def several_columns(root: Path) -> None:
    touch(root / "img")
    rows = [f"{name},{said(name)},{said(name, 1)}\n" for name in NAMES]
    write(root / "captions.csv", "filename,caption_1,caption_2\n" + "".join(rows))


def jsonl(root: Path) -> None:
    """Hugging Face's ImageFolder: metadata beside the pictures."""
    touch(root / "train", NAMES[:15])
    touch(root / "validation", NAMES[15:])
    for folder, names in (("train", NAMES[:15]), ("validation", NAMES[15:])):
        lines = [json.dumps({"file_name": name, "text": said(name)}) + "\n" for name in names]
        write(root / folder / "metadata.jsonl", "".join(lines))


def jsonl_lists(root: Path) -> None:
    touch(root / "images")
    lines = [json.dumps({"image": f"images/{name}", "captions": [said(name), said(name, 1)]}) + "\n" for name in NAMES]
    write(root / "data.jsonl", "".join(lines))


def json_list(root: Path) -> None:
    """BLIP's: a list of records, names with folders."""
    touch(root / "val2014")
    write(root / "captions.json", [{"image": f"val2014/{name}", "caption": [said(name)]} for name in NAMES])


def json_names(root: Path) -> None:
    touch(root / "images")
    write(root / "captions.json", {name: [said(name), said(name, 1)] for name in NAMES})


def kaggle_flickr8k(root: Path) -> None:
    touch(root / "Images")
    rows = [f'{name},"{said(name, i)} , indeed ."\n' for name in NAMES for i in range(5)]
    write(root / "captions.txt", "image,caption\n" + "".join(rows))


def kaggle_flickr30k(root: Path) -> None:
    """One folder within another of the same name, as the archive unpacks."""
    touch(root / "flickr30k_images" / "flickr30k_images")
    rows = [f"{name}| {i}|  {said(name, i)} , indeed .\n" for name in NAMES for i in range(5)]
    write(root / "flickr30k_images" / "results.csv", "image_name| comment_number| comment\n" + "".join(rows))


def token_file(root: Path) -> None:
    touch(root / "flickr30k-images")
    rows = [f"{name}#{i}\t{said(name, i)} , indeed .\n" for name in NAMES for i in range(5)]
    write(root / "results_20130124.token", "".join(rows))


def cc3m(root: Path) -> None:
    """`caption<TAB>address` without a header, the files under the last part of their addresses."""
    touch(root / "training")
    rows = [f"{said(name)}\thttp://host.example/a/{name}?w=200\n" for name in NAMES]
    write(root / "Train_GCC-training.tsv", "".join(rows))


def cc3m_local(root: Path) -> None:
    touch(root / "images")
    write(root / "cc3m.tsv", "".join(f"{said(name)}\timages/{name}\n" for name in NAMES))


def captions_on_a_line(root: Path) -> None:
    touch(root / "images")
    write(root / "captions.tsv", "".join(f"{name}\t{said(name)}\t{said(name, 1)}\n" for name in NAMES))


def sidecars(root: Path) -> None:
    touch(root)
    for name in NAMES:
        write((root / name).with_suffix(".txt"), f"{said(name)}\n{said(name, 1)}\n")
    write(root / "README.txt", "my photographs")


def sidecars_in_folders(root: Path) -> None:
    """img2dataset's: numbered folders, a text and a JSON beside each picture."""
    for number, name in enumerate(NAMES):
        folder = root / f"{number % 3:05}"
        touch(folder, [name])
        write((folder / name).with_suffix(".txt"), said(name))
        write((folder / name).with_suffix(".json"), {"caption": said(name), "status": "success"})


def sidecars_per_split(root: Path) -> None:
    for folder, names in (("train", NAMES[:15]), ("val", NAMES[15:])):
        touch(root / folder, names)
        for name in names:
            write(root / folder / f"{name}.txt", said(name))


def coco_files(root: Path) -> None:
    touch(root / "images")
    write(root / "captions_train.json", coco(NAMES[:15]))
    write(root / "captions_val.json", coco(NAMES[15:], 100))


def coco_2017(root: Path) -> None:
    """With the other files of its archive beside those with the captions."""
    for split, names in (("train", NAMES[:15]), ("val", NAMES[15:])):
        touch(root / f"{split}2017", names)
        write(root / f"annotations/captions_{split}2017.json", coco(names))
        other = {"images": [{"id": 0, "file_name": names[0]}], "annotations": [{"bbox": []}], "categories": []}
        write(root / f"annotations/instances_{split}2017.json", other)


def one_coco_file(root: Path) -> None:
    touch(root / "images")
    write(root / "captions.json", coco(NAMES))


def vizwiz(root: Path) -> None:
    for split, names in (("train", NAMES[:15]), ("val", NAMES[15:])):
        touch(root / split, names)
        content = coco(names, vizwiz_url="https://host.example/x.jpg", text_detected=False)
        notes = content["annotations"]
        assert isinstance(notes, list)
        for note in notes:
            note |= {"is_precanned": False, "is_rejected": False, "text_detected": False}
        write(root / f"annotations/{split}.json", content)


def textcaps(root: Path) -> None:
    """Training and validation pictures share a folder, whose name is not the one in `image_path`."""
    touch(root / "train_images")
    for split, names in (("train", NAMES[:15]), ("val", NAMES[15:])):
        entries = [
            {
                "image_id": Path(name).stem, "image_name": Path(name).stem, "image_path": f"train/{name}",
                "caption_id": 5 * i + j, "caption_str": said(name, j), "image_classes": ["Sign"], "set_name": split,
                "reference_strs": [said(name, k) for k in range(5)],
            }
            for i, name in enumerate(names)
            for j in range(5)
        ]  # fmt: skip
        write(root / f"TextCaps_0.1_{split}.json", {"dataset_name": "textcaps", "data": entries})


def nocaps(root: Path) -> None:
    touch(root / "images")
    write(root / "nocaps_val_4500_captions.json", coco(NAMES, domain="near-domain", open_images_id="00"))


def karpathy(root: Path) -> None:
    images = []
    for number, name in enumerate(NAMES):
        touch(root / "val2014", [name])
        image = {"filepath": "val2014", "filename": name, "split": "val" if number >= 15 else "restval"}
        images.append(image | {"cocoid": number, "sentences": [{"raw": said(name), "tokens": []}]})
    write(root / "dataset_coco.json", {"images": images, "dataset": "coco"})


LAYOUTS: dict[Callable[[Path], None], tuple[int, int, int]] = {
    csv: (18, 2, 1), semicolons: (18, 2, 1), tsv: (18, 2, 1), csv_per_split: (15, 5, 1), csv_with_split: (15, 5, 2),
    several_columns: (18, 2, 2), jsonl: (15, 5, 1), jsonl_lists: (18, 2, 2), json_list: (18, 2, 1),
    json_names: (18, 2, 2), kaggle_flickr8k: (18, 2, 5), kaggle_flickr30k: (18, 2, 5), token_file: (18, 2, 5),
    cc3m: (18, 2, 1), cc3m_local: (18, 2, 1), captions_on_a_line: (18, 2, 2), sidecars: (18, 2, 2),
    sidecars_in_folders: (18, 2, 1), sidecars_per_split: (15, 5, 1), coco_files: (15, 5, 1), coco_2017: (15, 5, 1),
    one_coco_file: (18, 2, 1), vizwiz: (15, 5, 1), textcaps: (15, 5, 5), nocaps: (18, 2, 1), karpathy: (15, 5, 1),
}  # fmt: skip
"""How many pictures of training and of validation each has, and captions per picture."""


def splits(config: DataConfig) -> tuple[Split, Split]:
    return read_split(config, "train"), read_split(config, "val")


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: layout.__name__)
def test_a_layout_is_found_and_read_whole(tmp_path: Path, layout: Callable[[Path], None]) -> None:
    layout(tmp_path)
    train, val = splits(FolderConfig(root=str(tmp_path)))
    assert (len(train.pictures), len(val.pictures)) == LAYOUTS[layout][:2] and not train.skipped + val.skipped
    pictures = [*train.pictures, *val.pictures]
    assert {picture.path.name for picture in pictures} == set(NAMES) and all(p.path.is_file() for p in pictures)
    for picture in pictures:
        assert len(picture.captions) == LAYOUTS[layout][2]
        assert all(caption.startswith(f"picture {picture.path.stem} seen") for caption in picture.captions)


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: layout.__name__)
def test_what_check_spells_out_says_the_same(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], layout: Callable[[Path], None]
) -> None:
    layout(tmp_path)
    assert main(["check", str(tmp_path), "--fast"]) == 0
    output = capsys.readouterr().out
    words = shlex.split(output.partition("in full: ")[2].partition("\n")[0])
    assert f"data.root={tmp_path}" in words and not any(word.endswith("=auto") for word in words)
    assert splits(data_config(words)) == splits(FolderConfig(root=str(tmp_path)))
