"""How entries are sealed that leave this machine's memory: sealer.py puts compression and encryption together."""
