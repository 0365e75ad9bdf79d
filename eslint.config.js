import js from '@eslint/js';
import tseslint from 'typescript-eslint';

export default tseslint.config(
  { ignores: ['dist', '.spec', '.docs', 'site', 'coverage', 'bench/results'] },
  {
    files: ['**/*.ts'],
    extends: [js.configs.recommended, ...tseslint.configs.strictTypeChecked, ...tseslint.configs.stylisticTypeChecked],
    languageOptions: {
      parserOptions: {
        project: ['./tsconfig.json', './lib/browser/tsconfig.json', './spec/tsconfig.json', './docs/tsconfig.json'],
        tsconfigRootDir: import.meta.dirname,
      },
    },
    rules: {
      // A task may throw anything, and its future rejects with just that.
      '@typescript-eslint/only-throw-error': 'off',
      '@typescript-eslint/prefer-promise-reject-errors': 'off',
      // `submit(fn)` infers results that appear once in a signature.
      '@typescript-eslint/no-unnecessary-type-parameters': 'off',
      // The other rule, no-non-null-assertion, asks for just what this one forbids.
      '@typescript-eslint/non-nullable-type-assertion-style': 'off',
      // What callers give is checked at run time too: not all of them have types.
      '@typescript-eslint/no-unnecessary-condition': 'off',
      '@typescript-eslint/no-invalid-void-type': ['error', { allowAsThisParameter: true }],
      // A getter can be overridden on an instance by nobody.
      '@typescript-eslint/class-literal-property-style': ['error', 'getters'],
      '@typescript-eslint/consistent-type-exports': 'error',
    },
  },
  {
    files: ['spec/**/*.ts'],
    rules: {
      // chai's assertions are expressions.
      '@typescript-eslint/no-unused-expressions': 'off',
      '@typescript-eslint/no-non-null-assertion': 'off',
    },
  },
  {
    files: ['docs/**/*.ts'],
    rules: { '@typescript-eslint/restrict-template-expressions': ['error', { allowNumber: true }] },
  },
  {
    files: ['docs/**/*.ts', 'spec/**/*.ts'],
    // TypeScript gives the futures of `for await (... of asCompleted())` their type in the first loop that it checks, and that
    // of their values in the others: a cast that is needed in one order is superfluous in the other.
    rules: { '@typescript-eslint/no-unnecessary-type-assertion': 'off' },
  },
  {
    files: ['**/*.js'],
    extends: [js.configs.recommended, tseslint.configs.disableTypeChecked],
    languageOptions: {
      globals: Object.fromEntries(Object.getOwnPropertyNames(globalThis).map((name) => [name, 'readonly'])),
    },
  },
);
