"""What the demo shows: two Smart Accounts, several Virtual Accounts, real tags, pools in and out of compliance."""

from dataclasses import dataclass, field
from typing import Any, Final

from cssm.common.permissions import Role

ACME, UMBRELLA = "acme.example", "umbrella.example"
ENGINEERING, BRANCHES, DATA_CENTER = "Engineering", "Branch Offices", "Data Center"
C9300 = "regid.2017-05.com.cisco.C9300,v1_727af1d9-6c39-4444-b301-863f81445b72"
C9400 = "regid.2017-05.com.cisco.C9400,v1_ad928212-d182-407e-ac85-29e213602efa"
C9500 = "regid.2017-05.com.cisco.C9500,v1_7435cf27-0075-4bfb-b67c-b42f3054e82a"
C8000V = "regid.2019-10.com.cisco.C8000V,1.0_e361c3dc-27c2-4084-b4a4-cae639cff335"
C9300_24_NA = "regid.2017-03.com.cisco.advantagek9,1.0_bd1da96e-ec1d-412b-a50e-53846b347d53"
C9300_24_DNA = "regid.2017-05.com.cisco.c9300_dna_advantage,1.0_411773c3-2116-4c10-94a4-5d357fe6ff18"
C9300_48_NA = "regid.2017-05.com.cisco.C9300_48P_NW_Advantagek9,1.0_6a224fe3-c92e-4440-a9c1-5d0e53a54015"
C9300_48_DNA = "regid.2017-05.com.cisco.C9300_48P_Dna_Advantage,1.0_60783b06-53ee-484c-b21e-615d3cf6837a"
C9400_NA = "regid.2017-05.com.cisco.advantagek9-C9400,1.0_61a546cd-1037-47cb-bbe6-7cad3217a7b3"
C9400_DNA = "regid.2017-05.com.cisco.dna_advantage-C9400,1.0_6e77dbc1-0da3-466c-8414-97c8ee4d48ce"
C9500_DNA = "regid.2018-01.com.cisco.C9500-DNA-32QC-A,1.0_1fd2bf73-201e-472b-a287-65f23ec80f3e"
ROUTER_EXPORT = "regid.2019-03.com.cisco.DNA_HSEC,1.0_509c41ab-05a8-431f-95fe-ec28086e8844"


@dataclass(frozen=True)
class Person:
    name: str
    email: str
    roles: tuple[tuple[Role, str, str | None], ...] = ()
    operator: bool = False


@dataclass(frozen=True)
class Client:
    """An API client: on a Smart Account with a role, or an operator's where `domain` is None."""

    domain: str | None
    role: Role | None = None
    virtual_account: str | None = None


@dataclass(frozen=True)
class Device:
    domain: str
    virtual_account: str
    pid: str
    serial: str
    software_tag: str
    hostname: str
    use: dict[str, int] = field(default_factory=dict)


PEOPLE: Final = (
    Person("Alice Archer", "alice@acme.example", ((Role.SA_ADMIN, ACME, None),)),
    Person("Bob Baker", "bob@acme.example", ((Role.VA_USER, ACME, ENGINEERING),)),
    Person("Carol Chen", "carol@acme.example", ((Role.VA_VIEWER, ACME, ENGINEERING),)),
    Person("Mallory Marsh", "mallory@umbrella.example", ((Role.SA_ADMIN, UMBRELLA, None),)),
    Person("Olivia Operator", "olivia@portal.example", operator=True),
)

ACCOUNTS: Final = ((ACME, "Acme Corporation", "alice@acme.example"), (UMBRELLA, "Umbrella", "mallory@umbrella.example"))

VIRTUAL_ACCOUNTS: Final = (
    (ACME, ENGINEERING, "Campus switches of the engineering sites"),
    (ACME, BRANCHES, "Access switches of all branch offices"),
    (ACME, DATA_CENTER, "Core of the data center"),
    (UMBRELLA, "Laboratory", "Test benches"),
)

