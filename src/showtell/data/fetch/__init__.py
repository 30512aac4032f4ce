"""`python -m showtell.data fetch`: public data sets, from their publishers' servers to a folder that training reads."""
