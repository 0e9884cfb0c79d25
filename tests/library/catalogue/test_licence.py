"""Names of licences, and the licences that fit a requirement."""

import pytest

from bl30k_gen.errors import UserError
from bl30k_gen.library.catalogue.licence import Credit, fits, parse_requirement, spdx


@pytest.mark.parametrize(
    ("text", "identifier"),
    [
        ("cc0", "CC0-1.0"),
        ("CC0 1.0", "CC0-1.0"),
        ("cc-zero", "CC0-1.0"),
        ("pdm 1.0", "CC-PDM-1.0"),
        ("Public domain", "CC-PDM-1.0"),
        ("by 2.0", "CC-BY-2.0"),
        ("by-nc-sa 3.0", "CC-BY-NC-SA-3.0"),
        ("CC BY-SA 4.0", "CC-BY-SA-4.0"),
        ("cc-by-sa-3.0-de", "CC-BY-SA-3.0-DE"),
        ("CC-BY-4.0 (http://creativecommons.org/licenses/by/4.0/)", "CC-BY-4.0"),
        ("https://creativecommons.org/licenses/by-nd/2.5/", "CC-BY-ND-2.5"),
        ("https://creativecommons.org/publicdomain/zero/1.0/", "CC0-1.0"),
        ("MIT", "MIT"),
        ("GPL-3.0-or-later", "GPL-3.0-or-later"),
        ("", "unknown"),
        ("\n\0", "unknown"),
        ("unknown", "unknown"),
    ],
)
def test_licences_have_one_name(text, identifier):
    assert spdx(text) == identifier
    assert spdx(identifier) == identifier


def test_licences_that_fit_a_requirement():
    assert fits("CC-BY-4.0", parse_requirement(["cc0,cc-by"])) and fits("CC0-1.0", parse_requirement(["cc0"]))
    assert fits("CC-BY-4.0", parse_requirement(["cc-by-4.0"]))
    assert not fits("CC-BY-3.0", parse_requirement(["by 4.0"]))
    for licence in ("CC-BY-SA-4.0", "CC-BY-NC-4.0", "unknown", "MIT"):
        assert not fits(licence, parse_requirement(["cc0", "cc-by"]))
    for nothing in ([], [""], ["unknown"], ["cc0,unknown"]):
        with pytest.raises(UserError):
            parse_requirement(nothing)
    assert Credit().licence == "unknown"
