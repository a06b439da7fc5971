"""Branding: colours one can read, a logo that is only a picture, and mails in the tenant's look."""

import base64
import io
import struct
import time
import zlib
from typing import Any

import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from handlers.identity.colours import contrast, readable_on
from tests.identity.mailbox import Mailbox, html_of, text_of
from tests.pictures import picture
from tests.world import World


async def brand(world: World, *, name: str = "alice", **body: Any) -> Any:
    return await world.person(name).rest("PUT", f"/tenants/{world.tenant_id}/branding", json=body)


async def upload(world: World, data: bytes | str, *, name: str = "alice") -> Any:
    image = data if isinstance(data, str) else base64.b64encode(data).decode()
    return await world.person(name).rest("PUT", f"/tenants/{world.tenant_id}/logo", json={"image": image})


def test_contrast_is_what_wcag_says() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)
    assert contrast("#ffffff", "#ffffff") == 1
    assert all(
        contrast(readable_on(ground), ground) >= 4.5
        for ground in (f"#{red:02x}{green:02x}{blue:02x}" for red in range(0, 256, 15)
                       for green in range(0, 256, 15) for blue in range(0, 256, 15))
    )  # fmt: skip


async def test_text_is_chosen_so_that_it_can_be_read(world: World) -> None:
    branding = (await brand(world, primary_color="#FC0", header_color="#112233")).data.tenant.branding
    assert (branding.primary_color, branding.primary_text_color) == ("#ffcc00", "#000000")
    assert (branding.header_color, branding.header_text_color) == ("#112233", "#ffffff")
    refused = await brand(world, primary_text_color="#ffffff")
    assert refused.error.field_errors.primary_text_color == [
        "cannot be read on #ffcc00: the contrast is 1.51:1 and has to be 4.5:1; #000000 can"
    ]
    assert (await brand(world, primary_text_color="#222222")).success
    assert (await brand(world, primary_color="#333333")).status == 422, "nor may the ground change under it"
    plain = await brand(world, primary_color=None, primary_text_color=None)
    assert plain.data.tenant.branding.primary_color is None
    assert plain.data.was == {"branding": {"primary_color": "#ffcc00", "primary_text_color": "#222222"}}


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("primary_color", "red"), ("primary_color", "#12345"), ("primary_color", "#fff;background:url(x)"),
        ("header_text_color", "#ffffff"), ("product_name", ""), ("product_name", "x" * 61),
        ("product_name", "a\u202eb"), ("product_name", "a\nb"), ("sender_name", "ceo@acme.example"),
        ("sender_name", 'a" <x'), ("sender_name", "a\r\nBcc: x"), ("reply_to", "nowhere"),
        ("custom_domain", "localhost"), ("custom_domain", "https://x.example"), ("custom_domain", "10.0.0.1"),
        ("custom_domain", "-x.example"), ("custom_domain", "x..example"),
    ],
)  # fmt: skip
async def test_what_is_no_branding(shared: World, field: str, value: str) -> None:
    refused = await brand(shared, **{field: value})
    assert list(refused.error.field_errors) == [field], refused


async def proven(world: World, person: str, tenant_id: str, domain: str) -> None:
    """Somebody's tenant has proven a domain; tests/oidc tells how one does."""
    await world.person(person).rest("POST", f"/tenants/{tenant_id}/sso-domains", json={"domain": domain})
    async with world.sql() as sql:
        await sql.execute(
            "UPDATE sso_domains SET verified_at = now() WHERE tenant_id = $1 AND domain = $2",
            tenant_id,
            domain,
        )


async def test_a_host_lies_within_a_proven_domain(world: World) -> None:
    await proven(world, "alice", str(world.tenant_id), "acme.example")
    for host in ("rival.example", "notacme.example", "example"):
        refused = await brand(world, custom_domain=host)
        assert list(refused.error.field_errors) == ["custom_domain"], host
    for host in ("acme.example", "a.b.acme.example"):
        assert (await brand(world, custom_domain=host)).data.tenant.branding.custom_domain == host
    rivals = await world.person("mallory").rest(
        "PUT", f"/tenants/{await rival(world)}/branding", json={"custom_domain": "c.acme.example"}
    )
    assert rivals.status == 422, "what another has proven is not one's own"
    assert (await brand(world, custom_domain=None)).data.tenant.branding.custom_domain is None


