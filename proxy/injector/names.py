"""Names that the injector writes into pods, and paths inside them. Changing one breaks pods that have them already."""

from typing import Final

from config.injector import FILES_DIR

PREFIX: Final = "skinflint.dev/"
INJECT_LABEL: Final = PREFIX + "inject"  # on a pod or its namespace; "false" on a pod keeps it as it is

MODE: Final = PREFIX + "mode"
HOSTS: Final = PREFIX + "hosts"
EXCLUDE_CIDRS: Final = PREFIX + "exclude-cidrs"
EXCLUDE_CONTAINERS: Final = PREFIX + "exclude-containers"
SYSTEM_STORE: Final = PREFIX + "system-store"
EXTRA_CA: Final = PREFIX + "extra-ca-configmap"
RESOURCES: Final = PREFIX + "resources"
STATUS: Final = PREFIX + "status"
ANNOTATIONS: Final = (MODE, HOSTS, EXCLUDE_CIDRS, EXCLUDE_CONTAINERS, SYSTEM_STORE, EXTRA_CA, RESOURCES, STATUS)

SIDECAR: Final = "skinflint"
REDIRECT: Final = "skinflint-redirect"
OWN_CONTAINERS: Final = (SIDECAR, REDIRECT)

DATA_VOLUME: Final = "skinflint-data"
CA_VOLUME: Final = "skinflint-ca"
TRUST_VOLUME: Final = "skinflint-trust"
EXTRA_CA_VOLUME: Final = "skinflint-extra-ca"
FILES_VOLUME: Final = "skinflint-files-"  # and the folder's name
OWN_VOLUMES: Final = (DATA_VOLUME, CA_VOLUME, TRUST_VOLUME, EXTRA_CA_VOLUME)

USER: Final = 1337  # of the image; redirect rules let its connections through
ROOT_GROUP: Final = 0
DATA_DIR: Final = "/var/lib/skinflint"
CA_DIR: Final = DATA_DIR + "/ca"  # where the proxy keeps its authority's key
TRUST_DIR: Final = FILES_DIR + "/trust"  # the same in every container: PHP's settings name the bundle by its path
EXTRA_CA_DIR: Final = FILES_DIR + "/extra-ca"
EXTRA_CA_KEY: Final = "ca.crt"  # in the ConfigMap


def is_own_volume(name: str) -> bool:
    """May a volume of this name only be ours?"""
    return name in OWN_VOLUMES or name.startswith(FILES_VOLUME)
