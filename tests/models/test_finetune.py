"""The encoder's last blocks in training: exactly they, with frozen statistics, in the checkpoint and in prediction."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.small_settings import decoder_settings

from showtell.checkpointing.io import load_checkpoint, save_checkpoint
from showtell.checkpointing.last import VerifiedCheckpointIO
from showtell.checkpointing.resume import ResumeError, find_resume_point
from showtell.config import Config, ConfigError, EncoderConfig, TrainingConfig, parse
from showtell.models.decoders.base import build_decoder
from showtell.models.encoders.base import Encoder, build_encoder
from showtell.models.encoders.finetuning import finetuned_blocks
from showtell.models.module import CaptionModule
from showtell.objectives.cross_entropy import CrossEntropy
from showtell.objectives.self_critical import SelfCritical
from showtell.objectives.settings import SelfCriticalConfig
from showtell.prediction.captioner import Captioner
from showtell.run import Run
from showtell.text import SPECIAL_TOKENS, Vocabulary
from showtell.training.train import train
from showtell.training.warm_start import load_start

MakeConfig = Callable[..., Config]
State = dict[str, torch.Tensor]
WORDS = Vocabulary([*SPECIAL_TOKENS, "dog", "cat"])
STATISTICS = ("running_mean", "running_var", "num_batches_tracked")
SMALL = {"name": "mobilenet_v3_small", "weights": "none", "image_size": 64}
DATA = {"augment": {"crop_area": 0.6, "jitter": 0.2}}
TUNING = {"encoder": {**SMALL, "finetune_blocks": 2}, "features": {"mode": "off"}, "data": DATA}


def network(name: str = "resnet18", pooling: str = "average") -> Encoder:
    return build_encoder(EncoderConfig(name=name, weights="none", pooling=pooling, image_size=64))


def module(encoder: Encoder, blocks: int, **training: object) -> CaptionModule:
    torch.manual_seed(0)
    decoder = build_decoder(decoder_settings(embedding_size=4, hidden_size=4), encoder.feature_shape(), len(WORDS))
    settings = TrainingConfig(**training)  # type: ignore[arg-type]
    return CaptionModule(encoder, decoder, WORDS, CrossEntropy(), training=settings, finetune_blocks=blocks)


def batch() -> dict[str, torch.Tensor]:
    pixels = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    return {"images": pixels, "captions": torch.tensor([[3, 1], [4, 1]]), "picture_ids": torch.arange(2)}


def last(run: Path) -> State:
    return load_checkpoint(run / "checkpoints/last.ckpt")["state_dict"]


def part(state: State, prefix: str) -> State:
    return {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}


def same(first: State, second: State) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize(
    ("name", "pooling", "count", "places"),
    [
        ("resnet18", "average", 1, ["7"]),
        ("resnet18", "grid", 2, ["6", "7"]),
        ("efficientnet_lite0", "average", 1, ["3", "4"]),
        ("efficientnet_lite0", "grid", 2, ["2-6", "3", "4"]),
        ("efficientnet_lite0", "quarters", 1, ["2-6"]),  # which does not read the head
        ("mobilenet_v3_small", "average", 2, ["11", "12"]),
        ("densenet121", "average", 1, ["0-denseblock4", "0-norm5"]),
        ("regnet_y_400mf", "average", 1, ["1-block4"]),
        pytest.param("vgg11_bn", "average", 2, ["22", "23", "25", "26"], marks=pytest.mark.slow),
        pytest.param("convnext_tiny", "average", 1, ["7"], marks=pytest.mark.slow),
    ],
)
def test_gradients_reach_exactly_the_last_blocks(name: str, pooling: str, count: int, places: list[str]) -> None:
    encoder = network(name, pooling)
    tuned = finetuned_blocks(encoder, count)
    assert sorted(tuned) == sorted(places)
    tuned.requires_grad_(True)
    encoder(batch()["images"]).square().mean().backward()
    wanted = {id(parameter) for parameter in tuned.parameters()}
    assert wanted == {id(parameter) for parameter in encoder.parameters() if parameter.grad is not None}


def test_all_blocks_together_are_the_whole_encoder() -> None:
    encoder = network("mobilenet_v3_small")
    every = finetuned_blocks(encoder, 13)
    assert sum(p.numel() for p in every.parameters()) == sum(p.numel() for p in encoder.parameters())


@pytest.mark.parametrize(
    ("name", "count", "message"),
    [
        ("resnet18", 6, r"encoder.finetune_blocks=6: this encoder has 5 blocks"),
        ("shufflenet_v2_x0_5", 1, r"ShuffleNetV2 is no chain of blocks; use encoder.finetune_blocks=0, or a network"),
    ],
)
def test_what_cannot_be_tuned_is_one_line(name: str, count: int, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as refused:
        finetuned_blocks(network(name), count)
    assert "\n" not in str(refused.value)


def test_stored_features_refuse_tuning_in_one_line() -> None:
    with pytest.raises(ConfigError, match=r"encoder.finetune_blocks=1: .*use features=off"):
        parse({"encoder": {"finetune_blocks": 1}})


def test_the_reward_of_drawn_captions_reaches_the_blocks_too() -> None:
    encoder = network()
    learner = module(encoder, 1)
    learner.objective = SelfCritical(
        SelfCriticalConfig(), learner.vocabulary, None, lambda ids, captions: np.arange(len(captions))
    )
    learner.training_loss(batch())[0].backward()
    assert all(parameter.grad.abs().sum() > 0 for parameter in learner.finetuned.parameters())


def test_before_the_tuned_blocks_nothing_is_recorded_for_a_gradient() -> None:
    encoder = network()
    learner = module(encoder, 1)
    seen = []
    encoder.trunk[6].register_forward_hook(lambda *answer: seen.append(answer[2].requires_grad))  # type: ignore[index]
    encoder.trunk[7].register_forward_hook(lambda *answer: seen.append(answer[2].requires_grad))  # type: ignore[index]
    learner.training_loss(batch())
    assert seen == [False, True]


def test_training_mode_leaves_the_encoder_in_evaluation_mode() -> None:
    encoder = network()
    learner = module(encoder, 2, weight_average=0.5)
    learner.train()
    assert learner.decoder.training
    assert not any(layer.training for layer in encoder.modules())
    before = {name: value.clone() for name, value in encoder.state_dict().items()}
    learner.training_loss(batch())
    assert same(before, encoder.state_dict())


def test_one_schedule_scales_both_rates() -> None:
    encoder = network()
    learner = module(encoder, 1, learning_rate=0.1, encoder_learning_rate=0.001, warmup_steps=4)

    class Stub:
        precision = "32-true"

    learner._trainer = Stub()  # type: ignore[assignment]
    chosen = learner.configure_optimizers()
    adam, schedule = chosen["optimizer"], chosen["lr_scheduler"]["scheduler"]
    assert [len(group["params"]) for group in adam.param_groups] == [
        len(list(learner.decoder.parameters())), len(list(learner.finetuned.parameters())),
    ]  # fmt: skip
    rates = []
    for _ in range(5):
        rates.append([group["lr"] for group in adam.param_groups])
        adam.step()
        schedule.step()
    assert [first for first, _ in rates] == pytest.approx([0.025, 0.05, 0.075, 0.1, 0.1])
    assert all(second == pytest.approx(first / 100) for first, second in rates)


def test_without_a_rate_the_blocks_are_kept_and_not_trained() -> None:
    encoder = network()
    learner = module(encoder, 1, encoder_learning_rate=0.0)
    learner.training_loss(batch())[0].backward()
    assert all(parameter.grad is None for parameter in encoder.parameters())
    assert any(name.startswith("finetuned.7.") for name in learner.state_dict())


@pytest.mark.parametrize(("name", "pooling"), [("resnet18", "average"), ("efficientnet_lite0", "quarters")])
def test_validation_sees_through_the_averaged_blocks(name: str, pooling: str) -> None:
    encoder = network(name, pooling)
    learner = module(encoder, 1, weight_average=0.5)
    learner.eval()
    images = batch()["images"]
    with torch.no_grad():
        before = learner.features(images)
        for parameter in learner.finetuned.parameters():
            parameter.mul_(1.5)
        assert torch.equal(learner.features(images), before)
        learner.train()
        live = learner.features(images)
        assert not torch.allclose(live, before)
        learner.finetuned_ema.load_state_dict(learner.finetuned.state_dict())
        torch.testing.assert_close(learner.eval().features(images), live)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory, tiny_overrides: dict[str, dict[str, object]]) -> dict[str, Path]:
    """A first stage on stored features, and a second one that tunes two blocks fast enough to be noticed."""
    folder = tmp_path_factory.mktemp("stages")
    first, second = folder / "first", folder / "second"
    stage = {**tiny_overrides, "encoder": SMALL}
    train(parse({**stage, "training": {**stage["training"], "max_epochs": 4, "learning_rate": 0.02}}), first)
    rates = {"max_epochs": 1, "learning_rate": 1e-9, "encoder_learning_rate": 1e-3, "weight_average": 0.5}
    features = {"mode": "off", "precision": "float32"}  # auto is bfloat16 on some processors
    tuning = {"features": features, "encoder": {"finetune_blocks": 2}, "data": {**stage["data"], **DATA}}
    training = {**stage["training"], **rates}
    train(parse({**stage, **tuning, "training": training, "init_from": str(first)}), second)
    return {"first": first, "second": second}


def test_what_is_frozen_keeps_its_bits_and_statistics(runs: dict[str, Path]) -> None:
    original = network_of(runs["second"])
    tuned, before = part(last(runs["second"]), "finetuned."), finetuned_blocks(original, 2).state_dict()
    assert tuned.keys() == before.keys()
    for name, value in tuned.items():
        assert torch.equal(value, before[name]) == name.endswith(STATISTICS), name
    travelling = torch.load(runs["second"] / "checkpoints/encoder.pt", weights_only=True)
    assert same(travelling, original.state_dict())


def network_of(run: Path) -> Encoder:
    """The run's encoder before tuning."""
    return build_encoder(parse(load_checkpoint(run / "checkpoints/last.ckpt")["showtell"]["config"]).encoder)


