"""What a broker does in its life, as small scripts: each is run once and then crashed at every storage call."""

import random
from collections.abc import Awaitable, Callable
from typing import Final

from isthmus.record import Leased
from support.broker_world import ORDERS, WORK, BrokerWorld

Scenario = Callable[[BrokerWorld], Awaitable[None]]


async def leases_and_acknowledgements(world: BrokerWorld) -> None:
    await world.begin()
    await world.publish(WORK, 6, size=300)
    found = await world.lease(4)
    await world.ack(found[:2])
    await world.publish(WORK, 3)
    await world.ack(found[3:])
    await world.ack(await world.lease(2))
    await world.kill()
    await world.open()
    await world.ack(await world.lease(3))
    await world.close()


async def dead_letters(world: BrokerWorld) -> None:
    """By failures, by leases that end, and by a consumer that is lost."""
    await world.begin()
    await world.publish(WORK, 6, size=400)
    for _ in range(2):
        await world.fail((await world.lease(2))[:2])
    for _ in range(2):
        await world.lease(2)
        await world.clock.advance(2_500)
    await world.ack((await world.lease(1))[:1])
    for _ in range(2):
        await world.lease(2)
        await world.kill()
        await world.open()
    await world.broker.housekeeping.once()
    await world.close()


async def a_group_with_outputs(world: BrokerWorld) -> None:
    await world.begin()
    await world.publish(ORDERS, 10)
    member = await world.join()
    for _ in range(3):
        await world.handle(member)
    await world.checkpoint()
    await world.publish(ORDERS, 6, size=200)
    for _ in range(4):
        await world.handle(member, 2)
    member.close()
    await world.close()
    await world.open()
    member = await world.join()
    await world.handle(member)
    member.close()


async def topics_made_and_removed(world: BrokerWorld) -> None:
    await world.begin()
    for number in range(3):
        name = f"temporary{number}"
        await world.make_topic(name)
        await world.publish(name, 5, size=900)
        await world.checkpoint()
        await world.remove_topic(name)
        await world.housekeeping()
    await world.publish(ORDERS, 2)
    await world.close()


async def consumed_and_removed(world: BrokerWorld) -> None:
    """A queue keeps nothing that is settled; segments go with it."""
    await world.begin()
    for _ in range(3):
        await world.publish(WORK, 8, size=900)
        while found := await world.lease(5):
            await world.ack(found)
        await world.housekeeping()
    await world.publish(WORK, 2)
    await world.close()


async def one_old_record_of_a_queue(world: BrokerWorld) -> None:
    """It stays on lease while those behind it are done with, and copies leave them out."""
    await world.begin()
    for round_ in range(2):
        await world.publish(WORK, 8, size=900)
        found = await world.lease(8)
        await world.ack(found[1:])
        await world.checkpoint()
        await world.checkpoint()
        await world.broker.housekeeping.compacting.everything()
        if round_:
            await world.kill()
            await world.open()
    await world.publish(WORK, 2)
    await world.ack(await world.lease(9))
    await world.housekeeping()
    await world.close()


async def fan_outs(world: BrokerWorld) -> None:
    await world.begin()
    await world.bind()
    await world.fan_out(3, size=300)
    await world.fan_out()
    await world.checkpoint()
    await world.fan_out(2, size=900)
    await world.kill()
    await world.open()
    await world.fan_out(2)
    await world.close()


def walk(seed: int) -> Scenario:
    """A random life."""

    async def walking(world: BrokerWorld) -> None:
        rng = random.Random(seed)
        held: list[Leased] = []
        await world.begin()
        member = await world.join()
        for _ in range(30):
            match rng.randrange(9):
                case 0 | 1:
                    await world.publish(rng.choice((ORDERS, WORK, WORK)), rng.randint(1, 4), rng.choice((60, 900)))
                case 2 | 3:
                    held = await world.lease(rng.randint(1, 4))
                case 4 if held:
                    await world.ack(held)
                    held = []
                case 5 if held:
                    await world.fail(held)
                    held = []
                case 6:
                    await world.handle(member)
                case 7:
                    await world.checkpoint()
                case 8:
                    held = []
                    await world.clock.advance(1_500)
                case _:
                    continue
        member.close()
        await world.close()

    return walking


SCENARIOS: Final[dict[str, Scenario]] = {
    scenario.__name__: scenario
    for scenario in (
        leases_and_acknowledgements,
        dead_letters,
        a_group_with_outputs,
        topics_made_and_removed,
        consumed_and_removed,
        one_old_record_of_a_queue,
        fan_outs,
    )
}
"""By name, for test ids."""
