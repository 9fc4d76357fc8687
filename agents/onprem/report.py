"""A few lines for a person about what a command did."""

from typing import Any


def describe_outcome(command: str, outcome: dict[str, Any]) -> str:
    """`outcome` as the command returns it."""
    if command in ("request-registration", "request-sync"):
        kind = "Full request" if outcome.get("full") else "Request"
        return f"{kind} written to {outcome['file']}; carry it to the portal."
    if command in ("install-authorization", "install-sync", "sync"):
        return _installed(outcome)
    if command == "create-token":
        return str(outcome["token"])
    if command == "status":
        return "\n".join(_status(outcome))
    if command == "instances":
        return "\n".join(_instance(one) for one in outcome["product_instances"]) or "No product has registered here."
    return ", ".join(f"{name}: {value}" for name, value in outcome.items())


def _installed(outcome: dict[str, Any]) -> str:
    if not outcome["installed"]:
        return f"This file is installed already (of {outcome['last_sync']})."
    tiers = "3- and 4-tier" if outcome["three_tier"] else "4-tier"
    return f"Installed: {outcome['smart_account']}, as of {outcome['last_sync']}; {tiers} products can register."


def _status(outcome: dict[str, Any]) -> list[str]:
    if "instance_id" not in outcome:
        return ["There is no server here yet; start with request-registration."]
    lines = [f"{outcome['satellite_name']} ({outcome['instance_id']}): {outcome['phase']}"]
    if outcome["smart_account"]:
        lines.append(f"Smart Account {outcome['smart_account']}, last synchronization {outcome['last_sync']}")
    if outcome["next_sync_at"]:
        lines.append(f"Synchronizes {outcome['schedule']}, next at {outcome['next_sync_at']}")
    for account in outcome["virtual_accounts"]:
        lines.append(f"  {account['name']}: {account['product_instances']} product instances")
        for one in account["licenses"]:
            name = one["display_name"] or one["tag"]
            figures = f"{one['purchased']} purchased, {one['used_here']} used here, {one['used_elsewhere']} elsewhere"
            lines.append(f"    {name}: {figures}, {one['status']}")
    return [*lines, *(f"Warning: {text}" for text in outcome["warnings"])]


def _instance(one: dict[str, Any]) -> str:
    use = ", ".join(f"{tag}={count}" for tag, count in one["licenses"].items()) or "nothing in use"
    return f"{one['id']} {one['udi']} ({one['virtual_account']}, {one['state']}, {one['tiers']}-tier): {use}"
