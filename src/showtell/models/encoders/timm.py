"""Any network of timm, told by its name and its weights' tag: `vit_small_patch14_dinov2.lvd142m`.

One small protocol for a thousand networks. What `forward_features` gives is a map, `(B, D, h, w)` or with its channels
last, or tokens `(B, P + h w, D)` of which the first P belong to no place; `forward_head` makes of it the vector that
the network was trained to answer with. Earlier maps, and the last one of networks that end in something else (a class
token alone, tokens of two sizes), are those of `forward_intermediates`. How a picture becomes an input is timm's own
rule for the weights (`resolve_model_data_config`).

Weights by timm's name come from its hub, or from `NAME.safetensors` in torch's folder of weights; those of a file pass
through timm's own conversion, which also fits positions to another `encoder.image_size`.
"""

from functools import cached_property
from pathlib import Path
from textwrap import shorten
from typing import Any

import torch
from torch import Tensor, nn

from showtell.config import ConfigError, ImageTransform
from showtell.config.reference import close
from showtell.models.encoders.base import Network
from showtell.models.encoders.library import LibraryBackbone
from showtell.models.encoders.maps import tokens_as_map
from showtell.models.encoders.weights import (
    SAVE,
    EncoderWeights,
    UnreachableError,
    WeightsError,
    read_state_dict,
    weights_folder,
)
from showtell.models.hub import HubError, fetched_file
from showtell.models.settings import TimmConfig

_FILE = "model.safetensors"
PLAIN_DEPTH = 2 / 3
"""Where all maps have one size, as in a plain vision transformer, the earlier one is that of so deep a block."""


