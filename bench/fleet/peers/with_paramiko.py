# Runs a command on many hosts with Paramiko and a pool of threads, host keys checked strictly.
import sys
from concurrent.futures import ThreadPoolExecutor

import paramiko

hosts_path, port, login, key_path, known_hosts, parallel, command = sys.argv[1:]
key = paramiko.Ed25519Key.from_private_key_file(key_path)


def run(host):
    client = paramiko.SSHClient()
    client.load_host_keys(known_hosts)
    client.set_missing_host_key_policy(paramiko.RejectPolicy())
    client.connect(host, int(port), login, pkey=key, look_for_keys=False, allow_agent=False, timeout=60, banner_timeout=60, auth_timeout=60)
    try:
        _, stdout, _ = client.exec_command(command)
        text = stdout.read().decode()
        return host, text, stdout.channel.recv_exit_status()
    finally:
        client.close()


with open(hosts_path) as file:
    hosts = file.read().split()
with ThreadPoolExecutor(int(parallel)) as pool:
    failed = 0
    for host, text, status in pool.map(run, hosts):
        print(f"{host}: {text}", end="")
        failed += status != 0
sys.exit(1 if failed else 0)
