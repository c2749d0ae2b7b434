// CBOR (RFC 8949), as far as the Internet Computer's interface uses it: unsigned numbers, bytes, text, arrays, maps with text keys, tags.

import { concat, text, utf8 } from './bytes.js';

function head(major, n) {
  n = BigInt(n);
  const top = major << 5;
  if (n < 24n) return Uint8Array.from([top | Number(n)]);
  for (const [info, size] of [[24, 1], [25, 2], [26, 4], [27, 8]]) {
    if (n < 1n << BigInt(8 * size)) return Uint8Array.from([top | info, ...Array.from({ length: size }, (_, i) => Number((n >> BigInt(8 * (size - 1 - i))) & 0xffn))]);
  }
  throw new Error('a number does not fit in 64 bits');
}

function value(v) {
  if (typeof v === 'number' || typeof v === 'bigint') return head(0, v);
  if (v instanceof Uint8Array) return concat(head(2, v.length), v);
  if (typeof v === 'string') return concat(head(3, utf8(v).length), utf8(v));
  if (Array.isArray(v)) return concat(head(4, v.length), ...v.map(value));
  const entries = Object.entries(v).filter(([, x]) => x !== undefined);
  return concat(head(5, entries.length), ...entries.flatMap(([k, x]) => [value(k), value(x)]));
}

// encode writes a value with the self-describing tag.
export const encode = (v) => concat(Uint8Array.from([0xd9, 0xd9, 0xf7]), value(v));

const deepest = 200; // a certificate's tree has some 60 levels

// decode reads one value that fills the bytes. Numbers beyond 2^53 become BigInts.
export function decode(bytes) {
  let at = 0;
  const take = (n) => {
    if (n > bytes.length - at) throw new Error('CBOR ends too early');
    at += n;
    return bytes.subarray(at - n, at);
  };
  const length = (n) => {
    if (n > bytes.length) throw new Error('a CBOR length is beyond the end');
    return Number(n);
  };
  const item = (depth) => {
    if (depth > deepest) throw new Error('CBOR is nested too deep');
    const first = take(1)[0], major = first >> 5, info = first & 31;
    let n = BigInt(info);
    if (major === 7) {
      if (info === 20 || info === 21) return info === 21;
      if (info === 22 || info === 23) return null;
      throw new Error('unexpected CBOR value');
    }
    if (info >= 28) throw new Error('unexpected CBOR length');
    if (info >= 24) n = take(1 << (info - 24)).reduce((sum, b) => (sum << 8n) | BigInt(b), 0n);
    switch (major) {
      case 0: return n <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(n) : n;
      case 1: return n < BigInt(Number.MAX_SAFE_INTEGER) ? -1 - Number(n) : -1n - n;
      case 2: return take(length(n)).slice();
      case 3: return text(take(length(n)));
      case 4: return Array.from({ length: length(n) }, () => item(depth + 1));
      case 5: {
        const out = Object.create(null);
        for (let i = length(n); i > 0; i--) {
          const key = item(depth + 1);
          if (typeof key !== 'string' || key in out) throw new Error('a CBOR map has an unexpected key');
          out[key] = item(depth + 1);
        }
        return out;
      }
      default: return item(depth + 1); // a tag says nothing that we do not know
    }
  };
  const out = item(0);
  if (at !== bytes.length) throw new Error('bytes after the CBOR value');
  return out;
}