def test_a_second_stage_starts_with_the_decoder_of_the_first(runs: dict[str, Path]) -> None:
    first, second = load_start(str(runs["first"])), last(runs["second"])
    for name, value in first.weights.items():
        torch.testing.assert_close(second[f"decoder.{name}"], value, atol=1e-6, rtol=0)
    assert not part(last(runs["first"]), "finetuned.") and first.finetuned == {}
    assert part(second, "finetuned_ema.").keys() == part(second, "finetuned.").keys()


def test_a_captioner_sees_and_speaks_as_the_module_in_training(runs: dict[str, Path], tiny_coco: Path) -> None:
    run = runs["second"]
    captioner = Captioner.from_checkpoint(run / "checkpoints/last.ckpt", "cpu")
    encoder = network_of(run)
    pixels = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    untuned = encoder(pixels)
    finetuned_blocks(encoder, 2).load_state_dict(part(last(run), "finetuned_ema."))
    torch.testing.assert_close(captioner.encoder(pixels), encoder(pixels), rtol=1e-3, atol=1e-4)
    assert (untuned - encoder(pixels)).abs().max() > 0.1
    written = json.loads((run / "predictions/captions_val.json").read_text())
    pictures = sorted((tiny_coco / "val").iterdir())
    assert [found.captions[0] for found in captioner.caption(pictures)] == [entry["caption"] for entry in written]


