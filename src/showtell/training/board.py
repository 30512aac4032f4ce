"""What TensorBoard and its like show of a run besides its curves: hyper-parameters, how it was made, pictures.

No `Experiment` is written: without one TensorBoard looks itself at all the runs of a folder, lists what differs between
them first, and then their curves by name, of which `best/...` comes first. Pictures are drawn for the 350 pixels that
its Images page gives them.
"""

import os
from typing import Any

import pytorch_lightning as pl
import yaml
from pytorch_lightning.callbacks import Callback
from pytorch_lightning.loggers import Logger
from torch.utils.tensorboard.summary import hparams

from showtell.checkpointing.best import BestCheckpoint
from showtell.config import Config
from showtell.config.reference import traits
from showtell.config.setting import flat
from showtell.evaluation.diversity import MEANINGS
from showtell.models.encoders.pair import parts_of
from showtell.models.module import CaptionModule
from showtell.processes import COMMAND_VARIABLE
from showtell.training.logs import Shows, TensorBoard

CURVES = {
    "best/...": "the best value so far of what chooses `best.ckpt`; HParams shows it first",
    "train/loss": "what a step minimizes; `train/epoch_loss` is its mean over an epoch",
    "val/perplexity": "the exponential of `val/loss`, the cross-entropy per token",
    "val/cider, bleu4, rouge_l ...": "of the captions that the decoder writes itself, against people's",
    "val/cider_mean": "over the last validations (`training.monitor_mean`); it chooses `best.ckpt`",
    **{f"val/{name}": meaning for name, meaning in MEANINGS.items()},
    "val/true": "embedded data set alone: the share of captions that are wholly true of their pictures",
}


class Board(Callback):
    """Writes the hyper-parameters, a Text page about the run, and the curve of the best value so far."""

    def __init__(self, config: Config, owner: BestCheckpoint) -> None:
        self.config = config
        self.owner = owner

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Says with what the run is trained; TensorBoard's resume has removed what was said before."""
        told = hyperparameters(self.config)
        _, start, _ = hparams(told, {})  # type: ignore[no-untyped-call]
        for logger in trainer.loggers if trainer.is_global_zero else ():
            if isinstance(logger, TensorBoard):
                logger.experiment.file_writer.add_summary(start, 0)
            else:
                logger.log_hyperparams(told)

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Writes the Text page of a new run, and the command of every resume."""
        texts = {"run/command": f"`{command}`" if (command := os.environ.get(COMMAND_VARIABLE)) else ""}
        if trainer.global_step == 0:
            assert isinstance(pl_module, CaptionModule)
            settings = yaml.safe_dump({**self.config.as_dict(), "resume": None}, sort_keys=False, allow_unicode=True)
            texts["run/configuration"] = "".join(f"    {line}\n" for line in settings.splitlines())
            texts["run/curves"] = table("curve", "meaning", [[f"`{name}`", text] for name, text in CURVES.items()])
            texts["run/model"] = model_table(pl_module, self.config)
        for viewer in viewers(trainer):
            for tag, text in texts.items():
                if text:
                    viewer.show_text(tag, text, trainer.global_step)

    def on_train_epoch_end(self, trainer: pl.Trainer, *_: Any) -> None:
        """Goes on with the best value."""
        best = self.owner.best
        if best.value is not None:
            for viewer in viewers(trainer):
                assert isinstance(viewer, Logger)
                viewer.log_metrics({f"best/{best.monitor.rpartition('/')[2]}": best.value}, logged_at(trainer))

    def on_fit_end(self, trainer: pl.Trainer, *_: Any) -> None:
        """Says that the run has come to its end."""
        _, _, end = hparams({}, {})  # type: ignore[no-untyped-call]
        for logger in trainer.loggers if trainer.is_global_zero else ():
            if isinstance(logger, TensorBoard):
                logger.experiment.file_writer.add_summary(end, trainer.global_step)


def hyperparameters(config: Config) -> dict[str, Any]:
    """What people vary and compare, by the names of the command line."""
    values = flat(config.as_dict())
    told = traits(values, values)
    kept = {key: value for key, value in values.items() if told[key].hyperparameter}
    return {key: value if isinstance(value, int | float | str) else str(value) for key, value in kept.items()}


def model_table(module: CaptionModule, config: Config) -> str:
    """The layers that are trained, with their parameters, and which encoder looks."""
    rows, seen = [], set[int]()
    for name, layer in module.named_modules():
        own = {id(one): one for one in layer.parameters(recurse=False) if id(one) not in seen}
        seen |= own.keys()
        if own:
            count = sum(one.numel() for one in own.values())
            frozen = "" if any(one.requires_grad for one in own.values()) else " (not trained)"
            rows.append([f"`{name}`", f"{type(layer).__name__}({layer.extra_repr()})", f"{count:,}{frozen}"])
    trained = sum(one.numel() for one in module.parameters() if one.requires_grad)
    blocks = config.encoder.finetune_blocks
    names = " + ".join(one.name for one in parts_of(config.encoder))
    looks = f"Encoder: {names}, frozen" + (f" but for its last {blocks} blocks." if blocks else ".")
    return f"{table('layer', 'what', rows, 'parameters')}\n\nTrained parameters: {trained:,}. {looks}"


def table(first: str, second: str, rows: list[list[str]], *further: str) -> str:
    """A table in Markdown; no word of the heads is broken."""
    heads = [first, second, *further]
    lines = [heads, ["---"] * len(heads), *([cell.replace("|", "\\|") for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def viewers(trainer: pl.Trainer) -> list[Shows]:
    """This run's loggers that show pictures and texts; none on other ranks than the first."""
    return [logger for logger in trainer.loggers if trainer.is_global_zero and isinstance(logger, Shows)]


def logged_at(trainer: pl.Trainer) -> int:
    """The step under which Lightning logs the scores of the same validation."""
    return max(0, trainer.global_step - 1)
