"""How much memory is free, what a run takes at least, and what to say where that is too much.

The least that a run takes is computed, not tried: a system that promises more memory than it has ends the process that
uses it by SIGKILL, without a word. Nothing here imports torch.
"""

import re
import resource
from contextlib import suppress
from pathlib import Path

from showtell.errors import UserError
from showtell.files import size

PROCESS = 200 << 20
"""Bytes that a process of training takes for its libraries alone."""
_CGROUPS = (("memory.max", "memory.current"), ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes"))


def free_memory() -> int:
    """Bytes that this process can still use: of the machine with its swap space, of its container and of its limit."""
    machine = _figures(Path("/proc/meminfo"))
    found = [machine["MemAvailable"] + machine.get("SwapFree", 0)] if "MemAvailable" in machine else []
    for most, used in _CGROUPS:
        with suppress(OSError, ValueError):  # "max": no limit
            root = Path("/sys/fs/cgroup")
            found.append(int((root / most).read_text()) - int((root / used).read_text()))
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    if limit != resource.RLIM_INFINITY:
        found.append(limit - _figures(Path("/proc/self/status")).get("VmSize", 0))
    return max(0, min(found, default=1 << 62))


def refuse_too_large(needed: int, free: int, what: str, remedy: str) -> None:
    """Refuses, by a UserError, what takes more memory than is free; `what` names the setting."""
    if needed > free:
        raise UserError(f"{what}: at least {size(needed)} of memory are needed, {size(free)} are free; {remedy}")


def _figures(file: Path) -> dict[str, int]:
    """The lines `Name:  123 kB` of a file below /proc, in bytes; nothing where there is none."""
    with suppress(OSError):
        return {name: int(number) << 10 for name, number in re.findall(r"(?m)^(\w+):\s+(\d+) kB$", file.read_text())}
    return {}
