import { createHash } from 'node:crypto'
import { writeFile } from 'node:fs/promises'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { buildCommandLine, Workshop } from './workshop.ts'

let shop: Workshop

beforeAll(async () => {
  buildCommandLine()
  const hosts = {
    vm01: { groups: ['lab'] },
    vm02: { groups: ['lab'] },
    vm03: { ip: '127.0.0.1', ssh_port: 1, ssh_user: 'x', groups: ['dead'], identity_file: '/nope' },
    off: { ip: '127.0.0.1', enabled: false, groups: ['lab'] },
  }
  shop = await Workshop.with(['vm01', 'vm02'], { hosts, servers: { vm01: { env: { NAME: 'one' } }, vm02: { env: { NAME: 'two' } } } })
}, 60_000)

afterAll(async () => {
  await shop[Symbol.asyncDispose]()
})

describe('the exit status of run', () => {
  it.each([
    ['is the command’s own on one host', ['run', 'vm01', '-c', 'exit 7'], 7],
    ['is 0 where the command succeeds', ['run', 'vm01', '--', 'true'], 0],
    ['is 128 and the number of the signal that ended it', ['run', 'vm01', '-c', 'kill -KILL $$'], 137],
    ['is 124 after the deadline on one host', ['run', 'vm01', '--timeout', '200ms', '--', 'sleep', '30'], 124],
    ['is 125 for a host that is not in the configuration', ['run', 'vm09', '--', 'true'], 125],
    ['is 125 for a disabled host', ['run', 'off', '--', 'true'], 125],
    ['is 125 for a host whose key cannot be used', ['run', 'vm03', '--', 'true'], 125],
    ['is 0 where all of several hosts succeed', ['run', 'vm01,vm02', '--', 'true'], 0],
    ['is 1 where one of several hosts does not', ['run', 'vm01,vm02', '-c', '[ $NAME = one ]'], 1],
    ['is 1 where several hosts all fail in the same way', ['run', 'vm01,vm02', '-c', 'exit 7'], 1],
    ['is 1 where the deadline passes on one of several hosts', ['run', 'vm01,vm02', '--timeout', '2s', '-c', '[ $NAME = two ] || sleep 30'], 1],
    ['is the command’s own for a group of one', ['run', '@lab,!vm02', '-c', 'exit 9'], 9],
    ['is the shell’s own where the working directory is not there', ['run', 'vm01', '--cwd', '/nope', '--', 'true'], 2],
  ])('%s', async (_, words, status) => {
    expect((await shop.call(words)).status).toBe(status)
  })
})

describe('the output of run on one host', () => {
  it('is its stdout and stderr, byte for byte', async () => {
    const { stdoutBytes, stderr } = await shop.call(['run', 'vm01', '-c', String.raw`printf 'a\000\377\033[31mb'; printf 'err\tx' >&2`])
    expect(stdoutBytes).toEqual(Buffer.from('a\0\xff\x1b[31mb', 'latin1'))
    expect(stderr).toBe('err\tx')
  })

  it('is whole where whoever reads it is slow', async () => {
    const child = shop.start(['run', 'vm01', '-c', 'head -c 60000000 /dev/zero | tr "\\0" x'])
    child.stdin?.end()
    const hash = createHash('sha256')
    let sizeBytes = 0
    const { stdout } = child
    if (!stdout) throw new Error('no stdout')
    // Takes nothing until the far end has long filled every buffer between.
    await new Promise((resolve) => stdout.once('readable', resolve))
    for await (const chunk of stdout) {
      hash.update(chunk as Buffer)
      sizeBytes += (chunk as Buffer).length
    }
    expect(sizeBytes).toBe(60_000_000)
    expect(hash.digest('hex')).toBe(createHash('sha256').update(Buffer.alloc(60_000_000, 'x')).digest('hex'))
  })

  it('says why it ended where that is not the command’s own exit, with a hint', async () => {
    const { stderr } = await shop.call(['run', 'vm01', '--timeout', '200ms', '-c', 'sleep 30 & sleep 30'])
    expect(stderr).toMatch(/^remex: vm01: the command on vm01 did not end within 200ms\n {2}Give more time with --timeout.*\n/m)
    expect(stderr).toMatch(/processes ended on the host, none is left\n$/)
  })

  it('has no notices with --quiet, but the error', async () => {
    const { stderr } = await shop.call(['run', 'vm01', '--quiet', '--timeout', '200ms', '--', 'sleep', '30'])
    expect(stderr).toContain('did not end within')
    expect(stderr).not.toContain('ended on the host')
  })
})

