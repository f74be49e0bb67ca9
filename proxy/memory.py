"""What the process does for its memory once it has started.

Rule: nothing here changes what the proxy does; where the C library is not glibc, that part is left out.
"""

import ctypes
import gc

_COLLECT_AFTER = 20_000  # objects; calls make little garbage in cycles


def settle() -> None:
    """What is there now stays for good: the collector need not look at it again, nor come often, and what the imports
    freed goes back to the system."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(_COLLECT_AFTER, 10, 10)
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
