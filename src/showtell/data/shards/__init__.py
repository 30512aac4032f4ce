"""Training from tar shards: data sets that are too many files, or too large, for one folder.

The format is WebDataset's: in a tar file the members of one sample follow one another and share a key, `KEY.jpg` (or
`.png`, `.webp`) or `KEY.npy` beside `KEY.txt` or `KEY.json`. The webdataset library (1.0.2) writes and reads the same
shards, which the tests try in both directions, but it does not feed the training: its authors leave to the user what
an epoch means here (each caption exactly once, a known number of steps, an exact resume in the middle, the same caption
length on all ranks; its issues 177, 234 and 271 recommend to draw with replacement instead), and it is not the faster
reader either (`benchmarks/shards.py`).

What serves better is an index: one pass with the standard library's `tarfile` notes where each member lies and keeps
the captions as numbers. From then on the order of an epoch is arithmetic on caption lengths (`plan`), a position in it
costs no reading, and a sample is one `pread`. The buffer that a stream needs to shuffle holds row numbers, not
pictures. Price: shards must be local files (or on a file system that looks local) and not compressed.
"""
