"""Networks of a library, which take some sizes of pictures and not others, and say so each in its own way."""

from showtell.config import ConfigError
from showtell.models.encoders.base import Backbone, Encoder


class LibraryBackbone(Backbone):
    """A network that was not written for us: it is tried on one black picture before anything else is done with it."""

    def own_size(self) -> int:
        """Side of the pictures that its weights were trained on."""
        raise NotImplementedError

    def try_out(self, encoder: Encoder) -> None:
        """As there.

        Raises:
            ConfigError: the network does not take pictures of this size, or cannot be used at all.
        """
        try:
            super().try_out(encoder)
        except ConfigError:
            raise
        except Exception as error:  # whatever a library's network raises is a matter of that network
            raise self.refused(error) from error

    def refused(self, error: Exception) -> ConfigError:
        """What a network raised when it was built or asked, as one line."""
        name, size, own = self.config.name, self.config.image_size, self.own_size()
        lines = str(error).strip().splitlines()
        reason = f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
        if size and size != own:
            return ConfigError(
                f"encoder.image_size={size}: {name} does not take pictures of {size} x {size} ({reason}); "
                f"use encoder.image_size={own}, its own size"
            )
        return ConfigError(f"encoder.name={name} does not run here ({reason}); use another network")
