"""A checkpoint's bytes: a `torch.save` file that ends with a checksum, and the checks before it is opened.

`torch.load` notices no flipped bit (0 of 300 when tried), so one line follows the zip archive: the CRC-32 of everything
before it, and the length. A CRC finds every single flipped bit for certain and costs about 0.25 ms per MB; it protects
against accidents, not against people. Against people: only local regular files are opened, only stored (never
compressed) entries that fit the file, and only a pickle whose every global is on the list below. The list is narrower
than torch's own for `weights_only=True`, which lets 30 bytes ask for 16 GB through `bytearray`. The trailer does not
disturb `torch.load`, which searches the archive's directory from the end.
"""

import os
import pickletools
import stat
import zipfile
import zlib
from collections.abc import Iterator
from typing import IO, Any

from showtell.errors import UserError
from showtell.files import TRAILER_BYTES, trailer

CHUNK = 1 << 20
MAX_BYTES = 16 << 30
PACK_SUFFIX = ".zip"
_DIRECTORY_END = b"PK\x05\x06"
_DIRECTORY_END_BYTES = 22

_STORAGES = ["Float", "Double", "Half", "BFloat16", "Long", "Int", "Short", "Char", "Byte", "Bool"]
_DTYPES = ["float16", "float32", "float64", "bfloat16", "int8", "int16", "int32", "int64", "uint8", "bool"]
ALLOWED_GLOBALS = frozenset(
    {"collections.OrderedDict", "collections.Counter", "builtins.set", "__builtin__.set", "torch.Size", "torch.device"}
    | {"torch._utils._rebuild_tensor_v2", "torch._utils._rebuild_parameter"}
    | {f"torch.{name}Storage" for name in _STORAGES}
    | {f"torch.{name}" for name in _DTYPES}
)


class CheckpointError(UserError):
    """A checkpoint that cannot be used; the one-line message names the file, the reason and the remedy."""


class DamagedError(CheckpointError):
    """A checkpoint whose bytes are not the ones that were written: torn or rotten."""


def called(path: str | os.PathLike[str]) -> str:
    """`the checkpoint FILE`, for messages; or `the pack FILE.zip`."""
    name = os.fspath(path)
    return f"the {'pack' if name.endswith(PACK_SUFFIX) else 'checkpoint'} {name}"


class ChecksumWriter:
    """A binary file to write to that keeps the CRC-32 of what went through it."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._checksum = 0
        self._length = 0

    def write(self, data: Any) -> int:
        """Passes bytes on; raises the disk's own error."""
        self._checksum = zlib.crc32(data, self._checksum)
        self._length += len(data)
        return self._file.write(data)

    def finish(self) -> None:
        """Writes the trailer."""
        self._file.write(trailer(self._checksum, self._length))

    def flush(self) -> None:
        """Part of the file protocol."""
        self._file.flush()


