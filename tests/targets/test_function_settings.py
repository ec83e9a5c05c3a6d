"""What rules.toml may say of a function."""

import pytest

from toolkit import targets
from toolkit.config import rules as rules_file
from toolkit.errors import Refused, RulesError
from toolkit.formats.variables import fill_settings
from toolkit.targets.function.kind import kind as function

ARN = "arn:aws:lambda:eu-west-1:111111111111:function:mail"


@pytest.mark.parametrize(
    "name", [ARN, f"{ARN}:live", "111111111111:function:mail", "mail:live", "mail:7", "mail x", ""]
)
def test_a_function_that_is_not_named_by_its_name_alone_is_refused(name: str) -> None:
    text = f'version = 1\n[targets.mail]\nkind = "function"\nfunction = "{name}"\nsource = "m"\n'
    with pytest.raises(RulesError, match="no ARN, and without a version or an alias") as refused:
        rules_file.load(text.encode(), "rules.toml", targets.kind, tuple(targets.KINDS))
    assert "rules.toml:4: targets.mail.function" in str(refused.value)


def test_an_arn_that_a_variable_brings_is_refused() -> None:
    settings = function.Settings(function="{mail}", source="mail")
    with pytest.raises(Refused, match=r"a setting is not valid: .*function"):
        fill_settings(settings, {"mail": ARN})
    assert fill_settings(settings, {"mail": "mail-dev_2"}).function == "mail-dev_2"
