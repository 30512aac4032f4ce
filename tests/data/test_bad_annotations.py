"""Annotation files that must be refused or repaired: one line with the file, the place in it and a remedy."""

import json
import os
from pathlib import Path

import pytest

from showtell.data.annotations import MAX_CHARACTERS, AnnotationError, clean_caption
from showtell.data.formats.coco import read_coco
from showtell.data.formats.flickr import read_flickr
from showtell.data.formats.karpathy import read_karpathy

IMAGE = {"id": 1, "file_name": "a.jpg"}
SAID = {"id": 1, "image_id": 1, "caption": "a cat"}


def coco(images: object = (IMAGE,), annotations: object = (SAID,)) -> bytes:
    return json.dumps({"images": images, "annotations": annotations}).encode()


def image(**changes) -> bytes:
    return coco(images=[IMAGE | changes])


def said(**changes) -> bytes:
    return coco(annotations=[SAID | changes])


def without(key: str) -> bytes:
    images = [{k: v for k, v in IMAGE.items() if k != key}]
    annotations = [{k: v for k, v in SAID.items() if k != key or key == "id"}]
    return coco(images, annotations)


COCO = {
    "empty": (b"", "empty"),
    "blank": (b" \n", "empty"),
    "cut": (coco()[:-20], "no JSON at line 1"),
    "html": (b"<html>404</html>", "no JSON at line 1, column 1"),
    "list": (b"[1, 2]", "holds a list"),
    "number": (b"3", "holds a int"),
    "null": (b"null", "NoneType"),
    "utf-16": (coco().decode().encode("utf-16"), "not UTF-8"),
    "latin-1": ('{"images": "\xe9"}'.encode("latin-1"), "not UTF-8"),
    "deep nesting": (b'{"images":' + b"[" * 100_000, "nested too deeply"),
    "endless number": (b'{"images": ' + b"9" * 5000 + b"}", "no usable JSON"),
    "key twice": (b'{"images": [], "images": []}', "images twice"),
    "no images": (b'{"annotations": [1]}', "images is missing"),
    "images null": (coco(images=None), "images is None"),
    "images an object": (coco(images={}), "images is an object"),
    "images empty": (coco(images=[]), "images is an empty list"),
    "image null": (coco(images=[None]), "images[0] is None"),
    "image a text": (coco(images=["a.jpg"]), "images[0] is a.jpg"),
    "image without id": (without("id"), "images[0].id is missing"),
    "image without name": (without("file_name"), "images[0].file_name is missing"),
    "image id a text": (image(id="1"), "images[0].id is 1 (text)"),
    "image id null": (image(id=None), "images[0].id is None"),
    "image id NaN": (image(id=float("nan")), "images[0].id is nan (float)"),
    "image id true": (image(id=True), "images[0].id is True (bool)"),
    "image id beyond 64 bits": (image(id=2**63), "images[0].id"),
    "image id twice": (coco(images=[IMAGE, IMAGE]), "images[1].id is 1, as an earlier picture's"),
    "name null": (image(file_name=None), "images[0].file_name is None"),
    "name blank": (image(file_name=" "), "images[0].file_name"),
    "name climbs": (image(file_name="../../etc/passwd"), "not a path below"),
    "name climbs inside": (image(file_name="a/../../b.jpg"), "not a path below"),
    "name climbs by backslash": (image(file_name="..\\b.jpg"), "not a path below"),
    "name absolute": (image(file_name="/etc/passwd"), "not a path below"),
    "name with a drive": (image(file_name="C:\\b.jpg"), "not a path below"),
    "name an address": (image(file_name="http://host/b.jpg"), "not a path below"),
    "name with NUL": (image(file_name="a\0.jpg"), "not a path below"),
    "name of two lines": (image(file_name="a\nb.jpg"), "not a path below"),
    "name a dot": (image(file_name=".."), "not a path below"),
    "name of a million characters": (image(file_name="../" * 400_000), "not a path below"),
    "annotation null": (coco(annotations=[SAID, None]), "annotations[1] is None"),
    "annotation a list": (coco(annotations=[[1, "a cat"]]), "annotations[0] is a list"),
    "annotation without picture": (without("image_id"), "annotations[0].image_id is missing"),
    "annotation without caption": (without("caption"), "annotations[0].caption is missing"),
    "annotation id twice": (coco(annotations=[SAID, SAID]), "annotations[1].id is 1, as an earlier"),
    "annotation id a text": (said(id="x"), "annotations[0].id is x (text)"),
    "image_id a text": (said(image_id="1"), "annotations[0].image_id is 1 (text)"),
    "image_id a list": (said(image_id=[1]), "annotations[0].image_id is a list"),
    "caption null": (said(caption=None), "annotations[0].caption is None"),
    "caption a number": (said(caption=5), "annotations[0].caption is 5"),
    "caption a list": (said(caption=["a", "cat"]), "annotations[0].caption is a list"),
}


