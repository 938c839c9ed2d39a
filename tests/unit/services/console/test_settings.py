"""What the console changes of a tenant is what the API can change."""

from __future__ import annotations

import re

from mplus_ray.services.api.console import FOLDER
from mplus_ray.services.api.schemas.keys import NewTenant, TenantSettings


def test_every_setting_has_a_field() -> None:
    script = (FOLDER / "operator" / "limits.js").read_text()
    named = set(re.findall(r'^  \["(\w+)", ', script, re.MULTILINE))
    assert named == set(TenantSettings.model_fields)


def test_what_a_tenant_has_for_life_can_be_chosen() -> None:
    page = (FOLDER / "index.html").read_text()
    for name in ("precision", "retention"):
        select = re.search(rf'id="new-tenant-{name}">(.*?)</select>', page)
        assert select is not None
        options = re.findall(r'<option(?: value="(\w*)")?>(\w+)', select[1])
        kinds = str(NewTenant.model_fields[name].annotation)
        wanted = set(re.findall(r"'(\w+)'", kinds))
        assert {value or text for value, text in options if value or text != "as"} == wanted
