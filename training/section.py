"""What sections of a stage are made of: validated groups of keys, and the kinds of their values."""

from typing import Annotated, get_args

from pydantic import BaseModel, ConfigDict, Field, model_validator

Positive = Annotated[float, Field(gt=0)]
NonNegative = Annotated[float, Field(ge=0)]
Share = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=1)]
Whole = Annotated[int, Field(ge=0)]
Interval = tuple[float, float]  # smallest, largest
Range = tuple[Whole, Whole]  # the same of whole numbers; both ends count


class Section(BaseModel):
    """A group of keys: unknown ones are refused, values cannot change after loading."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @model_validator(mode="after")
    def _intervals_in_order(self) -> "Section":
        for name, field in type(self).model_fields.items():
            value = getattr(self, name)
            kinds = (field.annotation, *get_args(field.annotation))
            if (Interval in kinds or Range in kinds) and value and value[0] > value[1]:
                raise ValueError(f"{name} {list(value)} must be [smallest, largest]")
        return self
