"""What a sweep does once for all of its jobs, also where they begin side by side."""

from pathlib import Path

import pytest
from tests.sweeps.conftest import SweepCommand

pytestmark = pytest.mark.slow
COUNTING = Path(__file__).with_name("counting_train.py")
TINY = ["data.shapes.train_pictures=48", "data.shapes.val_pictures=8", "vocab=min1", "device=cpu", "debug=fast"]


def test_the_encoder_sees_each_picture_once_in_a_whole_sweep(tmp_path):
    sweep, counts = SweepCommand(tmp_path, COUNTING), tmp_path / "counts"
    words = [*TINY, "vocab.threshold=1,2", "seed=1,2", "sweep.jobs=2"]
    first = sweep(*words, "decoder.hidden_size=16", COUNTS=str(counts))
    assert "4 jobs: 4 finished" in first.stdout, first.stdout + first.stderr
    assert sum(map(int, counts.read_text().split())) == 48 + 8
    more = sweep(*words, "decoder.hidden_size=16,24", COUNTS=str(counts))
    assert "8 jobs: 4 skipped, 4 finished" in more.stdout, more.stdout + more.stderr
    assert sum(map(int, counts.read_text().split())) == 48 + 8
    # words are kept before any vocabulary, so its threshold needs no second set
    kept = sorted(path.name.rpartition("-")[0] for path in (tmp_path / "cache" / "captions").iterdir())
    assert kept == ["shapes-train", "shapes-val"]
