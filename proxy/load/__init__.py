"""`skinflint bench`: load through any HTTP proxy that runs, and what it made of it.

It measures one installation where it stands; the comparison with other programs, with its controlled cores and checked
bytes, is bench/ in the source. Nothing here sends anything to a provider unless its address was given.
"""
