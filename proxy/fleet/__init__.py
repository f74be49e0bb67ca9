"""What proxies of one fleet share: the link to Redis, and what stands on it."""
