"""What every benchmark prints last: one line `RESULT {json}` with its figure, the target and the machine."""

import json
import os
import platform
from pathlib import Path
from typing import Any

# real pictures and captions; each script has --data for others
DATA = Path(os.environ.get("SHOWTELL_SHARED", Path(__file__).resolve().parents[2] / "shared")) / "data"


def machine(device: str = "cpu") -> str:
    """The processor (or GPU), its cores, and how busy it is: the average number of running processes."""
    import torch

    if device != "cpu":
        return torch.cuda.get_device_name()
    load = f"load {os.getloadavg()[0]:.1f}"
    return (
        f"{_processor()}, {os.cpu_count()} cores, {torch.get_num_threads()} threads, {load}, torch {torch.__version__}"
    )


def cpu() -> float:
    """Seconds of CPU time of this process and its ended children."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def report(
    figure: str, value: float, unit: str, target: str | float, passed: bool, machine_name: str | None = None
) -> None:
    """Prints the line that `python -m benchmarks` collects."""
    row: dict[str, Any] = {"figure": figure, "value": value, "unit": unit, "target": target, "passed": passed}
    print("RESULT " + json.dumps(row | {"machine": machine_name or machine()}), flush=True)


def at_least(figure: str, value: float, limit: float, unit: str) -> None:
    """Reports a value that should be large."""
    report(figure, value, unit, f"at least {limit:g}", value >= limit)


def at_most(figure: str, value: float, limit: float, unit: str) -> None:
    """Reports a value that should be small."""
    report(figure, value, unit, f"at most {limit:g}", value <= limit)


def _processor() -> str:
    path = Path("/proc/cpuinfo")
    lines = path.read_text().splitlines() if path.is_file() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()
