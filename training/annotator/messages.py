"""The requests that the page may send over its websocket. All others are refused."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from training.annotator.exports import What
from training.interactive.script import PageAction


class Part(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Look(Part):
    """How an object is shown. colour: ``#rrggbb``."""

    object: int = Field(ge=1, le=254)
    name: str | None = Field(None, max_length=60)
    colour: str | None = Field(None, pattern=r"^#[0-9a-f]{6}$")
    hidden: bool | None = None


class Request(Part):
    """A request with one of these fields; ``id`` is repeated in the answer.

    action: changes masks. look: changes how an object is shown. control: of the work in progress. export: writes
    files. visit: the user has gone to this frame. study: "start" hides the truth and starts the clock.
    """

    id: int = Field(ge=0)
    action: Annotated[PageAction, Field(discriminator="do")] | None = None
    look: Look | None = None
    control: Literal["pause", "resume", "cancel"] | None = None
    export: What | None = None
    visit: int | None = Field(None, ge=0)
    study: Literal["start"] | None = None
