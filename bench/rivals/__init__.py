"""The rivals that Skinflint is measured beside, each as its own documents say to deploy it.

Rules: a rival lives in an environment of its own (`make rivals`, Debian's packages) and may be missing: then its row
says so. To add one: a module with a class as bench/rivals/base.py wants it, and a line in bench/rivals/choice.py.
"""
