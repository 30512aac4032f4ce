"""onnxruntime-web, vendored into a page: from npm's registry by npm, or from a package that is there already."""

import hashlib
import shutil
import subprocess
import tarfile
from pathlib import Path

from showtell.config import ConfigError
from showtell.data.paths import shown
from showtell.temporaries import temporary_folder

VERSION = "1.30.0"
PACKAGE = f"onnxruntime-web@{VERSION}"
FILES = {
    "ort.wasm.bundle.min.mjs": "11e64bd8ffe11bd1a2a2f0d6275fdfbbba7262f0b76b99b53d228a8a22ef3d90",
    "ort-wasm-simd-threaded.wasm": "3398c10d07d229bd91b364548e130e0e51a8e5704b88c7c083ebbeb78842dee2",
}
"""What the page needs of it, with the SHA-256 of each."""
_BY_HAND = f"run `npm pack {PACKAGE}` where npm is, and give its file by --runtime FILE.tgz"


def check_runtime(given: Path | None) -> None:
    """Refuses, by a ConfigError, what `vendor_runtime` could not work with."""
    if given is None and shutil.which("npm") is None:
        raise ConfigError(f"--web: npm, which fetches {PACKAGE}, is not installed; install it, or {_BY_HAND}")
    if given is not None and not given.exists():
        raise ConfigError(f"--runtime {shown(given)}: there is no such file or folder; {_BY_HAND}")


def vendor_runtime(given: Path | None, target: Path) -> None:
    """Writes the runtime's files into a folder.

    Args:
        given: the package's file, or a folder that it was unpacked into; None: npm fetches it.
        target: the folder.

    Raises:
        ConfigError: it cannot be had, or is not this version.
    """
    target.mkdir()
    with temporary_folder() as scratch:
        source = given or _fetched(scratch)
        for name, sha256 in FILES.items():
            content = _content(source, name)
            if content is None or hashlib.sha256(content).hexdigest() != sha256:
                state = "holds no" if content is None else "has another"
                raise ConfigError(f"--runtime {shown(source)}: it {state} {name} of {PACKAGE}; {_BY_HAND}")
            (target / name).write_bytes(content)


def _fetched(folder: Path) -> Path:
    # npm knows the registry, its mirror, the proxy and the cache of this machine, and checks the package's hash
    command = ["npm", "pack", PACKAGE, "--silent", "--pack-destination", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder)
    files = list(folder.glob("*.tgz"))
    if done.returncode or not files:
        lines = (done.stderr or done.stdout).strip().splitlines()
        reason = lines[-1] if lines else f"exit status {done.returncode}"
        raise ConfigError(f"--web: npm cannot fetch {PACKAGE} ({reason}); {_BY_HAND}")
    return files[0]


def _content(source: Path, name: str) -> bytes | None:
    """A file of the package, wherever in it; None where there is none."""
    if source.is_dir():
        found = sorted(source.rglob(name))
        return found[0].read_bytes() if found else None
    try:
        with tarfile.open(source) as archive:
            member = archive.extractfile(f"package/dist/{name}")
            return member.read() if member else None
    except (tarfile.TarError, KeyError):
        return None
