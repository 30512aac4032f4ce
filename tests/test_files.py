import os
import subprocess
import sys
from pathlib import Path

import pytest

from showtell import files
from showtell.files import (
    WriteError,
    atomic_write,
    write_text_atomically,
)

OURS = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[1] / "src")}


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


def test_what_is_no_file_stays_what_it_is(tmp_path):
    write_text_atomically("/dev/null", "x")
    assert Path("/dev/null").is_char_device()
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = subprocess.Popen(["cat", str(pipe)], stdout=subprocess.PIPE)
    with atomic_write(pipe) as file:
        file.write(b"by")
        file.seek(0)
        file.write(b"my")
    assert reader.communicate()[0] == b"my"
    assert pipe.is_fifo() and not temporaries(tmp_path)


def test_standard_output_by_its_name_goes_where_it_goes(tmp_path):
    code = "from showtell.files import write_text_atomically as w; print('a'); w('/dev/stdout', 'b\\n'); print('c')"
    with (tmp_path / "said").open("w") as said:
        subprocess.run([sys.executable, "-c", code], stdout=said, check=True, env=OURS)
    assert (tmp_path / "said").read_text() == "a\nb\nc\n"


def test_a_planted_link_is_not_followed(tmp_path, monkeypatch):
    victim, target = tmp_path / "victim", tmp_path / "out" / "a"
    victim.write_text("precious")
    target.parent.mkdir()
    planted = target.with_name(".a.tmp")
    planted.symlink_to(victim)
    monkeypatch.setattr(files, "temporary_name", lambda path: planted)
    with pytest.raises(WriteError):
        write_text_atomically(target, "new")
    assert victim.read_text() == "precious"


@pytest.mark.parametrize("name", ["a" * 251 + ".txt", "é" * 127])
def test_the_longest_names_are_written(tmp_path, name):
    write_text_atomically(tmp_path / name, "new")
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_imports_nothing_heavy():
    heavy = "('torch', 'numpy', 'omegaconf')"
    code = f"import sys, showtell.files; print([m for m in {heavy} if m in sys.modules])"
    source = str(Path(__file__).resolve().parents[1] / "src")
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env={**os.environ, "PYTHONPATH": source}
    )
    assert run.stdout == "[]\n", run.stderr
