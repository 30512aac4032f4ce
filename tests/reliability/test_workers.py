"""A loader process that dies, hangs or meets a broken picture ends the run with one line that names it."""

import pytest
from tests.reliability.conftest import mostly_slow
from tests.reliability.test_resume import one_line

PICTURE = "train_000000000007.jpg"


@pytest.mark.parametrize(
    ("fault", "message"),
    mostly_slow(
        [
            ("worker killed", "a loader process died by signal 9 reading"),
            ("worker exits", "a loader process died with code 3 reading"),
            ("worker hangs", "a loader process is stuck reading"),
            ("picture breaks", "cannot be read"),
        ],
        4,
    ),
)
def test_the_picture_is_named(forge, words, tmp_path, fault, message):
    argv = words("features.mode=off", "features.dtype=float16", "data.num_workers=2")
    code = forge.job(argv=argv, directory=str(tmp_path), mutant=fault)
    assert code == 2, forge.said
    assert message in one_line(forge) and PICTURE in one_line(forge)


@pytest.mark.slow
def test_the_store_names_the_picture(forge, words, pictures, tmp_path):
    argv = words(f"cache={tmp_path}/cache", "features.batch_size=1", "data.num_workers=2")
    assert forge.job(argv=argv, directory=str(tmp_path), mutant="worker killed") == 2, forge.said
    assert "a loader process died by signal 9 reading" in one_line(forge) and PICTURE in one_line(forge)