describe('the output of run on several hosts', () => {
  it('is whole lines with the host in front, stdout on stdout and stderr on stderr, and a summary', async () => {
    const { stdout, stderr } = await shop.call(['run', '@lab', '-c', 'echo "I am $NAME"; echo "err $NAME" >&2; printf partial'])
    expect(stdout.split('\n').sort()).toEqual(['', 'vm01: I am one', 'vm01: partial', 'vm02: I am two', 'vm02: partial'])
    expect(stderr.split('\n').slice(0, 3).sort()).toEqual(['remex: off is left out: it is disabled in the configuration', 'vm01: err one', 'vm02: err two'])
    expect(stderr).toMatch(/remex: 2 hosts: 2 succeeded\n$/)
  })

  it('shows control characters, so that no host can pass for another', async () => {
    const { stdout } = await shop.call(['run', 'vm01,vm02', '-c', String.raw`[ $NAME = one ] && printf 'x\033[2K\rvm02: forged\n'; true`])
    expect(stdout).toBe(String.raw`vm01: x\x1b[2K\rvm02: forged` + '\n')
  })

  it('names the hosts that failed, and how', async () => {
    const { stderr } = await shop.call(['run', 'vm01,vm02,@dead', '-c', '[ $NAME = one ] || exit 3'])
    expect(stderr).toMatch(/remex: 3 hosts: 1 succeeded, .*1 failed/)
    expect(stderr).toContain('remex:   vm02: exit status 3\n')
    expect(stderr).toContain('remex:   vm03: not started (KEY_NOT_FOUND)\n')
  })

  it('has neither summary nor notices with --quiet', async () => {
    expect((await shop.call(['run', '@lab', '--quiet', '--', 'true'])).stderr).toBe('')
  })

  it('has no warning of Node’s in it where many hosts run at once', async () => {
    const { address, port, login } = shop.server('vm01')
    const vm01 = { ip: address, ssh_port: port, ssh_user: login }
    const hosts = Object.fromEntries(Array.from({ length: 24 }, (_, index) => [`h${index}`, { ...vm01, identity_file: shop.path('keys', 'id_ed25519_vm01') }]))
    await writeFile(shop.path('many.yml'), JSON.stringify({ vms: hosts, remote_execution: { known_hosts_path: shop.path('known_hosts'), audit_log_path: shop.path('audit') } }))
    const { status, stderr } = await shop.call(['run', 'all', '--config', 'many.yml', '--parallel', '24', '--', 'true'])
    expect({ status, stderr }).toEqual({ status: 0, stderr: 'remex: 24 hosts: 24 succeeded\n' })
  })

  it('is not coloured without a terminal', async () => {
    expect((await shop.call(['run', '@lab', '--', 'echo', 'x'], { env: { FORCE_COLOR: '1' } })).stdout).not.toContain('\u001b')
  })
})

describe('run --json', () => {
  it('prints one object per host and nothing else on stdout', async () => {
    const { rows, stderr, status } = await shop.call(['run', 'vm01,vm02', '--json', '-c', 'echo out; echo err >&2; [ $NAME = one ]'])
    expect(rows.map((row) => row['vm_id']).sort()).toEqual(['vm01', 'vm02'])
    expect(rows.find((row) => row['vm_id'] === 'vm01')).toMatchObject({ operation: 'run', ended: 'exited', exit_code: 0, success: true, stdout: 'out\n', stderr: 'err\n', stdout_bytes: 4, truncated: false, attempts: 1, engine: 'ssh2', killed: null, error: null })
    expect(rows.find((row) => row['vm_id'] === 'vm02')).toMatchObject({ exit_code: 1, success: false })
    expect(stderr).toBe('')
    expect(status).toBe(1)
  })

  it('has output that is no text in stdout_base64, and keeps at most --max-output of it', async () => {
    const [row] = (await shop.call(['run', 'vm01', '--json', '--max-output', '2', '-c', String.raw`printf '\377\376\375'`])).rows
    expect(row).toMatchObject({ stdout_base64: Buffer.from([0xff, 0xfe]).toString('base64'), stdout_bytes: 3, truncated: true })
    expect(row).not.toHaveProperty('stdout')
  })

  it('tells a deadline with what was ended', async () => {
    const { rows: [row], status } = await shop.call(['run', 'vm01', '--json', '--timeout', '200ms', '--', 'sleep', '30'])
    expect(row).toMatchObject({ ended: 'timed_out', exit_code: null, success: false, killed: { survivors: [] }, error: { code: 'TIMED_OUT', may_have_run: true } })
    expect(status).toBe(124)
  })

  it.each([
    ['a host that is not there', ['run', 'vm09', '--json', '--', 'true'], 'HOST_UNKNOWN'],
    ['an option that is not there', ['run', 'vm01', '--json', '--nope', '--', 'true'], 'USAGE'],
    ['no command', ['run', 'vm01', '--json'], 'USAGE'],
    ['no configuration', ['--config', '/nope.yml', '--json', 'run', 'vm01', '--', 'true'], 'CONFIG_NOT_FOUND'],
  ])('tells %s as one object with an error and no vm_id', async (_, words, code) => {
    const { rows, status, stderr } = await shop.call(words)
    expect(rows).toEqual([{ error: { code, message: expect.any(String) as string, hint: expect.any(String) as string, may_have_run: false } }])
    expect(status).toBe(125)
    expect(stderr).toBe('')
  })
})

