"""The board in real windows: what one does, the other sees, whatever happens in between."""

import re

import pytest
from playwright.async_api import expect

from tests.browser.conftest import Opener, a_project
from tests.browser.server import Project, Rest, RestartableServer
from tests.browser.window import Window

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("browser")]


async def test_a_card_dragged_in_one_window_moves_in_the_other(alice: Window, bob: Window) -> None:
    await alice.drag("Milk", "In progress")
    await alice.sees("In progress", "Milk", "Tea")
    await bob.sees("In progress", "Milk", "Tea")
    await bob.sees("To do", "Bread", "Eggs")


async def test_who_moved_a_card_is_shown_for_a_moment(alice: Window, bob: Window) -> None:
    await alice.drag("Milk", "In progress")
    await expect(bob.card("Milk").locator(".mark-name")).to_have_text("Alice")
    await expect(bob.card("Milk").locator(".mark-name")).to_have_count(0)
    await expect(alice.card("Milk").locator(".mark-name")).to_have_count(0)


async def test_a_card_dragged_within_its_column(alice: Window, bob: Window) -> None:
    await alice.drag("Eggs", "To do")
    await alice.sees("To do", "Eggs", "Bread", "Milk")
    await bob.sees("To do", "Eggs", "Bread", "Milk")


async def test_a_new_card_typed_by_one_is_seen_by_both(alice: Window, bob: Window) -> None:
    await bob.add_card("In progress", "Butter <b>& jam</b>")
    await bob.sees("In progress", "Tea", "Butter <b>& jam</b>")
    await alice.sees("In progress", "Tea", "Butter <b>& jam</b>")
    key = alice.card("Butter <b>& jam</b>").locator(".card-key")
    await expect(key).to_have_text(re.compile(r"^\w+-\d+$"))


async def test_a_card_is_moved_by_keyboard_alone(alice: Window, bob: Window) -> None:
    await alice.button("Bread").focus()
    await alice.page.keyboard.press("ArrowDown")
    await expect(alice.button("Milk")).to_be_focused()
    await alice.page.keyboard.press("Control+ArrowUp")
    await bob.sees("To do", "Milk", "Bread", "Eggs")
    await alice.page.keyboard.press("Control+ArrowRight")
    await bob.sees("In progress", "Milk", "Tea")
    await expect(alice.button("Milk")).to_be_focused()
    await expect(alice.page.get_by_role("log")).to_have_text(re.compile("moved to In progress, place 1 of 2"))


async def test_a_full_column_sends_the_card_back(alice: Window, bob: Window) -> None:
    await alice.column("In progress").get_by_role("button", name="Set a limit").click()
    await alice.page.keyboard.type("1")
    await alice.page.keyboard.press("Enter")
    await expect(bob.column("In progress").locator(".count")).to_have_text("1/1")
    await expect(bob.column("In progress")).to_have_class(re.compile("full"))

    await bob.drag("Milk", "In progress")
    await expect(bob.page.locator(".toast")).to_contain_text("Could not move the card. In progress is full")
    await bob.sees("To do", "Bread", "Milk", "Eggs")
    await bob.sees("In progress", "Tea")
    await alice.sees("In progress", "Tea")


async def test_what_is_changed_in_the_panel_reaches_the_other_card(alice: Window, bob: Window) -> None:
    await alice.button("Tea").click()
    panel = alice.page.get_by_role("complementary")
    await panel.get_by_label("Title").fill("Green tea")
    await panel.get_by_label("Description").fill("Loose leaf.")
    await panel.get_by_role("radio", name="Urgent").check()
    await panel.get_by_role("checkbox", name="Alice").check()
    card = bob.card("Green tea")
    await expect(card.locator(".assignees .avatar")).to_have_attribute("title", "Alice")
    await expect(card.locator(".priority")).to_have_attribute("title", "Urgent priority")
    await expect(card.locator(".viewers .avatar")).to_have_attribute("title", "Alice, looking at this")

    await alice.page.keyboard.press("Escape")
    await expect(panel).to_have_count(0)
    await expect(card.locator(".viewers")).to_have_count(0)


