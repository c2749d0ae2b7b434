// Compiles the contracts: node build.mjs OUT [COMBINED] writes OUT/NAME.abi and OUT/NAME.bin for each of them, and all together to COMBINED, for abigen.
// The output depends on nothing but the sources and the compiler, so it can be compared byte for byte.
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import solc from "solc";

const sources = join(dirname(fileURLToPath(import.meta.url)), "solidity");
const [out, combined] = process.argv.slice(2);
if (!out) {
  console.error("usage: node build.mjs OUT [COMBINED]");
  process.exit(2);
}
const input = {
  language: "Solidity",
  sources: Object.fromEntries(
    readdirSync(sources)
      .filter((name) => name.endsWith(".sol"))
      .sort()
      .map((name) => [name, { content: readFileSync(join(sources, name), "utf8") }]),
  ),
  settings: {
    evmVersion: "shanghai", // what every chain that matters runs; nothing newer is needed
    optimizer: { enabled: true, runs: 1000 },
    metadata: { appendCBOR: false, bytecodeHash: "none" }, // no hash of comments in the code
    outputSelection: { "*": { "*": ["abi", "evm.bytecode.object"] } },
  },
};
const result = JSON.parse(solc.compile(JSON.stringify(input)));
for (const e of result.errors ?? []) console.error(e.formattedMessage);
if (result.errors?.length) process.exit(1); // warnings too

mkdirSync(out, { recursive: true });
const contracts = {};
for (const [file, named] of Object.entries(result.contracts)) {
  for (const [name, { abi, evm }] of Object.entries(named)) {
    if (!evm.bytecode.object) continue; // interfaces and bases
    const text = JSON.stringify(abi);
    writeFileSync(join(out, `${name}.abi`), text + "\n");
    writeFileSync(join(out, `${name}.bin`), evm.bytecode.object + "\n");
    contracts[`${file}:${name}`] = { abi, bin: evm.bytecode.object };
  }
}
if (combined) writeFileSync(combined, JSON.stringify({ contracts, version: solc.version() }) + "\n");