class TimmTrunk(nn.Module):
    """A network of timm without its classifier: from pixels to what `forward_features` gives."""

    def __init__(self, model: nn.Module, size: int) -> None:
        super().__init__()
        self.model = model
        answer, maps = self._look(torch.zeros(1, 3, size, size), None)
        sizes = [(one.shape[2], one.shape[3]) for one in maps]
        self.size = sizes[-1]
        finer = [place for place, one in enumerate(sizes) if one[0] > self.size[0]]
        self.earlier = finer[-1] if finer else int(len(maps) * PLAIN_DEPTH) - 1
        self.last = len(maps) - 1
        tokens = answer.shape[1] if isinstance(answer, Tensor) and answer.ndim == 3 else 0
        self.ends_in_map = isinstance(answer, Tensor) and (answer.ndim == 4 or tokens >= self.size[0] * self.size[1])

    def forward(self, pixels: Tensor) -> Any:
        """The network's own answer, and beside it the last map where that is none."""
        if self.ends_in_map:
            return self.model.forward_features(pixels)  # type: ignore[operator]
        return self._look(pixels, [self.last])

    def to_map(self, found: Any) -> Tensor:
        """`(B, D, h, w)`, without tokens that belong to no place."""
        last: Tensor
        if not self.ends_in_map:
            last = found[1][-1]
            return last
        if found.ndim == 4:
            last = found.permute(0, 3, 1, 2) if self._channels_last(found) else found
            return last
        return tokens_as_map(found, self.size)

    def to_vector(self, found: Any) -> Tensor:
        """`(B, D)`, as the network's own head makes it."""
        answer = found if self.ends_in_map else found[0]
        vector: Tensor = self.model.forward_head(answer, pre_logits=True)  # type: ignore[operator]
        return vector

    def mean_vector(self, found: Any) -> Tensor:
        """`(B, D)`, the mean of all places."""
        return self.to_map(found).mean(dim=(2, 3))

    def two_maps(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """An earlier map and the last one."""
        found = self._look(pixels, [self.earlier, self.last])
        return found[1][0], self.to_map(found[0] if self.ends_in_map else found)

    def _look(self, pixels: Tensor, which: list[int] | None) -> tuple[Any, list[Tensor]]:
        """The answer, and maps of its layers, normalized as the last one where the network does that."""
        normalizes = type(self.model).__name__ not in ("Hiera", "HieraDet")
        found: tuple[Any, list[Tensor]] = self.model.forward_intermediates(  # type: ignore[operator]
            pixels, indices=which, norm=normalizes
        )
        return found

    def _channels_last(self, found: Tensor) -> bool:
        told = getattr(self.model, "output_fmt", None)
        return str(told).endswith("NHWC") if told else found.shape[1] != self.model.num_features


class TimmBackbone(LibraryBackbone):
    """A network of timm.

    Raises:
        ConfigError: timm has none of this name, or no such weights for it.
    """

    config: TimmConfig

    def __init__(self, config: TimmConfig) -> None:
        import timm  # late: half a second, and only these encoders need it

        super().__init__(config)
        self.name = config.name.removeprefix("timm/")
        if not timm.is_model(self.name):
            like = close(self.name, timm.list_models())
            hint = (
                f"did you mean {like}?" if like else "`python -c 'import timm; print(timm.list_models())'` lists them"
            )
            raise ConfigError(f"encoder.name={config.name}: timm has no such network; {hint}")
        try:
            self.published_config: Any = timm.get_pretrained_cfg(self.name, allow_unregistered=False)
        except RuntimeError:
            architecture = self.name.partition(".")[0]
            tags = [one for one in timm.list_pretrained() if one.partition(".")[0] == architecture]
            raise ConfigError(
                f"encoder.name={config.name}: there are no such weights; choose one of {', '.join(tags)}"
            ) from None

    def build(self) -> Network:
        """The network with its classifier, which is in a file of weights, and the trunk without."""
        try:
            model = self._create().eval()
            _drop_classifier(model)
            with torch.no_grad():
                trunk = TimmTrunk(model, self.default_transform().size)
        except Exception as error:  # whatever a library's network raises is a matter of that network
            raise self.refused(error) from error
        vector = trunk.mean_vector if self.config.vector == "mean" else trunk.to_vector
        return Network(trunk, patch=_patch(model), to_map=trunk.to_map, to_vector=vector, two_maps=trunk.two_maps)

    def load(self, network: Network, weights: EncoderWeights) -> None:
        """By timm's own conversion: another library's names, positions of another picture size."""
        assert isinstance(network.trunk, TimmTrunk) and weights.path is not None
        try:
            model = self._create(read_state_dict(weights.path, SAVE))
        except (RuntimeError, KeyError, ValueError, AttributeError, AssertionError) as error:
            first = str(error).splitlines()[min(1, str(error).count("\n"))].strip()
            raise WeightsError(
                f"{weights.path}: these weights are not of encoder {self.config.name}: {shorten(first, 120)}; "
                "set encoder.name to the network that they are of"
            ) from None
        _drop_classifier(model)
        network.trunk.model.load_state_dict(model.state_dict())

    def published(self) -> EncoderWeights | None:
        """`published`: those that the name's tag tells."""
        if self.config.weights != "published":
            return None
        return EncoderWeights.of_file(self._fetched(), self.default_transform(), public=True)

    def licence(self) -> str:
        """What timm says of weights of this name."""
        told = self.published_config.license
        return f"{told}, by timm" if told and self.config.weights == "published" else super().licence()

    def default_transform(self) -> ImageTransform:
        """What timm says for the weights of this name."""
        from timm.data.config import resolve_data_config

        found: dict[str, Any] = resolve_data_config(  # type: ignore[no-untyped-call]
            pretrained_cfg=self.published_config.to_dict()
        )
        size = self.config.image_size or found["input_size"][-1]
        fit = {"center": "center", "squash": "squash", "border": "pad"}[found["crop_mode"]]
        return ImageTransform(
            size=size, interpolation=found["interpolation"], mean=tuple(found["mean"]), std=tuple(found["std"]),
            fit=fit, crop=found["crop_pct"],
        )  # fmt: skip

    def own_size(self) -> int:
        """As there."""
        side: int = self.published_config.input_size[-1]
        return side

    @cached_property
    def _sized(self) -> dict[str, Any]:
        size = self.config.image_size
        return {"img_size": size} if size and self.published_config.fixed_input_size else {}

    def _create(self, state: dict[str, Tensor] | None = None) -> nn.Module:
        import timm

        classes = self._classes(state or {})
        overlay = {"state_dict": state, **classes} if state is not None else None
        model: nn.Module = timm.create_model(
            self.name, pretrained=state is not None, pretrained_cfg_overlay=overlay, **self._sized, **classes
        )
        return model

    def _classes(self, state: dict[str, Tensor]) -> dict[str, Any]:
        """How many classes a file's classifier knows: its network may have been trained further, on others."""
        weight = state.get(f"{self.published_config.classifier}.weight")
        return {} if weight is None else {"num_classes": len(weight)}

    def _fetched(self) -> Path:
        """The file of the published weights: put beside torch's by hand, or from timm's hub or address."""
        by_hand = weights_folder() / f"{self.name}.safetensors"
        if by_hand.is_file():
            return by_hand
        return hub_file(self.published_config.hf_hub_id, self.config.name, by_hand)


def _patch(model: nn.Module) -> int:
    """Side of the patches that a transformer cuts pictures into, dropping what is left over; 0: it is none."""
    from timm.layers.patch_embed import PatchEmbed

    cutting = (one for one in model.modules() if isinstance(one, PatchEmbed) and not one.dynamic_img_pad)
    return next((one.patch_size[0] for one in cutting), 0)


def _drop_classifier(model: Any) -> None:
    model.reset_classifier(0)


def hub_file(repository: str | None, wanted_by: str, by_hand: Path) -> Path:
    """`model.safetensors` of a repository on the hub, fetched once into the hub's own cache.

    Raises:
        WeightsError: there is no such file, or no network; the line says where to put it by hand.
    """
    if not repository:
        raise WeightsError(
            f"encoder.name={wanted_by}: timm publishes no weights of it; give a file or encoder.weights=none"
        )
    try:
        return fetched_file(repository, _FILE)
    except HubError as error:
        reason = str(error).rstrip(". ")
        raise UnreachableError(
            f"encoder.name={wanted_by}: cannot fetch {_FILE} of {repository} from the hub ({reason}); "
            f"save that file as {by_hand}"
        ) from None
