"""What data side and model side need of each other: captions, stored features, the encoder, and the card of the run."""

import hashlib
from dataclasses import asdict, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from showtell import __version__
from showtell.config import Config, ConfigError, DeviceConfig
from showtell.data.annotations import SplitName
from showtell.data.augmentation import Augmentation, AugmentedImages, says_left_or_right
from showtell.data.caption_set import CaptionSet, load_captions, source_hash
from showtell.data.feature_store import FeatureStore, open_or_build
from showtell.data.files import sizes_hash
from showtell.data.loading import DecodedImages, StoredImages
from showtell.data.module import SplitData, TrainSplit
from showtell.data.readable import unreadable_pictures
from showtell.data.settings import ShapesDataConfig
from showtell.data.shapes import ensure_shapes
from showtell.data.store_request import StoreRequest
from showtell.data.views import StoredViews, view_augmentation
from showtell.distributed import rank_zero_first
from showtell.models.encoder import LazyEncoder
from showtell.models.encoding import FastEncoder, encoding_precision
from showtell.models.weights import EncoderWeights
from showtell.reporting import report_left_out
from showtell.vocabulary import Vocabulary

SPLITS: tuple[SplitName, ...] = ("train", "val")


class Meeting:
    """What data side and model side need of each other, built only when it is asked for.

    A run that finds its features stored never builds the encoder, let alone opens a picture.
    """

    def __init__(self, config: Config) -> None:
        self.config = config
        self.data = config.data
        self.cache = Path(config.cache)
        self.device = resolve_device(config.device)
        self.precision = encoding_precision(config.features.precision, self.device)
        self.encoder = LazyEncoder(config.encoder)
        self._stores: list[FeatureStore] = []
        self._captions: dict[SplitName, CaptionSet] = {}
        if isinstance(config.data, ShapesDataConfig):
            with rank_zero_first():
                ensure_shapes(Path(config.data.root), config.data.shapes)

    @property
    def weights(self) -> EncoderWeights:
        """The encoder's weights; asked for after the captions, so that missing data is not downloaded for."""
        return self.encoder.weights

    @cached_property
    def fingerprint(self) -> str:
        """Tells the encoder's features from those of other weights, poolings and precisions."""
        return self.encoder.fingerprint(self.precision)

    @property
    def feature_shape(self) -> tuple[int, ...]:
        """`(D,)` or `(R, D)`."""
        if self._stores:
            return self._stores[0].features.shape[1:]
        return self.encoder.network.feature_shape()

    @property
    def num_workers(self) -> int:
        """Rows of memory need no worker processes; pictures do."""
        return self.config.data.num_workers if self.config.features.mode == "off" else 0

    def train_split(self) -> TrainSplit:
        """What is trained on."""
        return self.split("train")

    def split(self, name: SplitName) -> SplitData:
        """A split with its captions, and its images as stored features or as pictures."""
        with rank_zero_first():
            captions = self._captions[name] = load_captions(self.data, name, self.cache)
        changing = name == "train" and self.config.data.augment.active
        images = self._stored if self.config.features.mode == "store" else self._decoded
        split = images(name, captions, changing)
        report_left_out(self.config, name, captions, split.unreadable)
        return split

    def card(self, vocabulary: Vocabulary) -> dict[str, Any]:
        """What a checkpoint tells about itself, in plain containers."""
        return {
            "format": 1,
            "version": __version__,
            "config": self.config.as_dict(),
            "vocabulary": vocabulary.words,
            "encoder": {"sha256": self.weights.sha256, "public": self.weights.public},
            "data": self.data_hash(),
            "transform": asdict(self.weights.transform),
            "feature_shape": list(self.feature_shape),
        }

    def data_hash(self) -> str:
        """Tells data sets apart by captions, names and sizes of pictures; copying a data set does not change it."""
        parts = [source_hash(self.config.data, name) + sizes_hash(self._captions[name].path_names) for name in SPLITS]
        return hashlib.sha256("".join(parts).encode()).hexdigest()[:16]

    def _stored(self, name: str, captions: CaptionSet, changing: bool) -> SplitData:
        """The split as the encoder answered to it; with `changing`, also to changed pictures."""
        features = self.config.features
        label = f"{self.data.name}-{name}-{self.config.encoder.name}"
        request = StoreRequest(label, captions.path_names, self.fingerprint, self.weights.transform, features.dtype)
        store = self._open(request)
        self._stores.append(store)
        if not changing:
            place = choose_place(features.place, store.num_bytes, self.device)
            return SplitData(captions, StoredImages(store.tensor(place)), store.unreadable)
        augmentation = view_augmentation(self.data.augment, captions)
        views = self._open(replace(request, name=f"{label}-views", augmentation=augmentation, views=features.views - 1))
        place = choose_place(features.place, store.num_bytes + views.num_bytes, self.device)
        plain = store.tensor(place)
        changed = StoredViews(plain, views.tensor(place), len(captions.lengths), self.config.seed)
        return SplitData(captions, StoredImages(plain), store.unreadable, changed)

    def _open(self, request: StoreRequest) -> FeatureStore:
        workers, batch_size = self.data.num_workers, self.config.features.batch_size
        return open_or_build(self.cache / "features", request, self.fast_encoder, batch_size, workers)

    def _decoded(self, name: str, captions: CaptionSet, changing: bool) -> SplitData:
        """The split as pictures, with `changing` as changed ones."""
        transform, paths = self.weights.transform, captions.paths
        label = f"{self.data.name}-{name}"
        unreadable = unreadable_pictures(label, paths, transform, self.cache, self.data.num_workers)
        read = DecodedImages(paths, transform)
        if not changing:
            return SplitData(captions, read, unreadable)
        augmentation = Augmentation(self.data.augment, self.config.seed, says_left_or_right(captions))
        return SplitData(captions, read, unreadable, AugmentedImages(paths, transform, augmentation))

    def fast_encoder(self) -> FastEncoder:
        """The encoder at work on many pictures."""
        return FastEncoder(self.encoder.network, self.device, self.precision)


def resolve_device(config: DeviceConfig) -> torch.device:
    """The device of this rank.

    Raises:
        ConfigError: a GPU is asked for and there is none, or more of them than there are.
    """
    if config.accelerator == "gpu" and not torch.cuda.is_available():
        raise ConfigError("device.accelerator=gpu: this machine has no usable GPU; use device=cpu or device=auto")
    if config.accelerator == "cpu" or not torch.cuda.is_available():
        return torch.device("cpu")
    if config.devices > torch.cuda.device_count():
        raise ConfigError(
            f"device.devices={config.devices}: this machine has {torch.cuda.device_count()} usable GPUs; "
            "use fewer, or device.accelerator=cpu"
        )
    return torch.device("cuda")


def choose_place(place: str, num_bytes: int, device: torch.device) -> str:
    """Where features lie during training: on the GPU or in RAM when they fit easily, else mapped from disk."""
    if place == "gpu" and device.type != "cuda":
        raise ConfigError("features.place=gpu needs device=gpu; use features.place=auto")
    if place != "auto":
        return place
    if device.type == "cuda" and num_bytes < 0.4 * torch.cuda.mem_get_info()[0]:
        return "gpu"
    return "ram" if num_bytes < 2**30 else "disk"
