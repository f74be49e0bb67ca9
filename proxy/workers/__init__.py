"""Several worker processes behind one set of listeners, for more than one core.

place.py: which worker is this? count.py: how many are there? share.py: a worker's part of what is limited as a whole.
supervisor.py: the process that binds, forks and minds them; fleet.py: its children; backoff.py: when a dead one is
replaced; listening.py: the sockets; wakeup.py: signals; board.py: what all of them see; directory.py: where their
sockets are; handing.py: connections for the worker that has fewest.
worker.py: a child's life; link.py: between it and the supervisor; inquiry.py, fleet_answers.py: one admin listener
that answers for all; samples.py, told.py: counts that add up, and outlive their worker.
shared.py: what all have in memory; claims.py: who makes which call; flights.py: one call for all of them; leading.py
and following.py: its two sides; conversation.py, frames.py: what they say to one another.
"""