def refusal(read, file: Path, *rest) -> str:
    with pytest.raises(AnnotationError) as caught:
        read(file, file.parent, *rest)
    message = str(caught.value)
    assert message.isprintable() and len(message) < 600 and message.startswith(str(file))
    return message


def test_annotation_files_that_are_no_files(tmp_path):
    os.mkfifo(tmp_path / "fifo")
    for name, reason in {"fifo": "named pipe", "missing": "not there", ".": "folder"}.items():
        assert reason in refusal(read_coco, tmp_path / name)
    assert "device" in refusal(read_coco, Path("/dev/zero"))


def read(tmp_path, content: bytes):
    file = tmp_path / "captions.json"
    file.write_bytes(content)
    return read_coco(file, tmp_path)


def test_byte_order_mark_is_accepted(tmp_path):
    assert read(tmp_path, b"\xef\xbb\xbf" + coco()).pictures[0].captions == ("a cat",)


def test_a_backslash_parts_folders_unless_a_file_is_called_so(tmp_path):
    content = coco([{"id": 1, "file_name": "sub\\a.jpg"}])
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "a.jpg").touch()
    split = read(tmp_path, content)
    assert split.pictures[0].path == tmp_path / "sub" / "a.jpg"
    assert split.told == ["captions.json: 1 names with backslashes, read as paths with /"]
    (tmp_path / "sub\\a.jpg").touch()
    split = read(tmp_path, content)
    assert split.pictures[0].path == tmp_path / "sub\\a.jpg" and split.told == []


def test_a_key_twice_among_many_is_found_in_one_pass(tmp_path):
    keys = ", ".join(f'"k{number}": 0' for number in range(200_000))
    (tmp_path / "many.json").write_text(f'{{{keys}, "k7": 1}}')
    assert "the key k7 twice" in refusal(read_coco, tmp_path / "many.json")


def test_annotations_need_no_id(tmp_path):
    content = coco(annotations=[{"image_id": 1, "caption": c} for c in ("a cat", "a dog")])
    assert read(tmp_path, content).pictures[0].captions == ("a cat", "a dog")


def test_what_does_not_concern_captions_is_passed_over_in_silence(tmp_path, capsys):
    content = json.loads(coco()) | {"categories": [{"id": 1}], "info": None}
    assert read(tmp_path, json.dumps(content).encode()).pictures[0].captions == ("a cat",)
    assert capsys.readouterr() == ("", "")


def test_orphans_are_left_out_and_pictures_without_captions_are_not(tmp_path):
    orphan = {"id": 2, "image_id": 7, "caption": "a dog"}
    split = read(tmp_path, coco([IMAGE, {"id": 5, "file_name": "b.jpg"}], [SAID, orphan]))
    assert [(picture.id, picture.captions) for picture in split.pictures] == [(1, ("a cat",)), (5, ())]
    (orphaned,) = split.skipped
    assert "annotations[1] belongs to picture 7" in orphaned


@pytest.mark.parametrize("caption", ["", "   ", "\0", "\n\t", "\u202e", "\u00a0"])
def test_empty_captions_are_left_out(tmp_path, caption):
    split = read(tmp_path, coco(annotations=[SAID | {"caption": caption}, SAID | {"id": 2}]))
    assert split.pictures[0].captions == ("a cat",)
    assert split.skipped == [f"{tmp_path / 'captions.json'}: annotations[0].caption is empty; left out"]


