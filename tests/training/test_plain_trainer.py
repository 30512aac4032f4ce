"""What a notebook does: module and data in a few lines, Lightning's own Trainer, captions from what it trained."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import pytorch_lightning as pl
import torch

import showtell
from showtell.checkpointing.last import VerifiedCheckpointIO
from showtell.config import Config, ConfigError
from showtell.data.module import CaptionData
from showtell.models.module import CaptionModule
from showtell.prediction.captioner import Captioner
from showtell.training.data_module import CaptionDataModule, build_module

MakeConfig = Callable[..., Config]
pytestmark = pytest.mark.filterwarnings("ignore:.*LeafSpec.*is deprecated", "ignore:Found .* in eval mode at the start")
SMALL = {"name": "mobilenet_v3_small", "weights": "none", "image_size": 64}


def built(config: Config) -> tuple[CaptionModule, CaptionData]:
    data = CaptionDataModule(config)
    torch.manual_seed(0)
    module = build_module(data)
    return module, data


def fit(module: CaptionModule, data: CaptionData, folder: Path, epochs: int = 1) -> pl.Trainer:
    trainer = pl.Trainer(
        max_epochs=epochs, default_root_dir=folder, accelerator="cpu", logger=False, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False, plugins=[VerifiedCheckpointIO()],
    )  # fmt: skip
    trainer.fit(module, datamodule=data)
    return trainer


@pytest.mark.parametrize(
    "settings",
    [
        {"encoder": SMALL},
        {
            "encoder": {**SMALL, "finetune_blocks": 1},
            "features": {"mode": "off"},
            "training": {"weight_average": 0.5, "encoder_learning_rate": 1e-3},
        },
    ],
    ids=["stored features", "pixels"],
)
def test_a_plain_trainer_trains_validates_and_scores(
    tiny_config: MakeConfig, tmp_path: Path, tiny_coco: Path, settings: dict[str, object]
) -> None:
    module, data = built(tiny_config(**settings))
    before = module.decoder.word_embedding.weight.clone()
    trainer = fit(module, data, tmp_path)
    assert not torch.equal(module.decoder.word_embedding.weight, before)
    assert {"val/loss", "val/cider", "val/bleu4", "val/novel"} <= trainer.callback_metrics.keys()
    assert not any(name.startswith("encoder") or "trunk" in name for name in module.state_dict())
    found = Captioner.from_module(module, "cpu").caption(sorted((tiny_coco / "val").iterdir()))
    assert [one.captions[0] for one in found] == [caption for _, caption in sorted(module.captions.items())]
    assert module.decoder.training  # and can be trained on
    trainer.save_checkpoint(tmp_path / "plain.ckpt")
    data.encoder.save_weights(tmp_path)  # random ones, which nobody could fetch
    loaded = showtell.load(tmp_path / "plain.ckpt", "cpu").caption(sorted((tiny_coco / "val").iterdir()))
    assert [one.captions for one in loaded] == [one.captions for one in found]


def test_a_second_stage_without_its_first_is_refused(tiny_config: MakeConfig) -> None:
    with pytest.raises(ConfigError, match=r"init_from=RUN: second stages start in train.py"):
        built(tiny_config(init_from="RUN"))


def test_stored_features_never_build_the_encoder(tiny_config: MakeConfig, tmp_path: Path) -> None:
    config = tiny_config(encoder=SMALL)
    built(config)  # stores them
    module, data = built(config)
    fit(module, data, tmp_path)
    assert "network" not in vars(module._encoder[0])


def test_each_epoch_has_an_order_of_its_own(tiny_config: MakeConfig, tmp_path: Path) -> None:
    module, data = built(tiny_config())
    seen: list[int] = []
    loss = module.training_loss
    module.training_loss = lambda batch: seen.extend(batch["picture_ids"].tolist()) or loss(batch)  # type: ignore
    fit(module, data, tmp_path, epochs=2)
    first, second = seen[: len(seen) // 2], seen[len(seen) // 2 :]
    assert first != second
    assert sorted(first) == sorted(second)


def test_a_trainer_used_again_follows_the_new_data(tiny_config: MakeConfig, tmp_path: Path) -> None:
    trainer = fit(*built(tiny_config()), tmp_path)
    module, data = built(tiny_config())
    trainer.fit_loop.max_epochs = 3  # one is done
    trainer.fit(module, datamodule=data)
    assert (data.position.epoch, data.position.batch) == (2, 0)


def test_load_takes_a_run_and_importing_showtell_takes_no_torch(tiny_run: Path, tiny_coco: Path) -> None:
    picture = min((tiny_coco / "val").iterdir())
    assert showtell.load(tiny_run, "cpu").caption([picture])[0].error is None
    code = "import sys, showtell; print('torch' in sys.modules)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout == "False\n"
