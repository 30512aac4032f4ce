"""Words and characters of languages that are not English."""

# ruff: noqa: RUF001

import json
import random
from pathlib import Path

import pytest

from showtell.config import parse
from showtell.data.annotations import clean_caption
from showtell.errors import ConfigError
from showtell.text import build_tokenizer

WORDS, CHARACTERS = build_tokenizer("words"), build_tokenizer("characters")
BLANKS = [
    ("दो कुत्ते बर्फ में बैठे हैं।", "दो|कुत्ते|बर्फ|में|बैठे|हैं|।"),
    ("رجلٌ يجلسُ على الكُرسيّ، أليس كذلك؟", "رجلٌ|يجلسُ|على|الكُرسيّ|،|أليس|كذلك|؟"),
    ("Мужчина в куртке — п'ять собак…", "мужчина|в|куртке|—|п'ять|собак|…"),
    ("¿Qué hace el niño?", "¿|qué|hace|el|niño|?"),
    ("L'homme (à gauche) court.", "l'homme|(|à|gauche|)|court|."),
    ("두 마리의 개가 눈 위에 앉아 있다.", "두|마리의|개가|눈|위에|앉아|있다|."),
    ("Don't panic: 1,000 e-mails at 11:44!!", "don't|panic|:|1,000|e-mails|at|11:44|!!"),
    ("سگ‌ها می‌دوند", "سگ‌ها|می‌دوند"),  # with zero-width non-joiners
    ("Hai con chó đang chạy trên tuyết.", "hai|con|chó|đang|chạy|trên|tuyết|."),
]
NO_BLANKS = [
    ("两只狗在iPhone 15旁边坐着，很开心！", "两|只|狗|在|iphone|15|旁|边|坐|着|，|很|开|心|！"),
    ("犬がサッカーボールを追う。", "犬|が|サ|ッ|カ|ー|ボ|ー|ル|を|追|う|。"),
    ("สุนัขอยู่ในน้ำ", "สุ|นั|ข|อ|ยู่|ใ|น|น้ำ"),
]
PIECES = [
    "a", "dog", "5", "1,000", "l'eau", "e-mail", "犬", "が", "ー", "น้ำ", "สุ", "कुत्ते", "मैं", "الكُرسيّ",
    "개가", "က", "្", "ខ្មែរ", "ລາວ", "👍", "👩‍👩‍👧", "🇩🇪", "é", "e\u0301", "ß", "İ", "ﬁ", "\u0301", "_",
    "'", "’", "-", "—", "…", "...", ".", ",", "?", "!", "!!", "，", "。", "、", "（", "）", "«", "»", "“",
    "”", "„", "(", ")", "¿", "%", "$", "&", "/", ":", "·", "\u200d", "\u200b",
]  # fmt: skip


@pytest.mark.parametrize(("caption", "words"), BLANKS)
def test_languages_with_blanks(caption: str, words: str) -> None:
    assert WORDS.split(caption) == CHARACTERS.split(caption) == words.split("|")
    assert WORDS.join(words.split("|")) == CHARACTERS.join(words.split("|")) == caption.lower()


@pytest.mark.parametrize(("caption", "words"), NO_BLANKS)
def test_languages_without_blanks(caption: str, words: str) -> None:
    assert CHARACTERS.split(caption) == words.split("|")
    assert CHARACTERS.join(words.split("|")) == caption.lower()


def test_random_text_is_cut_again_as_it_was() -> None:
    generator = random.Random(0)
    for _ in range(4000):
        pieces = [generator.choice(PIECES) + generator.choice(["", " "]) for _ in range(generator.randint(1, 6))]
        caption = clean_caption("".join(pieces))
        for tokenizer in (WORDS, CHARACTERS):
            words = tokenizer.split(caption)
            assert tokenizer.split(tokenizer.join(words)) == words, (tokenizer.name, ascii(caption), words)
            assert "".join(words) == "".join(caption.lower().replace("\u200b", "").split()), ascii(caption)


def test_real_captions_keep_their_words(shared_data: Path) -> None:
    """English is cut as nltk cuts it, but for contractions and the like."""
    file = shared_data / "coco_captions_val2017.json"
    if not file.is_file():
        pytest.skip("the captions are not here")
    captions = [clean_caption(one["caption"]) for one in json.loads(file.read_text())["annotations"]]
    plain = build_tokenizer("nltk")
    others = [caption for caption in captions if WORDS.split(caption) != plain.split(caption)]
    assert len(others) < 0.02 * len(captions)
    for caption in captions[::10]:
        words = WORDS.split(caption)
        assert WORDS.split(WORDS.join(words)) == words == CHARACTERS.split(caption)


def test_nltk_is_the_default_and_an_unknown_name_is_refused() -> None:
    assert parse({}).vocab.tokenizer == "nltk"
    with pytest.raises(ConfigError, match=r"vocab.tokenizer='jieba' is not an option; choose one of bpe, charac"):
        parse({"vocab": {"tokenizer": "jieba"}})
