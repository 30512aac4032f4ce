"""The logs of a run, and how a resume truncates them at its checkpoint: no seam, no doubled point.

What was logged after the checkpoint comes again. A step's number alone does not tell what that is: a validation is
logged under the number of the step before it, so a run whose validation was cut repeats some entries of a step and
not the others. But entries are in the order of the run, so a log is cut at the first entry that comes again, whatever
follows. TensorBoard's own remedy, `purge_step`, goes by the number; it stays in use for a TensorBoard that is
watching and has already read beyond the cut. Lightning's CSV logger empties its file when a run is resumed.

A logger of one's own: `@showtell.register("logger", name="mine") class Mine(RunLogger)`, and `training.loggers=[mine]`.
"""

import csv
import io
import struct
import threading
import time
from abc import abstractmethod
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from itertools import takewhile
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from PIL import Image
from pytorch_lightning.loggers import Logger, TensorBoardLogger
from tensorboard.compat.proto.event_pb2 import Event  # type: ignore[import-untyped]
from tensorboard.compat.proto.summary_pb2 import Summary  # type: ignore[import-untyped]
from tensorboard.plugins.hparams.metadata import (  # type: ignore[import-untyped]
    EXPERIMENT_TAG,
    SESSION_END_INFO_TAG,
    SESSION_START_INFO_TAG,
)

from showtell.config import Config, ConfigError, find
from showtell.distributed import is_rank_zero
from showtell.files import atomic_write, write_text_atomically
from showtell.run import Run

_AT_THE_END = ("val_best/", SESSION_END_INFO_TAG, "test/")  # the first by older versions
_OF_EACH_START = (EXPERIMENT_TAG, SESSION_START_INFO_TAG)  # TensorBoard knows one of each, and takes the first


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


class BuildLogger(Protocol):
    """The contract: a class of Lightning's `Logger`, or a function; called like this on all ranks."""

    def __call__(self, run: Run, config: Config, resumed_at: LogPoint | None) -> Logger:
        """The logger of a run, which goes on at `resumed_at`: what was logged after that comes again."""


class RunLogger(Logger):
    """A logger of one's own: `write` is all that it needs.

    Args:
        run: its directory.
        config: its configuration.
        resumed_at: where it goes on; what was logged after that comes again. None: it begins.
    """

    name = "run"
    version = ""

    def __init__(self, run: Run, config: Config, resumed_at: LogPoint | None = None) -> None:
        super().__init__()
        self.run = run
        self.config = config
        self.resumed_at = resumed_at

    @abstractmethod
    def write(self, metrics: Mapping[str, float], step: int | None) -> None:
        """Writes down what was measured at a step; called on rank 0 alone."""

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Writes on rank 0."""
        if is_rank_zero():
            self.write(metrics, step)

    def log_hyperparams(self, *args: Any, **kwargs: Any) -> None:
        """Hyper-parameters are in `config.yaml` and in TensorBoard."""


def build_loggers(config: Config, run_dir: Path, resumed_at: LogPoint | None) -> list[Logger]:
    """Those that `training.loggers` names."""
    return [build(Run(run_dir), config, resumed_at) for build in logger_builders(config)]


def logger_builders(config: Config) -> list[BuildLogger]:
    """What builds them.

    Raises:
        ConfigError: one wants a package that is not installed.
    """
    found: list[BuildLogger] = []
    for name in dict.fromkeys(config.training.loggers):
        build = find("logger", name).load()
        package = getattr(build, "package", None)
        if package and find_spec(package) is None:
            raise ConfigError(
                f"training.loggers: {name} wants the package {package}, which is not installed; "
                f"pip install '.[{name}]', or leave it out"
            )
        found.append(build)
    return found


def tensorboard(run: Run, config: Config, resumed_at: LogPoint | None) -> Logger:
    """TensorBoard's event files."""
    if resumed_at and is_rank_zero():
        truncate_events(run.directory, resumed_at)
    step = resumed_at.step if resumed_at else None
    return TensorBoard(run.directory, name="", version="", default_hp_metric=False, purge_step=step)


@runtime_checkable
class Shows(Protocol):
    """A logger that shows pictures and texts too; one of one's own does that has these methods."""

    def show_picture(self, tag: str, picture: Image.Image, step: int) -> None:
        """Shows a picture under a name, at a step; called on rank 0 alone."""

    def show_text(self, tag: str, text: str, step: int) -> None:
        """Shows a text in Markdown."""


