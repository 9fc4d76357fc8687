"""The commands that fill and tend an installation, as an operator or a script calls them."""

import json
from dataclasses import replace
from io import StringIO

import pytest
from django.conf import settings
from django.core.management import CommandError, call_command, load_command_class
from django.utils.module_loading import import_string

from cssm import schedule
from cssm.celery import app
from cssm.management.commands import sweep
from licensing.models import License, Order, Pool, PoolTransition
from tests.keys import use_checked_in_keys
from tests.licensing.stock import COLUMNS, line, make_instance, make_license, use

pytestmark = pytest.mark.django_db

FOLD = next(job for job in schedule.JOBS if job.task == "licensing.fold_pools")


def run(*arguments):
    """The JSON on standard output, all of it."""
    out = StringIO()
    call_command(*map(str, arguments), "--json", stdout=out, stderr=StringIO())
    return json.loads(out.getvalue())


def refused(*arguments):
    out = StringIO()
    with pytest.raises(CommandError) as error:
        call_command(*map(str, arguments), "--json", stdout=out, stderr=StringIO())
    return str(error.value), json.loads(out.getvalue() or "null")


def test_bootstrap_makes_what_is_missing_and_then_nothing(monkeypatch, settings):
    use_checked_in_keys(monkeypatch)
    settings.KEY_POOL_SIZE = 2
    first, second = run("bootstrap"), run("bootstrap")
    assert (first["keys_made"], first["catalog_version"]) == (2, 1)
    assert first["tags_added"] > 50
    assert second == {"keys_made": 0, "tags_added": 0, "catalog_version": 1}


def test_a_catalog_file_is_imported_with_a_byte_order_mark_and_windows_lines(tmp_path):
    file = tmp_path / "catalog.csv"
    file.write_bytes(f"\ufeff{COLUMNS}\r\nA,entitlement,A,,,,,,,\r\n".encode())
    assert run("import_catalog", file) == {"created": 1, "changed": 0, "unchanged": 0, "version": 1}
    assert run("import_catalog", file) == {"created": 0, "changed": 0, "unchanged": 1, "version": 1}


def test_a_bad_catalog_file_is_told_line_by_line(tmp_path):
    file = tmp_path / "catalog.csv"
    file.write_text(f"{COLUMNS}\nA,entitlement,A,,forever,,,,,\nB,thing,B,,,,,,,\n")
    text, answer = refused("import_catalog", file)
    assert "line 2, license_type" in text
    assert "line 3, kind" in text
    assert [error["code"] for error in answer["errors"]] == ["LICENSE_TYPE_INVALID", "KIND_INVALID"]
    assert not License.objects.exists()


@pytest.mark.parametrize("content", [b"\xff\xfe\x00", b""])
def test_what_is_no_catalog_is_refused(tmp_path, content):
    file = tmp_path / "catalog.csv"
    file.write_bytes(content)
    with pytest.raises(CommandError):
        call_command("import_catalog", str(file))
    with pytest.raises(CommandError, match="Cannot read"):
        call_command("import_catalog", str(tmp_path / "nowhere.csv"))


def test_an_order_file_is_delivered_once(tmp_path, engineering, now):
    router = make_license("ROUTER", now)
    file = tmp_path / "order.json"
    order = {"domain": "acme.example", "virtualAccount": "Engineering", "orderRef": "PO-1"}
    file.write_text(json.dumps(order | {"lines": [line(router, 5)]}))
    assert run("deliver_order", file) == {"orderRef": "PO-1", "delivered": True}
    assert run("deliver_order", file) == {"orderRef": "PO-1", "delivered": False}
    assert Pool.objects.get().purchased == 5
    file.write_text(json.dumps(order | {"orderRef": "PO-2", "lines": [line(router, -5)]}))
    text, answer = refused("deliver_order", file)
    assert "line 1, quantity" in text
    assert (answer["code"], answer["errors"][0]["code"]) == ("ORDER_INVALID", "QUANTITY_INVALID")
    assert Order.objects.count() == 1


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"domain": NaN}', '{"a": 1}', "[" * 100_000])
def test_what_is_no_order_is_refused(tmp_path, content):
    file = tmp_path / "order.json"
    file.write_text(content)
    with pytest.raises(CommandError):
        call_command("deliver_order", str(file))


def test_a_sweep_does_what_is_due(engineering, now):
    use(make_instance(engineering, now), make_license("ROUTER", now), 1, now)
    answer = run("sweep")
    assert answer["jobs"]["licensing.fold_pools"] == 1
    assert (answer["skipped"], answer["failed"]) == ([], [])
    assert PoolTransition.objects.get().new == "out_of_compliance"


def test_a_sweep_says_what_it_skips_without_the_roots_passphrase(monkeypatch, settings):
    settings.ROOT_KEY_PASSPHRASE = ""
    root = replace(FOLD, task="pki.sign_by_root", queue="root-ca", service="nowhere.at.all")
    monkeypatch.setattr(sweep, "JOBS", (root, FOLD))
    assert run("sweep") == {"jobs": {"licensing.fold_pools": 0}, "skipped": ["pki.sign_by_root"], "failed": []}


def test_a_job_that_fails_does_not_keep_the_others_from_running(monkeypatch):
    broken = replace(FOLD, task="licensing.broken", service="licensing.nowhere")
    monkeypatch.setattr(sweep, "JOBS", (broken, FOLD))
    out = StringIO()
    with pytest.raises(SystemExit) as ended:
        call_command("sweep", stdout=out)
    assert ended.value.code == 1
    assert "licensing.fold_pools: 0\nlicensing.broken: failed" in out.getvalue()


def test_every_job_of_the_table_is_a_task_of_the_worker_and_a_service():
    app.loader.import_default_modules()
    assert {job.task for job in schedule.JOBS} <= set(app.tasks)
    assert all(callable(import_string(job.service)) for job in schedule.JOBS)


def test_a_failure_is_json_too_where_json_was_asked_for(tmp_path, acme):
    text, answer = refused("import_catalog", tmp_path / "nowhere.csv")
    assert answer == {"status": "ERROR", "code": "FAILED", "message": text, "where": None}
    _, answer = refused("create_api_client", "nowhere.example", "--role", "SA_ADMIN")
    assert (answer["status"], answer["code"]) == ("ERROR", "NOT_FOUND")


def test_every_command_of_ours_takes_json_and_helps(capsys):
    for path in sorted((settings.BASE_DIR / "cssm" / "management" / "commands").glob("[a-z]*.py")):
        parser = load_command_class("cssm", path.stem).create_parser("manage.py", path.stem)
        assert parser.description, path.stem
        assert "--json" in parser.format_help(), path.stem
