"""Training from tar shards in WebDataset's format: for data sets that are too many files, or too large, for one folder.

In a tar file the members of one sample share a key, `KEY.jpg` (or `.png`, `.webp`) or `KEY.npy` beside `KEY.txt` or
`KEY.json`. One pass notes in an index where each member lies and keeps the captions as numbers. From then on the order
of an epoch is arithmetic on caption lengths, a position in it costs no reading, and a sample is one `pread`. Price:
shards must be local files (or on a file system that looks local) and not compressed. Why not the webdataset library:
`docs/decisions/shards.md`.
"""
