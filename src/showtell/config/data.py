"""The sections of the data side: the data set, the encoder that sees it, and what is kept of its answers."""

from dataclasses import dataclass, field

from showtell.config.checks import one_of, within

DATA_FORMATS = ("coco", "karpathy", "flickr", "shapes", "shards")
BAD_PICTURE_POLICIES = ("skip", "fail")
POOLINGS = ("auto", "average", "quarters", "grid")
FEATURE_MODES = ("store", "off")
FEATURE_DTYPES = ("float16", "float32")
FEATURE_PRECISIONS = ("auto", "float32", "bfloat16")
FEATURE_PLACES = ("auto", "ram", "gpu", "disk")


@dataclass(frozen=True, kw_only=True)
class ImageTransform:
    """How a picture becomes an encoder's input. It belongs to the encoder's weights and travels in the checkpoint.

    The whole picture is stretched to `size` x `size`: nothing is cut away and every tensor has one shape.
    """

    size: int = 224
    interpolation: str = "bilinear"
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)


@dataclass(kw_only=True)
class ShapesConfig:
    """How much of the embedded data set is drawn, and from which seed."""

    seed: int = 0
    train_pictures: int = 4000
    val_pictures: int = 400

    def __post_init__(self) -> None:
        within("data.shapes.train_pictures", self.train_pictures, 1)
        within("data.shapes.val_pictures", self.val_pictures, 1)


@dataclass(kw_only=True)
class AugmentConfig:
    """How training pictures are changed at random; with these values, not at all.

    A crop keeps at least `crop_area` of a picture's area; `jitter` changes brightness, contrast and saturation by at
    most this share; `flip` mirrors every second picture, unless its caption says left or right.
    """

    crop_area: float = 1.0
    jitter: float = 0.0
    flip: bool = False

    def __post_init__(self) -> None:
        within("data.augment.crop_area", self.crop_area, 0.05, 1)
        within("data.augment.jitter", self.jitter, 0, 0.9)

    @property
    def active(self) -> bool:
        """Whether anything is changed."""
        return self.crop_area < 1 or self.jitter > 0 or self.flip


@dataclass(kw_only=True)
class DataConfig:
    """Where pictures and captions lie. Relative paths start at `root`, and `root` at the working directory."""

    name: str = "shapes"
    format: str = "shapes"
    root: str = "data/shapes"
    train_annotations: str = "annotations/captions_train.json"
    val_annotations: str = "annotations/captions_val.json"
    train_images: str = "train"
    val_images: str = "val"
    # files with one picture name per line (Flickr8k's way of naming its splits)
    train_split: str | None = None
    val_split: str | None = None
    # tar shards: a path with {000000..000331}, * or ?; several are separated by ::
    train_shards: str | None = None
    val_shards: str | None = None
    # shards: captions among which the order is shuffled
    shuffle_buffer: int = 10_000
    num_workers: int = 2
    bad_pictures: str = "skip"
    max_caption_words: int = 50
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    shapes: ShapesConfig = field(default_factory=ShapesConfig)

    def __post_init__(self) -> None:
        one_of("data.format", self.format, DATA_FORMATS)
        one_of("data.bad_pictures", self.bad_pictures, BAD_PICTURE_POLICIES)
        within("data.shuffle_buffer", self.shuffle_buffer, 1)
        within("data.num_workers", self.num_workers, 0)
        within("data.max_caption_words", self.max_caption_words, 1)


@dataclass(kw_only=True)
class EncoderConfig:
    """The frozen CNN: which one, with which weights, and what of its answer is kept.

    `weights` is `imagenet` (the package's or torchvision's best weights), a torchvision weights name such as
    `IMAGENET1K_V2`, the path of a file, or `none` for random weights. `pooling: auto` becomes `grid` for decoders that
    attend to regions and `average` for the others, when the whole configuration is known.
    """

    name: str = "efficientnet_lite0"
    weights: str = "imagenet"
    pooling: str = "auto"
    # side of the square that a picture is stretched to; 0: what the weights were trained with
    image_size: int = 0
    # so many of its last blocks are trained too, and are part of the checkpoint; 0: all of it stays frozen
    finetune_blocks: int = 0

    def __post_init__(self) -> None:
        one_of("encoder.pooling", self.pooling, POOLINGS)
        within("encoder.finetune_blocks", self.finetune_blocks, 0)
        if self.image_size:
            within("encoder.image_size", self.image_size, 32)


@dataclass(kw_only=True)
class FeaturesConfig:
    """Whether the encoder's answers are kept on disk (`store`) or computed in every step (`off`).

    With `data.augment`, `views` answers are kept of each training picture: one to the picture as it is, the others to
    changed ones.
    """

    mode: str = "store"
    views: int = 1
    dtype: str = "float16"
    place: str = "auto"
    precision: str = "auto"
    batch_size: int = 32

    def __post_init__(self) -> None:
        one_of("features.mode", self.mode, FEATURE_MODES)
        one_of("features.precision", self.precision, FEATURE_PRECISIONS)
        one_of("features.dtype", self.dtype, FEATURE_DTYPES)
        one_of("features.place", self.place, FEATURE_PLACES)
        within("features.batch_size", self.batch_size, 1)
        within("features.views", self.views, 1, 1000)
