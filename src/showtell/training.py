"""`train(config, run_dir)`: the one place where the data side and the model side meet.

It reads the captions, counts the vocabulary, lets the frozen encoder see each picture once (or finds that done),
hands both sides what they need, and runs Lightning's Trainer. What it leaves in the run directory is the unit of
resume.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch

from showtell import __version__
from showtell.atomic import remove_stale_temporaries
from showtell.checkpointing.card import check_weights
from showtell.checkpointing.resume import find_resume_point
from showtell.checkpointing.stop import GracefulStop
from showtell.config import Config, ConfigError, DeviceConfig
from showtell.data.annotations import SplitName
from showtell.data.caption_set import CaptionSet, load_captions, source_hash
from showtell.data.feature_store import FeatureStore, StoreRequest, open_or_build
from showtell.data.files import sizes_hash
from showtell.data.loading import DecodedImages, ReadImages, StoredImages
from showtell.data.module import CaptionData, SplitData
from showtell.data.readable import unreadable_pictures
from showtell.data.shapes import ensure_shapes
from showtell.evaluation.metrics import ReferenceCorpus
from showtell.initial import load_start
from showtell.models.encoder import Encoder, build_encoder, encoder_fingerprint
from showtell.models.encoding import FastEncoder, encoding_precision
from showtell.models.module import CaptionModule, build_decoder
from showtell.models.self_critical import Reward
from showtell.models.weights import find_weights, save_travelling_weights
from showtell.models.word_vectors import load_word_vectors, word_matrix
from showtell.monitoring.rewind import LogPoint
from showtell.reporting import finish, report_left_out, reports, write_vocabulary
from showtell.trainer import build_trainer
from showtell.vocabulary import Vocabulary

CAPTION_END = "endofcaption"
SPLITS: tuple[SplitName, ...] = ("train", "val")


def train(config: Config, run_dir: Path) -> float:
    """Trains one run, from its beginning or from where `config.resume` stopped.

    Args:
        config: the run.
        run_dir: where checkpoints, curves and captions go.

    Returns:
        The best value of `training.monitor`.

    Raises:
        ValueError: something about the configuration, the data or the checkpoint that the user can mend; one line.
    """
    resume = find_resume_point(config.resume) if config.resume else None
    start = load_start(config.init_from) if config.init_from else None
    if start:
        config = start.adopted(config)
    meeting = Meeting(config)
    train_split, val_split = meeting.split("train"), meeting.split("val")
    vocabulary = Vocabulary.from_counts(train_split.captions.counts, config.vocab.threshold)
    card = meeting.card(vocabulary)
    if resume:
        resume.accept(card)
    prepare_directory(run_dir, Path(config.cache))
    write_vocabulary(run_dir, vocabulary, train_split.captions, config.vocab.threshold)
    save_travelling_weights(run_dir, meeting.weights, lambda: meeting.encoder)
    data = CaptionData(train_split, val_split, vocabulary, config.training, config.seed, meeting.num_workers)
    pl.seed_everything(config.seed, verbose=False)  # here, so that a cold and a warm cache start the same run
    decoder = build_decoder(config.decoder, meeting.feature_shape, len(vocabulary))
    if start:
        start.load_into(decoder, vocabulary)
    elif config.decoder.word_vectors:
        read = load_word_vectors(word_matrix(decoder), Path(config.decoder.word_vectors), vocabulary)
        print(f"{config.decoder.word_vectors}: vectors of {read} of {len(vocabulary)} words")
    if config.device.compile:
        decoder.compile(dynamic=True)  # in place, so that parameters keep their names; captions differ in length
    encoder = meeting.encoder if config.features.mode == "off" else None
    self_critical = config.training.objective == "self_critical"
    reward = reward_of(train_split.captions.references, vocabulary) if self_critical else None
    module = CaptionModule(decoder, vocabulary, config.training, config.decoding, card, encoder, reward)
    if resume:
        check_weights(module, resume.shapes, resume.path)
    stop = GracefulStop()
    shown = reports(config, run_dir, val_split, data)
    point = LogPoint(resume.step, resume.validation_due) if resume else None
    trainer = build_trainer(config, run_dir, data, shown, stop, point)
    with stop:
        trainer.fit(module, datamodule=data, ckpt_path=resume.path if resume else None)
    if point and not point.validation_due and trainer.global_step == point.step:
        print(f"the run had come to its end at step {point.step}: nothing is left to do")
    return finish(trainer, config, run_dir)


def prepare_directory(run_dir: Path, cache: Path) -> None:
    """Makes the run directory, and removes what a killed run left half-written in it and in the cache."""
    run_dir.mkdir(parents=True, exist_ok=True)
    folders = [run_dir, run_dir / "predictions", run_dir / "checkpoints"]
    for folder in [*folders, *(path for path in cache.glob("*") if path.is_dir())]:
        remove_stale_temporaries(folder)


def reward_of(references: Mapping[int, Sequence[str]], vocabulary: Vocabulary) -> Reward:
    """CIDEr-D against the training captions, with the end of a caption as a word of its own."""
    ended = {picture: [f"{text} {CAPTION_END}" for text in texts] for picture, texts in references.items()}
    corpus = ReferenceCorpus(ended)

    def reward(picture_ids: Sequence[int], captions: Sequence[Sequence[int]]) -> np.ndarray[Any, Any]:
        words = [[*vocabulary.decode(tokens).split(), CAPTION_END] for tokens in captions]
        return corpus.cider_d_rewards(picture_ids, words)

    return reward


class Meeting:
    """What data side and model side need of each other, built only when it is asked for.

    A run that finds its features stored never builds the encoder, let alone opens a picture.
    """

    def __init__(self, config: Config) -> None:
        self.config = config
        self.cache = Path(config.cache)
        self.device = resolve_device(config.device)
        self.weights = find_weights(config.encoder)
        self.precision = encoding_precision(config.features.precision, self.device)
        self.fingerprint = encoder_fingerprint(config.encoder, self.weights, self.precision)
        self._stores: list[FeatureStore] = []
        self._captions: dict[SplitName, CaptionSet] = {}
        if config.data.format == "shapes":
            ensure_shapes(Path(config.data.root), config.data.shapes)

    @cached_property
    def encoder(self) -> Encoder:
        """The frozen encoder."""
        return build_encoder(self.config.encoder, self.weights)

    @property
    def feature_shape(self) -> tuple[int, ...]:
        """`(D,)` or `(R, D)`."""
        if self._stores:
            return self._stores[0].features.shape[1:]
        return self.encoder.feature_shape()

    @property
    def num_workers(self) -> int:
        """Rows of memory need no worker processes; pictures do."""
        return self.config.data.num_workers if self.config.features.mode == "off" else 0

    def split(self, name: SplitName) -> SplitData:
        """A split with its captions, and its images as stored features or as pictures."""
        captions = self._captions[name] = load_captions(self.config.data, name, self.cache)
        images = self._stored if self.config.features.mode == "store" else self._decoded
        read, unreadable = images(name, captions)
        report_left_out(self.config, name, captions, unreadable)
        return SplitData(captions, read, unreadable)

    def card(self, vocabulary: Vocabulary) -> dict[str, Any]:
        """What a checkpoint tells about itself, in plain containers."""
        return {
            "format": 1,
            "version": __version__,
            "config": self.config.as_dict(),
            "vocabulary": vocabulary.words,
            "encoder": {"sha256": self.weights.sha256, "public": self.weights.public},
            "data": self._data_hash(),
            "transform": asdict(self.weights.transform),
            "feature_shape": list(self.feature_shape),
        }

    def _data_hash(self) -> str:
        """Tells data sets apart by captions, names and sizes of pictures; copying a data set does not change it."""
        parts = [source_hash(self.config.data, name) + sizes_hash(self._captions[name].path_names) for name in SPLITS]
        return hashlib.sha256("".join(parts).encode()).hexdigest()[:16]

    def _stored(self, name: str, captions: CaptionSet) -> tuple[ReadImages, Any]:
        config = self.config
        label = f"{config.data.name}-{name}-{config.encoder.name}"
        request = StoreRequest(
            label, captions.path_names, self.fingerprint, self.weights.transform, config.features.dtype
        )
        store = open_or_build(
            self.cache / "features",
            request,
            self._fast_encoder,
            config.features.batch_size,
            config.data.num_workers,
        )
        self._stores.append(store)
        return StoredImages(
            store.tensor(choose_place(config.features.place, store.num_bytes, self.device))
        ), store.unreadable

    def _decoded(self, name: str, captions: CaptionSet) -> tuple[ReadImages, Any]:
        transform = self.weights.transform
        unreadable = unreadable_pictures(
            f"{self.config.data.name}-{name}",
            captions.paths,
            transform,
            self.cache,
            self.config.data.num_workers,
        )
        return DecodedImages(captions.paths, transform), unreadable

    def _fast_encoder(self) -> FastEncoder:
        return FastEncoder(self.encoder, self.device, self.precision)


def resolve_device(config: DeviceConfig) -> torch.device:
    """The device of rank 0.

    Raises:
        ConfigError: a GPU is asked for and there is none.
    """
    if config.accelerator == "gpu" and not torch.cuda.is_available():
        raise ConfigError("device.accelerator=gpu: this machine has no usable GPU; use device=cpu or device=auto")
    return torch.device("cuda" if config.accelerator != "cpu" and torch.cuda.is_available() else "cpu")


def choose_place(place: str, num_bytes: int, device: torch.device) -> str:
    """Where features lie during training: on the GPU or in RAM when they fit easily, else mapped from disk."""
    if place == "gpu" and device.type != "cuda":
        raise ConfigError("features.place=gpu needs device=gpu; use features.place=auto")
    if place != "auto":
        return place
    if device.type == "cuda" and num_bytes < 0.4 * torch.cuda.mem_get_info()[0]:
        return "gpu"
    return "ram" if num_bytes < 2**30 else "disk"
