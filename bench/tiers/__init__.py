"""What the section `tiers` measures with: a Redis of its own, answers to keep, and processes that look stores up.

Rules: stores are measured in processes of their own, which print nothing and leave their figures in a file.
"""
