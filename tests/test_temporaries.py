import os
import re
import subprocess
import sys
from pathlib import Path

from showtell.files import write_text_atomically
from showtell.temporaries import remove_stale_temporaries, temporary_folder

OURS = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[1] / "src")}


def temporaries(directory: Path) -> list[Path]:
    return sorted(directory.rglob("*.tmp"))


def left_by(place: Path, code: str) -> Path:
    """What a process leaves that ends within a block of `temporaries`."""
    subprocess.run([sys.executable, "-c", f"import os\n{code}.__enter__()\nos._exit(1)"], cwd=place, env=OURS)
    (left,) = temporaries(place)
    return left


def test_who_writes_next_removes_what_killed_writers_left(tmp_path: Path) -> None:
    left = left_by(tmp_path, "from showtell.files import atomic_write as a; c = a('a'); c")
    elsewhere = left.with_name(re.sub("-.{6}-", "-abcdef-", left.name))  # another machine's
    forgotten = elsewhere.with_name("." + elsewhere.name)
    elsewhere.write_bytes(b"")
    forgotten.write_bytes(b"")
    os.utime(forgotten, (0, 0))
    write_text_atomically(tmp_path / "b", "new")
    assert temporaries(tmp_path) == [elsewhere]


def test_a_folder_is_gone_after_its_block_or_when_the_next_is_made(tmp_path: Path) -> None:
    left = left_by(
        tmp_path, f"from showtell.temporaries import *; c = temporary_folder(Path({str(tmp_path / 'a')!r})); c"
    )
    (left / "inside").write_text("a launcher's")
    with temporary_folder(tmp_path / "b") as own:
        assert temporaries(tmp_path) == [own]
        (own / "inside").write_text("ours")
        remove_stale_temporaries(tmp_path)
        assert (own / "inside").is_file()
    assert not temporaries(tmp_path)


def test_neither_a_link_of_such_a_name_nor_what_it_names_is_touched(tmp_path: Path) -> None:
    left = left_by(
        tmp_path, f"from showtell.temporaries import *; c = temporary_folder(Path({str(tmp_path / 'a')!r})); c"
    )
    kept = tmp_path / "kept"
    left.rename(kept)
    left.symlink_to(kept)
    assert not remove_stale_temporaries(tmp_path)
    assert left.is_symlink() and kept.is_dir()
