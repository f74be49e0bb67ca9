"""Settings from all their layers, as one checked snapshot.

Layers, lowest first: the schema's defaults, the profile's, the configuration file, SKINFLINT_* variables, flags. The
file is the one that was named (by flag or $SKINFLINT_CONFIG; it must exist), else ./skinflint.yaml, else
skinflint.yaml in the data directory, if there is one. Either the whole snapshot is good, or SettingsError says all
that is wrong.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pydantic import ValidationError

from config.checks import check
from config.environment import CONFIG_VARIABLE, read_environment
from config.errors import Problem, SettingsError
from config.explain import explain
from config.flags import Flags, read_flags
from config.layers import Layer, Value, lay, well_shaped
from config.profiles import profile_layer
from config.schema import Profile, Settings
from config.yaml_file import read_yaml

FILE_NAME: Final = "skinflint.yaml"


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Good settings, and the layers they were made of."""

    settings: Settings
    layer: Layer
    file: Path | None


class SettingsLoader:
    """Reads all layers, again and again. Flags and environment are those it was made with; files are read anew."""

    def __init__(self, file: Path | None, flags: Flags, environ: Mapping[str, str], default_profile: Profile) -> None:
        self._named_file = file
        self._flags = flags
        self._environ = dict(environ)
        self._default_profile: Profile = default_profile
        self._files: tuple[Path, ...] = ()
        self._file: Path | None = None  # once found it stays the file: one that vanishes must not mean "defaults"

    @property
    def files(self) -> tuple[Path, ...]:
        """The files that the last load depended on, also if they were missing: those to watch."""
        return self._files

    def load(self) -> Settings:
        """The settings. Raises SettingsError with every problem."""
        return self.load_snapshot().settings

    def load_snapshot(self) -> Snapshot:
        """The settings and where each came from. Raises SettingsError with every problem."""
        problems: list[Problem] = []
        defaults = Layer(Settings().model_dump(mode="json"))
        environment = well_shaped(read_environment(self._environ, problems), problems)
        self._file = file = self._file or self._choose_file(lay(defaults, environment))
        self._files = (file,) if file else ()
        from_file = self._read_file(file, problems) if file else Layer()
        given = lay(well_shaped(from_file, problems), environment)
        flags = read_flags(self._flags, lay(defaults, given), problems)
        given = lay(given, well_shaped(flags, problems))
        layer = lay(lay(defaults, self._profile(given)), given)
        settings = _validated(layer, problems)
        if settings is not None:
            settings = _with_absolute_paths(settings, self._environ.get("HOME"), problems, layer)
            self._files += _further_files(settings)
            problems += check(settings, layer)
        if settings is None or problems:
            raise SettingsError(*problems)
        return Snapshot(settings, layer, file)

    def _choose_file(self, lower: Layer) -> Path | None:
        if self._named_file is not None:
            return self._named_file.expanduser().absolute()
        if named := self._environ.get(CONFIG_VARIABLE, "").strip():
            return Path(named).expanduser().absolute()
        directory: Value = next(iter(self._flags.get("--data-dir", ())), lower.tree.get("data_dir"))
        places = [Path.cwd()]
        if isinstance(directory, str) and (found := _expanded(Path(directory), self._environ.get("HOME"))):
            places.append(found)
        return next((place / FILE_NAME for place in places if (place / FILE_NAME).is_file()), None)

    def _read_file(self, file: Path, problems: list[Problem]) -> Layer:
        try:
            return read_yaml(file.read_text("utf-8-sig"), str(file), problems)
        except FileNotFoundError:
            problems.append(Problem(self._file_source(), "", f"there is no file {file}"))
        except UnicodeDecodeError:
            problems.append(Problem(str(file), "", "is not UTF-8 text"))
        except OSError as exc:
            problems.append(Problem(str(file), "", f"cannot be read: {exc.strerror}"))
        return Layer()

    def _file_source(self) -> str:
        if self._named_file is not None:
            return "--config"
        return f"${CONFIG_VARIABLE}" if self._environ.get(CONFIG_VARIABLE, "").strip() else ""

    def _profile(self, given: Layer) -> Layer:
        """The profile's defaults. Whichever layer names it; a bad name is found by the schema."""
        profile: Profile = self._default_profile
        if (named := given.tree.get("profile")) in ("production", "development", "gateway"):
            profile = named  # type: ignore[assignment] # one of the three, just checked
        return lay(Layer().put(("profile",), profile, "default of this command"), profile_layer(profile))


def _validated(layer: Layer, problems: list[Problem]) -> Settings | None:
    try:
        return Settings.model_validate(layer.tree)
    except ValidationError as exc:
        problems += explain(exc, layer)
        return None


def _expanded(path: Path, home: str | None) -> Path | None:
    """Absolute, with `~` replaced. None when nobody knows whose home is meant."""
    if home and path.parts[:1] == ("~",):
        return Path(home, *path.parts[1:]).absolute()
    try:
        return path.expanduser().absolute()
    except RuntimeError:
        return None


def _with_absolute_paths(settings: Settings, home: str | None, problems: list[Problem], layer: Layer) -> Settings:
    def absolute(path: Path, key: tuple[str, ...]) -> Path:
        found = _expanded(path, home)
        if found is None:
            message = f'"{path}" cannot be found, as this user has no home directory; give a full path'
            problems.append(Problem(layer.source_of(key) or "default", ".".join(key), message))
        return found or path

    extra_ca = tuple(absolute(path, ("upstream", "extra_ca")) for path in settings.upstream.extra_ca)
    prices = settings.cost.prices and absolute(settings.cost.prices, ("cost", "prices"))
    trust_dir = settings.trust_dir and absolute(settings.trust_dir, ("trust_dir",))
    ca_dir = settings.ca_dir and absolute(settings.ca_dir, ("ca_dir",))
    return settings.model_copy(
        update={
            "data_dir": absolute(settings.data_dir, ("data_dir",)),
            "ca_dir": ca_dir,
            "trust_dir": trust_dir,
            "upstream": settings.upstream.model_copy(update={"extra_ca": extra_ca}),
            "cost": settings.cost.model_copy(update={"prices": prices}),
        }
    )


def _further_files(settings: Settings) -> tuple[Path, ...]:
    """Files whose content is part of the settings."""
    prices = () if settings.cost.prices is None else (settings.cost.prices,)
    return prices + settings.upstream.extra_ca
