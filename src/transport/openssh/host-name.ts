/** The arguments by which `ssh` goes to this address. A percent sign (`fe80::1%eth0`) would be a token of ssh. Source: ssh_config(5), TOKENS. */
export function hostName(address: string): string[] {
  return ['-o', `HostName=${address.replaceAll('%', '%%')}`]
}
