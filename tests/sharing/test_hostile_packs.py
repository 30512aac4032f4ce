"""Packs that want to run code, to eat memory, to leave their place or to be something else: one line each."""

import io
import json
import os
import pickle
import resource
import struct
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load, save

from showtell.checkpointing.pack import write_pack
from showtell.errors import UserError
from showtell.prediction.captioner import Captioner


class Command:
    """Touches a file when it is unpickled."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self):
        return os.system, (f"touch {self.marker}",)


@pytest.fixture
def marker(tmp_path):
    return tmp_path / "marker"


Members = dict[str, bytes]


def members(file: Path) -> Members:
    with zipfile.ZipFile(file) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def zipped(contents: Members, method: int = zipfile.ZIP_STORED, mode: int = 0) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, content in contents.items():
            entry = zipfile.ZipInfo(name)
            entry.compress_type, entry.external_attr = method, mode << 16
            archive.writestr(entry, content)
    return buffer.getvalue()


def twice(contents: Members) -> bytes:
    buffer = io.BytesIO(zipped(contents))
    with zipfile.ZipFile(buffer, "a") as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        archive.writestr("weights.safetensors", contents["weights.safetensors"])
    return buffer.getvalue()


def overlapping(contents: Members) -> bytes:
    """Several names for the same bytes, so that a small file declares much."""
    data = zipped(contents)
    end = data.rindex(b"PK\x05\x06")
    size, start = struct.unpack("<II", data[end + 12 : end + 20])
    entry = data.index(b"PK\x01\x02", start)
    table = data[entry : entry + 46 + len("README.md")]
    many = data[start : start + size] + table
    count = len(contents) + 1
    return data[:start] + many + data[end : end + 8] + struct.pack("<HHII", count, count, len(many), start) + b"\0\0"


def flipped(contents: Members) -> bytes:
    data = bytearray(zipped(contents))
    data[data.index(contents["weights.safetensors"]) + len(contents["weights.safetensors"]) // 2] ^= 1
    return bytes(data)


def renamed_locally(contents: Members) -> bytes:
    """The table says README.md, the entry itself something else."""
    return zipped(contents).replace(b"README.md", b"evil__.md", 1)


def bare_pickle(marker: Path) -> bytes:
    return pickle.dumps(Command(marker))


def checkpoint(marker: Path) -> bytes:
    buffer = io.BytesIO()
    torch.save({"showtell": {"format": 1}, "state_dict": {}, "x": Command(marker)}, buffer)
    return buffer.getvalue()


ZIPS: dict[str, tuple[Callable[[Members, Path], bytes], str]] = {
    "empty": (lambda _, __: b"", "is empty"),
    "text": (lambda _, __: b"this is no zip file", "is not a"),
    "a pickle": (lambda _, marker: bare_pickle(marker), "is not a"),
    "a checkpoint that runs": (lambda _, marker: checkpoint(marker), "does not belong in a pack"),
    "half": (lambda found, _: zipped(found)[: len(zipped(found)) // 2], "is torn"),
    "without its end": (lambda found, _: zipped(found)[:-1], "is torn"),
    "a comment at its end": (lambda found, _: zipped(found)[:-2] + b"\x02\0hi", "is torn"),
    "bytes before it": (lambda found, _: b"#!/bin/sh\n" + zipped(found), "is not a"),
    "compressed": (lambda found, _: zipped(found, zipfile.ZIP_DEFLATED), "compressed"),
    "a bomb": (lambda found, _: zipped({**found, "README.md": bytes(200 << 20)}, zipfile.ZIP_DEFLATED), "compressed"),
    "a member twice": (lambda found, _: twice(found), "is not laid out"),
    "members over each other": (lambda found, _: overlapping(found), "declares"),
    "a name that differs within": (lambda found, _: renamed_locally(found), "README.md is damaged"),
    "a bit flipped": (lambda found, _: flipped(found), "weights.safetensors is damaged"),
    "a path that leaves": (lambda found, _: zipped({**found, "../../evil.py": b"x"}), "does not belong"),
    "an absolute path": (lambda found, _: zipped({**found, "/etc/cron.d/evil": b"x"}), "does not belong"),
    "a path that leaves from its folder": (
        lambda found, _: zipped({**found, "examples/../../1.jpg": b"x"}), "does not belong"
    ),
    "code": (lambda found, _: zipped({**found, "model.py": b"import os"}), "does not belong"),
    "a pickle beside the weights": (
        lambda found, marker: zipped({**found, "weights.pkl": bare_pickle(marker)}), "does not belong"
    ),
    "a folder": (lambda found, _: zipped({**found, "examples/": b""}), "does not belong"),
    "links": (lambda found, _: zipped(found, mode=0o120777), "no ordinary file"),
    "a pickle for weights": (
        lambda found, marker: zipped({**found, "weights.safetensors": bare_pickle(marker)}), "is not what model.json"
    ),
    "a member more": (lambda found, _: zipped({**found, "examples/9.jpg": b"x"}), "differ about examples/9.jpg"),
    "no card, which is told of": (
        lambda found, _: zipped({name: found[name] for name in found if name != "README.md"}), "differ about README.md"
    ),
    "no model.json": (
        lambda found, _: zipped({name: found[name] for name in found if name != "model.json"}), "model.json is missing"
    ),
    "no weights": (
        lambda found, _: zipped({name: found[name] for name in found if name[:7] != "weights"}), "weights.safetensors"
    ),
    "JSON that is none": (lambda found, _: zipped({**found, "model.json": b"{"}), "is no JSON"),
    "JSON that is YAML with aliases": (
        lambda found, _: zipped({**found, "model.json": b"a: &a [x, x]\nb: [*a, *a]\n"}), "is no JSON"
    ),
    "JSON of nothing but lists": (lambda found, _: zipped({**found, "model.json": b"[" * 2_000_000}), "more lists"),
    "JSON of nothing but numbers": (
        lambda found, _: zipped({**found, "model.json": b"[" + b"1," * 5_000_000 + b"1]"}), "more lists or values"
    ),
    "deep JSON": (lambda found, _: zipped({**found, "model.json": b"[" * 19_000 + b"]" * 19_000}), "is no JSON"),
    "huge JSON": (lambda found, _: zipped({**found, "model.json": b" " * (17 << 20)}), "has more than"),
    "a huge card": (lambda found, _: zipped({**found, "README.md": b" " * (17 << 20)}), "has more than"),
    "a key twice": (lambda found, _: zipped({**found, "model.json": b'{"pack": 1, "pack": 1}'}), "stands there twice"),
    "a number of 5,000 digits": (
        lambda found, _: zipped({**found, "model.json": b'{"pack": ' + b"9" * 5000 + b"}"}), "is no JSON"
    ),
    "NaN": (lambda found, _: zipped({**found, "model.json": b'{"pack": NaN}'}), "NaN is no number"),
    "a list": (lambda found, _: zipped({**found, "model.json": b"[1]"}), "describes no pack"),
    "a pack that is newer": (lambda found, _: zipped({**found, "model.json": b'{"pack": 2}'}), "upgrade"),
    "a pack of version true": (lambda found, _: zipped({**found, "model.json": b'{"pack": true}'}), "describes no"),
    "no hashes": (lambda found, _: zipped({**found, "model.json": b'{"pack": 1}'}), "has no hashes"),
    "bytes that are no text": (lambda found, _: zipped({**found, "model.json": b'{"\xff": 1}'}), "is no JSON"),
}  # fmt: skip


def refused(path: Path, marker: Path) -> str:
    """The one line, in which the file is named; nothing was run and no memory taken."""
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(UserError) as caught:
        Captioner.from_checkpoint(path, "cpu")
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 600
    assert not marker.exists()
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory < 100_000  # KB
    return str(caught.value)


@pytest.mark.parametrize("name", ZIPS)
def test_hostile_files(name, shapes_pack, tmp_path, marker):
    make, reason = ZIPS[name]
    path = tmp_path / "hostile.zip"
    path.write_bytes(make(members(shapes_pack), marker))
    message = refused(path, marker)
    assert reason in message and "hostile.zip" in message


def test_a_zip_made_by_hand_is_one(shapes_pack, tmp_path):
    """What is refused above is not refused for being made here."""
    path = tmp_path / "good.zip"
    path.write_bytes(zipped(members(shapes_pack)))
    assert Captioner.from_checkpoint(path, "cpu").vocabulary


def header(text: bytes) -> bytes:
    return struct.pack("<Q", len(text)) + text


WEIGHTS: dict[str, tuple[Callable[[bytes, Path], bytes], str]] = {
    "a pickle": (lambda _, marker: bare_pickle(marker), "has a header that is too big"),
    "empty": (lambda _, __: b"", "is no safetensors file"),
    "half": (lambda found, _: found[: len(found) // 2], "is no safetensors file"),
    "a header longer than the file": (lambda found, _: struct.pack("<Q", 1 << 40) + found[8:], "too big"),
    "a header of 5 MB": (lambda _, __: header(b"{" + b" " * (5 << 20) + b"}"), "too big"),
    "a header that is no JSON": (lambda _, __: header(b"[[[["), "is no safetensors file"),
    "tensors over each other": (
        lambda _, __: header(
            b'{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"b":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}'
        )
        + bytes(8),
        "is no safetensors file",
    ),
    "a shape larger than its bytes": (
        lambda _, __: header(b'{"a":{"dtype":"F32","shape":[1099511627776],"data_offsets":[0,4]}}') + bytes(4),
        "is no safetensors file",
    ),
    "a type that nobody knows": (
        lambda _, __: header(b'{"a":{"dtype":"OBJECT","shape":[1],"data_offsets":[0,4]}}') + bytes(4),
        "is no safetensors file",
    ),
    "no tensors": (lambda _, __: save({}), "do not fit"),
    "other tensors": (lambda _, __: save({"decoder.evil": torch.zeros(3)}), "do not fit"),
    "a tensor more": (lambda found, _: save({**load(found), "decoder.evil": torch.zeros(3)}), "do not fit"),
}  # fmt: skip


@pytest.mark.parametrize("name", WEIGHTS)
def test_hostile_weights_with_the_right_hash(name, shapes_pack, tmp_path, marker):
    make, reason = WEIGHTS[name]
    contents = members(shapes_pack)
    about = json.loads(contents.pop("model.json"))
    contents["weights.safetensors"] = make(contents["weights.safetensors"], marker)
    write_pack(tmp_path / "hostile.zip", {key: about[key] for key in about if key != "files"}, contents)
    assert reason in refused(tmp_path / "hostile.zip", marker)


def retold(pack: Path, target: Path, change: Callable[[dict[str, Any]], None]) -> Path:
    """The pack with another `model.json`, and the hashes that go with it."""
    contents = members(pack)
    about = json.loads(contents.pop("model.json"))
    del about["files"]
    change(about)
    write_pack(target, about, contents)
    return target


def told_config(**sections: Any) -> Callable[[dict[str, Any]], None]:
    return lambda about: about["config"].update(sections)


def setting(section: str, **values: Any) -> Callable[[dict[str, Any]], None]:
    return lambda about: about["config"][section].update(values)


def told(**values: Any) -> Callable[[dict[str, Any]], None]:
    return lambda about: about.update(values)


MODELS: dict[str, tuple[Callable[[dict[str, Any]], None], str]] = {
    "a decoder of gigabytes": (setting("decoder", hidden_size=1 << 16), "do not fit"),
    "words of gigabytes": (setting("decoder", embedding_size=1 << 16), "do not fit"),
    "features of terabytes": (told(feature_shape=[1 << 19, 1 << 19]), "do not fit"),
    "a feature shape beyond all": (told(feature_shape=[1 << 40]), "feature_shape is of a wrong kind"),
    "another decoder": (setting("decoder", name="no_such_decoder"), "no_such_decoder"),
    "a class for a decoder": (setting("decoder", name="os:system"), "os:system"),
    "a target": (setting("decoder", _target_="os.system"), "_target_"),
    "the environment": (setting("training", monitor="${oc.env:HOME}"), "interpolation"),
    "a setting of another type": (setting("decoder", hidden_size="many"), "hidden_size"),
    "configuration is a list": (told(config=[1]), "config is of a wrong kind"),
    "words that are numbers": (told(vocabulary=[1, 2, 3]), "vocabulary is of a wrong kind"),
    "a word twice": (lambda about: about["vocabulary"].append(about["vocabulary"][-1]), "vocabulary is of a wrong"),
    "a word more": (lambda about: about["vocabulary"].append("extra"), "do not fit"),
    "a huge transform": (
        lambda about: about["transform"].update(size=1 << 30), "transform is of a wrong kind"
    ),
    "a resampling that nobody knows": (
        lambda about: about["transform"].update(interpolation="evil"), "transform is of a wrong kind"
    ),
    "another encoder's hash": (
        lambda about: about["encoder"].update(sha256="0" * 64), "is not the file that this model was trained with"
    ),
    "an encoder that would be fetched": (setting("encoder", name="resnet50"), "do not install with Showtell"),
    "an encoder of timm's hub": (
        lambda about: about["config"].update(encoder={"name": "timm/resnet18.a1_in1k", "pooling": "grid:3"}),
        "do not install with Showtell",
    ),
    "an encoder from a file": (setting("encoder", weights="/etc/passwd"), "do not install with Showtell"),
    "an encoder of weights of its own": (
        lambda about: about["encoder"].update(public=False), "do not install with Showtell"
    ),
    "a plugin": (
        told(plugins=[{"kind": "decoder", "name": "evil", "file": "/tmp/evil.py", "sha256": ""}]), "wants the decoder"
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", MODELS)
def test_hostile_models_in_whole_packs(name, shapes_pack, tmp_path, marker):
    change, reason = MODELS[name]
    assert reason in refused(retold(shapes_pack, tmp_path / "hostile.zip", change), marker)


def test_an_encoder_larger_than_the_weights_that_came(tiny_pack, tmp_path, marker):
    change = told_config(encoder={"name": "vit_h_14", "weights": "none"})
    hostile = retold(tiny_pack, tmp_path / "hostile.zip", change)
    assert "its encoder vit_h_14 has 630,764,800 weights, and" in refused(hostile, marker)


def test_what_is_no_file_is_not_opened(tmp_path, marker):
    os.mkfifo(tmp_path / "fifo.zip")
    (tmp_path / "zero.zip").symlink_to("/dev/zero")
    (tmp_path / "loop.zip").symlink_to(tmp_path / "loop.zip")
    (tmp_path / "folder.zip").mkdir()
    with open(tmp_path / "sparse.zip", "wb") as file:
        file.truncate(1 << 40)
    for path in sorted(tmp_path.iterdir()):
        refused(path, marker)
