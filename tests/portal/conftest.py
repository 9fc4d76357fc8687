from typing import Any

import pytest


@pytest.fixture(autouse=True)
def _component_pages(settings: Any) -> None:
    settings.ROOT_URLCONF = "tests.portal.pages"
