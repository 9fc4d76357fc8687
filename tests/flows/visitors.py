"""A person's browser and a partner's program, reduced to what a journey needs."""

import csv
import io
import json
import re
import urllib.error
import urllib.parse
import urllib.request
from http.cookiejar import CookieJar
from typing import Any

API = "/services/api/smart-accounts-and-licensing"
CSRF = re.compile(r'name="csrfmiddlewaretoken" value="([^"]+)"')


class Person:
    """Signs in with e-mail and password, reads pages, sends forms."""

    def __init__(self, url: str, email: str, password: str) -> None:
        self.url = url
        self._opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(CookieJar()))
        page = self.get("/login/")
        self.send("/login/", {"login": email, "password": password}, page=page)

    def get(self, path: str) -> str:
        with self._opener.open(self.url + path, timeout=30) as answer:
            return str(answer.read().decode("utf-8-sig"))

    def send(self, path: str, fields: dict[str, str], *, page: str = "") -> str:
        """Post a form with the CSRF token of the page it stands on."""
        found = CSRF.search(page or self.get(path))
        assert found, f"no form on {path}"
        body = urllib.parse.urlencode({**fields, "csrfmiddlewaretoken": found[1]}).encode()
        request = urllib.request.Request(self.url + path, data=body, headers={"Referer": self.url + path})  # noqa: S310  our own address
        with self._opener.open(request, timeout=30) as answer:
            return str(answer.read().decode())

    def rows(self, path: str) -> list[dict[str, str]]:
        """A table as its CSV export gives it."""
        separator = "&" if "?" in path else "?"
        return list(csv.DictReader(io.StringIO(self.get(f"{path}{separator}export=csv"))))


class Program:
    """An API client: fetches a token by its credentials, then calls."""

    def __init__(self, url: str, client_id: str, client_secret: str) -> None:
        self.url = url
        fields = {"grant_type": "client_credentials", "client_id": client_id, "client_secret": client_secret}
        self._token = ""
        status, answer = self._send("/oauth/token", json.dumps(fields).encode())
        assert status == 200, answer
        self._token = answer["access_token"]

    def call(self, path: str, body: Any = None) -> Any:
        status, answer = self.try_call(path, body)
        assert status < 300, (status, answer)
        return answer

    def try_call(self, path: str, body: Any = None) -> tuple[int, Any]:
        return self._send(API + path, None if body is None else json.dumps(body).encode())

    def upload(self, path: str, content: bytes, *, seconds: float = 60, **more: str) -> tuple[int, bytes]:
        """Post a file as it is, with `more` headers; the answer's bytes."""
        headers = {"Content-Type": "application/yaml", "Authorization": f"Bearer {self._token}"} | more
        request = urllib.request.Request(self.url + API + path, data=content, headers=headers)  # noqa: S310  our own address
        try:
            with urllib.request.urlopen(request, timeout=seconds) as answer:  # noqa: S310  our own address
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            return error.code, error.read()

    def _send(self, path: str, body: bytes | None) -> tuple[int, Any]:
        headers = {"Content-Type": "application/json"}
        if self._token:
            headers["Authorization"] = f"Bearer {self._token}"
        request = urllib.request.Request(self.url + path, data=body, headers=headers)  # noqa: S310  our own address
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310  our own address
                return answer.status, json.loads(answer.read())
        except urllib.error.HTTPError as error:
            return error.code, json.loads(error.read())
