"""A language model as transformers saves one, random and tiny, with a byte-level tokenizer: nothing is downloaded."""

from collections.abc import Iterable
from pathlib import Path


def write_language_model(
    folder: Path, texts: Iterable[str], *, size: int = 32, layers: int = 2, heads: int = 2
) -> Path:
    """A GPT-2 of a few tokens; its tokenizer is trained on the texts."""
    import torch
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import GPT2Config, GPT2LMHeadModel

    library = Tokenizer(models.BPE())
    library.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    library.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=400, min_frequency=2, initial_alphabet=alphabet, show_progress=False,
        special_tokens=[AddedToken("<|endoftext|>", special=True)],
    )  # fmt: skip
    library.train_from_iterator(sorted(texts), trainer)
    folder.mkdir(parents=True)
    library.save(str(folder / "tokenizer.json"))
    torch.manual_seed(0)
    config = GPT2Config(
        vocab_size=library.get_vocab_size(), n_positions=64, n_embd=size, n_layer=2, n_head=heads,
        bos_token_id=0, eos_token_id=0, resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0,
    )  # fmt: skip
    GPT2LMHeadModel(config).save_pretrained(folder)
    return folder
