import { join } from 'node:path'
import type { AuditVerdict } from '../src/audit/verify/verdict.ts'
import { anewKinds } from './audit/tamper-anew.ts'
import { singleKinds, type Kind } from './audit/tamper-kinds.ts'
import { makeTamperScene, type Tampering, type TamperScene } from './audit/tamper-scene.ts'
import { interruption } from './lib/interruption.ts'
import { printedProof } from './lib/proof.ts'
import { seededRandom } from './lib/random.ts'
import { makeWorkspace } from './lib/workspace.ts'

/** What is to be proven. */
export interface TamperOptions {
  /** Of the log, about. */
  readonly records: number
  /** Of what is swapped with what. */
  readonly seed: number
  /** Rejects when the proof is to end early. */
  readonly interrupted?: Promise<never>
}

/** What came of one kind. */
export interface KindProof {
  readonly name: string
  tried: number
  /** Verdicts that the log is wrong. */
  found: number
  /** Verdicts that name the right place and problem, too. */
  named: number
}

/** What came of all. */
export interface TamperProof {
  readonly records: number
  readonly files: number
  readonly kinds: KindProof[]
  /** What was not found, or named wrongly, in words. */
  readonly wrong: string[]
}

const FILES = 3

/** `./remex bench audit --tamper`: proves it and prints the figures. Resolves with the exit status: 1 when anything was not found and named. */
export async function benchTamper(options: TamperOptions): Promise<number> {
  const prove = (): Promise<TamperProof> => proveTamper({ ...options, interrupted: interruption() }, ({ name, tried, found, named }) => {
    process.stdout.write(`${name}: ${tried} tried, ${found} found, ${named} named\n`)
  })
  const proof = await printedProof(options.seed, prove, report)
  return proof.wrong.length === 0 ? 0 : 1
}

function report({ records, files, kinds, wrong }: TamperProof): string {
  const sum = (of: 'tried' | 'found' | 'named'): number => kinds.reduce((all, kind) => all + kind[of], 0)
  return [`${records} records in ${files} files: ${sum('tried')} tried, ${sum('found')} found, ${sum('named')} named`, ...wrong.slice(0, 20)].join('\n')
}

/** Tampers with a log in every way there is of each kind, and looks whether each is found and the first wrong record named. */
export async function proveTamper({ records, seed, interrupted }: TamperOptions, onKind: (kind: KindProof) => void = () => undefined): Promise<TamperProof> {
  await using space = await makeWorkspace()
  const scene = await makeTamperScene(join(await space.memory.directory(0o700), 'audit'), { records, files: FILES })
  const proof: TamperProof = { records: scene.spots.length, files: scene.log.files.length, kinds: [], wrong: [] }
  const whole = await scene.verdictOf(scene.log)
  if (!whole.ok) throw new Error(`the log that nobody tampered with: ${whole.message}`)
  const work = async (): Promise<void> => {
    for (const [name, kind] of [...singleKinds, ...anewKinds]) {
      const own = await proveKind(scene, { name, kind, seed }, proof.wrong)
      proof.kinds.push(own)
      onKind(own)
    }
  }
  await (interrupted ? Promise.race([work(), interrupted]) : work())
  return proof
}

async function proveKind(scene: TamperScene, { name, kind, seed }: { readonly name: string; readonly kind: Kind; readonly seed: number }, wrong: string[]): Promise<KindProof> {
  const proof: KindProof = { name, tried: 0, found: 0, named: 0 }
  for (const tampering of kind(scene, seededRandom(seed))) {
    const verdict = await scene.verdictOf(tampering.log)
    const named = isNamed(verdict, tampering)
    proof.tried++
    if (!verdict.ok) proof.found++
    if (named) proof.named++
    else wrong.push(`${name}: ${tampering.what}: ${verdict.ok ? 'NOT FOUND' : `${verdict.file} line ${verdict.line}, record ${verdict.seq}, ${verdict.problem}`}, expected ${JSON.stringify(tampering.named)}`)
  }
  return proof
}

function isNamed(verdict: AuditVerdict, { named: { file, line, seq, problems } }: Tampering): boolean {
  return !verdict.ok && verdict.file === file && verdict.line === line && verdict.seq === seq && problems.includes(verdict.problem)
}