CLIENTS: Final = (
    Client(ACME, Role.SA_ADMIN),
    Client(ACME, Role.VA_USER, ENGINEERING),
    Client(UMBRELLA, Role.SA_ADMIN),
    Client(None),
)

TOKENS: Final = ((ACME, ENGINEERING), (ACME, BRANCHES), (ACME, DATA_CENTER), (UMBRELLA, "DEFAULT"))


def _line(tag: str, quantity: int, kind: str = "perpetual", **more: str) -> dict[str, Any]:
    return {"entitlementTag": tag, "quantity": quantity, "licenseType": kind, **more}


def orders(*, starts: str, ends: str) -> list[dict[str, Any]]:
    """The orders as `deliver_order` takes them; terms run from `starts` to `ends` (ISO dates)."""
    term = {"startDate": starts, "endDate": ends}
    return [
        {
            "domain": ACME,
            "virtualAccount": ENGINEERING,
            "orderRef": "DEMO-1001",
            "lines": [
                _line(C9300_24_NA, 10),
                _line(C9300_24_DNA, 10, "subscription", subscriptionId="Sub100101", **term),
                _line(C9300_48_NA, 4),
                _line(C9300_48_DNA, 4, "subscription", subscriptionId="Sub100101", **term),
            ],
        },
        {
            "domain": ACME,
            "virtualAccount": BRANCHES,
            "orderRef": "DEMO-1002",
            "lines": [_line(C9300_48_NA, 6), _line(C9300_48_DNA, 2, "term", **term), _line(ROUTER_EXPORT, 1)],
        },
        {
            "domain": ACME,
            "virtualAccount": DATA_CENTER,
            "orderRef": "DEMO-1003",
            "lines": [_line(C9400_NA, 8), _line(C9400_DNA, 8, "subscription", subscriptionId="Sub100103", **term)],
        },
        {
            "domain": UMBRELLA,
            "virtualAccount": "DEFAULT",
            "orderRef": "DEMO-2001",
            "lines": [_line(C9400_NA, 3), _line(C9400_DNA, 3, "term", **term)],
        },
    ]


DEVICES: Final = (
    Device(ACME, ENGINEERING, "C9300-24UX", "FCW2134L0RN", C9300, "eng-sw-01", {C9300_24_NA: 1, C9300_24_DNA: 1}),
    Device(ACME, ENGINEERING, "C9300-24UX", "FCW2134L0RP", C9300, "eng-sw-02", {C9300_24_NA: 1, C9300_24_DNA: 1}),
    Device(ACME, ENGINEERING, "C9300-48UXM", "FCW2130G0NH", C9300, "eng-sw-03", {C9300_48_NA: 1, C9300_48_DNA: 1}),
    Device(ACME, BRANCHES, "C9300-48P", "FOC2201X0AA", C9300, "branch-ber-01", {C9300_48_NA: 1, C9300_48_DNA: 1}),
    Device(ACME, BRANCHES, "C9300-48P", "FOC2201X0AB", C9300, "branch-muc-01", {C9300_48_NA: 1, C9300_48_DNA: 1}),
    Device(ACME, BRANCHES, "C9300-48P", "FOC2201X0AC", C9300, "branch-ham-01", {C9300_48_NA: 2, C9300_48_DNA: 2}),
    Device(ACME, BRANCHES, "C8000V", "9ZBRANCH001", C8000V, "branch-rtr-01", {ROUTER_EXPORT: 1}),
    Device(ACME, DATA_CENTER, "C9407R", "FXS2245Q0CC", C9400, "dc-core-01", {C9400_NA: 2, C9400_DNA: 2}),
    Device(ACME, DATA_CENTER, "C9500-32QC", "FCW2345L0DD", C9500, "dc-spine-01", {C9500_DNA: 1}),
    Device(UMBRELLA, "DEFAULT", "C9410R", "FXS2299Q0EE", C9400, "lab-core-01", {C9400_NA: 2, C9400_DNA: 2}),
)
