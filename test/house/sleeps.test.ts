import ts from 'typescript'
import { expect, it } from 'vitest'
import { type Module, modulesUnder, placeOf, walk } from './repository.ts'

it('no test waits for a fixed time: it awaits the event, or polls with until()', () => {
  expect(modulesUnder('test').flatMap(fixedWaits)).toEqual([])
})

/**
 * Promises of a timer: `setTimeout` of node:timers/promises by whatever name it was imported, and `new Promise` around a plain one.
 * Allowed as one side of a `Promise.race`, where it bounds a wait, or where silence is what is expected; and a wait of 0.
 */
function fixedWaits(module: Module): readonly string[] {
  const timers = promisedTimers(module)
  const found: string[] = []
  walk(module.source, (node) => {
    if (!ts.isCallExpression(node) || !ts.isIdentifier(node.expression)) return
    const isWait = timers.has(node.expression.text) || (node.expression.text === 'setTimeout' && isInside(node, isPromiseMade))
    const isBound = isInside(node, isRace) || node.arguments.some((argument) => argument.getText() === '0')
    if (isWait && !isBound) found.push(`${placeOf(module, node)} ${node.getText(module.source)}`)
  })
  return found
}

/** The local names of what the file imports from node:timers/promises. */
function promisedTimers({ source }: Module): ReadonlySet<string> {
  const clauses = source.statements.filter(ts.isImportDeclaration).filter(({ moduleSpecifier }) => /timers\/promises/.test(moduleSpecifier.getText(source)))
  const bindings = clauses.flatMap(({ importClause }) => importClause?.namedBindings ?? [])
  return new Set(bindings.filter(ts.isNamedImports).flatMap(({ elements }) => elements.map(({ name }) => name.text)))
}

function isInside(node: ts.Node, test: (node: ts.Node) => boolean): boolean {
  return ts.findAncestor(node.parent, test) !== undefined
}

function isPromiseMade(node: ts.Node): boolean {
  return ts.isNewExpression(node) && node.expression.getText() === 'Promise'
}

function isRace(node: ts.Node): boolean {
  return ts.isCallExpression(node) && node.expression.getText() === 'Promise.race'
}
