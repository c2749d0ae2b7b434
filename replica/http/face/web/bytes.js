// Bytes, hashes and the texts of principals. SHA-256 is our own because a request id needs SHA-224 beside it, which browsers lack.

export const utf8 = (text) => new TextEncoder().encode(text);
export const text = (bytes) => new TextDecoder('utf-8', { fatal: true }).decode(bytes);
export const hex = (bytes) => Array.from(bytes, (b) => b.toString(16).padStart(2, '0')).join('');

export function concat(...parts) {
  const out = new Uint8Array(parts.reduce((n, p) => n + p.length, 0));
  let at = 0;
  for (const p of parts) {
    out.set(p, at);
    at += p.length;
  }
  return out;
}

export const equal = (a, b) => a.length === b.length && a.every((x, i) => x === b[i]);

// compare orders bytes.
export function compare(a, b) {
  for (let i = 0; i < Math.min(a.length, b.length); i++) if (a[i] !== b[i]) return a[i] - b[i];
  return a.length - b.length;
}

// primes gives the first n primes.
function primes(n) {
  const found = [];
  for (let k = 2; found.length < n; k++) if (found.every((p) => k % p)) found.push(k);
  return found;
}

// root gives 32 bits of the fractional part of the k-th root of p, from the bit skip on (FIPS 180-4, section 5.3).
function root(p, k, skip) {
  const target = BigInt(p) << BigInt(k * (32 + skip));
  let low = 0n, high = 1n << BigInt(40 + skip);
  while (high - low > 1n) {
    const mid = (low + high) >> 1n;
    if (mid ** BigInt(k) <= target) low = mid; else high = mid;
  }
  return Number(low & 0xffffffffn);
}

const rounds = Uint32Array.from(primes(64), (p) => root(p, 3, 0));
const start256 = Uint32Array.from(primes(8), (p) => root(p, 2, 0));
const start224 = Uint32Array.from(primes(16).slice(8), (p) => root(p, 2, 32)); // the second 32 bits

function sha2(start, bytes, size) {
  const state = Uint32Array.from(start), w = new Uint32Array(64);
  const padded = new Uint8Array(Math.ceil((bytes.length + 9) / 64) * 64);
  padded.set(bytes);
  padded[bytes.length] = 0x80;
  const view = new DataView(padded.buffer);
  view.setBigUint64(padded.length - 8, BigInt(bytes.length) * 8n);
  const turn = (x, n) => (x >>> n) | (x << (32 - n));
  for (let at = 0; at < padded.length; at += 64) {
    for (let i = 0; i < 16; i++) w[i] = view.getUint32(at + 4 * i);
    for (let i = 16; i < 64; i++) {
      const a = w[i - 15], b = w[i - 2];
      w[i] = w[i - 16] + w[i - 7] + (turn(a, 7) ^ turn(a, 18) ^ (a >>> 3)) + (turn(b, 17) ^ turn(b, 19) ^ (b >>> 10));
    }
    let [a, b, c, d, e, f, g, h] = state;
    for (let i = 0; i < 64; i++) {
      const one = (h + (turn(e, 6) ^ turn(e, 11) ^ turn(e, 25)) + ((e & f) ^ (~e & g)) + rounds[i] + w[i]) | 0;
      const two = ((turn(a, 2) ^ turn(a, 13) ^ turn(a, 22)) + ((a & b) ^ (a & c) ^ (b & c))) | 0;
      [h, g, f, e, d, c, b, a] = [g, f, e, (d + one) | 0, c, b, a, (one + two) | 0];
    }
    [a, b, c, d, e, f, g, h].forEach((x, i) => { state[i] += x; });
  }
  const out = new DataView(new ArrayBuffer(32));
  state.forEach((x, i) => out.setUint32(4 * i, x));
  return new Uint8Array(out.buffer, 0, size);
}

export const sha256 = (bytes) => sha2(start256, bytes, 32);
export const sha224 = (bytes) => sha2(start224, bytes, 28);

// leb encodes a natural number (unsigned LEB128), sleb an integer.
export function leb(n) {
  const out = [];
  for (n = BigInt(n); ; n >>= 7n) {
    if (n < 0x80n) return Uint8Array.from([...out, Number(n)]);
    out.push(Number(n & 0x7fn) | 0x80);
  }
}

export function sleb(n) {
  const out = [];
  for (n = BigInt(n); ; n >>= 7n) {
    if (n >= -0x40n && n < 0x40n) return Uint8Array.from([...out, Number(n & 0x7fn)]);
    out.push(Number(n & 0x7fn) | 0x80);
  }
}

const alphabet = 'abcdefghijklmnopqrstuvwxyz234567';

function crc32(bytes) {
  let crc = 0xffffffff;
  for (const b of bytes) {
    crc ^= b;
    for (let i = 0; i < 8; i++) crc = (crc >>> 1) ^ (crc & 1 ? 0xedb88320 : 0);
  }
  crc = ~crc >>> 0;
  return Uint8Array.from([crc >>> 24, crc >>> 16, crc >>> 8, crc]);
}

// principalText is the form that people see (interface specification, section "Textual representation of principals").
export function principalText(bytes) {
  let bits = 0, held = 0, out = '';
  for (const b of concat(crc32(bytes), bytes)) {
    held = (held << 8) | b;
    for (bits += 8; bits >= 5; bits -= 5) out += alphabet[(held >>> (bits - 5)) & 31];
    held &= 0xff;
  }
  if (bits) out += alphabet[(held << (5 - bits)) & 31];
  return out.match(/.{1,5}/g).join('-');
}

// principalBytes reads it, and refuses what is none.
export function principalBytes(name) {
  const bytes = [];
  let bits = 0, held = 0;
  for (const c of name.trim().toLowerCase().replaceAll('-', '')) {
    const value = alphabet.indexOf(c);
    if (value < 0) throw new Error('this is no principal');
    held = (held << 5) | value;
    if ((bits += 5) >= 8) bytes.push((held >>> (bits -= 8)) & 0xff);
    held &= 0xfff;
  }
  const out = Uint8Array.from(bytes.slice(4));
  if (bytes.length < 4 || out.length > 29 || principalText(out) !== name.trim().toLowerCase()) throw new Error('this is no principal: a letter is missing or wrong');
  return out;
}
