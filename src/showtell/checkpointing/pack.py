"""A pack: a trained captioner as one zip file that travels, with weights as safetensors and the rest as JSON.

    README.md              the model card
    model.json             configuration, vocabulary, transform, scores, licences, the SHA-256 of every other file
    weights.safetensors    the decoder's weights, and those of fine-tuned blocks of the encoder
    encoder.safetensors    the encoder's, unless they install with Showtell
    examples/1.jpg ...     pictures of the embedded data set

A pack comes from anywhere, so it is read like a checkpoint: a local ordinary file, its entries uncompressed, each once
and no bigger than the file, under these names alone; nothing is unpacked to the disk, nothing in it is run, and no
network is asked. JSON and safetensors name no code. The same model gives the same bytes.
"""

import hashlib
import json
import os
import re
import stat
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

from safetensors.torch import load, save
from torch import Tensor

from showtell.checkpointing.archive import PACK_SUFFIX, CheckpointError, DamagedError, open_local, stored_entries
from showtell.files import atomic_write

PACK_VERSION = 1
CARD, ABOUT, WEIGHTS, ENCODER = "README.md", "model.json", "weights.safetensors", "encoder.safetensors"
_EXAMPLE = re.compile(r"examples/\d{1,2}\.jpg")
_REMEDY = "get the pack anew, or make it by predict.py RUN --pack FILE.zip"
# JSON of a few bytes becomes objects of many: so much of it is read, so many lists and values in it
MAX_ABOUT_BYTES = 16 << 20
MAX_LISTS, MAX_VALUES = 500_000, 1_000_000  # a tokenizer of a language model has a list for each of its merges
_LOCAL_HEADER_BYTES = 30
MAX_HEADER_BYTES = 4 << 20  # of a safetensors file: thousands of tensors


def is_pack(path: str | os.PathLike[str]) -> bool:
    """Whether a path names a pack, by its ending."""
    return Path(path).suffix.lower() == PACK_SUFFIX


def write_pack(path: Path, about: Mapping[str, Any], files: Mapping[str, bytes]) -> None:
    """Writes a pack whole or not at all.

    Args:
        path: ends in `.zip`.
        about: what `model.json` says, without the hashes of the others.
        files: every other file by its name in the pack.

    Raises:
        WriteError: the disk is full or a permission is missing; the old file is kept.
    """
    hashes = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    told = json.dumps({"pack": PACK_VERSION, **about, "files": hashes}, ensure_ascii=False, indent=1) + "\n"
    with atomic_write(path) as file, zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        for name, content in sorted({**files, ABOUT: told.encode("utf-8", "surrogatepass")}.items()):
            entry = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
            entry.create_system, entry.external_attr = 3, (stat.S_IFREG | 0o644) << 16
            archive.writestr(entry, content)


def tensors_as_bytes(tensors: Mapping[str, Tensor]) -> bytes:
    """As safetensors; tensors that share memory are written once each."""
    return save({name: value.detach().cpu().contiguous().clone() for name, value in tensors.items()})


def read_pack(path: str | os.PathLike[str]) -> tuple[dict[str, Any], dict[str, Tensor], dict[str, Tensor] | None]:
    """What `model.json` says, the weights, and those of the encoder, or None where they install with Showtell.

    Raises:
        CheckpointError: no pack, or one that is damaged or more than it should be; one line. What it says of the
            model is still to be checked.
    """
    name = os.fspath(path)
    with open_local(path) as file:
        archive = stored_entries(file, name, os.fstat(file.fileno()).st_size)
        _check_names(archive, name)
        about = _about(archive, name)
        contents = {entry: _content(archive, entry, about["files"][entry], name) for entry in about["files"]}
    weights = _tensors(contents[WEIGHTS], WEIGHTS, name)
    return about, weights, _tensors(contents[ENCODER], ENCODER, name) if ENCODER in contents else None


