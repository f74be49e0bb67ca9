"""The client side; the only folder that imports mitmproxy, and as little of it as it can (see proxy/standins.py)."""
