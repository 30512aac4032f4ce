"""What a run says of itself before the first step, as soon as each thing is known."""

import os
from collections import Counter

import torch

from showtell.config import Config
from showtell.models.encoders.pair import in_words
from showtell.models.module import CaptionModule
from showtell.models.precision import bfloat16_pays
from showtell.text import Vocabulary


def device_in_words(config: Config, device: torch.device) -> str:
    """`cpu, 2 threads` or the name of the GPU; several processes, precision and the like where they are not usual."""
    device_name = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
    parts = [device_name] if device.type != "cpu" else [f"cpu, {torch.get_num_threads()} of {os.cpu_count()} cores"]
    if (processes := config.device.devices * config.device.num_nodes) > 1:
        parts.append(f"{processes} processes")
    if config.device.precision != "32-true":
        slow = device.type == "cpu" and not bfloat16_pays(device)
        parts.append(config.device.precision + (", which this processor computes slowly" if slow else ""))
    return ", ".join(parts)


def words_kept(vocabulary: Vocabulary, counts: Counter[str], threshold: int) -> str:
    """How many words the decoder knows, and how much of the text becomes `<unk>`."""
    if vocabulary.tokenizer.content:
        return f"{len(vocabulary):,} tokens ({vocabulary.tokenizer.name}), {len(counts):,} of them in the captions"
    kept, share = set(vocabulary.words) & counts.keys(), 100 * vocabulary.unknown_share(counts)
    return f"{len(kept):,} of {len(counts):,}, each seen {threshold} times or more; {share:.2f}% of the text is <unk>"


def encoder_in_words(config: Config, feature_shape: tuple[int, ...]) -> str:
    """Its name and weights, and what it gives."""
    return f"{in_words(config.encoder)}, features {' x '.join(map(str, feature_shape))}"


def model_in_words(config: Config, module: CaptionModule) -> str:
    """The decoder and how many parameters are trained."""
    trained = sum(weight.numel() for weight in module.parameters() if weight.requires_grad)
    return f"{config.decoder.name}, {trained:,} trained parameters"
