# Runs a command on many hosts with Fabric, host keys checked strictly. A ThreadingGroup has no limit but its own size, so the
# hosts go through in groups.
import sys

import paramiko
from fabric import Config, Connection, ThreadingGroup

hosts_path, port, login, key_path, known_hosts, parallel, command = sys.argv[1:]
settings = Config(overrides={"load_ssh_configs": False})
keys = {"key_filename": key_path, "look_for_keys": False, "allow_agent": False, "banner_timeout": 60, "auth_timeout": 60}


def connection(host):
    made = Connection(host, user=login, port=int(port), config=settings, connect_timeout=60, connect_kwargs=keys)
    # Fabric would take any key.
    made.client.set_missing_host_key_policy(paramiko.RejectPolicy())
    made.client.load_host_keys(known_hosts)
    return made


with open(hosts_path) as file:
    hosts = file.read().split()
for first in range(0, len(hosts), int(parallel)):
    group = ThreadingGroup.from_connections([connection(host) for host in hosts[first : first + int(parallel)]])
    try:
        for made, result in group.run(command, hide=True, in_stream=False).items():
            print(f"{made.host}: {result.stdout}", end="")
    finally:
        group.close()
