# Runs a command on many hosts with AsyncSSH, host keys checked strictly.
import asyncio
import sys

import asyncssh

hosts_path, port, login, key_path, known_hosts, parallel, command = sys.argv[1:]


async def main():
    with open(hosts_path) as file:
        hosts = file.read().split()
    key = asyncssh.read_private_key(key_path)
    known = asyncssh.read_known_hosts(known_hosts)
    gate = asyncio.Semaphore(int(parallel))

    async def run(host):
        async with gate:
            async with asyncssh.connect(host, int(port), username=login, client_keys=[key], known_hosts=known, agent_path=None, config=None, login_timeout=60) as connection:
                result = await connection.run(command)
                print(f"{host}: {result.stdout}", end="")
                return result.exit_status

    statuses = await asyncio.gather(*(run(host) for host in hosts))
    return 1 if any(statuses) else 0


sys.exit(asyncio.run(main()))
