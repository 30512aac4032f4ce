"""What lies in a folder: which files hold captions, where their pictures lie, which prepared data set it is.

Only names are looked at, and the first rows of a file for names of pictures. Where more than one thing could be meant
nothing is chosen: the error lists them with the setting that chooses.
"""

import os
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from functools import cache
from itertools import islice
from pathlib import Path

from showtell.config import DataConfig, find
from showtell.config.presets import data_sets
from showtell.data.annotations import AnnotationError, AnnotationFile, MissingDataError
from showtell.data.formats.records import json_lines, record_rows
from showtell.data.formats.rows import A_SUFFIX, LOOKS_LIKE_PICTURE, Wanted, names_picture
from showtell.data.formats.table import is_table, table_rows
from showtell.data.paths import is_url, shown
from showtell.terminal import tell

SIDECARS = ("*.txt", "*.caption")
FOLDER_NAMES = "folder_names"
COCO_NAMES = ("captions_train.json", "captions_val.json")  # as data=custom wanted them before it found anything
TABLES = (".csv", ".tsv", ".jsonl", ".json", ".token")
_SPLIT_WORD = re.compile(r"(?<![a-z])(train(?:ing)?|val(?:id(?:ation)?)?|dev|test(?:ing)?)(?![a-z])", re.IGNORECASE)
_OF_CAPTIONS = re.compile(r"caption|token|metadata|result|dataset_|comment", re.IGNORECASE)
_IN_JSON = re.compile(r'"(?:captions?|caption_str|sentences|text|raw)"\s*:')
_PICTURE_IN_JSON = re.compile(rf'"((?:[^"\\]|\\.)*{A_SUFFIX})"', re.IGNORECASE)
_KARPATHY_FOLDER = re.compile(r'"filepath"\s*:\s*"([^"\\]+)"')
_DEPTH = 3
_MOST_FOLDERS = 3000
_HEAD = 1 << 18
_SAMPLE = 20
_MOST_INNER = 20
_MOST_OPENED = 50


def folders(root: Path) -> list[str]:
    """The folders below a root, relative to it and the root first, at most three deep."""
    found, level = ["."], ["."]
    for _ in range(_DEPTH):
        level = [inner for folder in level for inner in _folders_in(root, folder)][: _MOST_FOLDERS - len(found)]
        found += level
    return found


def _folders_in(root: Path, folder: str) -> list[str]:
    with suppress(OSError), os.scandir(root / folder) as entries:
        names = sorted(e.name for e in entries if not e.name.startswith((".", "__MACOSX")) and e.is_dir())
        return [os.path.normpath(os.path.join(folder, name)) for name in names]
    return []


def _files_in(root: Path, folder: str) -> list[str]:
    with suppress(OSError), os.scandir(root / folder) as entries:
        return sorted(e.name for e in entries if not e.name.startswith(".") and not e.is_dir())
    return []


def find_annotations(root: Path) -> tuple[str, str]:
    """The files with the captions of training and validation, which may be one, or what stands for sidecars.

    Raises:
        AnnotationError: there are none, or which are meant cannot be told.
    """
    if all((root / name).is_file() for name in COCO_NAMES):
        return COCO_NAMES
    looked = [_caption_files(root, folder) for folder in [".", *_folders_in(root, ".")]]
    candidates, unopened = ([file for pair in looked for file in pair[place]] for place in (0, 1))
    beyond = f"{len(unopened):,} files such as {shown(unopened[0])} were not searched for captions" if unopened else ""
    if beyond:
        _say(f"{beyond} ({_MOST_OPENED} of a kind in a folder are); if they hold them, set data.train_annotations")
    groups: dict[str, dict[str, str]] = {}
    for file in candidates:
        word = _SPLIT_WORD.search(file)
        kind = word[1].lower()[:3].replace("dev", "val") if word else "all"
        groups.setdefault(_SPLIT_WORD.sub("*", file), {}).setdefault(kind, file)
    pairs = [(found["tra"], found["val"]) for found in groups.values() if {"tra", "val"} <= found.keys()]
    alone = [(found[kind],) * 2 for kind in ("all", "tra", "val") for found in groups.values() if kind in found]
    for choices in (pairs, alone):
        telling = [files for files in choices if _OF_CAPTIONS.search(files[0])] or choices
        if len(telling) == 1:
            return telling[0]
        if telling:
            listed = ", ".join(dict.fromkeys(file for files in telling for file in files))
            raise MissingDataError(
                f"{shown(root)} has several files that may hold the captions: {listed}",
                f"say which, e.g. data.train_annotations={telling[0][0]} data.val_annotations={telling[0][1]}",
            )
    for pattern in SIDECARS:
        if any(_sidecars(root, folder, pattern) for folder in folders(root)):
            return pattern, pattern
    raise _nothing_found(root, f" ({beyond})" if beyond else "")


