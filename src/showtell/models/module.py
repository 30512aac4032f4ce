"""The LightningModule: encoder, decoder and objective, and the optimizer.

A batch is a dict: `images` holds pixels `(B, 3, S, S)` or, from the feature store, the encoder's features of them;
`captions` is `(B, T)` tokens with `<end>` last; `picture_ids` is `(B,)`. All captions of a batch have one length, so
the mean over a batch is the mean over its tokens. Under several processes a batch also has a `weight`, this rank's
share in it (`ddp_loss`). Shape legend: B batch, T time, V vocabulary, S picture size.
"""

import copy
import math
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback
from torch import Tensor, nn

from showtell.config import DecodingConfig, TrainingConfig
from showtell.decoding import Hypothesis, Stepper, decode
from showtell.models.decoders.base import Decoder, attention_maps
from showtell.models.encoders.base import Encoder
from showtell.models.encoders.encoding import LazyEncoder
from showtell.models.encoders.finetuning import finetuned_blocks, parameter_groups
from showtell.models.objective import CaptionBatch, Objective, ddp_loss, teacher_forced_loss
from showtell.models.scores import Scores, scores_of
from showtell.text import Vocabulary

Batch = dict[str, Any]
_Module = TypeVar("_Module", bound=nn.Module)
PIXELS_NDIM = 4


