"""The Smart Agent's usage reports, answered by the portal: by message and by file."""

from datetime import timedelta

import pytest

from agents.smart_agent.client import SmartAgent
from agents.smart_agent.errors import VerificationFailed
from agents.smart_agent.messages import Sudi
from agents.smart_agent.state import Product, StateStore
from agents.smart_agent.usage import acknowledge_usage, report_usage, save_usage
from licensing.models import MeteredDay, RumReport
from licensing.services.exchange.dispatch import answer_message
from licensing.services.exchange.rum.acknowledging import render_file
from licensing.services.exchange.rum.uploads import upload_file
from pki.services.authorities import read_pem
from pki.states import AuthorityName
from tests.licensing.usage_reports import METERED


class InMemory:
    """The server, for a Smart Agent that knows nothing of it."""

    def __init__(self, now):
        self.now = now

    def send(self, body):
        return answer_message(body=body, source_ip="192.0.2.1", now=self.now)


def test_the_smart_agent_reports_what_it_uses_and_what_it_saves_can_be_uploaded(
    token, now, engineering, alice, actor_of, tmp_path
):
    server, sudi = InMemory(now), Sudi(udi_pid="C9300-24UX", udi_serial_number="AGENT")
    agent = SmartAgent(StateStore(tmp_path / "agent"), connect=lambda _: server, clock=lambda: server.now)
    product = Product(sudi=sudi, software_tag="regid.x")
    agent.register(url="https://x.example", root=read_pem(AuthorityName.ROOT), product=product, token=token)
    agent.acknowledge()
    agent.authorize({METERED: 4})
    server.now += timedelta(hours=2)
    assert [row["status"] for row in report_usage(agent)["reports"]] == ["ACCEPTED"]
    assert (MeteredDay.objects.get().unit_seconds, RumReport.objects.get().is_verified) == (4 * 7200, True)
    server.now += timedelta(hours=1)
    content, _ = save_usage(agent)
    upload_file(actor=actor_of(alice), virtual_account=engineering, content=content, file_name="x", now=server.now)
    assert MeteredDay.objects.get().unit_seconds == 4 * 3 * 3600
    assert [row["status"] for row in report_usage(agent, {})["reports"]] == ["DUPLICATE"]


def test_the_file_that_acknowledges_an_upload_is_imported_by_the_product_it_is_for_and_no_other(
    token, now, engineering, alice, actor_of, tmp_path
):
    server = InMemory(now)

    def make_agent(serial):
        agent = SmartAgent(StateStore(tmp_path / serial), connect=lambda _: server, clock=lambda: server.now)
        product = Product(sudi=Sudi(udi_pid="C9300-24UX", udi_serial_number=serial), software_tag="regid.<&>")
        agent.register(url="https://x.example", root=read_pem(AuthorityName.ROOT), product=product, token=token)
        agent.acknowledge()
        agent.authorize({METERED: 4})
        return agent

    agent, other = make_agent("AGENT"), make_agent("OTHER")
    server.now += timedelta(hours=2)
    content, _ = save_usage(agent)
    upload = upload_file(
        actor=actor_of(alice), virtual_account=engineering, content=content, file_name="x", now=server.now
    )
    server.now += timedelta(hours=1)
    save_usage(agent)
    file = render_file(actor=actor_of(alice), upload=upload).encode()
    signer = read_pem(AuthorityName.RESERVATION_SIGNING)
    for refused in (
        file.replace(b"ACCEPTED", b"REFUSED!"),
        file.replace(b"<smartLicense>", b"<smartLicense><x/>"),
        file[:-1],
        b"",
    ):
        with pytest.raises(VerificationFailed):
            acknowledge_usage(agent, refused, signer=signer)
    with pytest.raises(VerificationFailed, match="no reports of this product"):
        acknowledge_usage(other, file, signer=signer)
    with pytest.raises(VerificationFailed):
        acknowledge_usage(agent, file, signer=read_pem(AuthorityName.PRODUCT_SUB_CA))
    told = acknowledge_usage(agent, file, signer=signer)["reports"]
    assert [row["status"] for row in told] == ["ACCEPTED", "waiting"]
    assert [row["status"] for row in report_usage(agent, {})["reports"]] == ["ACCEPTED"]
