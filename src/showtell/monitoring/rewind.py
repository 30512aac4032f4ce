"""Cuts the logs of a run back to the checkpoint that it goes on from: no seam, no doubled point.

What was logged after the checkpoint comes again. A step's number alone does not tell what that is: a validation is
logged under the number of the step before it, so a run whose validation was cut repeats some entries of a step and
not the others. But entries are in the order of the run, so a log is cut at the first entry that comes again, whatever
follows. TensorBoard's own remedy, `purge_step`, goes by the number; it stays in use for a TensorBoard that is
watching and has already read beyond the cut.
"""

import os
import struct
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

from lightning_utilities.core.rank_zero import rank_zero_only
from tensorboard.compat.proto.event_pb2 import Event  # type: ignore[import-untyped]

_AT_THE_END = ("val_best/", "_hparams_")


@dataclass(frozen=True)
class LogPoint:
    """Where a resumed run goes on: `step` optimizer steps are done, perhaps a validation is due before the next."""

    step: int
    validation_due: bool = False

    def comes_again(self, step: int, names: Collection[str]) -> bool:
        """Whether an entry with these metrics was logged after this point."""
        if step >= self.step or any(name.startswith(_AT_THE_END) for name in names):
            return True
        return self.validation_due and step == self.step - 1 and any(name.startswith("val/") for name in names)


@rank_zero_only
def rewind_events(run_dir: Path, point: LogPoint) -> None:
    """Cuts TensorBoard's event files in `run_dir`; those that are wholly later are removed.

    A file that is damaged is cut at the damage, beyond which TensorBoard would not read either.
    """
    files = sorted(run_dir.glob("events.out.tfevents.*"), key=lambda path: path.name.split("."))
    cut = False
    for path in files:
        if cut:
            path.unlink()
            continue
        length = _kept_length(path, point)
        if length < path.stat().st_size:
            os.truncate(path, length)
            cut = True


def _kept_length(path: Path, point: LogPoint) -> int:
    """Number of bytes before the first event that comes again."""
    end = 0
    for event, after in _events(path):
        if event.HasField("summary") and point.comes_again(event.step, [value.tag for value in event.summary.value]):
            return end
        end = after
    return end


def _events(path: Path) -> Iterator[tuple[Event, int]]:
    """The events of a file, each with its end's offset. A record is length, its CRC, content, its CRC."""
    content = path.read_bytes()
    start = 0
    while start + 12 <= len(content):
        (size,) = struct.unpack_from("<Q", content, start)
        end = start + 12 + size + 4
        if end > len(content):
            return
        try:
            event = Event.FromString(content[start + 12 : end - 4])
        except Exception:  # protobuf's own error class is not public in every version
            return
        yield event, end
        start = end
