// Candid: arguments are written by type, answers are read by the types that they carry.

import { concat, leb, principalBytes, principalText, sleb, text, utf8 } from './bytes.js';

const opcodes = { null: -1, bool: -2, nat: -3, int: -4, nat8: -5, nat16: -6, nat32: -7, nat64: -8, int8: -9, int16: -10, int32: -11, int64: -12, float32: -13, float64: -14,
  text: -15, reserved: -16, empty: -17, principal: -24 };
const primitives = new Map(Object.entries(opcodes).map(([name, code]) => [code, name]));

export const opt = (of) => ({ kind: 'opt', of });
export const vec = (of) => ({ kind: 'vec', of });
export const record = (fields) => composite('record', fields);
export const variant = (fields) => composite('variant', fields);
export const blob = vec('nat8');

// hash is a label's number (Candid specification, section "Records").
export function hash(label) {
  return utf8(label).reduce((h, b) => (h * 223 + b) % 4294967296, 0);
}

function composite(kind, fields) {
  return { kind, fields: Object.entries(fields).map(([name, type]) => ({ name, id: hash(name), type })).sort((a, b) => a.id - b.id) };
}

function fixed(n, size) {
  n = BigInt(n);
  if (n < 0n || n >> BigInt(8 * size)) throw new Error(`${n} does not fit in ${size} bytes`);
  return Uint8Array.from({ length: size }, (_, i) => Number((n >> BigInt(8 * i)) & 0xffn));
}

function write(type, v) {
  switch (type) {
    case 'null': return new Uint8Array();
    case 'bool': return Uint8Array.from([v ? 1 : 0]);
    case 'nat': return leb(v);
    case 'nat8': return fixed(v, 1);
    case 'nat64': return fixed(v, 8);
    case 'text': return concat(leb(utf8(v).length), utf8(v));
    case 'principal': { const b = principalBytes(v); return concat(Uint8Array.from([1]), leb(b.length), b); }
  }
  switch (type.kind) {
    case 'opt': return v === null || v === undefined ? Uint8Array.from([0]) : concat(Uint8Array.from([1]), write(type.of, v));
    case 'vec': return concat(leb(v.length), ...Array.from(v, (x) => write(type.of, x)));
    case 'record': return concat(...type.fields.map((f) => write(f.type, v[f.name])));
    case 'variant': {
      const at = type.fields.findIndex((f) => f.name in v);
      return concat(leb(at), write(type.fields[at].type, v[type.fields[at].name]));
    }
  }
  throw new Error(`no type ${type}`);
}

// encode writes arguments: a list of types and a list of values.
export function encode(types, values) {
  const table = [], index = new Map();
  const ref = (type) => {
    if (typeof type === 'string') return sleb(opcodes[type]);
    if (!index.has(type)) {
      const i = table.length;
      index.set(type, i);
      table.push(null);
      table[i] = type.fields ? concat(sleb(type.kind === 'record' ? -20 : -21), leb(type.fields.length), ...type.fields.flatMap((f) => [leb(f.id), ref(f.type)]))
        : concat(sleb(type.kind === 'opt' ? -18 : -19), ref(type.of));
    }
    return sleb(index.get(type));
  };
  const refs = types.map(ref);
  return concat(utf8('DIDL'), leb(table.length), ...table, leb(types.length), ...refs, ...types.map((t, i) => write(t, values[i])));
}

// Labels that answers may have, by their hashes; others are shown as numbers.
const labels = new Map();
export function know(...names) { for (const n of names) labels.set(hash(n), n); }
know('Ok', 'Err');

const mostValues = 2_000_000, deepest = 100;

