import ts from 'typescript'
import { expect, it } from 'vitest'
import { type Module, modulesUnder, placeOf } from './repository.ts'

it('every name that src and testkit export has a doc comment', () => {
  const bare = modulesUnder('src', 'testkit').flatMap((module) =>
    module.source.statements.filter((statement) => isExported(statement) && !hasDocComment(statement, module)).map((statement) => shown(statement, module)),
  )
  expect(bare).toEqual([])
})

/** Re-exports have their comment where the name is declared. */
function isExported(statement: ts.Statement): boolean {
  return ts.canHaveModifiers(statement) && (ts.getModifiers(statement) ?? []).some(({ kind }) => kind === ts.SyntaxKind.ExportKeyword)
}

function hasDocComment(statement: ts.Statement, { text }: Module): boolean {
  const comments = ts.getLeadingCommentRanges(text, statement.getFullStart()) ?? []
  return comments.some(({ pos, end }) => /^\/\*\*\s*\S[^]*\*\/$/.test(text.slice(pos, end)) && text.slice(end, statement.getStart()).split('\n').length <= 2)
}

function shown(statement: ts.Statement, module: Module): string {
  return `${placeOf(module, statement)} ${statement.getText(module.source).split('\n', 1)[0] ?? ''}`
}
