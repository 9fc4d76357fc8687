"""The names of events about reservations, and how they read. No code stands in an event."""

from typing import Final

from accounts.states import register_events
from cssm.common.text import mark

RESERVATION_EVENTS: Final[dict[str, str]] = {
    "reservation.authorized": mark("Reserved for {udi}: {summary}. An authorization code was issued."),
    "reservation.update_issued": mark("The reservation of {udi} is to become {summary}: another code was issued."),
    "reservation.update_cancelled": mark("The change of the reservation of {udi} was withdrawn; it stays {summary}."),
    "reservation.confirmed": mark("{udi} has installed its authorization code: {summary}. Released: {released}."),
    "reservation.returned": mark("{udi} gave its reservation back. Released: {released}."),
    "reservation.rehosted": mark("The reservation of the failed product {udi} was rehosted to {replacement}."),
    "reservation.inherited": mark("{udi} no longer shares its licenses with the failed product {failed}: {summary}."),
    "reservation.expired": mark("All terms of the reservation of {udi} have ended."),
    "reservation.moved": mark("The reservation of {udi}, {summary}, was transferred from {source} to {target}."),
    "export_key.issued": mark("{udi} was given an export authorization key for {summary}."),
    "export_key.returned": mark("{udi} gave an export authorization key back. Released: {released}."),
    "export_key.ended": mark("An export authorization key of {udi} ended with its registration. Released: {released}."),
    "export_key.expired": mark("The term of an export authorization key of {udi} has ended."),
}


def register_reservation_events() -> None:
    """Called once, when the app is ready."""
    register_events(RESERVATION_EVENTS)
