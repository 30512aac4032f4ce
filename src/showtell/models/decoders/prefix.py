"""ClipCap (Mokady et al. 2021, arXiv 2111.09734): a picture becomes the first words of a pretrained language model.

Two layers map the feature to `prefix_length` vectors of the language model's own input; it goes on from there, frozen
or trained too (`decoder.tune`), and says `<end>` by its own end of text. With `decoder.regions` the same two layers map
each region, which knows its place in the picture, so that the language model attends to regions. Any causal language
model of transformers that keeps keys and values per layer will do; its files name no code that would be run. Its tokens
are the vocabulary.
Shape legend: B batch, N rows, T tokens, V vocabulary, D feature, R regions, K prefix, E input, L layers, P past.
"""

import json
from inspect import signature
from typing import Any

import torch
from torch import Tensor, nn

from showtell.decoding import State
from showtell.errors import UserError
from showtell.models.decoders.base import Decoder
from showtell.models.decoders.language_model import architecture, language_model, model_folder, read_files
from showtell.models.layers import FREQUENCIES, feature_dropout, grid_places
from showtell.models.settings import PrefixConfig
from showtell.text import END, START
from showtell.text.subwords import Pretrained

NEVER = -1e4
"""The logit of what is never said: of `<start>`, `<unk>` and marks of the language model."""


class PrefixDecoder(Decoder):
    """A mapping before a language model; `files` are its `config.json` and `tokenizer.json`.

    State: keys and values so far `(N, L, 2, heads, P, E / heads)`, and the last vector of the prefix `(N, E)`, which is
    what `<start>` gives.
    """

    takes_several = True

    def __init__(self, config: PrefixConfig, feature_size: int, vocabulary_size: int, files: dict[str, str]) -> None:
        super().__init__()
        self.regions, self.tune = config.regions, config.tune
        self.language = language_model(architecture(files["config.json"], config.model))
        given = signature(self.language.forward).parameters
        self.cache_name = "cache" if "cache" in given else "past_key_values"  # as transformers before 5.24 calls it
        size = self.language.get_input_embeddings().embedding_dim
        self.normalize = nn.LayerNorm(feature_size, elementwise_affine=False)
        self.feature_dropout = nn.Dropout(feature_dropout(config))
        self.read = nn.Linear(feature_size, config.hidden_size)
        self.place = nn.Linear(4 * FREQUENCIES, config.hidden_size, bias=False)
        self.write = nn.Linear(config.hidden_size, config.prefix_length * size)
        self.language.requires_grad_(self.tune)
        columns, never = _columns(files, self.language.get_output_embeddings().out_features, config.model)
        assert len(columns) == vocabulary_size
        self.register_buffer("columns", columns, persistent=False)
        self.register_buffer("never", never, persistent=False)

    @classmethod
    def files(cls, config: Any) -> dict[str, str]:
        """See `Decoder`."""
        return read_files(config.model)

    def load_pretrained(self, config: Any) -> None:
        """Gives the language model its published weights."""
        pretrained = language_model(model_folder(config.model))
        self.language.load_state_dict(pretrained.state_dict())

    def train(self, mode: bool = True) -> "PrefixDecoder":
        """A frozen language model stays as it is in prediction."""
        super().train(mode)
        self.language.train(mode and self.tune)
        return self

    def forward(self, features: Tensor, captions: Tensor) -> Tensor:
        """Teacher forcing: features `(B, D)` and captions `(B, T)` to logits `(B, T, V)`."""
        prefix = self._prefix(features).repeat_interleave(len(captions) // len(features), 0)
        given = torch.cat([prefix, self._embedded(captions[:, :-1])], dim=1)
        return self._logits(self.language(inputs_embeds=given, use_cache=False).logits[:, prefix.shape[1] - 1 :])

    def initial_state(self, features: Tensor) -> State:
        """The state after the picture was seen."""
        prefix = self._prefix(features)
        _, past = self._run(prefix, None)
        return past[..., :-1, :], prefix[:, -1]

    def step(self, tokens: Tensor, state: State) -> tuple[Tensor, State]:
        """One token further: `(N,)` to logits `(N, V)`."""
        past, last = state
        given = torch.where((tokens == START).unsqueeze(1), last, self._embedded(tokens))
        logits, past = self._run(given.unsqueeze(1), past)
        return self._logits(logits[:, -1]), (past, last)

    def _prefix(self, features: Tensor) -> Tensor:
        """`(B, R K, E)`; a feature that is read as a whole is one region."""
        features = features.flatten(1).unsqueeze(1) if not self.regions or features.ndim == 2 else features
        places = self.place(grid_places(features.shape[1]).to(features))
        hidden = (self.read(self.feature_dropout(self.normalize(features))) + places).tanh()
        written: Tensor = self.write(hidden)
        return written.reshape(len(features), -1, self.language.get_input_embeddings().embedding_dim)

    def _embedded(self, tokens: Tensor) -> Tensor:
        embedded: Tensor = self.language.get_input_embeddings()(self.columns[tokens])  # type: ignore[index]
        return embedded

    def _logits(self, logits: Tensor) -> Tensor:
        """The language model's logits as the vocabulary's."""
        columns: Any = self.columns
        never: Any = self.never
        return logits[..., columns].masked_fill(never, NEVER)

    def _run(self, given: Tensor, past: Tensor | None) -> tuple[Tensor, Tensor]:
        from transformers import DynamicCache

        known = None if past is None else [(layer[:, 0], layer[:, 1]) for layer in past.unbind(1)]
        cache: Any = DynamicCache(known)  # which grows in place
        logits: Tensor = self.language(inputs_embeds=given, use_cache=True, **{self.cache_name: cache}).logits
        layers = [torch.stack([layer.keys, layer.values], dim=1) for layer in cache.layers]
        return logits, torch.stack(layers, dim=1)


def _columns(files: dict[str, str], size: int, model: str) -> tuple[Tensor, Tensor]:
    """For each token of the vocabulary the language model's number `(V,)`, and whether it is never said `(V,)`."""
    tokenizer, told = Pretrained(content=files["tokenizer.json"]), json.loads(files["config.json"])
    end = told.get("eos_token_id")
    end = end[0] if isinstance(end, list) and end else end
    numbers = tokenizer.numbers
    if type(end) is not int or not 0 <= end < size or not numbers or max(numbers) >= size:
        raise UserError(
            f"decoder.model={model}: config.json and tokenizer.json do not belong together, or name no end of text "
            "(eos_token_id); give a model that was trained with this tokenizer"
        )
    columns = [end, end, end, *numbers]
    marks = torch.tensor([True, False, True, *(number in tokenizer.marks or number == end for number in numbers)])
    assert columns[END] == end
    return torch.tensor(columns), marks
