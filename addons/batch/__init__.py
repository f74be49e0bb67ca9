"""Embeddings by element: stage.py is the stage, calls.py makes its upstream calls, passing.py watches whole ones."""
