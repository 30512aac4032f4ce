"""Files of an encoder's weights: told apart by their hash, read as tensors only, fetched once where they are published.

Public weights are named in a checkpoint and found again where it is used; random and local ones travel with the run.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.error import URLError

import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from showtell.config import ImageTransform
from showtell.errors import UserError
from showtell.files import file_sha256

SAVE = "write the file by torch.save(model.state_dict(), FILE)"
OFFLINE = "take encoder=efficientnet_lite0 in its place, which needs no download"


class WeightsError(UserError):
    """Weights that are not there, cannot be read or do not fit; one line with the remedy."""


class UnreachableError(WeightsError):
    """Published weights that this machine neither has nor can fetch."""


@dataclass(frozen=True)
class EncoderWeights:
    """What an encoder starts from: a file (None for random weights), its hash, and the transform it was trained with.

    `public` weights can be had again by name; the others must travel with the run. Those that `travelled` are of the
    whole `Encoder`, not of the classifier that it was made from; a pack gives them as tensors, `state`.
    """

    path: Path | None
    sha256: str
    transform: ImageTransform
    public: bool
    travelled: bool = False
    state: dict[str, Tensor] | None = field(default=None, compare=False, repr=False)

    @classmethod
    def of_file(cls, path: Path, transform: ImageTransform, *, public: bool) -> "EncoderWeights":
        """A file's weights, told by its content."""
        return cls(path, file_sha256(path), transform, public)

    def load_into(
        self, model: nn.Module, renamed: Callable[[dict[str, Tensor], nn.Module], dict[str, Tensor]] | None = None
    ) -> None:
        """Loads the file into a freshly built network; `renamed` gives its tensors the network's names.

        Raises:
            WeightsError: the file is no state dict, or not this network's.
        """
        state = self.state
        if state is None:
            assert self.path is not None
            state = read_state_dict(self.path, "put the right one there" if self.public else SAVE)
        try:
            model.load_state_dict(renamed(state, model) if renamed else state)
        except RuntimeError as error:
            first = str(error).splitlines()[1].strip() if "\n" in str(error) else str(error)
            raise WeightsError(
                f"{self.path or 'the pack'}: not the weights of a {type(model).__name__}: {first}; "
                "set encoder.name to the network that they are of"
            ) from None


class DrawNothing(TorchFunctionMode):
    """A block whose layers keep what their memory holds: a file of weights is about to overwrite all of them."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is Tensor.uniform_ or func is Tensor.normal_:
            return args[0]
        return func(*args, **(kwargs or {}))


def read_state_dict(path: Path, remedy: str) -> dict[str, Tensor]:
    """Reads tensors by name, and nothing else, from a `.safetensors`, or from what `torch.save` wrote.

    A training script's checkpoint, which keeps them under `state_dict` or `model`, is read too. The remedy ends a
    refusal.

    Raises:
        WeightsError: the file holds something else.
    """
    try:
        if path.suffix == ".safetensors":
            return dict(load_file(path))
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise WeightsError(f"{path}: not a file of weights ({reason}); {remedy}") from None
    if isinstance(state, dict):
        state = next((state[key] for key in ("state_dict", "model") if isinstance(state.get(key), dict)), state)
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise WeightsError(f"{path}: not a state dict of tensors; {remedy}")
    return state


def weights_folder() -> Path:
    """Where torch keeps fetched weights; a file that is put there by hand is found."""
    return Path(torch.hub.get_dir()) / "checkpoints"


def download(url: str, wanted_by: str) -> Path:
    """Fetches a file of weights into torch's cache, unless it lies there already, and checks the hash in its name."""
    directory = weights_folder()
    path = directory / url.rsplit("/", 1)[1]
    if path.is_file():
        return path
    directory.mkdir(parents=True, exist_ok=True)
    prefix = torch.hub.HASH_REGEX.search(path.name)
    try:
        torch.hub.download_url_to_file(url, str(path), prefix.group(1) if prefix else None)
    except (URLError, OSError, RuntimeError) as error:
        raise UnreachableError(f"{wanted_by}: cannot fetch {url} ({error}); put {path.name} into {directory}") from None
    return path
