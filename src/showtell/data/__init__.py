"""The data side: annotations, pictures, batches, features."""
