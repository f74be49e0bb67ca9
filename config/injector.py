"""The injector's settings, typed: what pods get. They have a file of their own (`skinflint injector --config FILE`).

Rules: one YAML file, no variables and no flags besides; unknown keys are errors; all problems are told at once, each
with its line. `settings` are the proxy's own settings for every sidecar, checked here as the proxy would check them.
"""

import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, Field, ValidationError

from config.environment import variable_name
from config.errors import SECRET_KEYS, Problem, SettingsError, without_password
from config.explain import explain
from config.gateway import Network
from config.layers import Layer
from config.metric_labels import unusable
from config.places import KeyPath, dotted
from config.schema import Settings
from config.section import Section
from config.yaml_file import read_yaml

type Mode = Literal["hosts", "env", "redirect"]

MODES: Final[tuple[Mode, ...]] = ("hosts", "env", "redirect")

# What the injector says to each sidecar itself: nobody else may.
RESERVED: Final = ("listeners", "admin", "data_dir", "trust_dir")

# Where the injector's mounts are in a sidecar, and what stands there besides `secret_files`.
FILES_DIR: Final = "/etc/skinflint"
OWN_FOLDERS: Final = ("trust", "extra-ca")

_HOST: Final = re.compile(r"(?=.{1,253}$)[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)+")
_QUANTITY: Final = re.compile(r"[0-9]+(\.[0-9]+)?(m|k|M|G|T|P|E|Ki|Mi|Gi|Ti|Pi|Ei)?")
_RESOURCES: Final = ("cpu", "memory", "ephemeral-storage")


def host_name(text: str) -> str:
    """An exact host name in lower case. Raises ValueError for patterns and addresses."""
    name = text.strip().lower().removesuffix(".")
    if not _HOST.fullmatch(name) or name.rpartition(".")[2].isdigit():
        raise ValueError(
            "must be an exact host name, such as my-resource.openai.azure.com; a hosts file has no wildcards"
        )
    return name


def amounts(given: dict[str, str]) -> dict[str, str]:
    """Amounts of resources. Raises ValueError naming what is allowed."""
    for name, amount in given.items():
        if name not in _RESOURCES:
            raise ValueError(f"{name!r} is not known; allowed: {', '.join(_RESOURCES)}")
        if not _QUANTITY.fullmatch(amount):
            raise ValueError(f"{name} must be an amount such as 100m, 1 or 128Mi")
    return given


def _label_name(text: str) -> str:
    if not re.fullmatch(r"[a-z][a-z0-9_]{0,40}", text) or text.endswith("_"):
        raise ValueError("must be small letters, digits and underscores, such as team")
    if reason := unusable(text):
        raise ValueError(reason)
    return text