def _check_names(archive: zipfile.ZipFile, name: str) -> None:
    place = 0
    for entry in sorted(archive.infolist(), key=lambda one: one.header_offset):
        kind = stat.S_IFMT(entry.external_attr >> 16)
        if entry.filename not in (CARD, ABOUT, WEIGHTS, ENCODER) and not _EXAMPLE.fullmatch(entry.filename):
            raise CheckpointError(f"{name}: {entry.filename[:80]!r} does not belong in a pack of Showtell; {_REMEDY}")
        if entry.filename not in (WEIGHTS, ENCODER) and entry.file_size > MAX_ABOUT_BYTES:
            raise CheckpointError(f"{name}: {entry.filename} has more than {MAX_ABOUT_BYTES:,} bytes; {_REMEDY}")
        if kind not in (0, stat.S_IFREG):
            raise CheckpointError(f"{name}: {entry.filename} is no ordinary file; {_REMEDY}")
        if entry.header_offset < place or entry.flag_bits & 1:
            how = "encrypted" if entry.flag_bits & 1 else "laid over another file"
            raise CheckpointError(f"{name}: {entry.filename} is {how}; {_REMEDY}")
        place = entry.header_offset + _LOCAL_HEADER_BYTES + len(entry.filename) + entry.file_size
    for needed in (ABOUT, WEIGHTS):
        if needed not in archive.namelist():
            raise CheckpointError(f"{name}: {needed} is missing, so it is no pack of Showtell; {_REMEDY}")


def _about(archive: zipfile.ZipFile, name: str) -> dict[str, Any]:
    text = _bytes(archive, ABOUT, name)
    if text.count(b"[") + text.count(b"{") > MAX_LISTS or text.count(b",") > MAX_VALUES:
        raise CheckpointError(f"{name}: {ABOUT} holds more lists or values than a model's; {_REMEDY}")
    try:
        about = json.loads(text, object_pairs_hook=_without_duplicates, parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{name}: {ABOUT} is no JSON ({str(error)[:100]}); {_REMEDY}") from None
    version = about.get("pack") if isinstance(about, dict) else None
    if type(version) is not int or version < 1:
        raise CheckpointError(f"{name}: {ABOUT} describes no pack of Showtell; {_REMEDY}")
    if version > PACK_VERSION:
        raise CheckpointError(f"{name} is a pack of version {version}, this Showtell reads {PACK_VERSION}; upgrade it")
    others = {entry for entry in archive.namelist() if entry != ABOUT}
    files = about.get("files")
    if not isinstance(files, dict) or not all(isinstance(one, str) for one in files.values()):
        raise CheckpointError(f"{name}: {ABOUT} has no hashes of the other files; {_REMEDY}")
    if differing := sorted(others ^ files.keys()):
        raise CheckpointError(f"{name}: {ABOUT} and the pack differ about {differing[0][:80]}; {_REMEDY}")
    return dict(about)


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key stands there twice")
    return found


def _no_number(text: str) -> NoReturn:
    raise ValueError(f"{text} is no number")


def _content(archive: zipfile.ZipFile, entry: str, sha256: str, name: str) -> bytes:
    content = _bytes(archive, entry, name)
    if hashlib.sha256(content).hexdigest() != sha256:
        raise DamagedError(f"{name}: {entry} is not what {ABOUT} says (another SHA-256); {_REMEDY}")
    return content


def _bytes(archive: zipfile.ZipFile, entry: str, name: str) -> bytes:
    try:
        return archive.read(entry)
    except (zipfile.BadZipFile, EOFError, ValueError, NotImplementedError, RuntimeError, OSError):
        raise DamagedError(f"{name}: {entry} is damaged; {_REMEDY}") from None


def _tensors(content: bytes, entry: str, name: str) -> dict[str, Tensor]:
    if int.from_bytes(content[:8], "little") > min(MAX_HEADER_BYTES, len(content)):
        raise CheckpointError(f"{name}: {entry} has a header that is too big; {_REMEDY}")
    try:
        return load(content)
    except Exception as error:  # the library's own, which changes with the version
        reason = (str(error).splitlines() or [type(error).__name__])[0][:100]
        raise CheckpointError(f"{name}: {entry} is no safetensors file ({reason}); {_REMEDY}") from None
