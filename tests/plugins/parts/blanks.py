import showtell
from showtell.text import Tokenizer


@showtell.register("tokenizer", name="blanks")
class Blanks(Tokenizer):
    def split(self, caption):
        return caption.lower().split()
