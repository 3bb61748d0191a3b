import { NO_HASH } from '../../src/audit/line.ts'
import { SIGNING } from '../../src/audit/signing.ts'
import { lineAt, namedAt, spotOf, type Kind } from './tamper-kinds.ts'
import { chainedLine, changed, parsed, unsigned } from './tamper-lines.ts'
import type { LogFile, Naming, Tampering, TamperScene } from './tamper-scene.ts'

/** What is done with the head when the chain was computed anew. */
const HEADS = {
  'head.json left': ({ head }: TamperScene['log']) => head,
  'head.json without a signature': (_log: TamperScene['log'], anew: Anew) => JSON.stringify(headOf(anew)),
  'head.json with the old signature': ({ head }: TamperScene['log'], anew: Anew) => {
    const { key, signature } = parsed(head ?? '')
    return JSON.stringify({ ...headOf(anew), key, signature })
  },
  'head.json removed': () => undefined,
} as const

type HeadKind = keyof typeof HEADS

/** How a log is tampered with by somebody who changes a record and computes the whole chain behind it anew, without the key. */
export const anewKinds: ReadonlyMap<string, Kind> = new Map(
  [false, true].flatMap((dropsSignatures) =>
    (Object.keys(HEADS) as HeadKind[]).map((head): [string, Kind] => [
      `the chain computed anew, ${dropsSignatures ? 'signatures in it taken out, ' : ''}${head}`,
      (scene) => computedAnew(scene, { dropsSignatures, head }),
    ]),
  ),
)

interface AnewOptions {
  readonly dropsSignatures: boolean
  readonly head: HeadKind
}

/** A chain that was computed anew from one record on. */
interface Anew {
  readonly files: readonly LogFile[]
  readonly seq: number
  readonly hash: string
}

function* computedAnew(scene: TamperScene, options: AnewOptions): Generator<Tampering> {
  const signing = new Set([...scene.spots.keys()].filter((index) => SIGNING.has(String(parsed(lineAt(scene, index))['event']))))
  for (const index of scene.spots.keys()) {
    const anew = anewFrom(scene, index, options.dropsSignatures ? signing : new Set())
    const head = HEADS[options.head](scene.log, anew)
    const signature = options.dropsSignatures ? undefined : [...signing].find((at) => at > index)
    const named = signature === undefined ? namedByHead(scene, options.head) : { ...namedAt(scene, spotOf(scene, signature), signature), problems: ['altered'] as const }
    yield { what: `from record ${index + 1} on`, log: { files: anew.files, head }, named }
  }
}

function anewFrom(scene: TamperScene, from: number, withoutSignature: ReadonlySet<number>): Anew {
  const files = scene.log.files.map(({ name, lines }) => ({ name, lines: [...lines] }))
  let hash = from === 0 ? NO_HASH : String(parsed(lineAt(scene, from - 1))['hash'])
  for (let index = from; index < scene.spots.length; index++) {
    const { file, line } = spotOf(scene, index)
    const said = withoutSignature.has(index) ? unsigned(lineAt(scene, index)) : lineAt(scene, index)
    const next = chainedLine(index === from ? changed(said, 'time') : said, hash)
    files[file]?.lines.splice(line, 1, next.line)
    hash = next.hash
  }
  return { files, seq: scene.spots.length, hash }
}

function headOf({ files, seq, hash }: Anew): object {
  return { seq, hash, size_bytes: (files.at(-1)?.lines ?? []).reduce((sum, line) => sum + Buffer.byteLength(line) + 1, 0) }
}

function namedByHead(scene: TamperScene, head: HeadKind): Naming {
  const last = scene.spots.length - 1
  if (head === 'head.json left') return { ...namedAt(scene, spotOf(scene, last), last), problems: ['altered'] }
  return { file: 'head.json', line: 1, seq: last + 1, problems: [head === 'head.json removed' ? 'cut_off' : 'altered'] }
}