class CaptionModule(pl.LightningModule):
    """Trains a decoder on what an encoder sees, and the encoder's last blocks where they are fine-tuned.

    The encoder's frozen part is in no parameter list, optimizer or state dict, and where all features are stored it is
    never built. A plain `pl.Trainer(max_epochs=1).fit(module, datamodule=CaptionData(...))` trains, validates and
    scores. Signals, checks of every loss, checkpoints that `showtell.load` reads and a resume that is exact within an
    epoch come with `training.train`; its Trainer is also who heeds `training.gradient_clip` and the like.

    Args:
        encoder: turns pixels into features.
        decoder: turns features into captions.
        vocabulary: what the tokens mean.
        objective: what a step minimizes.
        training: optimizer, schedule, moving average; its `max_epochs` is what a schedule or an objective spreads over.
        decoding: how validation captions.
        finetune_blocks: how many of the encoder's last blocks are kept as the module's own, and are trained where
            `training.encoder_learning_rate` is above 0.
        metadata: what a checkpoint tells about itself, in plain containers.
    """

    def __init__(
        self,
        encoder: Encoder | LazyEncoder,
        decoder: Decoder,
        vocabulary: Vocabulary,
        objective: Objective,
        *,
        training: TrainingConfig | None = None,
        decoding: DecodingConfig | None = None,
        finetune_blocks: int = 0,
        metadata: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__()
        self.training_config = training = training or TrainingConfig()
        self.decoding_config = decoding or DecodingConfig()
        self._encoder = [encoder]  # a list hides it from Lightning and torch
        self.decoder = decoder
        self.ema = ema_copy(decoder) if training.weight_average else None
        self.finetune_blocks = finetune_blocks
        self.finetuned = finetuned_blocks(self.encoder, finetune_blocks) if finetune_blocks else None
        self.finetuned_ema = ema_copy(self.finetuned) if self.finetuned and training.weight_average else None
        if self.finetuned is not None:
            self.finetuned.requires_grad_(training.encoder_learning_rate > 0)
        self.objective = objective
        self.vocabulary = vocabulary
        self.metadata = dict(metadata or {})
        self.captions: dict[int, str] = {}
        self._stepper: Stepper | None = None
        # pictures whose attention is kept, and for each of these the words and maps of the last validation
        self.attention_ids: set[int] = set()
        self.attention: dict[int, tuple[list[str], Tensor]] = {}

    @property
    def encoder(self) -> Encoder:
        """The encoder, built when it is first asked for."""
        held = self._encoder[0]
        return held.network if isinstance(held, LazyEncoder) else held

    @property
    def inference_decoder(self) -> Decoder:
        """The decoder that is validated and that predicts: the moving average where one is kept."""
        return self.decoder if self.ema is None else self.ema

    def inference_encoder(self) -> Encoder:
        """The encoder that goes with it: a copy with the fine-tuned blocks' moving average where one is kept."""
        if self.finetuned is None or self.finetuned_ema is None:
            return self.encoder
        encoder = copy.deepcopy(self.encoder)
        finetuned_blocks(encoder, self.finetune_blocks).load_state_dict(self.finetuned_ema.state_dict())
        return encoder

    @property
    def leaves_weights_unused(self) -> bool:
        """Whether a step can leave weights without a gradient, for which DDP would wait."""
        return self.decoder.learns_by_extra_loss and not self.objective.uses_extra_loss

    def features(self, images: Tensor) -> Tensor:
        """What the decoder reads: the encoder's features of pixels, or stored features as float.

        Outside training a decoder's moving average goes with the fine-tuned blocks'.
        """
        if images.ndim != PIXELS_NDIM:
            return images.float()
        encoder = self.encoder.to(images.device)
        ema = None if self.training else self.finetuned_ema
        features: Tensor = encoder(images) if ema is None else ema.features(encoder, images)
        return features.float()

    def loss(self, batch: Batch) -> Tensor:
        """Cross-entropy per token over the words of the caption and `<end>`."""
        return teacher_forced_loss(self.inference_decoder, self.features(batch["images"]), batch["captions"])[0]

    def training_loss(self, batch: Batch) -> tuple[Tensor, Mapping[str, Tensor | float]]:
        """What the objective says about a batch."""
        progress = min(1.0, self.current_epoch / max(1, self.training_config.max_epochs - 1))
        features = self.features(batch["images"])
        given = CaptionBatch(features, batch["captions"], batch["picture_ids"], progress)
        loss, logged = self.objective(self.decoder, given)
        return loss, logged

    def caption(self, images: Tensor, config: DecodingConfig | None = None) -> list[list[Hypothesis]]:
        """The n-best captions of each picture, best first."""
        decoder = self.inference_decoder
        step = self._stepper or decoder.stepper()
        return decode(step, decoder.initial_state(self.features(images)), config or self.decoding_config)

    def training_step(self, batch: Batch, batch_idx: int) -> dict[str, Tensor | float]:
        """One batch; `training.curves` logs the loss and, as this rank found it, what the objective adds."""
        loss, logged = self.training_loss(batch)
        return {**logged, "loss": ddp_loss(loss, batch["weight"]) if "weight" in batch else loss}

    def optimizer_step(self, *args: Any, **kwargs: Any) -> None:
        """Moves the averages a little towards the new weights; they are in the state dict, so a resume has them too."""
        super().optimizer_step(*args, **kwargs)
        decay = ema_decay(self.training_config.weight_average, self.trainer.global_step)
        for average, trained in ((self.ema, self.decoder), (self.finetuned_ema, self.finetuned)):
            if average is not None and trained is not None:
                update_ema(average, trained, decay)

    def validation_step(self, batch: Batch, batch_idx: int, dataloader_idx: int = 0) -> None:
        """The first loader brings captions to score, the second pictures to caption."""
        if "captions" in batch:
            tokens = int(batch["captions"].numel() * batch.get("weight", 1))  # a repeated batch does not count
            self.log("val/loss", self.loss(batch), batch_size=tokens, add_dataloader_idx=False, sync_dist=True)
            return
        found = self.caption(batch["images"])
        for picture, hypotheses in zip(batch["picture_ids"].tolist(), found, strict=True):
            self.captions[picture] = self.vocabulary.decode(hypotheses[0].tokens)
        self._keep_attention(batch, [hypotheses[0].tokens for hypotheses in found])

    def _keep_attention(self, batch: Batch, captions: Sequence[Sequence[int]]) -> None:
        """Keeps where an attending decoder looked in the pictures of `attention_ids`."""
        ids = batch["picture_ids"].tolist()
        rows = [row for row, picture in enumerate(ids) if picture in self.attention_ids]
        if not rows or not self.inference_decoder.attends:
            return
        chosen = [captions[row] for row in rows]
        maps = attention_maps(self.inference_decoder, self.features(batch["images"][rows]), chosen)
        for row, tokens, looked in zip(rows, chosen, maps, strict=True):
            self.attention[ids[row]] = ([self.vocabulary.words[token] for token in tokens], looked)

    def on_validation_epoch_start(self) -> None:
        """Forgets the captions of the epoch before; the weights stay as they are until the end."""
        self.captions, self.attention = {}, {}
        self._stepper = self.inference_decoder.stepper()

    def on_validation_epoch_end(self) -> None:
        """The weights move on."""
        self._stepper = None

    def configure_callbacks(self) -> list[Callback]:
        """Scores the captions of a validation, where the trainer has nothing that does."""
        if any(isinstance(callback, Scores) for callback in self.trainer.callbacks):  # type: ignore[attr-defined]
            return []
        return scores_of(self.trainer.datamodule, self.training_config.metrics, self.vocabulary.tokenizer)  # type: ignore[attr-defined]

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Adds what prediction needs: configuration, vocabulary, the encoder's identity. Plain containers only."""
        checkpoint["showtell"] = self.metadata

    def configure_optimizers(self) -> Any:
        """Adam over decoder, objective and fine-tuned blocks, and the schedule."""
        config = self.training_config
        adam = torch.optim.Adam(
            parameter_groups([self.decoder, self.objective], self.finetuned, config.encoder_learning_rate),
            lr=config.learning_rate,
            weight_decay=config.weight_decay,
            # one kernel instead of a dozen per tensor: a fifth of the time; mixed precision cannot clip with it
            fused=not config.gradient_clip or self.trainer.precision == "32-true",
        )
        if config.schedule == "plateau":
            plateau = torch.optim.lr_scheduler.ReduceLROnPlateau(adam, factor=0.5, patience=1)
            return {"optimizer": adam, "lr_scheduler": {"scheduler": plateau, "monitor": "val/loss"}}
        if config.schedule == "constant" and not config.warmup_steps:
            return adam
        total = int(self.trainer.estimated_stepping_batches) if config.schedule == "cosine" else 0
        schedule = torch.optim.lr_scheduler.LambdaLR(adam, lambda step: learning_rate_factor(step, config, total))
        return {"optimizer": adam, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


def learning_rate_factor(step: int, config: TrainingConfig, total_steps: int) -> float:
    """Linear warm-up, then constant or a half cosine down to zero at `total_steps`."""
    if step < config.warmup_steps:
        return (step + 1) / config.warmup_steps
    if config.schedule != "cosine":
        return 1.0
    share = (step - config.warmup_steps) / max(1, total_steps - config.warmup_steps)
    return 0.5 * (1 + math.cos(math.pi * min(1.0, share)))


def ema_copy(trained: _Module) -> _Module:
    """The start of an exponential moving average of weights: a copy that no optimizer touches.

    Polyak and Juditsky 1992; Tarvainen and Valpola 2017, arXiv 1703.01780. Whoever asks it puts it into evaluation
    mode. Why this is not `torch.optim.swa_utils.AveragedModel` stands in `docs/decisions/ema.md`.
    """
    return copy.deepcopy(trained).requires_grad_(False)


def ema_decay(decay: float, step: int) -> float:
    """`decay`, but a shorter memory in the first steps, so that the average soon forgets the random start."""
    return min(decay, (1 + step) / (10 + step))


@torch.no_grad()
def update_ema(average: nn.Module, trained: nn.Module, decay: float) -> None:
    """Average <- decay * average + (1 - decay) * trained, buffers included; counters stay as they are."""
    # not the state dicts: a tied matrix has two names there, and would move twice
    pairs = zip((*average.parameters(), *average.buffers()), (*trained.parameters(), *trained.buffers()), strict=True)
    for mean, value in pairs:
        if mean.is_floating_point():
            mean.lerp_(value, 1 - decay)