async def test_tags_and_comments_reach_the_other_window(alice: Window, bob: Window) -> None:
    for person in (alice, bob):
        await person.button("Tea").click()
    panel, other = (person.page.get_by_role("complementary") for person in (alice, bob))
    await panel.get_by_label("New tag").fill("hot")
    await panel.get_by_label("New tag").press("Enter")
    await expect(bob.card("Tea").locator(".tag")).to_have_text("hot")
    await panel.get_by_label("New comment").fill("Which one? <b>Green</b>")
    await panel.get_by_role("button", name="Comment").click()
    await expect(other.locator(".comments .said")).to_have_text("Which one? <b>Green</b>")
    await expect(bob.card("Tea").locator(".sum")).to_have_text("1")
    await other.get_by_label("New comment").fill("Black.")
    await other.get_by_label("New comment").press("Control+Enter")
    await expect(panel.locator(".comments .said")).to_have_text(["Which one? <b>Green</b>", "Black."])
    await expect(panel.locator(".comments .who b")).to_have_text(["Alice", "Bob"])
    await panel.get_by_role("button", name="Remove the tag hot").click()
    await expect(bob.card("Tea").locator(".tag")).to_have_count(0)


async def test_a_checklist_is_ticked_off_by_both(alice: Window, bob: Window) -> None:
    for person in (alice, bob):
        await person.button("Tea").click()
    panel, other = (person.page.get_by_role("complementary") for person in (alice, bob))
    await panel.get_by_label("Name of a new checklist").fill("Before serving")
    await panel.get_by_label("Name of a new checklist").press("Enter")
    for item in ("Boil water", "Warm the pot"):
        await panel.get_by_label("New item of Before serving").fill(item)
        await panel.get_by_label("New item of Before serving").press("Enter")
    await other.get_by_role("checkbox", name="Boil water").check()
    await expect(panel.get_by_role("checkbox", name="Boil water")).to_be_checked()
    await expect(alice.card("Tea").locator(".sum")).to_have_text("1/2")


async def test_a_card_waits_for_another_until_that_is_done(alice: Window, bob: Window) -> None:
    await alice.button("Tea").click()
    panel = alice.page.get_by_role("complementary")
    await panel.get_by_label("Wait for another card").select_option(
        value=await alice.card("Milk").get_attribute("data-task")
    )
    await expect(bob.card("Tea").locator(".blocked")).to_have_text("Waits for 1")
    await panel.get_by_role("group", name="Waits for").locator(".link").click()
    await expect(panel.get_by_label("Title")).to_have_value("Milk")
    await expect(panel.get_by_role("group", name="Blocks").locator(".link")).to_have_text(re.compile("Tea"))
    await bob.drag("Milk", "Done")
    await expect(bob.card("Tea").locator(".blocked")).to_have_count(0)
    await expect(alice.card("Tea").locator(".blocked")).to_have_count(0)


async def test_the_panel_moves_a_card_too(alice: Window, bob: Window) -> None:
    await alice.button("Bread").click()
    await alice.page.get_by_role("complementary").get_by_label("Column").select_option("Done")
    await bob.sees("Done", "Bread")


async def test_a_deleted_card_comes_back_on_undo(alice: Window, bob: Window) -> None:
    await alice.button("Bread").click()
    await alice.page.get_by_role("button", name="Delete card").click()
    await bob.sees("To do", "Milk", "Eggs")
    await alice.page.get_by_role("button", name="Undo").click()
    await bob.sees("To do", "Milk", "Eggs", "Bread")
    await alice.sees("To do", "Milk", "Eggs", "Bread")


async def test_ctrl_z_takes_back_one_s_own_last_change(alice: Window, bob: Window) -> None:
    await alice.drag("Milk", "In progress")
    await bob.sees("In progress", "Milk", "Tea")
    await bob.drag("Eggs", "Done")
    await alice.page.keyboard.press("Control+z")
    await bob.sees("To do", "Bread", "Milk")
    await bob.sees("Done", "Eggs")
    await expect(alice.page.locator(".toast")).to_contain_text("Taken back: Alice moved")
    await alice.page.get_by_role("button", name="Redo").click()
    await bob.sees("In progress", "Milk", "Tea")


async def test_what_was_done_to_a_card_is_told_in_sentences(alice: Window, bob: Window) -> None:
    await bob.button("Tea").click()
    await alice.drag("Tea", "Done")
    activity = bob.page.get_by_role("complementary").locator(".activity")
    await activity.locator("summary").click()
    await expect(activity.locator("li").first).to_contain_text(
        re.compile("Alice moved .* from In progress to Done")
    )


async def test_a_new_column_takes_cards(alice: Window, bob: Window) -> None:
    await alice.page.get_by_role("button", name="Add a column").click()
    await alice.page.keyboard.type("Review")
    await alice.page.keyboard.press("Enter")
    await expect(bob.column("Review")).to_be_visible()
    await bob.drag("Tea", "Review")
    await alice.sees("Review", "Tea")


