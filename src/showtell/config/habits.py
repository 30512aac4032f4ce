"""What people type from the habit of other programs, or misspelt, and what they mean by it here."""

import re
from collections.abc import Mapping, Sequence
from shlex import quote

from showtell.config.migration import moved_hint
from showtell.config.reference import close, known_keys
from showtell.config.registry import broken
from showtell.errors import ConfigError

HABITS = {
    "lr": "training.learning_rate", "wd": "training.weight_decay", "bs": "training.batch_size",
    "batch_size": "training.batch_size", "batch": "training.batch_size", "epoch": "training.max_epochs",
    "epochs": "training.max_epochs", "num_epochs": "training.max_epochs", "n_epochs": "training.max_epochs",
    "steps": "training.max_steps", "patience": "training.early_stopping_epochs",
    "early_stopping": "training.early_stopping_epochs", "gradient_clip_val": "training.gradient_clip",
    "grad_clip": "training.gradient_clip", "clip": "training.gradient_clip", "warmup": "training.warmup_steps",
    "scheduler": "training.schedule", "lr_scheduler": "training.schedule", "ema": "training.weight_average",
    "accumulate_grad_batches": "training.accumulate_batches", "logger": "training.loggers",
    "seed_everything": "seed", "random_seed": "seed", "gpu": "device.devices", "gpus": "device.devices",
    "nodes": "device.num_nodes", "amp": "device.precision", "fp16": "device.precision", "dtype": "device.precision",
    "workers": "data.num_workers", "dataset": "data", "data_dir": "data.root", "data_path": "data.root",
    "dataset_path": "data.root", "path": "data.root", "images": "data.train_images",
    "annotations": "data.train_annotations", "model": "decoder", "backbone": "encoder", "cnn": "encoder",
    "pretrained": "encoder.weights", "loss": "objective", "recipe": "experiment",
    "embed_size": "decoder.embedding_size",
    "embedding_dim": "decoder.embedding_size", "hidden_dim": "decoder.hidden_size", "min_count": "vocab.threshold",
    "vocab_threshold": "vocab.threshold", "min_freq": "vocab.threshold", "beam": "decoding.beam_size",
    "num_beams": "decoding.beam_size", "run_name": "name", "exp_name": "name", "experiment_name": "name",
    "cache_dir": "cache", "checkpoint": "resume", "ckpt": "resume", "ckpt_path": "resume",
    "resume_from_checkpoint": "resume", "output_dir": "hydra.run.dir", "output": "hydra.run.dir",
    "save_dir": "hydra.run.dir", "log_dir": "hydra.run.dir", "max_len": "decoding.max_length",
}  # fmt: skip
"""What a setting is called elsewhere, by the last part of a key -> our key or group."""

OPTION_HABITS = {
    "device=cuda": "gpu", "device=multi_gpu": "gpus", "data=mscoco": "coco2017", "data=flickr": "flickr8k",
    "decoding=beam": "beam5", "decoding=sample": "nucleus", "decoding=sampling": "nucleus", "debug=true": "fast",
    "features=on": "store", "objective=scst": "self_critical", "decoder=rnn": "lstm",
}  # fmt: skip
"""What an option is called elsewhere -> ours."""
Groups = Mapping[str, Sequence[str]]
"""The options of each group."""
NO_GROUPS: Groups = {}


def instead_of(key: str, groups: Groups) -> str | None:
    """The key or group that somebody means who writes an unknown one; None where nothing is like it."""
    known = known_keys()
    last = key.rpartition(".")[2].replace("-", "_").lower()
    if last in HABITS:
        return HABITS[last]
    same = [one for one in (*groups, *known) if one.rpartition(".")[2] == last]
    if len(same) == 1:
        return same[0]
    if "." in key:
        return close(key, known)
    named = {one.rpartition(".")[2]: one for one in reversed(known)} | {one: one for one in groups}
    found = close(last, named)
    return named[found] if found else close(key, known)


def refuse_unknown(key: str, value: str = "", groups: Groups = NO_GROUPS) -> None:
    """Raises a ConfigError if no configuration has the key; a section's name is none either."""
    known = known_keys()
    if key in known:
        return
    if hint := moved_hint(key):
        raise ConfigError(hint)
    inner = [one for one in known if one.startswith(f"{key}.")]
    if inner:
        raise ConfigError(f"{key} is a section of settings; set one of them, such as {inner[0]}")
    meant = instead_of(key, groups)
    remedy = f"did you mean {typed(meant, value) if value else meant}?" if meant else "docs/settings.md lists them"
    raise ConfigError(f"{key}: there is no such setting; {remedy}")


def unknown_option(group: str, chosen: str, options: Sequence[str]) -> str:
    """What to say about an option that its group does not have."""
    if group == "vocab" and chosen.removeprefix("min").isdigit():
        return f"{group}={chosen}: there is no such option; give vocab.threshold={chosen.removeprefix('min')}"
    alike = OPTION_HABITS.get(f"{group}={chosen}") or close(chosen, options)
    meant = f"did you mean {group}={alike}? The options are" if alike in options else "choose one of"
    return f"{group}={chosen}: there is no such option; {meant} {', '.join(options)}{broken()}"


def typed(key: str, value: str) -> str:
    """A word as it is typed into a shell."""
    word = f"{key}={value}"
    if re.fullmatch(r"[\w./:,+%@=-]*", word, re.ASCII):
        return word
    return f'"{word}"' if not re.search(r'["$`\\!]', word) else quote(word)