def test_a_third_stage_goes_on_with_the_tuned_encoder(
    runs: dict[str, Path], tiny_config: MakeConfig, tmp_path: Path
) -> None:
    second = part(last(runs["second"]), "finetuned_ema.")
    start = {"init_from": str(runs["second"] / "checkpoints/last.ckpt"), "features": {"mode": "off"}}
    training = {"max_steps": 1, "encoder_learning_rate": 0.0}
    train(tiny_config(**start, training=training), tmp_path / "kept")  # two blocks, whatever the new run asks for
    assert same(part(last(tmp_path / "kept"), "finetuned."), second)
    more = {"max_steps": 1, "encoder_learning_rate": 1e-3}
    train(tiny_config(**start, training=more, encoder={"finetune_blocks": 3}), tmp_path / "more")
    moved = part(last(tmp_path / "more"), "finetuned.")
    assert any(name.startswith("10.") for name in moved)
    for name, value in second.items():
        torch.testing.assert_close(moved[name], value, atol=2e-3, rtol=0)  # one step of Adam


def test_a_second_stage_goes_on_without_the_first(runs: dict[str, Path], tmp_path: Path) -> None:
    first = shutil.copytree(runs["first"], tmp_path / "first")
    stage = load_checkpoint(runs["second"] / "checkpoints/last.ckpt")["showtell"]["config"]
    settings = {**stage, "init_from": str(first), "training": {**stage["training"], "max_epochs": 2}}
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    train(parse(settings), whole)
    train(parse({**settings, "training": {**settings["training"], "max_steps": 3}}), parts)
    old = shutil.copytree(parts, tmp_path / "old")
    (old / "config.yaml").unlink()
    shutil.rmtree(first)
    asked = {"training": settings["training"], "resume": str(parts)}
    adopted = {**Run(parts).values(), **asked}
    for other in ({"decoder": {**stage["decoder"], "hidden_size": 9}}, {"vocab": {"threshold": 7}}):
        with pytest.raises(
            ResumeError, match=r"(decoder\.hidden_size=9|vocab\.threshold=7) does not fit the checkpoint"
        ):
            train(parse({**adopted, **other}), parts)
    train(parse(adopted), parts)
    train(parse({**settings, "encoder": {}, "resume": str(old)}), old)  # which did not write down what it adopted
    assert same(last(whole), last(parts)) and same(last(whole), last(old))


