import os
import subprocess
import sys
from pathlib import Path

import pytest

from showtell.files import (
    WriteError,
    atomic_write,
    remove_stale_temporaries,
    write_text_atomically,
)


def temporaries(directory: Path) -> list[Path]:
    return list(directory.rglob("*.tmp"))


def test_writes_and_replaces(tmp_path):
    target = tmp_path / "new" / "result.json"
    write_text_atomically(target, "eins\n")
    write_text_atomically(target, "zwei \ud800 é\n")
    assert target.read_text("utf-8") == "zwei ? é\n"
    assert not temporaries(tmp_path)


def test_an_error_in_the_block_keeps_the_old_file(tmp_path):
    target = tmp_path / "a"
    target.write_bytes(b"old")
    with pytest.raises(RuntimeError), atomic_write(target) as file:
        file.write(b"new")
        raise RuntimeError
    assert target.read_bytes() == b"old"
    assert not temporaries(tmp_path)


def test_nobody_sees_half_a_file(tmp_path):
    target = tmp_path / "a"
    target.write_bytes(b"old")
    with atomic_write(target) as file:
        file.write(b"new")
        file.flush()
        assert target.read_bytes() == b"old"
        (temporary,) = temporaries(tmp_path)
        assert temporary.parent == tmp_path and str(os.getpid()) in temporary.name
    assert target.read_bytes() == b"new"


def test_a_link_stays_a_link_and_the_mode_stays(tmp_path):
    target, link = tmp_path / "a", tmp_path / "link"
    target.write_bytes(b"old")
    target.chmod(0o640)
    link.symlink_to(target)
    with atomic_write(link) as file:
        file.write(b"new")
    assert link.is_symlink() and target.read_bytes() == b"new" and target.stat().st_mode & 0o777 == 0o640


def test_a_parent_that_is_a_file_is_one_line(tmp_path):
    (tmp_path / "a").write_bytes(b"")
    with (
        pytest.raises(WriteError, match=r"^cannot write .*/a/b: .*; no file was left behind$"),
        atomic_write(tmp_path / "a" / "b"),
    ):
        pass


def test_missing_permission_keeps_the_old_file_and_says_so(tmp_path):
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "a").write_text("old")
    folder.chmod(0o555)
    for parent in (tmp_path, *tmp_path.parents):
        if parent.name.startswith(("pytest-", "popen-")) or parent == tmp_path:
            parent.chmod(0o755)
    child = os.fork()
    if child == 0:  # as nobody, for root may write anywhere
        code = 1
        try:
            if os.geteuid() == 0:
                os.seteuid(65534)
            write_text_atomically(folder / "a", "new")
        except WriteError as error:
            text = str(error)
            code = 0 if "make its folder writable" in text and text.endswith("the old file is kept") else 2
        finally:
            os._exit(code)
    status = os.waitpid(child, 0)[1]
    folder.chmod(0o755)
    assert status == 0
    assert (folder / "a").read_text() == "old" and not temporaries(tmp_path)


def test_only_dead_writers_files_are_removed(tmp_path):
    child = os.fork()
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)
    dead, alive = tmp_path / f".a.ckpt.{child}.tmp", tmp_path / f".a.ckpt.{os.getpid()}.tmp"
    foreign = tmp_path / ".notes.tmp"
    for path in (dead, alive, foreign):
        path.write_bytes(b"")
    assert remove_stale_temporaries(tmp_path) == [dead]
    assert alive.exists() and foreign.exists()
    assert remove_stale_temporaries(tmp_path / "missing") == []


def test_imports_nothing_heavy():
    heavy = "('torch', 'numpy', 'omegaconf')"
    code = f"import sys, showtell.files; print([m for m in {heavy} if m in sys.modules])"
    source = str(Path(__file__).resolve().parents[1] / "src")
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env={**os.environ, "PYTHONPATH": source}
    )
    assert run.stdout == "[]\n", run.stderr
