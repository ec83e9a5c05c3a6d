// Records what picomatch 2.3.1 answers, for tests/init/filters/test_picomatch.py:
//   npm install picomatch@2.3.1 && node record_picomatch.mjs NODE_MODULES > picomatch.json && gzip -9n picomatch.json
// The result is {"paths": […], "answers": {pattern: the paths it matches, as a number in base 36, one bit a path}}.
import { createRequire } from 'node:module';
import { resolve } from 'node:path';

const require = createRequire(resolve(process.argv[2], 'index.js'));
const picomatch = require('picomatch');
if (require('picomatch/package.json').version !== '2.3.1') throw new Error('this is not picomatch 2.3.1');

let seed = 20240229;
const below = limit => {
  seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
  return (seed >>> 8) % limit;
};
const one = list => list[below(list.length)];
const some = (make, most) => Array.from({ length: 1 + below(most) }, make);

const names = `a b ab abc .a a.b a. a.. a.ts x.test.ts b.ts .ts go.mod go. a-b [a] [ab] {a} id 1 2 é !a (a) +a @a a+ c aa [!a] {a a) $a ^ | a|b a,b -
  A a1 b.test.ts a.md docs2 README.md index.js page.tsx [id].tsx (auth) [...slug].tsx`.split(/\s+/);
const segments = `* ** a b ab a* *b *.ts *.test.ts ? a? [ab] [^a]b {a,b} {a,b}* x.{test,spec}.ts .* .a go.* [id] {a} *.{ts,mod} {a,a/b} {,a/}b *.* {*,a}
  {go.*,a} {**/*.ts,a} **.{ts,js} **{.ts,.js} @(a|b) (a|b) {a/**,b/**} {**,a} [!a] {a,b*} .{a,b} .*.ts {.*,*} ?(a) !(a) !(*.md) !(a|b).ts !(*.test).ts
  (auth) [id].tsx [...slug].tsx {1..2} [[:alpha:]]`.split(/\s+/);
const atoms = `* ** a b ab . ? ts .ts x [ab] [a-c] [^a] [!a] [a!] {a,b} {a} {*,a} {**,a} {**/a,b} {.ts,.js} {a/**,b} {a/b,c} {,a} {,a/} {a.*,b} {.*,b} {b*,a}
  (a|b) (a) @(a|b) ?(a) @(a/**|b) @(**|b) @(b|**) {1..2} [[:alpha:]] / / / / *.ts **.ts ! + @ \\* \\[ \\( \\{ \\. { } [ ] ( ) | , $ ^ *** é - !(a)
  {a,{b,c}} {a**,b} {**b,a} (**/a|b) {a,**}/ ./ ../ //`.split(/\s+/);

const makers = [
  () => some(() => one(segments), 3).join('/'),
  () => some(() => one(atoms), 4).join(''),
  () => one(['./', '!', '!./', '']) + some(() => one(segments), 2).join('/'),
];
const paths = [...new Set([...names, ...Array.from({ length: 260 }, () => some(() => one(names), 4).join('/'))])].slice(0, 240);
const answers = {};
for (let count = 0; count < 5000; count++) {
  const pattern = one(makers)();
  if (!pattern || pattern in answers) continue;
  const match = picomatch(pattern, { dot: true });
  answers[pattern] = paths.reduce((bits, path, index) => (match(path) ? bits | (1n << BigInt(index)) : bits), 0n).toString(36);
}
process.stdout.write(JSON.stringify({ paths, answers }));