def _caption_files(root: Path, folder: str) -> tuple[list[str], list[str]]:
    """Files that may hold captions, and those that were not opened to see.

    What lies beside a picture under its name belongs to that picture.
    """
    names = _files_in(root, folder)
    stems = {name.rpartition(".")[0] for name in names if LOOKS_LIKE_PICTURE.search(name)}
    others = [name for name in names if name.rpartition(".")[0] not in stems]
    texts = [] if stems else [name for name in others if name.endswith(".txt")]
    tables = [name for name in others if name.lower().endswith(TABLES)]
    unclear = [name for name in tables if _is_unclear(name)]
    unopened = {name for some in (unclear, texts) for name in sorted(some, key=_names_no_split)[_MOST_OPENED:]}
    paths = {name: os.path.normpath(os.path.join(folder, name)) for name in (*tables, *texts)}
    chosen = [n for n in paths if n not in unopened and (not _is_unclear(n) or _holds_captions(root / paths[n]))]
    return [paths[name] for name in chosen], [paths[name] for name in paths if name in unopened]


def _is_unclear(name: str) -> bool:
    """Whether only its content tells if a file holds captions."""
    return name.endswith(".txt") or (name.endswith(".json") and _OF_CAPTIONS.search(name) is None)


def _names_no_split(name: str) -> bool:
    return _SPLIT_WORD.search(name) is None


@cache
def _say(line: str) -> None:
    """Once; a folder is looked at again and again."""
    tell("captions", line)


def _holds_captions(file: Path) -> bool:
    head, tail = _ends(file)
    if file.suffix == ".txt":
        return is_table(head)
    named = head.lstrip().startswith("{") and re.match(r'\s*\{\s*"[^"]+"\s*:\s*["[]', head) is not None
    is_mapping = named and LOOKS_LIKE_PICTURE.search(head.split('"')[1]) is not None
    return is_mapping or _IN_JSON.search(head) is not None or _IN_JSON.search(tail) is not None


def _ends(file: Path) -> tuple[str, str]:
    """The first and the last part of a file as text; empty where it cannot be read."""
    with suppress(OSError), file.open("rb") as opened:
        head = opened.read(_HEAD)
        size = opened.seek(0, os.SEEK_END)
        opened.seek(max(len(head), size - _HEAD))
        return head.decode("utf-8-sig", "ignore"), opened.read().decode("utf-8", "ignore")
    return "", ""


def _sidecars(root: Path, folder: str, pattern: str) -> list[str]:
    names = _files_in(root, folder)
    owners = {*names, *(name.rpartition(".")[0] for name in names if LOOKS_LIKE_PICTURE.search(name))}
    return [name for name in names if name.endswith(pattern[1:]) and name.removesuffix(pattern[1:]) in owners]


def find_images(root: Path, annotations: str, split: str, wanted: Wanted) -> str:
    """The folder that the names of pictures in a file of captions start from; the likeliest where none is there.

    Raises:
        AnnotationError: the names are nowhere to be found.
    """
    below = folders(root)
    if annotations in (*SIDECARS, FOLDER_NAMES):
        return _split_folder(below, split)
    sample = _sample_names(root / annotations, wanted)
    if not sample:  # names without suffix, or a fault that the reader will tell
        return _likely_folder(root, split)
    own = os.path.dirname(annotations)
    places = [own, *(folder for folder in below if folder != own)] if own else below
    places.sort(key=lambda folder: not _is_of(folder, split))  # where two hold a name, its own split's folder
    for exact in (True, False):
        counts = [_hits(root / folder, sample, exact) for folder in places]
        if max(counts):
            return places[counts.index(max(counts))]
    raise AnnotationError(_pictures_elsewhere(root, annotations, sample, split))


def _likely_folder(root: Path, split: str) -> str:
    """That with most pictures, a split's own before others."""
    counts = {folder: len(names) for folder, names in pictures_in(root).items()}
    return max(counts, key=lambda folder: (_is_of(folder, split), counts[folder]), default=".")


def _is_of(folder: str, split: str) -> bool:
    word = _SPLIT_WORD.search(os.path.basename(folder))
    return word is not None and word[1].lower()[:3].replace("dev", "val") == split[:3]


def _split_folder(below: list[str], split: str) -> str:
    """`train` and `val` where both are there, else the root."""
    found = {name: [f for f in below if os.sep not in f and _is_of(f, name)] for name in ("train", "val")}
    return found[split][0] if split in found and all(len(names) == 1 for names in found.values()) else "."


def _sample_names(file: Path, wanted: Wanted) -> list[str]:
    """Some names of pictures from a file of captions; those that are addresses by their last part."""
    head, tail = _ends(file)
    if file.suffix.lower() == ".json":
        found = [_PICTURE_IN_JSON.findall(text) for text in (head, tail)]
        inner = _KARPATHY_FOLDER.findall(head) if '"sentences"' in head else []
        joined = [os.path.join(*pair) for pair in zip(inner, found[0], strict=False)]
        names = joined or [name.replace("\\\\", "\\") for name in (*found[0], *found[1])]
    else:
        head = head[: head.rfind("\n") + 1] if len(head) == _HEAD else head
        names = []
        with suppress(AnnotationError):  # the reader will tell of it
            names = [str(name) for name in _names_of_rows(file, head, wanted)]
    names = [name.partition("?")[0].rpartition("/")[2] if is_url(name) else name for name in names]
    return list(dict.fromkeys(names))[:_SAMPLE]


