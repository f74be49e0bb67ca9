"""`make reliability`: what an outage of Redis, or of the disk, does to calls, with real servers and under load.

Two replicas of `skinflint run` share a real Redis in front of a simulated provider whose answers follow from the
credential and the question, so that every byte of every answer can be checked. Load runs on while one part after
another is killed, paused, filled, cut off or moved; the page docs/reliability.md says what calls noticed of it.
"""
