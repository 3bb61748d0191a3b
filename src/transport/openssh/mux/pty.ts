import { sshString, uint32 } from '../../../core/ssh-wire.ts'
import type { PtyOptions } from '../../contract.ts'

/** The numbers of terminal modes. Source: RFC 4254 section 8. */
const MODES: Readonly<Record<string, number>> = {
  VINTR: 1, VQUIT: 2, VERASE: 3, VKILL: 4, VEOF: 5, VEOL: 6, VEOL2: 7, VSTART: 8, VSTOP: 9, VSUSP: 10, VDSUSP: 11, VREPRINT: 12,
  VWERASE: 13, VLNEXT: 14, VFLUSH: 15, VSWTCH: 16, VSTATUS: 17, VDISCARD: 18,
  IGNPAR: 30, PARMRK: 31, INPCK: 32, ISTRIP: 33, INLCR: 34, IGNCR: 35, ICRNL: 36, IUCLC: 37, IXON: 38, IXANY: 39, IXOFF: 40, IMAXBEL: 41,
  ISIG: 50, ICANON: 51, XCASE: 52, ECHO: 53, ECHOE: 54, ECHOK: 55, ECHONL: 56, NOFLSH: 57, TOSTOP: 58, IEXTEN: 59, ECHOCTL: 60,
  ECHOKE: 61, PENDIN: 62,
  OPOST: 70, OLCUC: 71, ONLCR: 72, OCRNL: 73, ONOCR: 74, ONLRET: 75,
  CS7: 90, CS8: 91, PARENB: 92, PARODD: 93,
  TTY_OP_ISPEED: 128, TTY_OP_OSPEED: 129,
}

const END = 0

/** What is particular to a request for a terminal; modes without a number are left out. Source: RFC 4254 section 6.2. */
export function ptyRequest({ term = 'xterm-256color', columns = 80, rows = 24, modes = {} }: PtyOptions): Buffer {
  const encoded = Object.entries(modes).flatMap(([name, value]) => {
    const number = Object.hasOwn(MODES, name) ? MODES[name] : undefined
    return number === undefined ? [] : [Buffer.from([number]), uint32(value)]
  })
  return Buffer.concat([sshString(term), uint32(columns), uint32(rows), uint32(0), uint32(0), sshString(Buffer.concat([...encoded, Buffer.from([END])]))])
}
