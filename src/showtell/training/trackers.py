"""Experiment trackers beside TensorBoard: Weights & Biases, MLflow and Trackio, each an extra of its name.

What was sent to a tracker cannot be cut as a file can. So a resume goes on in the same run there, and sends a metric
for later steps alone: what comes again after a kill is, to the bit, what was sent before. `RUN/trackers/NAME.json`
remembers what the run is called there, and how far each metric has come.
"""

import html
import io
import json
import os
import secrets
from collections.abc import Mapping
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any, ClassVar, cast

from PIL import Image
from pytorch_lightning.loggers import Logger, MLFlowLogger, WandbLogger

from showtell.config import Config
from showtell.distributed import is_rank_zero
from showtell.errors import UserError
from showtell.processes import program, shortest
from showtell.run import Run
from showtell.run.status import read_object
from showtell.training.logs import LogPoint, RunLogger


class Tracker(Logger):
    """A logger that shows pictures and texts, and sends nothing twice; the class beside it in the bases sends.

    Attributes:
        package: what must be installed.
        sent: what of this run is there already.
    """

    package: ClassVar[str]
    sent: "Sent"

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Sends what was not sent."""
        if is_rank_zero() and (new := self.sent.new(metrics, step or 0)):
            super().log_metrics(new, step or 0)  # type: ignore[safe-super]

    def show_picture(self, tag: str, picture: Image.Image, step: int) -> None:
        """Sends a picture."""
        if self.sent.new({f"picture {tag}": 1}, step):
            self.send_picture(tag, picture, step)

    def show_text(self, tag: str, text: str, step: int) -> None:
        """Sends a text."""
        if self.sent.new({f"text {tag}": 1}, step):
            self.send_text(tag, text, step)

    def send_picture(self, tag: str, picture: Image.Image, step: int) -> None:
        """Sends a picture; on rank 0 alone."""
        raise NotImplementedError

    def send_text(self, tag: str, text: str, step: int) -> None:
        """Sends a text; on rank 0 alone."""
        raise NotImplementedError

    @property
    def command(self) -> str:
        """The command that one looks at the run with; empty where there is none."""
        return ""


class Sent:
    """What a tracker has of a run: the run's name there, and the last step of each metric, picture and text.

    Args:
        file: in the run directory.
    """

    def __init__(self, file: Path) -> None:
        self.file = file
        found = read_object(file)
        self.id: str = found.get("id", "")
        self.steps: dict[str, int] = found.get("steps", {})

    def new(self, values: Mapping[str, Any], step: int) -> dict[str, Any]:
        """Those that were not sent for this step or a later one; from now on they count as sent."""
        found = {name: value for name, value in values.items() if self.steps.get(name, -1) < step}
        if found:
            self.steps |= dict.fromkeys(found, step)
            self.file.parent.mkdir(parents=True, exist_ok=True)
            # whole or not at all, but not forced to the disk: it is written at every step that is logged
            temporary = self.file.with_name(f".{self.file.name}.{os.getpid()}.tmp")  # as `files` names them
            temporary.write_text(json.dumps({"id": self.id, "steps": self.steps}), encoding="utf-8")
            os.replace(temporary, self.file)
        return found


def name_of(run: Run) -> str:
    """What people call a run: its directory's name, and of which run it is a second stage."""
    folder = run.directory.resolve()
    return f"{folder.parent.name}-{folder.name}" if run.is_second else folder.name


class Wandb(Tracker, WandbLogger):
    """Weights & Biases; who has not logged in there finds all below `RUN/wandb`, for `wandb sync`."""

    package = "wandb"

    def __init__(self, run: Run, config: Config, resumed_at: LogPoint | None = None) -> None:
        import wandb

        self.sent = Sent(run.trackers / "wandb.json")
        self.sent.id = self.sent.id or secrets.token_hex(4)
        self.run = run
        mode = os.environ.get("WANDB_MODE") or ("online" if wandb.login(prompt=False) else "offline")
        settings = wandb.Settings(console="off", silent=mode == "offline")  # the end of the run says where it lies
        super().__init__(
            name=name_of(run), project=config.name, dir=run.directory, save_dir=str(run.directory), id=self.sent.id,
            mode=mode, settings=settings,
        )  # fmt: skip

    @property
    def command(self) -> str:
        """Uploads what was kept here; online, its own page says where."""
        kept = sorted((self.run.directory / "wandb").glob("offline-run-*"))
        return f"{program('wandb')} sync {shortest(self.run.directory)}/wandb/offline-run-*" if kept else ""

    def send_picture(self, tag: str, picture: Image.Image, step: int) -> None:
        """Among its media."""
        import wandb

        self.experiment.log({tag: wandb.Image(picture, file_type="jpg"), "trainer/global_step": step})

    def send_text(self, tag: str, text: str, step: int) -> None:
        """As a page."""
        import wandb

        page = wandb.Html(f"<pre>{html.escape(text)}</pre>", inject=False)
        self.experiment.log({f"{tag}_text": page, "trainer/global_step": step})

    def finalize(self, status: str) -> None:
        """Ends it there, so that a second stage of this process is another one."""
        if self._experiment is not None:
            self._experiment.finish(exit_code=int(status == "failed"))
            self._experiment = None


