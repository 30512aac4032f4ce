"""From a trained run to other people: a pack that travels, a page that is served."""
