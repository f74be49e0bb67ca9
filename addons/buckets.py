"""buckets: several different answers kept of one call whose sampling varies.

An application that asks a sampled question again expects another answer, now and then. With `cache.buckets: k` up to k
answers are kept of it, each under a fingerprint of its own, and one of the k places is chosen for each call: an empty
one is a miss, and is filled. So answers are spread as if the origin had k of them. A seed always chooses the same one.
"""

import hashlib
from collections.abc import Callable


def bucket_of(seed: str, count: int, choose: Callable[[int], int]) -> int:
    """The number of the place, from 0. `choose(n)`: a random number below n."""
    if not seed:
        return choose(count)
    return int.from_bytes(hashlib.blake2b(seed.encode(), digest_size=8, person=b"bucket").digest()) % count


def bucket_key(fingerprint: bytes, number: int) -> bytes:
    """The fingerprint of one place; of the first one, the call's own."""
    if number == 0:
        return fingerprint
    return hashlib.blake2b(fingerprint + number.to_bytes(2), digest_size=len(fingerprint), person=b"bucket").digest()