// decode reads an answer into a list of values: records are objects, a variant is an object of one key, none is null, bytes are a Uint8Array, large numbers are
// BigInts and principals their text.
export function decode(bytes) {
  let at = 0, left = mostValues;
  const take = (n) => {
    if (n > bytes.length - at) throw new Error('the answer ends too early');
    at += n;
    return bytes.subarray(at - n, at);
  };
  const nat = () => {
    for (let n = 0n, shift = 0n; ; shift += 7n) {
      const b = take(1)[0];
      n |= BigInt(b & 0x7f) << shift;
      if (b < 0x80) return n;
    }
  };
  const int = () => {
    for (let n = 0n, shift = 0n; ; ) {
      const b = take(1)[0];
      n |= BigInt(b & 0x7f) << shift;
      shift += 7n;
      if (b < 0x80) return b & 0x40 ? n - (1n << shift) : n;
    }
  };
  const count = (what) => {
    const n = nat();
    if (n > BigInt(bytes.length) && n > BigInt(left)) throw new Error(`too many ${what} in the answer`);
    return Number(n);
  };
  const little = (size) => take(size).reduceRight((sum, b) => (sum << 8n) | BigInt(b), 0n);
  const label = (id) => labels.get(id) ?? String(id);

  if (text(take(4)) !== 'DIDL') throw new Error('the answer is not Candid');
  const table = [];
  for (let n = count('types'); n > 0; n--) {
    const code = Number(int());
    switch (code) {
      case -18: case -19: table.push({ kind: code === -18 ? 'opt' : 'vec', of: Number(int()) }); break;
      case -20: case -21: {
        const fields = [];
        for (let k = count('fields'); k > 0; k--) fields.push({ name: label(Number(nat())), type: Number(int()) });
        table.push({ kind: code === -20 ? 'record' : 'variant', fields });
        break;
      }
      case -22: {
        for (let k = count('arguments'); k > 0; k--) int();
        for (let k = count('results'); k > 0; k--) int();
        for (let k = count('annotations'); k > 0; k--) take(1);
        table.push({ kind: 'func' });
        break;
      }
      default: throw new Error('the answer has a type that this page does not know');
    }
  }
  const reference = () => {
    if (take(1)[0] !== 1) throw new Error('the answer has an opaque reference');
    return principalText(take(Number(nat())));
  };
  const read = (type, depth) => {
    if (--left < 0 || depth > deepest) throw new Error('the answer is too large');
    if (type < 0) {
      switch (primitives.get(type)) {
        case 'null': case 'reserved': return null;
        case 'bool': return take(1)[0] === 1;
        case 'nat': return nat();
        case 'int': return int();
        case 'nat8': return take(1)[0];
        case 'nat16': return Number(little(2));
        case 'nat32': return Number(little(4));
        case 'nat64': return little(8);
        case 'int8': return Number(BigInt.asIntN(8, little(1)));
        case 'int16': return Number(BigInt.asIntN(16, little(2)));
        case 'int32': return Number(BigInt.asIntN(32, little(4)));
        case 'int64': return BigInt.asIntN(64, little(8));
        case 'float32': { const b = take(4); return new DataView(b.buffer, b.byteOffset).getFloat32(0, true); }
        case 'float64': { const b = take(8); return new DataView(b.buffer, b.byteOffset).getFloat64(0, true); }
        case 'text': return text(take(Number(nat())));
        case 'principal': return reference();
      }
      throw new Error('the answer has a type that this page does not know');
    }
    const t = table[type];
    switch (t?.kind) {
      case 'opt': return take(1)[0] === 1 ? read(t.of, depth + 1) : null;
      case 'vec': {
        const n = count('elements');
        if (t.of === opcodes.nat8) return take(n).slice();
        const out = [];
        for (let i = 0; i < n; i++) out.push(read(t.of, depth + 1));
        return out;
      }
      case 'record': {
        const out = Object.create(null);
        for (const f of t.fields) out[f.name] = read(f.type, depth + 1);
        return out;
      }
      case 'variant': {
        const f = t.fields[Number(nat())];
        if (!f) throw new Error('the answer has an alternative that its type lacks');
        return Object.assign(Object.create(null), { [f.name]: read(f.type, depth + 1) });
      }
      case 'func': {
        if (take(1)[0] !== 1) throw new Error('the answer has an opaque reference');
        return { canister: reference(), method: text(take(Number(nat()))) };
      }
    }
    throw new Error('the answer refers to a type that it lacks');
  };
  const types = Array.from({ length: count('values') }, () => Number(int()));
  return types.map((t) => read(t, 0));
}

// tag is the name of a variant's alternative.
export const tag = (v) => Object.keys(v)[0];
