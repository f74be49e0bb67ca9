"""The benchmark: Skinflint beside no proxy at all and beside its peers, in alternating rounds on one core.

`python -m bench` runs it and writes docs/benchmarks.md. Rules: a figure is a ratio or a difference between contestants
of the same run; every answer is checked; whatever is started is stopped, however the run ends.
"""
