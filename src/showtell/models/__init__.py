"""The model side: encoders, decoders, and the LightningModule that owns both."""