def open_local(path: str | os.PathLike[str]) -> IO[bytes]:
    """Opens a local regular file; nothing else is even touched.

    Raises:
        CheckpointError: an address, a chain of file systems, a directory, a device, a pipe, or a file that
            is missing, empty, unreadable or too big.
    """
    name = os.fspath(path)
    if "://" in name or "::" in name or "\0" in name:
        raise CheckpointError(f"{name!r} is not a local file; download the checkpoint and pass its path")
    try:
        kind = os.stat(name)
        if stat.S_ISDIR(kind.st_mode):
            raise CheckpointError(f"{name} is a directory; pass a checkpoint file in it")
        if not stat.S_ISREG(kind.st_mode):
            raise CheckpointError(f"{name} is not a regular file; pass the path of a checkpoint file")
        file = os.fdopen(os.open(name, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb")
    except OSError as error:
        denied = isinstance(error, PermissionError)
        remedy = "check its permissions" if denied else "pass a run, or a file of its checkpoints/"
        raise CheckpointError(f"cannot read {called(name)}: {os.strerror(error.errno or 0)}; {remedy}") from None
    size = os.fstat(file.fileno()).st_size
    if size == 0 or size > MAX_BYTES or not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        reason = "is empty; its writing was cut" if size == 0 else f"is {size} bytes big, more than {MAX_BYTES}"
        raise DamagedError(f"{called(name)} {reason}; use another one")
    return file


def _chunks(file: IO[bytes], length: int) -> Iterator[bytes]:
    file.seek(0)
    while length > 0 and (chunk := file.read(min(CHUNK, length))):
        length -= len(chunk)
        yield chunk


def check_bytes(file: IO[bytes], name: str) -> bool:
    """Compares the file with the checksum at its end.

    Returns:
        Whether there was a checksum; a file of another program has none.

    Raises:
        DamagedError: the bytes changed or the end is missing.
    """
    size = os.fstat(file.fileno()).st_size
    length = max(0, size - TRAILER_BYTES)
    checksum = 0
    for chunk in _chunks(file, length):
        checksum = zlib.crc32(chunk, checksum)
    written = file.read(TRAILER_BYTES)
    if written == trailer(checksum, length):
        return True
    if written[:15] == trailer(0, 0)[:15]:
        raise DamagedError(f"{called(name)} is rotten: its bytes changed after it was written; use another one")
    return False


def _directory(file: IO[bytes], name: str, end: int) -> zipfile.ZipFile:
    """The archive's table of contents, provided that it can be read in one way only."""
    file.seek(0)
    head = file.read(4)
    file.seek(max(0, end - _DIRECTORY_END_BYTES))
    tail = file.read(_DIRECTORY_END_BYTES)
    if head != b"PK\x03\x04":
        raise CheckpointError(f"{name} is not a checkpoint file of Showtell; pass one that a run wrote")
    if tail[:4] != _DIRECTORY_END or tail[-2:] != b"\0\0":
        raise DamagedError(f"{called(name)} is torn: its end is missing; use another one")
    try:
        archive = zipfile.ZipFile(file)
    except (zipfile.BadZipFile, ValueError, NotImplementedError, OSError):
        raise DamagedError(f"{called(name)} is torn: its table of contents is broken; use another one") from None
    return archive


def check_archive(file: IO[bytes], name: str, end: int) -> None:
    """Refuses archives that cost more memory than their size, or whose pickle names anything unexpected.

    `end` is the number of bytes of the archive, without the trailer.

    Raises:
        CheckpointError: compressed, overlapping or duplicate entries, or a forbidden global.
    """
    stored_entries(file, name, end)
    check_globals(_pickle(file, name), name)


def stored_entries(file: IO[bytes], name: str, end: int) -> zipfile.ZipFile:
    """The archive, which holds no more than its size, each entry once and uncompressed; as `check_archive`."""
    archive = _directory(file, name, end)
    entries = archive.infolist()
    names = [entry.filename for entry in entries]
    if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):
        raise CheckpointError(f"{called(name)} holds compressed data, which Showtell never writes; it is not opened")
    declared = sum(entry.file_size for entry in entries)
    if declared > end or any(entry.file_size != entry.compress_size for entry in entries):
        raise CheckpointError(f"{called(name)} declares {declared} bytes in a file of {end}; it is not opened")
    if len(set(names)) != len(names) or min((entry.header_offset for entry in entries), default=1) != 0:
        raise CheckpointError(f"{called(name)} is not laid out as Showtell does it; it is not opened")
    return archive


def _pickle(file: IO[bytes], name: str) -> bytes:
    """The pickle as torch itself will read it, so that both readers cannot disagree about the archive."""
    import torch

    file.seek(0)
    try:
        return bytes(torch._C.PyTorchFileReader(file).get_record("data.pkl"))
    except RuntimeError:
        raise DamagedError(f"{called(name)} is torn: torch finds no data in it; use another one") from None


def check_globals(pickle: bytes, name: str) -> None:
    """Refuses a pickle that names anything but tensors and plain containers, without running it.

    Raises:
        CheckpointError: a forbidden global, or bytes that are no pickle.
    """
    try:
        named = {
            str(argument).replace(" ", ".", 1) if opcode.name == "GLOBAL" else opcode.name
            for opcode, argument, _ in pickletools.genops(pickle)
            if opcode.name in {"GLOBAL", "STACK_GLOBAL", "INST", "EXT1", "EXT2", "EXT4"}
        }
    except Exception:  # pickletools raises whatever the broken bytes lead to
        raise DamagedError(f"{called(name)} is unreadable: its pickle is broken; use another one") from None
    if forbidden := sorted(named - ALLOWED_GLOBALS):
        raise CheckpointError(
            f"{called(name)} asks for {forbidden[0]!r}, more than tensors and plain containers; it is not opened"
        )
