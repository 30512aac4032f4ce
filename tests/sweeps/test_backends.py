import os
import sys

import pytest

from showtell.config import ConfigError, parse
from showtell.processes import thread_limits
from showtell.sweeps.backends import LocalBackend, visible_gpus
from showtell.sweeps.run_sweep import build_backend


@pytest.fixture
def gpus(monkeypatch):
    return lambda text: monkeypatch.setenv("CUDA_VISIBLE_DEVICES", text)


@pytest.mark.parametrize(
    ("visible", "sweep", "device", "slots", "assigned"),
    [
        ("", {}, {}, 1, [None]),
        ("0", {}, {}, 1, [None]),
        ("0,1,2", {}, {}, 3, ["0", "1", "2"]),
        ("4,7", {"jobs": 4}, {}, 4, ["4", "7", "4", "7"]),
        ("0,1,2,3,4", {}, {"devices": 2}, 2, ["0,1", "2,3"]),
        ("GPU-a,GPU-b", {}, {}, 2, ["GPU-a", "GPU-b"]),
        ("0,1", {"jobs": 2}, {"accelerator": "cpu"}, 2, [None, None]),
    ],
)
def test_each_job_has_its_gpus(gpus, visible, sweep, device, slots, assigned):
    gpus(visible)
    backend = LocalBackend(parse({"sweep": sweep, "device": device}))
    assert backend.slots == slots
    assert [backend._gpus(slot).get("CUDA_VISIBLE_DEVICES") for slot in range(slots)] == assigned


def test_no_gpu_is_seen_where_all_are_hidden(gpus):
    gpus("-1")
    assert visible_gpus() == []


def test_cores_are_divided_unless_the_user_decided(monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setenv("MKL_NUM_THREADS", "7")
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(8)), raising=False)
    assert thread_limits(3) == {"OMP_NUM_THREADS": "2"}
    assert thread_limits(100) == {"OMP_NUM_THREADS": "1"}
    monkeypatch.delenv("MKL_NUM_THREADS")
    assert thread_limits(3) == {"OMP_NUM_THREADS": "2", "MKL_NUM_THREADS": "2"}
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert thread_limits(3) == {}


def test_a_cluster_that_is_not_there_is_one_line(tmp_path, monkeypatch):
    pytest.importorskip("submitit")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ConfigError, match=r"sweep.backend=slurm: .*slurm") as error:
        build_backend(parse({"sweep": {"backend": "slurm"}}), tmp_path)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", ["slurm", "ray"])
def test_a_missing_library_is_named_with_its_remedy(tmp_path, monkeypatch, name):
    monkeypatch.setitem(sys.modules, {"slurm": "submitit", "ray": "ray"}[name], None)
    with pytest.raises(ConfigError, match=rf"pip install '\.\[{name}\]'"):
        build_backend(parse({"sweep": {"backend": name}}), tmp_path)
