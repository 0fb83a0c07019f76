"""The deterministic loop: virtual time, seeded order, dead processes, and no way out."""

from __future__ import annotations

import asyncio

import aiohttp
import pytest
from aiohttp import web

from qtxconn.testing.faults import FaultPlan
from qtxconn.testing.loop import SimLoop, SimulationError, run
from qtxconn.testing.network import SimNetwork
from qtxconn.testing.scheduler import EPOCH_NS, SimClock


def test_waiting_costs_no_time_and_moves_the_clocks() -> None:
    loop = SimLoop()
    clock = SimClock(loop)

    async def main() -> None:
        await clock.sleep(3600.0)
        clock.step(-5.0)

    run(main(), loop)
    assert clock.monotonic_ns() == 3600 * 10**9
    assert clock.now_ns() == EPOCH_NS + 3595 * 10**9


def order_of_ready_callbacks(seed: int, shuffled: bool = True) -> list[int]:
    order: list[int] = []

    async def main() -> None:
        loop = asyncio.get_running_loop()
        for number in range(8):
            loop.call_soon(order.append, number)
        await asyncio.sleep(1.0)

    run(main(), SimLoop(seed, shuffled=shuffled))
    return order


def test_the_seed_alone_decides_the_order() -> None:
    assert order_of_ready_callbacks(1) == order_of_ready_callbacks(1)
    assert len({tuple(order_of_ready_callbacks(seed)) for seed in range(5)}) > 1
    assert order_of_ready_callbacks(1, shuffled=False) == list(range(8))


def test_sets_of_tasks_and_futures_are_walked_in_the_same_order_in_every_run() -> None:
    async def nothing() -> None:
        """Ends at once."""

    async def main() -> list[int]:
        loop = asyncio.get_running_loop()
        kept = [object() for _ in range(1000)]  # so that the next objects lie elsewhere in every run
        tasks = {loop.create_task(nothing()) for _ in range(50)}
        futures = {loop.create_future() for _ in range(50)}
        del kept
        await asyncio.wait(tasks)
        return [item._number for item in (*tasks, *futures)]

    assert run(main(), SimLoop()) == run(main(), SimLoop()) == run(main(), SimLoop())


def test_waiting_for_ever_is_told_with_the_task() -> None:
    async def main() -> None:
        await asyncio.get_running_loop().create_future()

    loop = SimLoop()
    with pytest.raises(SimulationError, match="everything waits for ever: task 1 in main"):
        run(main(), loop)


def test_spinning_is_told() -> None:
    async def main() -> None:
        while True:  # noqa: ASYNC110
            await asyncio.sleep(0)

    with pytest.raises(SimulationError, match="no end after 1000 steps"):
        run(main(), SimLoop(steps_max=1000))


def test_a_wait_below_the_resolution_ends() -> None:
    async def main() -> None:
        for _ in range(10):
            await asyncio.sleep(1e-12)

    run(main(), SimLoop(steps_max=1000))


def test_a_killed_process_runs_no_further_and_no_finally() -> None:
    loop = SimLoop()
    said: list[str] = []

    async def client() -> None:
        try:
            while True:
                said.append("alive")
                await asyncio.sleep(1.0)
        finally:
            said.append("finally")

    async def main() -> None:
        process, context = loop.new_process()
        loop.create_task(client(), context=context)
        await asyncio.sleep(2.5)
        loop.kill(process)
        await asyncio.sleep(10.0)
        assert said == ["alive"] * 3

    run(main(), loop)
    assert said[-1] == "finally"  # disposed of at the end


async def _thread() -> None:
    await asyncio.get_running_loop().run_in_executor(None, print)


async def _real_host() -> None:
    await asyncio.get_running_loop().create_connection(asyncio.Protocol, "example.org", 80)


async def _raw_socket() -> None:
    asyncio.get_running_loop().add_reader(0, print)


@pytest.mark.parametrize("reach", [_thread, _real_host, _raw_socket])
def test_there_is_no_way_into_the_real_world(reach) -> None:
    with pytest.raises(SimulationError):
        run(reach(), SimLoop())


@pytest.mark.parametrize("chunked", [False, True])
def test_real_aiohttp_works_over_the_network_in_memory(chunked: bool) -> None:
    loop = SimLoop(5)
    plan = FaultPlan.draw(0, 1.0)
    plan.heal()
    plan.chunked = chunked
    network = SimNetwork(loop, plan, lambda *what: None)

    async def echo(request: web.Request) -> web.Response:
        return web.Response(body=await request.read())

    async def main() -> None:
        app = web.Application()
        app.router.add_post("/", echo)
        runner = web.AppRunner(app, handle_signals=False)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        port = runner.addresses[0][1]
        body = bytes(range(256)) * 100
        async with aiohttp.ClientSession() as session:
            for _ in range(20):
                async with session.post(f"http://127.0.0.1:{port}/", data=body) as response:
                    assert await response.read() == body
            with pytest.raises(aiohttp.ClientConnectorError):
                await session.get(f"http://127.0.0.1:{port + 1}/")
        await runner.cleanup()

    with network.sealed(0):
        run(main(), loop)
    assert not loop.failures
