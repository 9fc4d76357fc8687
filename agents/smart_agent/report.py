"""One line for a person about what a command did."""

from typing import Any, Final

CODES: Final = {
    "reserve-request": ("Request code, to be entered in the portal", "request_code"),
    "reserve-install": ("Installed. Confirmation code, to be entered in the portal", "confirmation_code"),
    "reserve-return": ("Return code, to be entered in the portal", "return_code"),
    "export": ("Key", "authorization_key"),
}


def describe_outcome(command: str, outcome: dict[str, Any]) -> str:
    """`outcome` as `status.describe` makes it."""
    if command == "register":
        return _describe_registration(outcome)
    if command == "ack":
        return f"Acknowledged: {outcome['product_instance_identifier']}."
    if command == "renew":
        return f"Renewed: the ID certificate expires at {outcome['id_certificate_expires_at']}."
    if command == "poll":
        return _describe_poll(outcome)
    if command == "convert":
        return _describe_conversion(outcome["conversion"])
    if command == "export" and "return_code" in outcome:
        command = "reserve-return"
    if command in CODES:
        return f"{CODES[command][0]}: {outcome[CODES[command][1]]}"
    if command == "third-party":
        return "\n".join(f"{key['name']}: {key['value']}" for key in outcome["keys"])
    if command == "rum":
        done = "Saved" if "file" in outcome else "Acknowledged" if "acknowledged" in outcome else "Reported"
        return f"{done}: {_describe_reports(outcome)}."
    if command == "fleet":
        return "; ".join(f"{name}: {value}" for name, value in outcome.items())
    if command == "deregister":
        return f"Deregistered; {_describe_authorization(outcome)}."
    if command == "authorize":
        return f"{_describe_authorization(outcome)}{_describe_uses(outcome)}."
    return f"{outcome['registration']}, {_describe_authorization(outcome)}{_describe_uses(outcome)}."


def _describe_poll(outcome: dict[str, Any]) -> str:
    told = [_describe_conversion(outcome["conversion"])] if "conversion" in outcome["polled"] else []
    if "usage_reports" in outcome["polled"]:
        told.append(f"Usage reports: {_describe_reports(outcome)}.")
    return " ".join(told)


def _describe_reports(outcome: dict[str, Any]) -> str:
    nothing = "nothing is waiting" if "acknowledged" in outcome else "nothing is in use"
    return ", ".join(f"{one['report_id']} {one['status']}" for one in outcome["reports"]) or nothing


def _describe_conversion(conversion: dict[str, Any]) -> str:
    if conversion["status"] == "PENDING":
        return f"Taken; ask for the result with poll, from {conversion['poll_at']}."
    return f"Conversion {conversion['status']}" + (f": {conversion['message']}" if conversion["message"] else ".")


def _describe_registration(outcome: dict[str, Any]) -> str:
    place = " / ".join(name for name in (outcome["smart_account"], outcome["virtual_account"]) if name)
    line = f"Registered as {outcome['product_instance_identifier']}{f' in {place}' if place else ''}"
    missing = outcome.get("follow_up")
    if missing:
        return f"{line}; what follows did not get through ({missing['error_code']}: {missing['message']})"
    return f"{line}{', acknowledged' if outcome['acknowledged'] else ', not yet acknowledged'}."


def _describe_authorization(outcome: dict[str, Any]) -> str:
    state = str(outcome["authorization"])
    if state.startswith("EVALUATION"):
        return f"{state}, {outcome['evaluation_seconds_left']} s of the evaluation period left"
    if state == "RESERVED":
        return f"{state}{_describe_reserved(outcome['reservation'])}"
    if state == "NONE":
        return "no authorization" if any(one["count"] for one in outcome["entitlements"]) else "no licenses in use"
    return f"{state}, next request at {outcome['next_authorization_at']}"


def _describe_reserved(reservation: dict[str, Any]) -> str:
    held = [f"{one['tag']}={one['count']}" for one in reservation["entitlements"]]
    return f" ({', '.join(held)})" if held else " (everything)"


def _describe_uses(outcome: dict[str, Any]) -> str:
    uses = [f"{one['tag']}={one['count']} {one['status'] or 'not reported'}" for one in outcome["entitlements"]]
    return f": {', '.join(uses)}" if uses else ""
