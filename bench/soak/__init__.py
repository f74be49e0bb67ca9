"""`make soak`: mixed and broken load on a real `skinflint run` for as long as one likes, and whether anything is left.

What grows by a little for each call, client or failure shows after minutes, never in a test of seconds. So the load
stops now and then, everything is given time to settle, and what the process holds is compared with what it held after
the warm-up; what the ledger counted is compared with what was asked.
"""