def _names_of_rows(file: Path, head: str, wanted: Wanted) -> Iterator[object]:
    source = AnnotationFile(file)
    if file.suffix.lower() == ".jsonl":
        lines = islice((line for line in head.split("\n") if line.strip()), _SAMPLE)
        rows = record_rows(source, json_lines(source, "\n".join(lines)), wanted)
    else:
        rows = table_rows(source, head, wanted)
    return (row.name for row in islice(rows, _SAMPLE))


def _hits(folder: Path, names: list[str], exact: bool) -> int:
    """How many names are files of a folder; if not exact, without their folders, suffixes and case."""
    if exact:
        return sum(os.path.isfile(folder / name.replace("\\", "/")) for name in names)
    there = {name.rpartition(".")[0].lower() for name in _files_in(folder, ".") if LOOKS_LIKE_PICTURE.search(name)}
    return sum(LOOKS_LIKE_PICTURE.sub("", re.split(r"[/\\]", name)[-1]).lower() in there for name in names)


def pictures_in(root: Path) -> dict[str, list[str]]:
    """The pictures of each folder that has any."""
    found = {folder: [n for n in _files_in(root, folder) if names_picture(n)] for folder in folders(root)}
    return {folder: names for folder, names in found.items() if names}


def _pictures_elsewhere(root: Path, annotations: str, sample: list[str], split: str) -> str:
    seen = [f"{folder}/ ({files[0]})" for folder, files in pictures_in(root).items()]
    there = f"pictures lie in {', '.join(seen[:3])}" if seen else "there are no pictures at all"
    named = f"{shown(root / annotations)} names {shown(sample[0])}"
    return f"{named}, and {there}; set data.{split}_images to the folder of its pictures"


def _nothing_found(root: Path, beyond: str) -> MissingDataError:
    """What is in a folder without captions, and what to do about it."""
    pictures = pictures_in(root)
    count = sum(map(len, pictures.values()))
    if not count:
        inside = f": {', '.join(os.listdir(root)[:5])}" if any(root.iterdir()) else ", it is empty"
        what = f"{shown(root)} holds neither pictures nor captions{inside}"
        return MissingDataError(what, "set data.root to the folder with both")
    inner = [folder for folder in pictures if folder != "."]
    classes = f" in {len(inner)} folders ({', '.join(inner[:3])}{', ...' if len(inner) > 3 else ''})" if inner else ""
    remedy = "write a captions.csv (image,caption), or dog.txt beside dog.jpg"
    sheets = [name for name in _files_in(root, ".") if name.lower().endswith((".xlsx", ".xls", ".ods", ".parquet"))]
    if sheets:
        remedy = f"save {shown(sheets[0])} as CSV in UTF-8, with a line such as image,caption on top"
    if len(inner) > 1:
        remedy += f", or take the folders' names as captions: data.train_annotations={FOLDER_NAMES}"
    return MissingDataError(f"{shown(root)} holds {count:,} pictures{classes} but no captions{beyond}", remedy)


def fitting(root: Path, but: str = "") -> str:
    """`did you mean data=NAME?` for what a folder holds, or one below it; empty where nothing known does."""
    if not root.is_dir():
        return ""
    known = data_sets()
    for place in [root, *(root / name for name in _folders_in(root, ".")[:_MOST_INNER])]:
        for name, config in known.items():
            if (name != but or place != root) and (what := _fits(replace(config, root=str(place)), place)):
                where = "" if place == root else f" data.root={place}"
                deeper = "" if place == root else ", one level deeper"
                return f"did you mean data={name}{where}? It fits what is there{deeper}: {what}"
    return ""


def _fits(config: DataConfig, root: Path) -> str:
    """What of a prepared data set is there, if all is; of `custom`, anything that it finds."""
    if config.format == "shards":
        return "*.tar" if any(name.endswith(".tar") for name in _files_in(root, ".")) else ""
    if config.format == "folder":
        try:
            config = find("format", "folder").load()().resolved(config)
        except AnnotationError:
            return ""
    parts = list(dict.fromkeys(parts_of(config)))
    there = config.format == "folder" or all((root / part).exists() for part in parts)
    return ", ".join(part for part in parts if part != ".") if there else ""


def parts_of(config: DataConfig) -> list[str]:
    """The files and folders that a data set names, relative to its root."""
    splits = [getattr(config, f"{name}_split", None) for name in ("train", "val")]
    files = [config.train_annotations, config.val_annotations, *(split for split in splits if split)]
    return [*files, config.train_images, config.val_images]
