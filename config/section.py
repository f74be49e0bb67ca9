"""What all sections of the settings have in common."""

from typing import Final

from pydantic import BaseModel, ConfigDict

MIB: Final = 1024 * 1024


class Section(BaseModel):
    """Base of all sections."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True, allow_inf_nan=False)
