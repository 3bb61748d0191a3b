import ts from 'typescript'
import { type Module, placeOf, walk } from './repository.ts'

/** One function with a body. */
export interface FunctionFacts {
  /** `path:line name`. */
  readonly place: string
  readonly name: string
  /** Physical lines, from its own first to its last; comments above are not counted. */
  readonly lines: number
  readonly parameters: number
  /** Whether no other function is around it. */
  readonly isOutermost: boolean
  /** Whether a reason for its length stands above it, as a directive for the linter. */
  readonly isExcused: boolean
}

/** Every function, method, accessor and arrow function with a body in the file. */
export function functionsOf(module: Module): readonly FunctionFacts[] {
  const found: FunctionFacts[] = []
  walk(module.source, (node) => {
    if (ts.isFunctionLike(node) && 'body' in node && node.body) found.push(factsOf(module, node))
  })
  return found
}

function factsOf(module: Module, node: ts.SignatureDeclaration): FunctionFacts {
  const { source } = module
  const lineAt = (position: number): number => source.getLineAndCharacterOfPosition(position).line
  const first = lineAt(node.getStart(source))
  const name = nameOf(node, source)
  return {
    place: `${placeOf(module, node)} ${name}`,
    name,
    lines: lineAt(node.getEnd()) - first + 1,
    parameters: node.parameters.length,
    isOutermost: !ts.findAncestor(node.parent, ts.isFunctionLike),
    isExcused: /eslint-disable-next-line max-lines-per-function -- \S/.test(source.text.split('\n')[first - 1] ?? ''),
  }
}

function nameOf(node: ts.SignatureDeclaration, source: ts.SourceFile): string {
  if (node.name) return node.name.getText(source)
  if (ts.isConstructorDeclaration(node)) return 'constructor'
  return ts.isVariableDeclaration(node.parent) ? node.parent.name.getText(source) : '(anonymous)'
}
