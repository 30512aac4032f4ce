"""The LightningModule: encoder + decoder + cross-entropy, and the optimizer.

A batch is a dict: `images` holds pixels `(B, 3, S, S)` or, from the feature store, the encoder's answer for them;
`captions` is `(B, T)` tokens with `<end>` last; `picture_ids` is `(B,)`. All captions of a batch have one length, so
the mean over a batch is the mean over its tokens. Under several processes a batch also has a `weight`, this rank's
share in it (`models.global_loss`). The encoder is absent where every feature comes from the store, and of its weights
only those of tuned blocks are part of the state dict. `card` is what a checkpoint tells about itself. Shape legend: B
batch, T time, V vocabulary, S picture size.
"""

import copy
import math
from collections.abc import Sequence
from typing import Any, TypeVar

import pytorch_lightning as pl
import torch
from torch import Tensor, nn

from showtell.config import DecodingConfig, TrainingConfig
from showtell.decoding import Hypothesis, decode
from showtell.models.decoders.base import Decoder, attention_maps
from showtell.models.encoder import Encoder
from showtell.models.finetuning import TunedBlocks, parameter_groups
from showtell.models.global_loss import mean_over_ranks
from showtell.models.scheduled_sampling import scheduled_sampling
from showtell.models.self_critical import Reward, self_critical_loss
from showtell.vocabulary import Vocabulary

Batch = dict[str, Any]
Module = TypeVar("Module", bound=nn.Module)


