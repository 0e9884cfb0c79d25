"""Licences as SPDX identifiers, such as CC0-1.0 and CC-BY-4.0, or ``unknown``."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from bl30k_gen.errors import UserError

UNKNOWN = "unknown"

_PUBLIC_DOMAIN = {
    "cc0": "CC0-1.0",
    "cc zero": "CC0-1.0",
    "publicdomain/zero": "CC0-1.0",
    "pdm": "CC-PDM-1.0",
    "cc pdm": "CC-PDM-1.0",
    "pd": "CC-PDM-1.0",
    "public domain": "CC-PDM-1.0",
    "public domain mark": "CC-PDM-1.0",
    "publicdomain/mark": "CC-PDM-1.0",
}
_CREATIVE_COMMONS = re.compile(r"(?:cc )?(by(?: nc)?(?: nd| sa)?)(?: (\d\.\d))?(?: ([a-z]{2,3}))?(?: migrated)?")


@dataclass(frozen=True, slots=True)
class Credit:
    """Author, licence and source of an asset. Texts are one line each, empty if unknown."""

    licence: str = UNKNOWN  # an SPDX identifier, another name, or ``unknown``
    author: str = ""
    source: str = ""  # address of the page that describes the asset
    title: str = ""


def spdx(text: str) -> str:
    """The SPDX identifier of a licence in one of its usual notations.

    Such as ``cc0``, ``CC BY-SA 4.0``, ``by 2.0``, or an address at creativecommons.org. A licence of another family
    keeps its name, with hyphens for spaces; an empty text is ``unknown``.
    """
    plain = one_line(text)
    address = re.search(r"creativecommons\.org/(publicdomain/\w+|licenses/[a-z-]+)(?:/(\d\.\d))?", plain.lower())
    if address and address[1] in _PUBLIC_DOMAIN:
        return _PUBLIC_DOMAIN[address[1]]
    words = f"{address[1].removeprefix('licenses/')} {address[2] or ''}" if address else plain.partition("(")[0]
    words = " ".join(re.sub(r"[-_\s]+", " ", words.lower()).split())
    words = words.removeprefix("creative commons ").replace("attribution", "by")
    family = re.sub(r" \d\.\d( universal)?$", "", words)
    if family in _PUBLIC_DOMAIN:
        return _PUBLIC_DOMAIN[family]
    if match := _CREATIVE_COMMONS.fullmatch(words):
        return "-".join(["CC", *(part.replace(" ", "-").upper() for part in match.groups() if part)])
    return re.sub(r"[^\w.+-]+", "-", plain).strip("-")[:60] or UNKNOWN


def parse_requirement(texts: Iterable[str]) -> tuple[str, ...]:
    """Parse the value of ``--require cc0,cc-by`` into SPDX identifiers with or without a version.

    Raises:
        UserError: it is empty, or names ``unknown``.
    """
    wanted = tuple(spdx(part) for text in texts for part in text.split(",") if part.strip())
    if not wanted or UNKNOWN in wanted:
        raise UserError(f"licences {', '.join(texts) or '(none)'}", f"name some, e.g. cc0,cc-by; {UNKNOWN} fits none")
    return wanted


def fits(licence: str, wanted: Iterable[str]) -> bool:
    """Whether a licence is among those wanted; an identifier without a version matches every version."""
    lowered = licence.lower()
    if lowered == UNKNOWN:
        return False
    return any(lowered == w.lower() or re.fullmatch(re.escape(w.lower()) + r"-\d.*", lowered) for w in wanted)


def licence_address(licence: str) -> str:
    """The address of a Creative Commons licence's text; empty for others."""
    if licence == "CC0-1.0":
        return "https://creativecommons.org/publicdomain/zero/1.0/"
    if licence == "CC-PDM-1.0":
        return "https://creativecommons.org/publicdomain/mark/1.0/"
    match = re.fullmatch(r"CC-(BY(?:-NC)?(?:-ND|-SA)?)-(\d\.\d)(?:-([A-Z]{2,3}))?", licence)
    if not match:
        return ""
    port = f"{match[3].lower()}/" if match[3] else ""
    return f"https://creativecommons.org/licenses/{match[1].lower()}/{match[2]}/{port}"


def one_line(text: object, max_length: int = 300) -> str:
    """Untrusted text as one printable line; empty if it is not a string."""
    if not isinstance(text, str):
        return ""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())[:max_length]
