"""`python -m showtell.data fetch`: told, fetched, unpacked, checked, and nothing left behind."""

import hashlib
import io
import json
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest
from tests.conftest import draw_coco
from tests.data.fetch.conftest import Handler

from showtell.data.__main__ import main
from showtell.data.fetch import sets
from showtell.data.fetch.sets import PUBLIC_SETS, Archive
from showtell.data.fetch.unpack import unpack

SPLITS = ("train", "val")


def zipped(root: Path, names: dict[str, str]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for source, name in names.items():
            archive.write(root / source, name)
        archive.writestr("__MACOSX/._rest", "of a finder")
    return buffer.getvalue()


@pytest.fixture
def coco(server, tmp_path, monkeypatch):
    """COCO 2017 in its real layout, small, on the server; the real table with these files' checksums."""
    drawn = draw_coco(tmp_path / "drawn")
    captions = {f"annotations/captions_{s}.json": f"annotations/captions_{s}2017.json" for s in SPLITS}
    files = {"annotations_trainval2017.zip": zipped(drawn, captions)}
    counts = {}
    for split in SPLITS:
        pictures = sorted((drawn / split).iterdir())
        counts[f"{split}2017"] = len(pictures)
        names = {f"{split}/{one.name}": f"{split}2017/{one.name}" for one in pictures}
        files[f"{split}2017.zip"] = zipped(drawn, names)
    archives = []
    for archive in PUBLIC_SETS["coco2017"].archives:
        content = files[archive.name]
        holds = {name: counts.get(name, 0) for name in archive.holds}
        checksum = f"md5:{hashlib.md5(content).hexdigest()}"
        small = replace(archive, num_bytes=len(content), unpacked_bytes=0, checksum=checksum, holds=holds)
        archives.append(small)
    monkeypatch.setitem(sets.PUBLIC_SETS, "coco2017", replace(PUBLIC_SETS["coco2017"], archives=tuple(archives)))
    server.files = files
    return server


def fetch(server, root: Path, *words: str) -> int:
    return main(["fetch", "coco2017", "--mirror", f"{server.url}/zips/", "--root", str(root), *words])


def names_in(root: Path) -> set[str]:
    return {one.name for one in root.iterdir()}


def test_one_command_makes_a_data_set(coco, tmp_path, capsys):
    root = tmp_path / "new" / "coco"
    assert fetch(coco, root) == 0
    told = capsys.readouterr().out
    assert told.index("CC BY 4.0") < told.index("to download") < told.index("Everything can be used.")
    assert f"python train.py data=coco2017 data.root={root}" in told
    assert names_in(root) == {"annotations", "train2017", "val2017"}
    content = json.loads((root / "annotations" / "captions_train2017.json").read_text())
    assert names_in(root / "train2017") == {image["file_name"] for image in content["images"]}


def test_what_is_there_is_not_fetched_again(coco, tmp_path, capsys):
    fetch(coco, tmp_path / "coco")
    (tmp_path / "coco" / "train2017").rename(tmp_path / "elsewhere")
    coco.requests.clear()
    assert fetch(coco, tmp_path / "coco") == 0
    assert len(coco.requests) == 1
    assert "there already" in capsys.readouterr().out
    assert fetch(coco, tmp_path / "coco") == 0
    assert len(coco.requests) == 1


def test_a_stop_goes_on_with_the_same_command(coco, tmp_path, capsys, monkeypatch):
    def interrupt(handler: Handler) -> None:
        handler.honest(until=1000)
        handler.stall()

    coco.behaviour = interrupt
    monkeypatch.setattr("showtell.data.fetch.command.download", stop_after(1000))
    assert fetch(coco, tmp_path / "coco") == 130
    assert "the same command goes on" in capsys.readouterr().err
    assert names_in(tmp_path / "coco") == {"annotations_trainval2017.zip.part"}
    monkeypatch.undo()


def stop_after(count: int):
    """The real download under a Ctrl-C that comes when `count` bytes are there."""
    from showtell.data.fetch.download import download

    def interrupted(remote, file, advance, note):
        def stop(position: int) -> None:
            if position >= count:
                raise KeyboardInterrupt

        download(remote, file, stop, note, timeout=5)

    return interrupted


def test_archives_that_were_got_elsewhere(coco, tmp_path, capsys):
    folder = tmp_path / "archives"
    folder.mkdir()
    for name, content in coco.files.items():
        (folder / name).write_bytes(content)
    words = ["fetch", "coco2017", "--from", str(folder), "--root", str(tmp_path / "coco")]
    assert main(words) == 0
    assert names_in(folder) == set(coco.files) and not coco.requests
    (folder / "val2017.zip").write_bytes(b"another")
    assert main([*words[:-1], str(tmp_path / "again")]) == 2
    assert f"{folder / 'val2017.zip'}: is not the archive that was published" in capsys.readouterr().err
    (folder / "val2017.zip").unlink()
    assert main([*words[:-1], str(tmp_path / "again")]) == 2
    assert "val2017.zip is not there; get it from http" in capsys.readouterr().err


def test_a_wrong_archive_leaves_nothing(coco, tmp_path, capsys):
    coco.files["annotations_trainval2017.zip"] = b"<html>log in first</html>"
    assert fetch(coco, tmp_path / "coco") == 2
    line = capsys.readouterr().err.splitlines()[-1]
    assert line.startswith("error: ") and "perhaps a proxy's page" in line
    assert not (tmp_path / "coco").exists()


def test_room_is_asked_for_before_anything_is_fetched(coco, tmp_path, capsys, monkeypatch):
    wanted = sets.PUBLIC_SETS["coco2017"]
    huge = (*wanted.archives[:2], replace(wanted.archives[2], num_bytes=10**18))
    monkeypatch.setitem(sets.PUBLIC_SETS, "coco2017", replace(wanted, archives=huge))
    assert fetch(coco, tmp_path / "coco") == 2
    assert "are free; make room, or use --root FOLDER" in capsys.readouterr().err
    assert not coco.requests and not (tmp_path / "coco").exists()


def test_a_dry_run_tells_and_does_nothing(coco, tmp_path, capsys):
    assert fetch(coco, tmp_path / "coco", "--dry-run") == 0
    assert "train2017.zip" in capsys.readouterr().out
    assert not coco.requests and not (tmp_path / "coco").exists()


@pytest.mark.parametrize(
    ("name", "told"),
    [("coco2018", "choose one of coco2017, coco2014"), ("flickr30k", "on request"), ("vizwiz", "vizwiz.org")],
)
def test_what_cannot_be_fetched(capsys, name, told):
    assert main(["fetch", name]) == 2
    assert told in capsys.readouterr().err


@pytest.mark.parametrize("name", ["../outside.txt", "/outside.txt", "a/../../outside.txt"])
def test_no_archive_writes_outside_of_its_folder(tmp_path, name):
    with zipfile.ZipFile(tmp_path / "bad.zip", "w") as archive:
        archive.writestr(name, "x")
    (tmp_path / "root").mkdir()
    with pytest.raises(Exception, match=r"outside\.txt', which lies outside of its folder"):
        unpack(tmp_path / "bad.zip", tmp_path / "root")
    assert names_in(tmp_path) == {"bad.zip", "root"} and not names_in(tmp_path / "root")


def test_a_damaged_archive_leaves_what_was_there(tmp_path):
    root = tmp_path / "root"
    (root / "pictures").mkdir(parents=True)
    (root / "pictures" / "old.txt").write_text("old")
    with zipfile.ZipFile(tmp_path / "good.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("pictures/a.txt", "a" * 1000)
        archive.writestr("pictures/b.txt", "b" * 1000)
    content = bytearray((tmp_path / "good.zip").read_bytes())
    content[content.index(b"pictures/b.txt") + 16] ^= 0xFF
    (tmp_path / "bad.zip").write_bytes(bytes(content))
    with pytest.raises(Exception, match=r"bad\.zip: damaged"):
        unpack(tmp_path / "bad.zip", root)
    assert names_in(root) == {"pictures"} and names_in(root / "pictures") == {"old.txt"}
    unpack(tmp_path / "good.zip", root)
    assert names_in(root / "pictures") == {"old.txt", "a.txt", "b.txt"}


def test_every_archive_says_where_how_large_and_which():
    archives: list[Archive] = [archive for one in PUBLIC_SETS.values() for archive in one.archives]
    for archive in archives:
        algorithm, _, digits = archive.checksum.partition(":")
        assert len(digits) == {"md5": 32, "sha256": 64}[algorithm]
        assert archive.url.startswith("http") and archive.name.endswith(".zip") and archive.holds
    assert len({archive.name for archive in archives}) == len({archive.checksum for archive in archives})
