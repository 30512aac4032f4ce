"""What `auto` chooses is a function of the hardware."""

import pytest
import torch

from showtell.config import Config, parse
from showtell.models import precision
from showtell.models.precision import decoding_precision, encoding_precision, with_precision

CPU = torch.device("cpu")


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch, tmp_path, request: pytest.FixtureRequest) -> bool:
    """A processor by its vendor and units; whether bfloat16 pays on it."""
    vendor, amx, avx512, pays = request.param
    information = tmp_path / "cpuinfo"
    information.write_text(f"processor: 0\nvendor_id: {vendor}\n")
    monkeypatch.setattr(precision, "CPU_INFORMATION", information)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: amx)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: avx512)
    return pays


MACHINES = [
    ("AuthenticAMD", False, True, True),
    ("AuthenticAMD", False, False, False),
    ("GenuineIntel", False, True, False),
    ("GenuineIntel", True, True, True),
]


@pytest.mark.parametrize("machine", MACHINES, indirect=True)
def test_auto_is_bfloat16_only_where_it_pays(machine: bool) -> None:
    asked = parse({"device": {"precision": "auto"}})
    answered = with_precision(asked, CPU)
    assert answered.device.precision == ("bf16-mixed" if machine else "32-true")
    assert with_precision(Config(), CPU) == Config()
    fast = "bfloat16" if machine else "float32"
    assert encoding_precision("auto", CPU) == fast and encoding_precision("bfloat16", CPU) == "bfloat16"
    assert decoding_precision("auto", "bf16-mixed", CPU) == fast
    assert decoding_precision("auto", "32-true", CPU) == "float32"
    assert decoding_precision("bfloat16", "32-true", CPU) == "bfloat16"
