"""Instruction budgets: what a hit, a forward and a streamed event cost the proxy, in instructions that valgrind counts.

`python -m bench.budget` counts and compares with bench/budget.json; `--write` stores what was counted. A noisy machine
changes seconds, not instructions, so a change of a few per cent shows in one run. Rules: the proxy is the real one,
over real sockets; only it runs under valgrind; what depends on time rather than on calls stays out of the counts.
"""
