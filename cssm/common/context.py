"""What every template can use without its view saying so."""

from typing import Any, Final

from django.http import HttpRequest

PRODUCT_NAME: Final = "Smart Account Portal"
THEMES: Final = ("light", "dark")


def portal_context(request: HttpRequest) -> dict[str, Any]:
    """`theme` is empty where the person leaves it to the system's setting."""
    theme = request.COOKIES.get("theme", "")
    return {"product_name": PRODUCT_NAME, "theme": theme if theme in THEMES else ""}
