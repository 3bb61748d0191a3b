import { defineConfig } from 'eslint/config'
import tseslint from 'typescript-eslint'

const DEFAULT_EXPORT = { selector: 'ExportDefaultDeclaration', message: 'Export it under its name.' }
const DOUBLE_CAST = { selector: 'TSAsExpression > TSAsExpression > TSUnknownKeyword', message: 'A cast by way of unknown says nothing true about the value.' }
const MODULE_LET = {
  selector: ':matches(Program, Program > ExportNamedDeclaration) > VariableDeclaration[kind=/^(let|var)$/]',
  message: 'State belongs to a value that is passed, not to a module.',
}
const ZOD = {
  name: 'zod',
  importNames: ['z', 'default'],
  message: "Write import * as z from 'zod': the named import keeps every locale in the bundle, 18 ms of each start.",
}

export default defineConfig([
  { ignores: ['dist/', 'node_modules/', '.remex/', 'results/', 'coverage/'] },
  { linterOptions: { reportUnusedDisableDirectives: 'error', reportUnusedInlineConfigs: 'error' } },
  {
    files: ['**/*.ts'],
    extends: [tseslint.configs.strictTypeChecked],
    languageOptions: { parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname } },
    rules: {
      'max-lines': ['error', { max: 400, skipBlankLines: false, skipComments: false }],
      'max-lines-per-function': ['error', { max: 60, skipBlankLines: false, skipComments: false, IIFEs: true }],
      'max-params': ['error', { max: 4 }],
      eqeqeq: 'error',
      'no-restricted-syntax': ['error', DEFAULT_EXPORT, DOUBLE_CAST, MODULE_LET],
      'no-restricted-imports': ['error', { paths: [ZOD] }],
      '@typescript-eslint/consistent-type-imports': 'error',
      '@typescript-eslint/switch-exhaustiveness-check': ['error', { considerDefaultExhaustiveForUnions: true }],
      '@typescript-eslint/no-unused-vars': ['error', { argsIgnorePattern: '^_', varsIgnorePattern: '^_', caughtErrors: 'all' }],
      // Numbers and booleans in a template are plain to read, and print as one expects.
      '@typescript-eslint/restrict-template-expressions': ['error', { allowNumber: true, allowBoolean: true }],
      // `() => list.push(x)` as a callback is plain code.
      '@typescript-eslint/no-confusing-void-expression': 'off',
      // Methods of the contracts may be written with async where one implementation has nothing to wait for.
      '@typescript-eslint/require-await': 'off',
      // A bare `return promise` is as right as `return await` outside of a try, and the rule asks for neither there.
      '@typescript-eslint/return-await': ['error', 'error-handling-correctness-only'],
      // The reason of an AbortSignal, and what was caught, are passed on as they are.
      '@typescript-eslint/only-throw-error': ['error', { allowThrowingAny: true, allowThrowingUnknown: true }],
      '@typescript-eslint/prefer-promise-reject-errors': ['error', { allowThrowingAny: true, allowThrowingUnknown: true }],
      // Code points are what `[...text]` is written for; a result made of another result takes its facts, not its class.
      '@typescript-eslint/no-misused-spread': ['error', { allow: ['string', { from: 'file', name: ['RunResult', 'TransferResult'] }] }],
      '@typescript-eslint/no-dynamic-delete': 'off',
      '@typescript-eslint/no-unnecessary-type-parameters': 'off',
    },
  },
  {
    files: ['src/**/*.ts'],
    ignores: ['src/transport/**'],
    rules: {
      'no-restricted-imports': [
        'error',
        {
          paths: [ZOD],
          patterns: [{ regex: '^ssh2(/|$)', message: 'Only src/transport/ knows an SSH library.' }],
        },
      ],
    },
  },
  {
    files: ['test/**/*.ts'],
    rules: {
      // A describe block is as long as its list of cases.
      'max-lines-per-function': 'off',
      // A row of a table of cases has as many columns as it needs.
      'max-params': 'off',
      // What a beforeEach makes is kept in the file's variables.
      'no-restricted-syntax': ['error', DEFAULT_EXPORT, DOUBLE_CAST],
      // Parsed JSON, `expect.any` and wrong calls made on purpose are all `any`; the expectations check them.
      '@typescript-eslint/no-unsafe-argument': 'off',
      '@typescript-eslint/no-unsafe-assignment': 'off',
      '@typescript-eslint/no-unsafe-call': 'off',
      '@typescript-eslint/no-unsafe-member-access': 'off',
      '@typescript-eslint/no-unsafe-return': 'off',
      '@typescript-eslint/no-misused-spread': 'off',
      '@typescript-eslint/unbound-method': 'off',
    },
  },
  // A program that reads from top to bottom counts as it goes.
  { files: ['examples/**/*.ts'], rules: { 'no-restricted-syntax': ['error', DEFAULT_EXPORT, DOUBLE_CAST] } },
  // The original's functions keep their order of arguments.
  { files: ['src/compat.ts'], rules: { 'max-params': ['error', { max: 5 }] } },
  { files: ['*.config.ts', 'eslint.config.js'], rules: { 'no-restricted-syntax': ['error', DOUBLE_CAST] } },
  {
    files: ['**/*.{js,mjs,cjs}'],
    rules: {
      'max-lines': ['error', { max: 400 }],
      'max-lines-per-function': ['error', { max: 60 }],
      'max-params': ['error', { max: 4 }],
      eqeqeq: 'error',
      'no-unused-vars': ['error', { argsIgnorePattern: '^_', varsIgnorePattern: '^_' }],
    },
  },
])