class CaptionModule(pl.LightningModule):
    """Trains a decoder on what an encoder sees, and the encoder's `tuned` blocks where there are some."""

    def __init__(
        self,
        decoder: Decoder,
        vocabulary: Vocabulary,
        training: TrainingConfig,
        decoding: DecodingConfig,
        card: dict[str, Any],
        encoder: Encoder | None = None,
        reward: Reward | None = None,
        tuned: TunedBlocks | None = None,
    ) -> None:
        super().__init__()
        self.decoder = decoder
        self.average = averaged_copy(decoder) if training.weight_average else None
        self.tuned = tuned.requires_grad_(training.encoder_learning_rate > 0) if tuned is not None else None
        self.tuned_average = averaged_copy(tuned) if tuned is not None and training.weight_average else None
        self.reward = reward
        self.vocabulary = vocabulary
        self.training_config = training
        self.decoding_config = decoding
        self.card = card
        # a list hides the encoder's frozen part from parameters(), state_dict() and the optimizer
        self._encoder = [encoder]
        self.captions: dict[int, str] = {}
        # pictures whose attention is kept, and for each of these the words and maps of the last validation
        self.watched: set[int] = set()
        self.attention: dict[int, tuple[list[str], Tensor]] = {}

    @property
    def encoder(self) -> Encoder | None:
        """The encoder, where this run computes features itself."""
        return self._encoder[0]

    @property
    def speaker(self) -> Decoder:
        """The decoder that is validated and that predicts: the averaged one where there is one."""
        return self.decoder if self.average is None else self.average

    def features(self, images: Tensor) -> Tensor:
        """What the decoder reads: the encoder's answer for pixels, or the stored answer as float.

        Outside training an averaged decoder goes with averaged blocks.
        """
        if self.encoder is None:
            return images.float()
        self.encoder.to(images.device)
        average = None if self.training else self.tuned_average
        features: Tensor = self.encoder(images) if average is None else average.answer(self.encoder, images)
        return features.float()

    def loss(self, batch: Batch) -> Tensor:
        """Cross-entropy per token over the words of the caption and `<end>`."""
        captions = batch["captions"]
        logits = self.speaker(self.features(batch["images"]), captions)
        return nn.functional.cross_entropy(logits.flatten(0, 1), captions.flatten())

    def training_loss(self, batch: Batch) -> Tensor:
        """What is minimized: cross-entropy, the self-critical loss, or a mixture of both.

        The mixture (Paulus et al. 2018, arXiv 1705.04304, section 3.3) keeps captions as long as people write them.
        """
        captions, features = batch["captions"], self.features(batch["images"])
        if self.reward is None:
            return self.caption_loss(features, captions)
        config, pictures = self.training_config, batch["picture_ids"].tolist()
        loss = self_critical_loss(
            self.decoder,
            features,
            pictures,
            self.reward,
            config.drawn_captions,
            config.baseline,
            config.reward_dropout,
            config.draw_temperature,
        )
        share = config.cross_entropy_weight
        return loss + share * self.caption_loss(features, captions) if share else loss

    def caption_loss(self, features: Tensor, captions: Tensor) -> Tensor:
        """Cross-entropy with label smoothing, and the term that a decoder adds to it.

        Label smoothing is Szegedy et al. 2016 (arXiv 1512.00567), section 7. Validation stays with the plain `loss`,
        so that runs with different settings can be compared.
        """
        if self.scheduled_share() > 0:
            logits = scheduled_sampling(self.decoder, features, captions, self.scheduled_share())
            extra = logits.new_zeros(())
        else:
            logits, extra = self.decoder.teacher_forced(features, captions)
        smoothing = self.training_config.label_smoothing
        return nn.functional.cross_entropy(logits.flatten(0, 1), captions.flatten(), label_smoothing=smoothing) + extra

    def scheduled_share(self) -> float:
        """The probability of feeding the decoder its own word: from 0 in the first epoch to the set one in the last."""
        final = self.training_config.scheduled_sampling
        return final * min(1.0, self.current_epoch / max(1, self.training_config.max_epochs - 1)) if final else 0.0

    def caption(self, images: Tensor, config: DecodingConfig | None = None) -> list[list[Hypothesis]]:
        """The n-best captions of each picture, best first."""
        state = self.speaker.initial_state(self.features(images))
        return decode(self.speaker.step, state, config or self.decoding_config)

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """One batch; what is logged about it is `monitoring.curves`'s business."""
        loss = self.training_loss(batch)
        return mean_over_ranks(loss * batch["weight"]) if "weight" in batch else loss

    def optimizer_step(self, *args: Any, **kwargs: Any) -> None:
        """Moves the average a little towards the new weights; it is in the state dict, so a resumed run has it too.

        Exponential moving average (Polyak and Juditsky 1992; Tarvainen and Valpola 2017, arXiv 1703.01780), with a
        shorter memory in the first steps, so that it soon forgets the random start.
        """
        super().optimizer_step(*args, **kwargs)
        if self.average is not None:
            step = self.trainer.global_step
            decay = min(self.training_config.weight_average, (1 + step) / (10 + step))
            move_average(self.average, self.decoder, decay)
            if self.tuned_average is not None and self.tuned is not None:
                move_average(self.tuned_average, self.tuned, decay)

    def validation_step(self, batch: Batch, batch_idx: int, dataloader_idx: int = 0) -> None:
        """The first loader brings captions to score, the second pictures to caption."""
        if "captions" in batch:
            tokens = int(batch["captions"].numel() * batch.get("weight", 1))  # a repeated batch does not count
            self.log("val/loss", self.loss(batch), batch_size=tokens, add_dataloader_idx=False, sync_dist=True)
            return
        answers = self.caption(batch["images"])
        for picture, hypotheses in zip(batch["picture_ids"].tolist(), answers, strict=True):
            self.captions[picture] = self.vocabulary.decode(hypotheses[0].tokens)
        self._watch(batch, [hypotheses[0].tokens for hypotheses in answers])

    def _watch(self, batch: Batch, captions: Sequence[Sequence[int]]) -> None:
        """Keeps where an attending decoder looked in the watched pictures."""
        ids = batch["picture_ids"].tolist()
        rows = [row for row, picture in enumerate(ids) if picture in self.watched]
        if not rows or not self.speaker.attends:
            return
        chosen = [captions[row] for row in rows]
        maps = attention_maps(self.speaker, self.features(batch["images"][rows]), chosen)
        for row, tokens, looked in zip(rows, chosen, maps, strict=True):
            self.attention[ids[row]] = ([self.vocabulary.words[token] for token in tokens], looked)

    def on_validation_epoch_start(self) -> None:
        """Forgets the captions of the epoch before."""
        self.captions, self.attention = {}, {}

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Adds what prediction needs: configuration, vocabulary, the encoder's identity. Plain containers only."""
        checkpoint["showtell"] = self.card

    def configure_optimizers(self) -> Any:
        """Adam over the decoder (which holds the embedding of the picture) and tuned blocks, and the schedule."""
        config = self.training_config
        adam = torch.optim.Adam(
            parameter_groups(self.decoder, self.tuned, config.encoder_learning_rate),
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


def averaged_copy(trained: Module) -> Module:
    """A copy that no optimizer touches; always in evaluation mode when it is asked."""
    return copy.deepcopy(trained).requires_grad_(False)


@torch.no_grad()
def move_average(average: nn.Module, trained: nn.Module, decay: float) -> None:
    """Average <- decay * average + (1 - decay) * trained, buffers included; counters stay as they are."""
    # not the state dicts: a tied matrix has two names there, and would move twice
    pairs = zip((*average.parameters(), *average.buffers()), (*trained.parameters(), *trained.buffers()), strict=True)
    for mean, value in pairs:
        if mean.is_floating_point():
            mean.lerp_(value, 1 - decay)


def learning_rate_factor(step: int, config: TrainingConfig, total_steps: int) -> float:
    """Linear warm-up, then constant or a half cosine down to zero at `total_steps`."""
    if step < config.warmup_steps:
        return (step + 1) / config.warmup_steps
    if config.schedule != "cosine":
        return 1.0
    share = (step - config.warmup_steps) / max(1, total_steps - config.warmup_steps)
    return 0.5 * (1 + math.cos(math.pi * min(1.0, share)))
