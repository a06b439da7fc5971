"""Mails that tell a person what has become of the factors of her account."""

from typing import Final, Literal

from handlers.context import Origin
from handlers.identity import mails
from handlers.identity.mails import Queued, Values, letter
from storage.postgres import Row, Session
from storage.settings import Settings

Notice = Literal[
    "totp_enabled",
    "totp_disabled",
    "passkey_added",
    "passkey_removed",
    "passkey_copied",
    "recovery_code_used",
    "codes_locked",
    "second_factor_reset",
]

SENTENCES: Final[dict[Notice, tuple[str, str]]] = {
    "totp_enabled": (
        "An authenticator app was added",
        "an authenticator app was added to your Atrium account. Signing in with the password asks for its code now.",
    ),
    "totp_disabled": (
        "The authenticator app was taken away",
        "the authenticator app was taken away from your Atrium account.",
    ),
    "passkey_added": ("A passkey was added", 'the passkey "{name}" was added to your Atrium account.'),
    "passkey_removed": (
        "A passkey was taken away",
        'the passkey "{name}" was taken away from your Atrium account.',
    ),
    "passkey_copied": (
        "A passkey was refused",
        'your passkey "{name}" was refused: it may have been copied. Take it away and make a new one.',
    ),
    "recovery_code_used": (
        "A recovery code was used",
        "a recovery code of your Atrium account was used. {name} are left.",
    ),
    "codes_locked": (
        "Too many wrong codes",
        (
            "somebody gave wrong codes of an authenticator app for your Atrium account, after the right password or in "
            "one of your sessions. Codes are refused for a while; recovery codes and passkeys are not."
        ),
    ),
    "second_factor_reset": (
        "Your second factor was reset",
        (
            "an administrator took the authenticator app, passkeys and recovery codes of your Atrium account away and "
            "ended its sessions. The password alone opens it until you add one again."
        ),
    ),
}
ADVICE: Final = "If it was not you, set a new password now and look at your sessions:"
ADVICE_AFTER_RESET: Final = "If you did not ask for it, write to them, and add a second factor again:"


async def tell(session: Session, user: Row, what: Notice, origin: Origin, name: str = "") -> None:
    """Queue the mail; call `edge.wake_outbox()` after the commit, or it leaves some seconds later."""
    await mails.tell(
        session, "security_notice", user["email"], user_id=user["id"],
        what=what, name=name, address=origin.address,
    )  # fmt: skip


@letter("security_notice")
async def security_notice(session: Session, settings: Settings, queued: Queued) -> Values:
    what: Notice = queued.data["what"]
    subject, sentence = SENTENCES[what]
    at = queued.created_at.strftime("%d %B %Y, %H:%M UTC")
    told = f"On {at}, from the network address {queued.data['address']}, "
    told += sentence.format(name=queued.data["name"])
    return {
        "subject": subject,
        "told": told,
        "advice": ADVICE_AFTER_RESET if what == "second_factor_reset" else ADVICE,
    }
