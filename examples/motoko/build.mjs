// Compiles the samples:
//
//   node build.mjs 3.13 DIRECTORY     classical persistence, 32-bit memory
//   node build.mjs 4.10 DIRECTORY     enhanced orthogonal persistence, 64-bit memory
//
// Interface and stable types become public metadata of the modules.
import fs from 'node:fs';
import path from 'node:path';
import { createRequire } from 'node:module';

const [version, out] = process.argv.slice(2);
if (!out) {
  console.error('usage: node build.mjs 3.13|4.10 DIRECTORY');
  process.exit(2);
}
const require = createRequire(import.meta.url);
const compiler = require(`motoko-${version}`);
const mo = compiler.default ?? compiler;
mo.loadPackage(require('motoko-3.13/packages/latest/base.json')); // the base library, which the newer package no longer has in this form
mo.setPublicMetadata(['candid:service', 'candid:args', 'motoko:stable-types']);

const samples = {
  counter: 'counter/main.mo', caller: 'caller/main.mo', page: 'certified-page/main.mo', wallet: 'wallet-eth/main.mo',
  lab: 'semantics/lab.mo', factory: 'semantics/factory.mo', keeper1: 'semantics/keeper1.mo', keeper2: 'semantics/keeper2.mo', keeperbad: 'semantics/keeperbad.mo',
};
for (const dir of new Set(Object.values(samples).map((f) => path.dirname(f)))) {
  for (const name of fs.readdirSync(path.join(import.meta.dirname, dir)).filter((n) => n.endsWith('.mo'))) {
    mo.write(`${dir}/${name}`, fs.readFileSync(path.join(import.meta.dirname, dir, name), 'utf8'));
  }
}
fs.mkdirSync(out, { recursive: true });
for (const [name, file] of Object.entries(samples)) {
  const errors = (mo.check(file) ?? []).filter((p) => p.severity === 1);
  for (const e of errors) console.error(`${e.source}:${e.range.start.line + 1}:${e.range.start.character + 1}: ${e.message}`);
  if (errors.length) process.exit(1);
  const { wasm, candid } = mo.wasm(file, 'ic');
  fs.writeFileSync(path.join(out, `${name}.wasm`), wasm);
  fs.writeFileSync(path.join(out, `${name}.did`), candid);
}