def test_endless_caption_is_cut_and_noted(tmp_path):
    split = read(tmp_path, said(caption="cat " * 250_000))
    assert len(split.pictures[0].captions[0]) < MAX_CHARACTERS and "1,000,000 characters" in split.skipped[0]


@pytest.mark.parametrize(
    ("caption", "clean"),
    [
        ("a\0cat", "a cat"),
        ("a cat\non\r\na\tmat ", "a cat on a mat"),
        ("a \ud83d cat", "a \ufffd cat"),
        ("a \U0001f469\u200d\U0001f4bb at work", "a \U0001f469\u200d\U0001f4bb at work"),
        ("a \u202etac\u202c", "a tac"),
        ("cafe\u0301", "caf\u00e9"),
        ("a\x1b[31mred\x07 cat", "a [31mred cat"),
        ("\u00a0a\u2003cat\ufeff", "a cat"),
        ("...", "..."),
    ],
)
def test_captions_are_cleaned(caption, clean):
    assert clean_caption(caption) == clean
    assert clean_caption(caption).encode()


def karpathy(**changes) -> bytes:
    entry = {"filename": "a.jpg", "imgid": 0, "split": "train", "sentences": [{"raw": "a cat"}]}
    return json.dumps({"images": [entry | changes]}).encode()


KARPATHY = {
    "coco's own file": (coco(), "images[0].split is missing"),
    "unknown split": (karpathy(split="dev"), "images[0].split is dev"),
    "split a list": (karpathy(split=[]), "images[0].split is a list"),
    "id a text": (karpathy(imgid="0"), "images[0].imgid is 0 (text)"),
    "coco id null": (karpathy(cocoid=None), "images[0].cocoid is None"),
    "folder climbs": (karpathy(filepath=".."), "images[0].filepath"),
    "folder a number": (karpathy(filepath=3), "images[0].filepath"),
    "sentences null": (karpathy(sentences=None), "images[0].sentences is None"),
    "sentence a text": (karpathy(sentences=["a cat"]), "images[0].sentences[0] is a cat"),
    "sentence without raw": (karpathy(sentences=[{}]), "images[0].sentences[0].raw is missing"),
    "fault in another split": (karpathy(split="test", filename="/a"), "images[0].filename"),
}


FLICKR = {
    "empty": ("", "empty"),
    "no table": ("a cat sleeps\n", "line 1 is a cat sleeps"),
    "unknown columns": ("who,what,where\na,b,c\n", "line 1: the columns `who`, `what`, `where` do not tell"),
    "header alone": ("image,caption\n", "a header and no rows"),
    "quote without end": ('image,caption\na.jpg,"a cat\nb.jpg,a dog\nc.jpg,"a cow"\n', "line 2: a quote opens here"),
    "quote without any end": ('image,caption\na.jpg,"a cat\nb.jpg,a dog\n', "line 2: a quote opens here"),
    "comma before the last column": (
        "image,caption,by\na.jpg,a cat, asleep,me\n",
        "line 2 has 4 columns, the header 3",
    ),
    "json": ('{"images": []}', "line 1"),
    "token line without caption": ("a.jpg#0\ta cat\nb.jpg#0\n", "line 2"),
    "row without caption": ("image,caption\na.jpg,a cat\nb.jpg\n", "line 3 has 1 column"),
    "row without bars": ("image_name| comment_number| comment\na.jpg a cat\n", "line 2"),
    "name climbs": ("image,caption\n../../etc/passwd,a cat\n", "line 2 is ../../etc/passwd"),
    "endless field": ("image,caption\na.jpg," + "x" * 200_000, "line 2: field larger"),
}


READERS = {read_coco: (COCO, []), read_karpathy: (KARPATHY, ["train"]), read_flickr: (FLICKR, [])}


@pytest.mark.parametrize(("read", "name"), [(read, name) for read, (cases, _) in READERS.items() for name in cases])
def test_a_file_is_refused(tmp_path, read, name):
    cases, more = READERS[read]
    content, reason = cases[name]
    file = tmp_path / "annotations"
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    assert reason in refusal(read, file, *more)