async def test_the_sign_in_page_is_told_how_a_tenant_looks_and_nothing_else(world: World) -> None:
    await proven(world, "alice", str(world.tenant_id), "acme.example")
    await brand(
        world, product_name="Acme Works", primary_color="#ffcc00", custom_domain="Büro.acme.example",
        sender_name="Acme", reply_to="hello@acme.example",
    )  # fmt: skip
    looks = {
        "product_name": "Acme Works", "primary_color": "#ffcc00", "primary_text_color": "#000000",
        "header_color": None, "header_text_color": None, "logo_url": None,
    }  # fmt: skip
    nothing = dict.fromkeys(looks)
    for params in ({"slug": "acme"}, {"slug": " ACME "}, {"domain": "xn--bro-hoa.acme.example"}):
        assert (await world.request("GET", "/branding", params=params)).data.branding == looks
    for params in ({}, {"slug": "nobody"}, {"slug": "rival"}, {"domain": "acme.example"}):
        assert (await world.request("GET", "/branding", params=params)).data.branding == nothing
    async with world.sql() as sql:  # acme has lost the domain since, but named the host while it was its own
        await sql.execute("DELETE FROM sso_domains")
    await proven(world, "mallory", await rival(world), "acme.example")
    taken = await world.person("mallory").rest(
        "PUT", f"/tenants/{await rival(world)}/branding", json={"custom_domain": "büro.acme.example"}
    )
    assert taken.error.field_errors == {"custom_domain": ["is taken"]}
    await world.person("alice").rest("POST", f"/tenants/{world.tenant_id}/deactivate", json={})
    assert (await world.request("GET", "/branding", params={"slug": "acme"})).data.branding == nothing


async def rival(world: World) -> str:
    return str((await world.person("mallory").sign_in()).tenant.id)


# Logos.


async def test_a_logo_is_drawn_anew_and_served_for_good(world: World) -> None:
    hidden = PngInfo()
    hidden.add_text("Comment", "canary-3f1b")
    given = picture(size=(3000, 1000), pnginfo=hidden) + b"<script>canary-3f1b</script>"
    replied = await upload(world, given)
    path = replied.data.tenant.branding.logo_url
    assert path.startswith(f"/branding/{world.tenant_id}/logo-")
    async with world.http.get(world.url + path) as response:
        png = await response.read()
        assert (response.status, response.content_type) == (200, "image/png")
        assert response.headers["Cache-Control"] == "public, max-age=31536000, immutable"
        assert response.headers["X-Content-Type-Options"] == "nosniff"
        assert response.headers["Content-Security-Policy"] == "default-src 'none'"
    assert b"canary" not in png
    shown = Image.open(io.BytesIO(png))
    assert (shown.format, shown.size) == ("PNG", (1024, 341))
    assert shown.info == {}
    for kind in ("JPEG", "WEBP"):
        assert (await upload(world, picture(kind))).success, kind
    async with world.http.get(world.url + path) as response:
        assert response.status == 404, "the one before is gone"