async def test_a_new_project_opens_at_once(window: Opener, server: RestartableServer) -> None:
    alice = await window(server.url, "Alice")
    await alice.page.get_by_label("Name of the new project").fill("Picnic")
    await alice.page.get_by_label("Name of the new project").press("Enter")
    await expect(alice.page.get_by_role("heading", name="Picnic")).to_be_visible()
    await expect(alice.column("To do")).to_be_visible()


async def test_windows_show_who_else_is_there(alice: Window, bob: Window) -> None:
    faces = alice.page.get_by_role("list", name="Also here").get_by_role("img")
    await expect(faces).to_have_attribute("title", "Bob, here now")
    await bob.page.get_by_role("link", name="All projects").click()
    await expect(faces).to_have_count(0)


async def test_a_reload_stays_signed_in_and_on_the_board(alice: Window, bob: Window) -> None:
    await alice.page.reload()
    await alice.is_live()
    await alice.sees("To do", "Bread", "Milk", "Eggs")
    await alice.drag("Milk", "In progress")
    await bob.sees("In progress", "Milk", "Tea")


async def test_a_client_looks_and_changes_nothing(window: Opener, server: RestartableServer) -> None:
    carol = await window(server.url, "Carol")
    await carol.page.get_by_role("link", name="Website relaunch").click()
    await expect(carol.column("To do").locator(".card")).to_have_count(5)
    for name in ("Add a card", "Add a column", "Set a limit"):
        await expect(carol.page.get_by_role("button", name=name)).to_have_count(0)
    await carol.button("Plan the photo shoot").click()
    await expect(carol.page.get_by_role("complementary").get_by_label("Column")).to_be_disabled()
    await expect(carol.page.get_by_role("button", name="Delete card")).to_have_count(0)


async def test_nothing_is_lost_over_a_restart(window: Opener, restartable_server: RestartableServer) -> None:
    server = restartable_server
    project = await a_project(server)
    alice, bob = await window(server.url, "Alice", project), await window(server.url, "Bob", project)
    alice.knows_of_outage = bob.knows_of_outage = True
    alice.knows_of_refusals = bob.knows_of_refusals = True  # a poll of the session before

    await server.stop()
    await expect(alice.page.locator(".connection")).to_contain_text("Reconnecting…")
    await alice.drag("Milk", "In progress")
    await alice.add_card("To do", "Butter")
    await expect(alice.page.locator(".kept")).to_have_text("2 changes kept")
    await expect(alice.column("In progress").locator(".card-open")).to_have_text(["Milk", "Tea"])
    await bob.button("Eggs").focus()
    await bob.page.keyboard.press("Control+ArrowRight")
    await bob.page.keyboard.press("Control+ArrowRight")

    await server.start()
    await alice.is_live()
    await bob.is_live()
    for person in (alice, bob):
        await person.sees("To do", "Bread", "Butter")
        await person.sees("In progress", "Milk", "Tea")
        await person.sees("On hold", "Eggs")
    async with Rest(server.url) as rest:
        assert await rest.board(project) == await alice.board() == await bob.board()


async def test_changes_kept_during_an_outage_survive_a_reload(
    window: Opener, restartable_server: RestartableServer
) -> None:
    server = restartable_server
    project = await a_project(server)
    alice = await window(server.url, "Alice", project)
    alice.knows_of_outage = alice.knows_of_refusals = True  # a poll of the session before is refused
    await server.stop()
    await expect(alice.page.locator(".connection")).to_contain_text("Reconnecting…")
    await alice.drag("Milk", "In progress")
    kept = await alice.page.evaluate("JSON.stringify(sessionStorage)")
    await server.start()
    await alice.page.reload()
    await alice.is_live()
    assert "task.move" in kept
    await alice.sees("In progress", "Milk", "Tea")


async def test_a_phone_is_wide_enough(window: Opener, server: RestartableServer, project: Project) -> None:
    overflow = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
    phone = await window(
        server.url, "Alice", viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True
    )  # fmt: skip
    assert await phone.page.evaluate(overflow) <= 0
    await phone.visit(project)
    assert await phone.page.evaluate(overflow) <= 0
    await phone.button("Bread").tap()
    await expect(phone.page.get_by_role("complementary")).to_be_visible()
    assert await phone.page.evaluate(overflow) <= 0
