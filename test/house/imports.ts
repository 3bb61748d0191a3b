import { posix } from 'node:path'
import ts from 'typescript'
import { type Module, placeOf, walk } from './repository.ts'

/** One import of one module by another. */
export interface Import {
  /** Path of the file that imports. */
  readonly from: string
  /** Path of our own file, or the package's or Node module's name as it is written. */
  readonly to: string
  /** `type`: gone when the program runs. `dynamic`: `import()`. */
  readonly kind: 'value' | 'type' | 'dynamic'
  /** `path:line`. */
  readonly place: string
}

/** Every import, re-export and `import()` of the file. */
export function importsOf(module: Module): readonly Import[] {
  const found: Import[] = []
  walk(module.source, (node) => {
    const specifier = specifierOf(node)
    if (!specifier || !ts.isStringLiteralLike(specifier)) return
    found.push({ from: module.path, to: resolved(module.path, specifier.text), kind: kindOf(node), place: placeOf(module, node) })
  })
  return found
}

function specifierOf(node: ts.Node): ts.Node | undefined {
  if (ts.isImportDeclaration(node) || ts.isExportDeclaration(node)) return node.moduleSpecifier
  if (ts.isImportTypeNode(node)) return ts.isLiteralTypeNode(node.argument) ? node.argument.literal : undefined
  if (ts.isCallExpression(node) && node.expression.kind === ts.SyntaxKind.ImportKeyword) return node.arguments[0]
  return undefined
}

function kindOf(node: ts.Node): Import['kind'] {
  if (ts.isCallExpression(node)) return 'dynamic'
  if (ts.isImportDeclaration(node)) return isTypeImport(node.importClause) ? 'type' : 'value'
  if (ts.isExportDeclaration(node)) return node.isTypeOnly || allTypes(node.exportClause) ? 'type' : 'value'
  return 'type'
}

function isTypeImport(clause: ts.ImportClause | undefined): boolean {
  if (!clause) return false
  return clause.phaseModifier === ts.SyntaxKind.TypeKeyword || (!clause.name && allTypes(clause.namedBindings))
}

function allTypes(bindings: ts.NamedImportBindings | ts.NamedExportBindings | undefined): boolean {
  if (!bindings || !(ts.isNamedImports(bindings) || ts.isNamedExports(bindings))) return false
  return bindings.elements.length > 0 && bindings.elements.every(({ isTypeOnly }) => isTypeOnly)
}

function resolved(from: string, specifier: string): string {
  return specifier.startsWith('.') ? posix.join(posix.dirname(from), specifier) : specifier
}
