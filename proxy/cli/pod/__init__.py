"""`skinflint doctor` where Kubernetes runs the programs: in an injected sidecar, or over a pod's manifest.

Looking and judging are apart, as for a machine: sidecar.py and manifest.py look, sidecar_checkup.py and
manifest_checkup.py judge, clients.py says who comes here in which mode.
"""
