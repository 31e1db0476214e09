// The compatibility package against the declarations that the npm package of TRTC ships: names and values, the samples in its
// documentation, and a sample application that is type-checked with both. The package is only a dependency of this test.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import ts from 'typescript';

const path = (relative) => fileURLToPath(new URL(relative, import.meta.url));
const packages = {
  theirs: path('node_modules/trtc-sdk-v5/index.d.ts'),
  ours: path('../../web/src/trtc-compat/index.ts'),
};
const documentation = readFileSync(path('../../docs/moving-from-trtc.md'), 'utf8');

/** The names in backticks of the section with this heading. */
function listed(heading) {
  const section = documentation.split(/^#+ /m).find((part) => part.startsWith(`${heading}\n`));
  assert.ok(section, `docs/moving-from-trtc.md has a section ${heading}`);
  return new Set([...section.matchAll(/`([^`]+)`/g)].map(([, name]) => name));
}

const options = {
  target: ts.ScriptTarget.ES2022,
  module: ts.ModuleKind.ESNext,
  moduleResolution: ts.ModuleResolutionKind.Bundler,
  lib: ['lib.es2022.d.ts', 'lib.dom.d.ts', 'lib.dom.iterable.d.ts'],
  strict: true,
  skipLibCheck: true,
  noEmit: true,
  types: [],
};

/** A program of these sources (by name), in which `trtc-sdk-v5` is the given package. */
function program(sources, entry) {
  const host = ts.createCompilerHost(options);
  const { getSourceFile, fileExists, readFile } = host;
  host.getSourceFile = (name, ...rest) => (
    name in sources ? ts.createSourceFile(name, sources[name], options.target) : getSourceFile.call(host, name, ...rest));
  host.fileExists = (name) => name in sources || fileExists.call(host, name);
  host.readFile = (name) => sources[name] ?? readFile.call(host, name);
  host.resolveModuleNames = (names, from) => names.map((name) => {
    if (name === 'trtc-sdk-v5') return { resolvedFileName: entry };
    return ts.resolveModuleName(name, from, options, host).resolvedModule;
  });
  return ts.createProgram([...Object.keys(sources), entry], options, host);
}

function exportsOf(entry) {
  const made = program({}, entry);
  const checker = made.getTypeChecker();
  const all = checker.getExportsOfModule(checker.getSymbolAtLocation(made.getSourceFile(entry)));
  return { checker, exports: new Map(all.map((symbol) => {
    const real = symbol.flags & ts.SymbolFlags.Alias ? checker.getAliasedSymbol(symbol) : symbol;
    return [symbol.name, real];
  })) };
}

/** The public names of a type, in the order of its declarations. */
function members(checker, type) {
  return checker.getPropertiesOfType(type)
    .filter(({ declarations = [] }) => !declarations.some((one) => ts.getCombinedModifierFlags(one) & ts.ModifierFlags.Private))
    .map(({ name }) => name).filter((name) => name !== 'prototype');
}

/** The properties of a value with this name: for each its literal type, as text. */
function values({ checker, exports }, name) {
  const symbol = exports.get(name);
  if (!symbol) return undefined;
  const type = checker.getTypeOfSymbol(symbol);
  return new Map(checker.getPropertiesOfType(type).map((property) => {
    const literal = checker.getTypeOfSymbol(property);
    return [property.name, literal.isLiteral() ? literal.value : checker.typeToString(literal)];
  }));
}

const theirs = exportsOf(packages.theirs);
const ours = exportsOf(packages.ours);
const absent = listed('Not there');

/** Everything of theirs that ours does not have, as `Type.name`. */
const missing = [];

function compare(what, names, known) {
  for (const name of names) if (!known.includes(name)) missing.push(`${what}.${name}`);
}

describe('the names of the compatibility package', () => {
  const classOf = ({ checker, exports }) => {
    const symbol = exports.get('TRTC');
    return { checker, statics: checker.getTypeOfSymbol(symbol), instance: checker.getDeclaredTypeOfSymbol(symbol) };
  };
  const [their, our] = [classOf(theirs), classOf(ours)];

  test('the class has the same methods, and one more', () => {
    compare('TRTC', members(their.checker, their.instance), members(our.checker, our.instance));
    compare('TRTC', members(their.checker, their.statics), members(our.checker, our.statics));
    const more = members(our.checker, our.statics).filter((name) => !members(their.checker, their.statics).includes(name));
    assert.deepEqual(more, ['setServer']);
  });

  for (const [name, property] of [['EVENT'], ['TYPE'], ['ERROR_CODE']]) {
    test(`TRTC.${name} has the same values`, () => {
      const read = ({ checker, statics }) => {
        const type = checker.getTypeOfSymbol(checker.getPropertyOfType(statics, name));
        return new Map(checker.getPropertiesOfType(type).map((one) => {
          const literal = checker.getTypeOfSymbol(one);
          return [one.name, literal.isLiteral() ? literal.value : undefined];
        }));
      };
      const [theirValues, ourValues] = [read(their), read(our)];
      assert.ok(theirValues.size >= 8);
      compare(name, [...theirValues.keys()], [...ourValues.keys()]);
      for (const [key, value] of ourValues) {
        assert.ok(theirValues.has(key), `${name}.${key} is not theirs`);
        // The numbers of error codes are not in their declarations.
        if (theirValues.get(key) !== undefined) assert.equal(value, theirValues.get(key), `${name}.${key}`);
      }
    });
  }

  test('enumerations and profiles have the same values', () => {
    let compared = 0;
    for (const [name, symbol] of theirs.exports) {
      const isValue = symbol.flags & (ts.SymbolFlags.Enum | ts.SymbolFlags.Variable);
      if (!isValue || ['TRTCEvent', 'TRTCType'].includes(name)) continue;
      const [theirValues, ourValues] = [values(theirs, name), values(ours, name)];
      if (!ourValues) {
        missing.push(name);
        continue;
      }
      compared += 1;
      assert.deepEqual([...ourValues.keys()].sort(), [...theirValues.keys()].sort(), name);
      for (const [key, value] of theirValues) if (typeof value !== 'string' || !value.includes('{')) assert.equal(ourValues.get(key), value, `${name}.${key}`);
    }
    assert.ok(compared >= 10, `${compared} enumerations`);
  });

  test('options and events have the same fields', () => {
    let compared = 0;
    for (const [name, symbol] of theirs.exports) {
      if (!(symbol.flags & (ts.SymbolFlags.Interface | ts.SymbolFlags.TypeAlias)) || symbol.flags & ts.SymbolFlags.Value) continue;
      const our = ours.exports.get(name);
      if (!our) {
        missing.push(name);
        continue;
      }
      compared += 1;
      const fields = ({ checker }, one) => members(checker, checker.getDeclaredTypeOfSymbol(one)).map((field) => field.replace(/^__@/, ''));
      if (name === 'TRTCEventTypes') continue; // Its fields are the events above.
      compare(name, fields(theirs, symbol), fields(ours, our));
      const inner = (side, one) => {
        const property = side.checker.getPropertyOfType(side.checker.getDeclaredTypeOfSymbol(one), 'option');
        return property ? members(side.checker, side.checker.getNonNullableType(side.checker.getTypeOfSymbol(property))) : [];
      };
      compare(`${name}.option`, inner(theirs, symbol), inner(ours, our));
    }
    assert.ok(compared >= 20, `${compared} types`);
  });

  test('the documentation lists exactly what is not there', () => {
    assert.deepEqual([...absent].sort(), missing.sort());
  });
});

/** The compiler's messages for each source. */
function check(sources, entry) {
  const made = program(sources, entry);
  return Object.fromEntries(Object.keys(sources).map((name) => {
    const file = made.getSourceFile(name);
    const found = [...made.getSyntacticDiagnostics(file), ...made.getSemanticDiagnostics(file)];
    return [name, found.map(({ messageText }) => ts.flattenDiagnosticMessageText(messageText, '\n'))];
  }));
}

/** Every example in their documentation, as a module in which the names that examples take for granted are declared. */
function examples() {
  const text = readFileSync(packages.theirs, 'utf8');
  const blocks = [...text.matchAll(/@example\s*\n([\s\S]*?)(?=\n\s*\*\s*@|\n\s*\*\/)/g)].map(([, block]) => (
    block.split('\n').map((line) => line.replace(/^\s*\* ?/, '')).join('\n')));
  const head = [
    "import TRTC from 'trtc-sdk-v5';",
    'declare const trtc: TRTC; declare const sdkAppId: number; declare const userId: string; declare const userSig: string;',
    'declare const roomId: number; declare const view: HTMLElement;',
  ].join('\n');
  return Object.fromEntries(blocks.map((block, index) => [
    path(`example-${index}.ts`), `${head}\nexport async function example() {\n${block}\n}\n`,
  ]));
}

describe('code that was written for the SDK of TRTC', () => {
  test("every example of its documentation that its own declarations accept is accepted, unless it is about what is not there", () => {
    const sources = examples();
    const [before, after] = [check(sources, packages.theirs), check(sources, packages.ours)];
    const good = Object.keys(sources).filter((name) => before[name].length === 0);
    const names = [...absent].map((name) => name.split('.').at(-1));
    const about = (name) => names.some((one) => new RegExp(`\\b${one}\\b`).test(sources[name]));
    const broken = good.filter((name) => after[name].length > 0 && !about(name));
    assert.deepEqual(broken.map((name) => [sources[name], after[name]]), []);
    const works = good.filter((name) => after[name].length === 0).length;
    console.log(`${works} of the ${good.length} examples of ${Object.keys(sources).length} that compile with their own declarations compile with ours`);
    assert.ok(works >= 40, `${works} examples`);
  });

  test('a whole application is accepted by both', () => {
    const name = path('trtc_application.ts');
    for (const entry of Object.values(packages)) assert.deepEqual(check({ [name]: readFileSync(name, 'utf8') }, entry)[name], []);
  });

  test('a mistake is refused by both', () => {
    const name = path('mistake.ts');
    const text = "import TRTC from 'trtc-sdk-v5';\nvoid TRTC.create().enterRoom({ sdkAppId: 'one', userId: 'ann', userSig: '' });";
    for (const entry of Object.values(packages)) assert.equal(check({ [name]: text }, entry)[name].length, 1);
  });
});
