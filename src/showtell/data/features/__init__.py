"""The feature store: what a frozen encoder says of every picture of a data set, on disk, once."""