def test_a_second_stage_refuses_another_encoders_weights(
    runs: dict[str, Path], tiny_config: MakeConfig, tmp_path: Path
) -> None:
    start = load_start(str(runs["first"]))
    start.check_encoder(start.encoder_sha256)
    first = shutil.copytree(runs["first"], tmp_path / "first")
    checkpoint = load_checkpoint(first / "checkpoints/best.ckpt")
    checkpoint["showtell"]["encoder"]["sha256"] = "0" * 64
    save_checkpoint(checkpoint, first / "checkpoints/best.ckpt")
    with pytest.raises(ConfigError, match=r"best.ckpt: its encoder's weights \(0{16}\) are not those found now"):
        train(tiny_config(init_from=str(first)), tmp_path / "second")


def test_a_tuned_encoder_has_no_stored_features(runs: dict[str, Path], tiny_config: MakeConfig, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"encoder.finetune_blocks=2: .*use features=off"):
        train(tiny_config(init_from=str(runs["second"])), tmp_path)


@pytest.mark.parametrize("workers", [0, pytest.param(2, marks=pytest.mark.slow)])
def test_resume_in_the_middle_of_an_epoch_is_exact(tiny_config: MakeConfig, tmp_path: Path, workers: int) -> None:
    recipe: dict[str, object] = {"weight_average": 0.9, "schedule": "plateau", "gradient_clip": 1.0}
    recipe |= {"encoder_learning_rate": 1e-3, "limit_train_batches": 3}
    settings = {**TUNING, "data": {**DATA, "num_workers": workers}}
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    train(tiny_config(**settings, training=recipe), whole)
    train(tiny_config(**settings, training={**recipe, "max_steps": 4}), parts)
    train(tiny_config(**settings, training=recipe, resume=str(parts)), parts)
    first, second = (load_checkpoint(run / "checkpoints/last.ckpt") for run in (whole, parts))
    assert same(first["state_dict"], second["state_dict"])
    moments = [[m for p in c["optimizer_states"][0]["state"].values() for m in p.values()] for c in (first, second)]
    assert all(torch.equal(a, b) for a, b in zip(*moments, strict=True))


def test_weights_under_the_names_of_older_releases_are_found(runs: dict[str, Path], tmp_path: Path) -> None:
    """Resume, second stage and prediction read them through one door."""
    run = shutil.copytree(runs["second"], tmp_path / "old")
    now = load_checkpoint(run / "checkpoints/last.ckpt")
    older = {"ema": "average", "finetuned": "tuned", "finetuned_ema": "tuned_average"}
    parts = [(name.partition("."), value) for name, value in now["state_dict"].items()]
    old = {f"{older.get(head, head)}.{rest}": value for (head, _, rest), value in parts}
    assert {name.partition(".")[0] for name in old} == {"decoder", *older.values()}
    for file in ("last.ckpt", "best.ckpt"):
        save_checkpoint({**now, "state_dict": old}, run / "checkpoints" / file)
    assert same(last(run), now["state_dict"])
    assert find_resume_point(run).shapes.keys() == now["state_dict"].keys()
    assert same(load_start(str(run)).finetuned, part(now["state_dict"], "finetuned_ema."))
    captioner = Captioner.from_checkpoint(run / "checkpoints/last.ckpt", "cpu")
    assert same(captioner.decoder.state_dict(), part(now["state_dict"], "ema."))
    config = parse({**now["showtell"]["config"], "resume": str(run)})
    config.training.max_epochs = 2
    train(config, run)
    assert load_checkpoint(run / "checkpoints/last.ckpt")["epoch"] == 2


def test_a_run_of_before_these_settings_can_be_resumed(runs: dict[str, Path], tmp_path: Path) -> None:
    checkpoint = load_checkpoint(runs["first"] / "checkpoints/last.ckpt")
    config = checkpoint["showtell"]["config"]
    now = json.loads(json.dumps(checkpoint["showtell"]))
    del config["encoder"]["finetune_blocks"], config["training"]["encoder_learning_rate"], config["data"]["augment"]
    VerifiedCheckpointIO().save_checkpoint(checkpoint, tmp_path / "last.ckpt")
    find_resume_point(tmp_path / "last.ckpt").accept(now)