class Mlflow(Tracker, MLFlowLogger):
    """MLflow: at `MLFLOW_TRACKING_URI`, else in a database beside the run, `runs/NAME/mlflow.db`."""

    package = "mlflow"

    def __init__(self, run: Run, config: Config, resumed_at: LogPoint | None = None) -> None:
        beside = run.directory.resolve().parent
        self.sent = Sent(run.trackers / "mlflow.json")
        self.uri = os.environ.get("MLFLOW_TRACKING_URI")
        pictures = None if self.uri else (beside / "mlruns").as_uri()
        super().__init__(
            config.name, name_of(run), tracking_uri=self.uri or f"sqlite:///{beside}/mlflow.db",
            artifact_location=pictures, run_id=self.sent.id or None,
        )  # fmt: skip
        if is_rank_zero():
            self._open()

    @property
    def command(self) -> str:
        """The server that shows the database."""
        return f"{program('mlflow')} ui --backend-store-uri {self._tracking_uri}"

    def log_hyperparams(self, params: Any) -> None:
        """MLflow keeps the first value of each; what a resume changed becomes a tag."""
        known = self.experiment.get_run(self.run_id).data.params
        super().log_hyperparams({name: value for name, value in params.items() if name not in known})
        for name, value in params.items():
            if known.get(name, str(value)) != str(value):
                self.experiment.set_tag(self.run_id, f"resumed.{name}", value)

    def send_picture(self, tag: str, picture: Image.Image, step: int) -> None:
        """Among its images, by step."""
        self.experiment.log_image(self.run_id, picture, key=tag, step=step)

    def send_text(self, tag: str, text: str, step: int) -> None:
        """As a file."""
        self.experiment.log_text(self.run_id, text, f"{tag}/{step:08}.md")

    def _open(self) -> None:
        from mlflow.exceptions import MlflowException

        try:
            self.sent.id = cast(str, self.run_id)
            self.experiment.update_run(self.sent.id, status="RUNNING")
        except MlflowException as error:
            raise UserError(
                f"training.loggers: mlflow at {self._tracking_uri} does not take the run {self.sent.id} "
                f"({str(error).splitlines()[0]}); delete {self.sent.file} to begin another one there, or leave it out"
            ) from None


class Trackio(Tracker, RunLogger):
    """Trackio: where it keeps things on this machine, or in the space that `TRACKIO_SPACE_ID` names."""

    package = "trackio"

    def __init__(self, run: Run, config: Config, resumed_at: LogPoint | None = None) -> None:
        RunLogger.__init__(self, run, config, resumed_at)
        self.sent = Sent(run.trackers / "trackio.json")
        self.sent.id = self.sent.id or f"{name_of(run)}-{secrets.token_hex(3)}"  # names are all that tells runs apart
        self.told: dict[str, Any] = {}
        self.opened: Any = None

    @property
    def command(self) -> str:
        """The page that shows the project."""
        return f"{program('trackio')} show --project {self.config.name}"

    @property
    def experiment(self) -> Any:
        """Its run, opened when it is first needed."""
        if self.opened is None:
            import trackio

            with redirect_stdout(io.StringIO()):  # what it greets with
                self.opened = trackio.init(
                    self.config.name, self.sent.id, config=self.told, resume="allow", embed=False,
                    auto_log_gpu=False, auto_log_cpu=False,
                )  # fmt: skip
        return self.opened

    def write(self, metrics: Mapping[str, float], step: int | None) -> None:
        """A line of its database."""
        self.experiment.log(dict(metrics), step=step)

    def log_hyperparams(self, *args: Any, **kwargs: Any) -> None:
        """They go with the first line."""
        self.told = dict(args[0])

    def send_picture(self, tag: str, picture: Image.Image, step: int) -> None:
        """Among its media."""
        import trackio

        self.experiment.log({tag: trackio.Image(picture)}, step=step)

    def send_text(self, tag: str, text: str, step: int) -> None:
        """Among its reports."""
        import trackio

        self.experiment.log({f"{tag}_text": trackio.Markdown(text)}, step=step)

    def finalize(self, status: str) -> None:
        """Waits until all is written."""
        if self.opened is not None:
            import trackio

            with redirect_stdout(io.StringIO()):
                trackio.finish()
            self.opened = None