class TensorBoard(TensorBoardLogger):
    """Lightning's, without what Lightning adds: a chart of the epoch's number, and a copy of the hyper-parameters.

    A write that fails in TensorBoard's thread is raised again by the next one, so the thread's traceback is not shown.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if threading.excepthook is threading.__excepthook__:
            threading.excepthook = _without_failed_writes

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Writes the curves."""
        super().log_metrics({name: value for name, value in metrics.items() if name != "epoch"}, step)

    def show_text(self, tag: str, text: str, step: int) -> None:
        """On the Text page."""
        self.experiment.add_text(tag, text, step)

    def show_picture(self, tag: str, picture: Image.Image, step: int) -> None:
        """As JPEG; `docs/decisions/logging.md` says why not by `SummaryWriter.add_image`."""
        encoded = io.BytesIO()
        picture.save(encoded, format="JPEG", quality=90, subsampling=0)  # whole colours, for the letters' sake
        image = Summary.Image(
            width=picture.width, height=picture.height, colorspace=3, encoded_image_string=encoded.getvalue()
        )
        self.experiment.file_writer.add_summary(Summary(value=[Summary.Value(tag=tag, image=image)]), step)

    def save(self) -> None:
        """Flushes."""
        self.experiment.flush()


def _without_failed_writes(args: threading.ExceptHookArgs) -> None:
    if not (isinstance(args.exc_value, OSError) and type(args.thread).__name__ == "_AsyncWriterThread"):
        threading.__excepthook__(args)


class MetricsFile(RunLogger):
    """`metrics.csv`: columns `step`, `epoch` and one per metric, a row per logged step, for spreadsheets and pandas.

    A row is on disk as soon as it is logged. A metric that appears late adds a column, for which the file is rewritten.
    """

    def __init__(self, run: Run, config: Config, resumed_at: LogPoint | None = None) -> None:
        super().__init__(run, config, resumed_at)
        self.path = run.metrics_file
        self.columns = ["step", "epoch"]
        if is_rank_zero():
            self._start(resumed_at)

    def write(self, metrics: Mapping[str, float], step: int | None) -> None:
        """Appends a row."""
        row = {"step": step, **metrics}
        if new := [key for key in row if key not in self.columns]:
            rows = self._rows()
            self.columns += new
            self._rewrite(rows)
        with self.path.open("a", newline="", encoding="utf-8") as file:
            csv.DictWriter(file, self.columns, lineterminator="\n").writerow(row)

    def _start(self, resumed_at: LogPoint | None) -> None:
        rows: list[dict[str, str]] = []
        if self.path.is_file() and resumed_at is not None:
            before = self._rows()
            self.columns = list(before[0]) if before else self.columns
            rows = list(takewhile(lambda row: not _row_comes_again(row, resumed_at), before))
        self._rewrite(rows)

    def _rows(self) -> list[dict[str, str]]:
        with self.path.open(newline="", encoding="utf-8") as file:
            return list(csv.DictReader(file))

    def _rewrite(self, rows: list[dict[str, str]]) -> None:
        lines = [",".join(self.columns)] + [",".join(row.get(key) or "" for key in self.columns) for row in rows]
        write_text_atomically(self.path, "\n".join(lines) + "\n")


def _row_comes_again(row: dict[str, str], point: LogPoint) -> bool:
    if None in row.values() or not row["step"].isdigit():  # a line that was cut, or a foreign one
        return True
    return point.comes_again(int(row["step"]), [name for name, value in row.items() if value])


def truncate_events(run_dir: Path, point: LogPoint) -> None:
    """Cuts TensorBoard's event files in `run_dir`; those that are wholly later are removed.

    A file that is damaged is cut at the damage, beyond which TensorBoard would not read either. The hyper-parameters,
    which a resume may change, are taken out.
    """
    files, cut = _event_files(run_dir), False
    for path in files:
        if cut:
            path.unlink()
            continue
        before = path.read_bytes()
        kept, cut = _kept(before, point)
        if kept != before:
            with atomic_write(path) as file:
                file.write(kept)
    _put_before_now(_event_files(run_dir))


def _event_files(run_dir: Path) -> list[Path]:
    """Named `...tfevents.SECONDS.HOST.PID.NUMBER`, in the order written: a process's tenth comes after its ninth."""
    files = run_dir.glob("events.out.tfevents.*")
    return sorted(files, key=lambda path: [part.zfill(20) for part in path.name.split(".")])


def _put_before_now(files: list[Path]) -> None:
    """Numbers the files from 0 in the place of their seconds, where the next file's name might not come last.

    TensorBoard reads by name, and the next file is named after this second: the last one may be of the same, or of a
    later one by another machine's clock.
    """
    if files and files[-1].name.split(".")[3] >= f"{int(time.time()):010}":
        for number, path in enumerate(files):
            path.rename(path.with_name(f"events.out.tfevents.{number:010}.resumed"))


def _kept(content: bytes, point: LogPoint) -> tuple[bytes, bool]:
    """The events before the first that comes again, and whether there is such a one, or damage."""
    kept, end = list[bytes](), 0
    for event, after in _events(content):
        names = [value.tag for value in event.summary.value]
        if names and point.comes_again(event.step, names):
            break
        if not set(names) & set(_OF_EACH_START):
            kept.append(content[end:after])
        end = after
    return b"".join(kept), end < len(content)


def _events(content: bytes) -> Iterator[tuple[Event, int]]:
    """The events of a file, each with its end's offset. A record is length, its CRC, content, its CRC."""
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
