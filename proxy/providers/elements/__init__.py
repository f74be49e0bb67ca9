"""The dialects of embeddings taken apart, behind the seam proxy/exchange/elements.py."""
