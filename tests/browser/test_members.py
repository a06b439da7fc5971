"""People come in by invitation, and what they may do changes in front of their eyes."""

import os
import re

import pytest
from playwright.async_api import Locator, expect

from tests.browser.conftest import Opener
from tests.browser.mailbox import link_to
from tests.browser.server import PASSWORD, Rest, RestartableServer
from tests.browser.window import Window

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("browser")]


async def test_a_newcomer_comes_in_by_mail_and_loses_rights_at_once(
    window: Opener, server: RestartableServer
) -> None:
    alice = await _at_members(window, server)
    name = f"Newcomer {os.urandom(3).hex()}"
    email = f"{name.replace(' ', '-').lower()}@acme.example"
    await alice.fill(email=email)
    await alice.page.get_by_label("Role", exact=True).select_option("manager")
    await alice.press("Invite")
    await alice.reads(f"The invitation to {email} is on its way.")
    under_way = alice.page.get_by_role("region", name="Invitations under way")
    await expect(under_way).to_contain_text(email)

    newcomer = await window(
        f"{server.url}/{await link_to(server, email, '#/invitation')}", "newcomer", outside=True
    )
    await newcomer.reads("Alice invites you as manager.")
    await newcomer.fill(name=name, password=PASSWORD)
    await newcomer.press("Join")
    await newcomer.is_in()
    await newcomer.is_live()
    await expect(newcomer.page.get_by_label("Name of the new project")).to_be_visible()
    await expect(_row(alice, name)).to_be_visible()
    await expect(under_way).not_to_contain_text(email)

    await newcomer.page.get_by_role("link", name="Members").click()
    await expect(newcomer.page.get_by_role("heading", name="Invite somebody")).to_be_visible()
    await _row(alice, name).get_by_label(f"Role of {name}").select_option("viewer")
    await expect(newcomer.page.get_by_role("heading", name="Invite somebody")).to_have_count(0)
    await expect(_row(newcomer, name).locator(".role")).to_have_text("Viewer")
    await newcomer.page.get_by_role("link", name="All projects").click()
    await expect(newcomer.page.get_by_label("Name of the new project")).to_have_count(0)

    newcomer.knows_of_refusals = True
    alice.page.on("dialog", lambda dialog: dialog.accept())
    await _row(alice, name).get_by_role("button", name=f"Remove {name}").click()
    await expect(_row(alice, name)).to_have_count(0)
    await newcomer.reads("You are no longer a member of Acme.")


async def test_a_deactivated_member_is_out_until_she_is_back(
    window: Opener, server: RestartableServer
) -> None:
    alice = await _at_members(window, server)
    name, link = await _linked(alice)
    newcomer = await window(link, "newcomer", outside=True)
    await newcomer.fill(name=name, email=f"{name.replace(' ', '-').lower()}@acme.example", password=PASSWORD)
    await newcomer.press("Join")
    await newcomer.is_live()
    newcomer.knows_of_refusals = True
    await _row(alice, name).get_by_role("button", name=f"Deactivate {name}").click()
    await expect(_row(alice, name)).to_contain_text("Deactivated")
    await newcomer.reads("You are no longer a member of Acme.")
    await _row(alice, name).get_by_role("button", name=f"Activate {name}").click()
    await expect(_row(alice, name)).not_to_contain_text("Deactivated")


async def test_somebody_with_an_account_joins_by_a_link(window: Opener, server: RestartableServer) -> None:
    alice = await _at_members(window, server)
    _, link = await _linked(alice)
    async with Rest(server.url) as rest:
        email = await rest.register("manager")
    manager = await window(link, "manager", outside=True)
    await manager.press("I have an account")
    await manager.sign_in(email, PASSWORD)
    await manager.press("Join as Manager")
    await manager.is_in()
    await expect(manager.page.locator(".tenant")).to_have_text("Acme")

    # And back to the team of her own.
    await manager.page.get_by_role("link", name="Your account").click()
    await manager.press("Go to manager and friends")
    await expect(manager.page.locator(".tenant")).to_have_text("manager and friends")


async def test_an_invitation_is_declined(window: Opener, server: RestartableServer) -> None:
    alice = await _at_members(window, server)
    email = f"viewer-{os.urandom(3).hex()}@acme.example"
    await alice.fill(email=email)
    await alice.press("Invite")
    viewer = await window(
        f"{server.url}/{await link_to(server, email, '#/invitation')}", "viewer", outside=True
    )
    await viewer.press("Decline")
    await viewer.reads("You have declined the invitation to Acme.")
    await expect(alice.page.get_by_role("button", name=f"Withdraw: {email}")).to_have_count(0)


async def test_an_invitation_is_sent_again_and_withdrawn(window: Opener, server: RestartableServer) -> None:
    alice = await _at_members(window, server)
    email = f"latecomer-{os.urandom(3).hex()}@acme.example"
    await alice.fill(email=email)
    await alice.press("Invite")
    first = await link_to(server, email, "#/invitation")
    await alice.press(f"Send again: {email}")
    await alice.reads(f"Sent again to {email}.")
    await alice.press(f"Withdraw: {email}")
    await alice.reads("The invitation is withdrawn.")
    await expect(alice.page.get_by_role("button", name=f"Withdraw: {email}")).to_have_count(0)
    latecomer = await window(server.url, "latecomer", outside=True)
    latecomer.knows_of_refusals = True
    await latecomer.go(first)
    await latecomer.reads("This invitation was used, withdrawn or has expired.")


async def test_members_see_each_other_and_clients_do_not(window: Opener, server: RestartableServer) -> None:
    bob, carol = await window(server.url, "Bob"), await window(server.url, "Carol")
    await bob.page.get_by_role("link", name="Members").click()
    await expect(_row(bob, "Alice").locator(".role")).to_have_text("Owner")
    await expect(bob.page.get_by_role("button", name=re.compile("Remove|Invite"))).to_have_count(0)
    await carol.is_live()
    await expect(carol.page.get_by_role("link", name="Members")).to_have_count(0)


async def _at_members(window: Opener, server: RestartableServer) -> Window:
    alice = await window(server.url, "Alice")
    await alice.page.get_by_role("link", name="Members").click()
    await expect(_row(alice, "Bob")).to_be_visible()
    return alice


async def _linked(alice: Window) -> tuple[str, str]:
    """A link for one newcomer, and a name for her."""
    await alice.press("Invite")
    link = await alice.page.get_by_label("Link, shown this once").input_value()
    assert "#/invitation?token=" in link
    path = link[link.index("#") :]
    return f"Newcomer {os.urandom(3).hex()}", f"{alice.page.url.partition('#')[0]}{path}"


def _row(window: Window, name: str) -> Locator:
    return window.page.locator(".member").filter(has_text=name)