def bomb(width: int = 30_000, height: int = 30_000) -> bytes:
    """A PNG of 2.7 GB in 2.7 MB: black, and well-formed."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    rows = zlib.compress(b"\0" * 1_000_000, 9)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


SVG = b'<svg xmlns="http://www.w3.org/2000/svg" onload="alert(1)"><circle r="9"/></svg>'


@pytest.mark.parametrize(
    "data",
    [
        SVG, b"", b"GIF89a" + b"\0" * 40, picture("GIF"), picture("BMP"), picture("TIFF"), picture()[:60],
        b"\x89PNG\r\n\x1a\n" + b"\xff" * 200, bomb(), bomb(2001, 2001), b"<html>", "not base64!",
    ],
)  # fmt: skip
async def test_what_is_no_logo(shared: World, data: bytes | str) -> None:
    started = time.monotonic()
    refused = await upload(shared, data)
    assert (refused.status, list(refused.error.field_errors)) == (422, ["image"]), refused
    assert time.monotonic() - started < 5


async def test_a_logo_may_have_so_many_bytes(worlds: Any) -> None:
    world: World = await worlds(logo_max_bytes=2048, logo_max_pixels=10_000)
    assert (await upload(world, b"\0" * 4000)).error.code == "PAYLOAD_TOO_LARGE"
    assert (await upload(world, picture(size=(101, 100)))).status == 422
    assert (await upload(world, picture(size=(100, 100)))).success


async def test_who_may_give_and_take_a_logo(world: World) -> None:
    for name, status in (("manager", 403), ("viewer", 403), ("mallory", 404)):
        assert (await upload(world, picture(), name=name)).status == status, name
    path = f"/tenants/{world.tenant_id}/logo"
    logo = (await upload(world, picture(), name="admin")).data.tenant.branding.logo_url
    assert (await world.person("bob").rest("DELETE", path)).status == 403
    elsewhere = logo.replace(world.tenant_id, await rival(world))
    async with world.http.get(world.url + elsewhere) as response:
        assert response.status == 404, "it is this tenant's alone"
    gone = await world.person("admin").rest("DELETE", path)
    assert gone.data.tenant.branding.logo_url is None
    async with world.http.get(world.url + logo) as response:
        assert response.status == 404
    assert (await world.person("admin").rest("DELETE", path)).status == 404


# Mails.


async def test_mails_wear_the_look_of_the_tenant(posted: World, mailbox: Mailbox) -> None:
    await brand(
        posted, product_name="Acme <Works>", primary_color="#ffcc00", header_color="#112233", sender_name="Acme",
        reply_to="hello@acme.example",
    )  # fmt: skip
    logo = (await upload(posted, picture())).data.tenant.branding.logo_url
    invited = await posted.person("alice").rest(
        "POST",
        f"/tenants/{posted.tenant_id}/invitations",
        json={"email": "newcomer@new.example", "role": "viewer"},
    )
    assert invited.success, invited
    await posted.request("POST", "/auth/forgot-password", json={"email": "alice@acme.example"})
    for to in ("newcomer@new.example", "alice@acme.example"):
        mail = await mailbox.gets(to)
        assert mail["From"] == "Acme <atrium@localhost>", "the address stays the server's"
        assert mail["Reply-To"] == "hello@acme.example"
        page = html_of(mail)
        assert f'<img src="{posted.node.settings.public_url}{logo}" alt="Acme &lt;Works&gt;"' in page
        assert "background:#112233;color:#ffffff" in page
        assert "background:#ffcc00;color:#000000" in page
        assert "Acme <Works>" in text_of(mail)
        assert "Atrium" not in page


async def test_mails_about_an_account_take_the_tenant_entered_last(posted: World, mailbox: Mailbox) -> None:
    await brand(posted, product_name="Acme Works")
    mallory = posted.person("mallory")
    await mallory.sign_in()

    async def product() -> str:
        await posted.request("POST", "/auth/forgot-password", json={"email": mallory.email})
        return (
            " ".join(text_of(await mailbox.gets(mallory.email)).split())
            .split(" for the ")[1]
            .split(" account")[0]
        )

    assert await product() == "Atrium", "rival has chosen nothing"
    async with posted.sql() as db:
        await db.execute(
            "INSERT INTO members (tenant_id, user_id, role) SELECT $1::uuid, id, 'viewer' FROM users "
            "WHERE email = $2", posted.tenant_id, mallory.email,
        )  # fmt: skip
    assert await product() == "Atrium", "whoever is added to a tenant has not entered it"
    assert (await mallory.rest("POST", f"/tenants/{posted.tenant_id}/switch", json={})).success
    assert await product() == "Acme Works"
    await posted.person("alice").rest("POST", f"/tenants/{posted.tenant_id}/deactivate", json={})
    assert await product() == "Atrium", "a tenant out of use has no look"