describe('what run gives the command', () => {
  it('are words that the host’s shell does not interpret, also such that look like options of ours', async () => {
    const { stdout } = await shop.call(['run', 'vm01', '--', 'printf', '%s|', '$HOME', 'a b', '*', "it's", '--json', '--', '-c', 'ünï'])
    expect(stdout).toBe("$HOME|a b|*|it's|--json|--|-c|ünï|")
  })

  it('is a closed standard input, unless one is given', async () => {
    expect((await shop.call(['run', 'vm01', '--', 'cat'], { input: 'ours' })).stdout).toBe('')
    expect((await shop.call(['run', 'vm01', '--stdin', '--', 'cat'], { input: 'ours' })).stdout).toBe('ours')
    expect((await shop.call(['run', 'vm01,vm02', '--stdin', '--', 'cat'], { input: 'ours\n' })).stdout.split('\n').sort()).toEqual(['', 'vm01: ours', 'vm02: ours'])
    await writeFile(shop.path('-odd name'), 'from a file')
    expect((await shop.call(['run', 'vm01', '--input=-odd name', '--', 'cat'])).stdout).toBe('from a file')
  })

  it('are variables, of which secret ones are neither printed nor recorded', async () => {
    const words = ['run', 'vm01', '--verbose', '--env', 'PLAIN=a b', '--env', 'TWO=2', '--secret-env', 'PW=given-hunter2', '--secret-env', 'TOKEN', '--json', '-c', 'echo "$PLAIN $TWO $(printf %s "$PW$TOKEN" | wc -c)"']
    const { status, stdout, stderr } = await shop.call(words, { env: { TOKEN: 'env-hunter2' } })
    expect(status).toBe(0)
    expect(JSON.parse(stdout)).toMatchObject({ stdout: 'a b 2 24\n' })
    expect(stdout + stderr + (await shop.auditText())).not.toContain('hunter2')
  })

  it('is a directory to start in', async () => {
    expect((await shop.call(['run', 'vm01', '--cwd', '/usr/bin', '--', 'pwd'])).stdout).toBe('/usr/bin\n')
  })
})

describe('the global options', () => {
  it('can stand before the command and after it', async () => {
    const before = await shop.call(['--json', '--user', 'ann', 'run', 'vm01', '--', 'true'])
    const after = await shop.call(['run', 'vm01', '--user', 'ann', '--json', '--', 'true'])
    expect(before.rows[0]).toMatchObject({ user: 'ann', success: true })
    expect(after.rows[0]).toMatchObject({ user: 'ann', success: true })
  })

  it('take the one behind the command where both are given', async () => {
    expect((await shop.call(['--user', 'ann', 'run', 'vm01', '--user', 'bob', '--json', '--', 'true'])).rows[0]).toMatchObject({ user: 'bob' })
  })
})

describe('run --dry-run', () => {
  it('says what would run where, for people and as JSON, and connects to nothing', async () => {
    const connections = shop.server('vm01').connections
    const words = ['run', 'vm01', '--dry-run', '--env', 'A=value', '--secret-env', 'B=value', '--cwd', '/srv', '--sudo', '--timeout', '5m', '--', 'df', '-h', 'a b']
    const people = await shop.call(words)
    expect(people.status).toBe(0)
    expect(people.stdout).toContain("df -h 'a b'")
    expect(people.stdout).not.toContain('value')
    const [row] = (await shop.call(['--json', ...words])).rows
    expect(row).toMatchObject({ vm_id: 'vm01', dry_run: true, address: '127.0.0.1', port: shop.server('vm01').port, login: 'tester', command: "df -h 'a b'", cwd: '/srv', env_names: ['A', 'B'], sudo: 'root', timeout: 300 })
    expect(shop.server('vm01').connections).toBe(connections)
  })

  it('refuses what run would refuse', async () => {
    expect((await shop.call(['run', 'vm09', '--dry-run', '--', 'true'])).status).toBe(125)
  })
})

describe('script', () => {
  it('sends a local script with its words and gives its status', async () => {
    await writeFile(shop.path('s.sh'), '#!/bin/sh\nprintf "%s|" "$@"\nexit 4\n')
    const { status, stdout } = await shop.call(['script', 'vm01', 's.sh', '--', 'a b', '--json'])
    expect({ status, stdout }).toEqual({ status: 4, stdout: 'a b|--json|' })
  })

  it('says that the script is not there, before it connects', async () => {
    const { status, stderr } = await shop.call(['script', 'vm01', 'nope.sh'])
    expect(status).toBe(125)
    expect(stderr).toMatch(/^remex: nope\.sh: no such file or directory\n {2}\S/)
  })

  it('runs one that is on the host already with --remote', async () => {
    await writeFile(shop.path('remote.sh'), '#!/bin/sh\necho "remote $1"\n', { mode: 0o700 })
    expect((await shop.call(['script', 'vm01', shop.path('remote.sh'), '--remote', '--json', '--', 'x'])).rows[0]).toMatchObject({ operation: 'script', stdout: 'remote x\n' })
  })
})
