"""Onboarding: what a new tenant does first, read from what is there, so that nobody has to tick anything off."""

from typing import Final, get_args

from handlers.context import Tx
from handlers.identity.tenants import OneTenant, Step, TenantUpdated
from handlers.registry import Payload, Reply, command, query
from storage.postgres import Row

STEPS: Final[tuple[Step, ...]] = get_args(Step)


class OnboardingStep(Reply):
    key: Step
    done: bool
    dismissed: bool


class Onboarding(Reply):
    """The steps in their order; finished when each is done or dismissed."""

    steps: list[OnboardingStep]
    finished: bool

    @classmethod
    def of(cls, row: Row) -> "Onboarding":
        steps = [
            OnboardingStep(key=key, done=row[key], dismissed=key in row["dismissed_steps"]) for key in STEPS
        ]  # fmt: skip
        return cls(steps=steps, finished=all(step.done or step.dismissed for step in steps))


class OnboardingReply(Reply):
    onboarding: Onboarding


class DismissStep(Payload):
    step: Step
    dismissed: bool = True


@query("tenant.onboarding", needs="tenant.view", rest="GET /tenants/{tenant_id}/onboarding", room="tenant")
async def get(tx: Tx, ask: OneTenant) -> OnboardingReply:
    """How far the tenant has come with its first steps."""
    return OnboardingReply(onboarding=Onboarding.of(await tx.one("onboarding")))


@command(
    "tenant.dismiss_step", needs="tenant.manage", rest="POST /tenants/{tenant_id}/onboarding", room="tenant"
)
async def dismiss(tx: Tx, cmd: DismissStep) -> TenantUpdated:
    """Say that a step is not wanted, or wanted after all."""
    before = await tx.one("tenant")
    held = set(before["dismissed_steps"]) - {cmd.step}
    steps = [key for key in STEPS if key in held or (cmd.dismissed and key == cmd.step)]
    return TenantUpdated.between(before, await tx.one("set_dismissed_steps", steps=steps))
