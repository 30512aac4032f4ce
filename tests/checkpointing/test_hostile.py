"""Files that want to run code, to eat memory or to be something else: refused, without a trace."""

import io
import os
import pickle
import resource
import struct
import time
import zipfile
from pathlib import Path

import pytest
import torch

from showtell.checkpointing import archive
from showtell.checkpointing.archive import CheckpointError
from showtell.checkpointing.io import load_checkpoint, save_checkpoint


class Command:
    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self):
        return os.system, (f"touch {self.marker}",)


class Call:
    def __init__(self, function, *arguments) -> None:
        self.function, self.arguments = function, arguments

    def __reduce__(self):
        return self.function, self.arguments


def sealed(data: bytes) -> bytes:
    """With the right checksum, which anybody can compute."""
    writer = archive.ChecksumWriter(buffer := io.BytesIO())
    writer.write(data)
    writer.finish()
    return buffer.getvalue()


def saved(value, **options) -> bytes:
    torch.save(value, buffer := io.BytesIO(), **options)
    return buffer.getvalue()


def stamped(value) -> dict:
    return {"showtell": {"format": 1}, "state_dict": {}, "x": value}


def repacked(data: bytes, method: int = zipfile.ZIP_DEFLATED, extra: bytes | None = None) -> bytes:
    source = zipfile.ZipFile(io.BytesIO(data))
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as target:
        for entry in source.infolist():
            target.writestr(entry.filename, source.read(entry))
            if extra and entry.filename.endswith("data.pkl"):
                with pytest.warns(UserWarning):
                    target.writestr(entry.filename, extra)
    return buffer.getvalue()


def bytearray_bomb() -> bytes:
    """30 bytes of pickle that ask for 8 GB, among the globals that torch allows."""
    pkl = b"\x80\x02c__builtin__\nbytearray\n\x8a\x05" + (8 << 30).to_bytes(5, "little") + b"\x85R."
    good = zipfile.ZipFile(io.BytesIO(saved({"a": 1})))
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as target:
        for entry in good.infolist():
            target.writestr(entry.filename, pkl if entry.filename.endswith("data.pkl") else good.read(entry))
    return buffer.getvalue()


def overlapping() -> bytes:
    """An archive whose entries share the same bytes, so that a small file declares much."""
    data = saved(stamped(torch.zeros(100_000)))
    end = data.rindex(b"PK\x05\x06")
    size, start = struct.unpack("<II", data[end + 12 : end + 20])
    table = data[start : start + size]
    many = table + b"".join(
        table[table.index(b"PK\x01\x02") :].replace(b"archive/data/0", b"archive/data/%d" % i) for i in range(2, 9)
    )
    count = many.count(b"PK\x01\x02")
    return data[:start] + many + data[end : end + 8] + struct.pack("<HHII", count, count, len(many), start) + b"\0\0"


def lightning_instantiator(marker: Path) -> dict:
    return {
        "pytorch-lightning_version": "2.6.5",
        "state_dict": {},
        "hyper_parameters": {"_instantiator": "os.system", "command": f"touch {marker}"},
    }


BYTES = {
    "zip": lambda marker: saved(stamped(Command(marker))),
    "zip, sealed": lambda marker: sealed(saved(stamped(Command(marker)))),
    "zip, pickle protocol 4": lambda marker: sealed(saved(stamped(Command(marker)), pickle_protocol=4)),
    "legacy": lambda marker: saved(stamped(Command(marker)), _use_new_zipfile_serialization=False),
    "legacy, sealed": lambda marker: sealed(saved(stamped(Command(marker)), _use_new_zipfile_serialization=False)),
    "raw pickle": lambda marker: pickle.dumps(Command(marker)),
    "raw pickle, sealed": lambda marker: sealed(pickle.dumps(Command(marker))),
    "eval": lambda marker: sealed(saved(stamped(Call(eval, f"open({str(marker)!r}, 'w')")))),
    "a whole module": lambda marker: sealed(saved(stamped(torch.nn.Linear(2, 2)))),
    "load within load": lambda marker: sealed(saved(stamped(Call(torch.load, str(marker))))),
    "instantiator": lambda marker: saved(lightning_instantiator(marker)),
    "deflated": lambda marker: sealed(repacked(saved(stamped(torch.zeros(1000))))),
    "deflated bomb": lambda marker: sealed(repacked(saved(stamped(torch.zeros(1 << 28))))),
    "bytearray bomb": lambda marker: sealed(bytearray_bomb()),
    "overlapping entries": lambda marker: sealed(overlapping()),
    "two pickles": lambda marker: sealed(
        repacked(saved(stamped(1)), zipfile.ZIP_STORED, pickle.dumps(Command(marker), 2))
    ),
    "bytes before the archive": lambda marker: sealed(b"#!/bin/sh\n" + saved(stamped(1))),
    "deep nesting": lambda marker: sealed(b"\x80\x02" + b"]" * 100_000 + b"a" * 99_999 + b"."),
}


@pytest.mark.parametrize("trusting", [False, True], ids=["", "environment says trust"])
@pytest.mark.parametrize("name", [name for name in BYTES if name != "deflated bomb"])
def test_hostile_bytes(name, trusting, tmp_path, monkeypatch):
    if trusting:
        monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")
    check_refused(name, tmp_path)


@pytest.mark.parametrize("name", ["zip", "zip, sealed", "zip, pickle protocol 4"])
def test_the_marker_method_can_fail(name, tmp_path):
    (tmp_path / "x.ckpt").write_bytes(BYTES[name](tmp_path / "marker"))
    torch.load(tmp_path / "x.ckpt", weights_only=False)
    assert (tmp_path / "marker").exists()


@pytest.mark.slow
def test_deflated_gigabyte(tmp_path):
    check_refused("deflated bomb", tmp_path)


def check_refused(name: str, tmp_path: Path) -> None:
    marker, path = tmp_path / "marker", tmp_path / "x.ckpt"
    path.write_bytes(BYTES[name](marker))
    assert not marker.exists()
    memory, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.monotonic()
    with pytest.raises(CheckpointError) as caught:
        load_checkpoint(path)
    assert "\n" not in str(caught.value)
    assert not marker.exists()
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory < 100_000  # KB
    assert time.monotonic() - start < 10


@pytest.mark.parametrize(
    "address",
    [
        "http://127.0.0.1:9/x.ckpt",
        "https://x/y.ckpt",
        "file://{good}",
        "simplecache::file://{good}",
        "s3://a/b",
        "memory://a",
        "zip://a::{good}",
        "a\0b",
    ],
)
def test_addresses(address, tmp_path):
    good = tmp_path / "good.ckpt"
    save_checkpoint({"global_step": 0}, good)
    with pytest.raises(CheckpointError, match="not a local file"):
        load_checkpoint(address.format(good=good))


def test_things_that_are_no_files(tmp_path):
    os.mkfifo(tmp_path / "fifo.ckpt")
    (tmp_path / "zero.ckpt").symlink_to("/dev/zero")
    (tmp_path / "loop.ckpt").symlink_to(tmp_path / "loop.ckpt")
    (tmp_path / "dir.ckpt").mkdir()
    with open(tmp_path / "sparse.ckpt", "wb") as file:
        file.truncate(1 << 40)
    for path in sorted(tmp_path.iterdir()):
        with pytest.raises(CheckpointError, match=path.name):
            load_checkpoint(path)