def _variable(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", text):
        raise ValueError("must be the name of a variable, such as SKINFLINT_CACHE__TTL_S")
    return text


def _folder(text: str) -> str:
    if not re.fullmatch(r"[a-z0-9]([-a-z0-9]{0,38}[a-z0-9])?", text):
        raise ValueError(f"must be small letters, digits and dashes, such as redis for {FILES_DIR}/redis")
    if text in OWN_FOLDERS:
        raise ValueError(f"is not free: {FILES_DIR}/{text} is the injector's own")
    return text


def _file_name(text: str) -> str:
    if not re.fullmatch(r"[-._a-zA-Z0-9]{1,253}", text) or text.startswith(".."):
        raise ValueError("must be the name of a file, such as ca.crt")
    return text


type Amounts = Annotated[dict[str, str], AfterValidator(amounts)]
type HostName = Annotated[str, AfterValidator(host_name)]
type LabelName = Annotated[str, AfterValidator(_label_name)]
type VariableName = Annotated[str, AfterValidator(_variable)]
type FolderName = Annotated[str, AfterValidator(_folder)]
type FileName = Annotated[str, AfterValidator(_file_name)]
type Port = Annotated[int, Field(ge=1024, le=65_535)]


class SecretKey(Section):
    """Where a variable's value is kept: a Secret in the pod's own namespace."""

    name: Annotated[str, Field(min_length=1)]
    key: Annotated[str, Field(min_length=1)]
    optional: bool = False  # true: a namespace without it gets sidecars without the variable


class SecretFiles(Section):
    """A Secret in the pod's own namespace whose keys are files of the sidecar, and of no other container."""

    name: Annotated[str, Field(min_length=1)]
    items: dict[FileName, Annotated[str, Field(min_length=1)]] = {}  # file -> key; empty: each key is a file
    optional: bool = False  # true: a namespace without it gets sidecars without the files


class Resources(Section):
    """What a sidecar may use, in Kubernetes' own words."""

    requests: Amounts = {"cpu": "100m", "memory": "128Mi"}
    limits: Amounts = {"memory": "512Mi"}  # no limit of CPU: throttling would add to every call


class Ports(Section):
    """Ports of the sidecar in the pod, which share the pod's numbers with the application."""

    proxy: Port = 19180  # mode env: clients' HTTP proxy, on loopback
    redirect: Port = 19181  # mode redirect: where the kernel leads connections, on loopback
    admin: Port = 19190  # probes and metrics, on the pod's address


class InjectorSettings(Section):
    """The whole file."""

    image: Annotated[str, Field(min_length=1)]  # of the sidecar, with its tag or digest
    image_pull_policy: Literal["Always", "IfNotPresent", "Never"] | None = None  # None: Kubernetes' own rule
    image_pull_secrets: tuple[str, ...] = ()  # names of Secrets in the pods' namespaces
    redirect_image: str | None = None  # with `nft`, for the mode redirect; None: the sidecar's
    mode: Mode = "hosts"  # of pods that name none
    ipv6: bool = True  # false where pods have no IPv6 at all, not even on loopback
    hosts: tuple[HostName, ...] = ()  # mode hosts: exact names besides those that are known
    no_proxy: tuple[str, ...] = (".svc", ".cluster.local")  # mode env: reached directly
    exclude_cidrs: tuple[Network, ...] = ("169.254.169.254/32",)  # mode redirect: reached directly
    system_store: bool = False  # overlay the system's roots in every container
    labels: dict[LabelName, str] = {}  # label of a call -> label of the pod, as {team: example.com/team}
    settings: Settings = Settings()  # of every sidecar
    env: dict[VariableName, str] = {}  # more variables of every sidecar
    secret_env: dict[VariableName, SecretKey] = {}  # the same, from Secrets: URLs with passwords belong here
    secret_files: dict[FolderName, SecretFiles] = {}  # folder below /etc/skinflint -> what is in it
    resources: Resources = Resources()
    admin_host: Literal["0.0.0.0", "[::]"] = "0.0.0.0"  # noqa: S104 - the kubelet's probes come to the pod's address
    ports: Ports = Ports()
    startup_s: Annotated[int, Field(ge=5, le=600)] = 120  # until a sidecar that does not come up is started again


def load_injector(file: Path) -> InjectorSettings:
    """The settings in a file. Raises SettingsError with every problem."""
    problems: list[Problem] = []
    layer = Layer()
    try:
        layer = read_yaml(file.read_text("utf-8-sig"), str(file), problems)
    except UnicodeDecodeError:
        problems.append(Problem(str(file), "", "is not UTF-8 text"))
    except OSError as exc:
        problems.append(Problem("--config", "", f"{file} cannot be read: {exc.strerror}"))
    if problems:
        raise SettingsError(*problems)
    try:
        settings = InjectorSettings.model_validate(layer.tree)
    except ValidationError as exc:
        raise SettingsError(*(_placed(each, file) for each in explain(exc, layer, InjectorSettings))) from exc
    if found := _contradictions(settings):
        raise SettingsError(
            *(Problem(layer.source_of(path) or str(file), dotted(path), message) for path, message in found)
        )
    return settings


def _placed(problem: Problem, file: Path) -> Problem:
    """What is missing stands on no line; it is missing in the file."""
    return problem if problem.source != "default" else Problem(str(file), problem.key, problem.message)


def _contradictions(settings: InjectorSettings) -> list[tuple[KeyPath, str]]:
    told = settings.settings.model_fields_set
    found: list[tuple[KeyPath, str]] = [
        (("settings", key), "is said by the injector; take it out") for key in RESERVED if key in told
    ]
    for key in sorted(SECRET_KEYS):
        value: object = settings.settings
        for part in key.split("."):
            value = getattr(value, part)
        if isinstance(value, str) and without_password(value) != value:
            message = f"has a password, which pods would show; put it into secret_env, as {variable_name(key)}"
            found.append((("settings", *key.split(".")), message))
    ports = settings.ports
    if len({ports.proxy, ports.redirect, ports.admin}) < 3:
        found.append((("ports",), "must be three different numbers"))
    reserved = {variable_name(key) for key in RESERVED}
    for group, variables in (("env", settings.env), ("secret_env", settings.secret_env)):
        taken = [name for name in variables if name.upper().partition("__")[0] in reserved]
        found += [((group, name), "is said by the injector; take it out") for name in taken]
    for name, value in settings.env.items():
        if without_password(value) != value:
            found.append((("env", name), "has a password, which pods would show; put it into secret_env"))
    both = sorted(settings.env.keys() & settings.secret_env.keys())
    found += [(("secret_env", name), "is also in env; keep one of them") for name in both]
    return [*found, *_files_that_are_not_there(settings)]


def _files_that_are_not_there(settings: InjectorSettings) -> Iterator[tuple[KeyPath, str]]:
    """Paths in our folders that no sidecar would have. What is elsewhere may be in its image."""
    named: list[tuple[KeyPath, str]] = [(("env", name), value) for name, value in settings.env.items()]
    named += [(("settings", *path), str(file)) for path, file in _paths(settings.settings.model_dump())]
    for path, file in named:
        place = PurePosixPath(file)
        if not place.is_relative_to(FILES_DIR) or len(parts := place.relative_to(FILES_DIR).parts) == 0:
            continue
        if (secret := settings.secret_files.get(parts[0])) is None:
            if parts[0] not in OWN_FOLDERS:
                yield path, f"no sidecar has {file}: there is no secret_files.{parts[0]}"
        elif secret.items and len(parts) > 1 and parts[1] not in secret.items:
            yield path, f"no sidecar has {file}: secret_files.{parts[0]}.items has {', '.join(secret.items)}"


def _paths(value: object, above: KeyPath = ()) -> Iterator[tuple[KeyPath, Path]]:
    """Every path in what a section says."""
    if isinstance(value, Path):
        yield above, value
    elif isinstance(value, dict):
        for key, below in value.items():
            yield from _paths(below, (*above, str(key)))
    elif isinstance(value, list | tuple):
        for index, below in enumerate(value):
            yield from _paths(below, (*above, index))
