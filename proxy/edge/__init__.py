"""The client side; the only folder that imports mitmproxy, and as little of it as it can (see standins.py)."""

from proxy.edge.standins import keep_out

keep_out()
