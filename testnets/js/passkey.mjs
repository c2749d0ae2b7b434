// A passkey made of software: the part of navigator.credentials that clients use, with keys of node's crypto module.
import { createHash, generateKeyPairSync, randomBytes, sign } from 'node:crypto';

// CBOR, as far as attestations and COSE keys need it.
const head = (major, n) => {
  if (n < 24) return Buffer.from([(major << 5) | n]);
  if (n < 256) return Buffer.from([(major << 5) | 24, n]);
  return Buffer.from([(major << 5) | 25, n >> 8, n & 255]);
};
const int = (n) => (n < 0 ? head(1, -1 - n) : head(0, n));
const bytes = (b) => Buffer.concat([head(2, b.length), b]);
const text = (s) => Buffer.concat([head(3, s.length), Buffer.from(s)]);
const map = (...items) => Buffer.concat([head(5, items.length / 2), ...items]);

const kinds = {
  'P-256': () => {
    const pair = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    const { x, y } = pair.publicKey.export({ format: 'jwk' });
    return { key: pair.privateKey, hash: 'sha256', cose: map(int(1), int(2), int(3), int(-7), int(-1), int(1), int(-2), bytes(Buffer.from(x, 'base64url')), int(-3), bytes(Buffer.from(y, 'base64url'))) };
  },
  Ed25519: () => {
    const pair = generateKeyPairSync('ed25519');
    const { x } = pair.publicKey.export({ format: 'jwk' });
    return { key: pair.privateKey, hash: null, cose: map(int(1), int(1), int(3), int(-8), int(-1), int(6), int(-2), bytes(Buffer.from(x, 'base64url'))) };
  },
  RSA: () => {
    const pair = generateKeyPairSync('rsa', { modulusLength: 2048 });
    const { n, e } = pair.publicKey.export({ format: 'jwk' });
    return { key: pair.privateKey, hash: 'sha256', cose: map(int(1), int(3), int(3), int(-257), int(-1), bytes(Buffer.from(n, 'base64url')), int(-2), bytes(Buffer.from(e, 'base64url'))) };
  },
};

const arrayBuffer = (b) => Uint8Array.from(b).buffer;
const origin = 'https://example.com';
const credentials = new Map();
const relying = createHash('sha256').update('example.com').digest();

// usePasskeys defines navigator; passkeys that are made from then on are of a kind.
export function usePasskeys(kind) {
  const api = {
    create: async () => {
      const id = randomBytes(16);
      const made = kinds[kind]();
      credentials.set(id.toString('hex'), made);
      const length = Buffer.from([0, id.length]);
      const authData = Buffer.concat([relying, Buffer.from([0x45, 0, 0, 0, 0]), Buffer.alloc(16), length, id, made.cose]);
      const attestation = map(text('fmt'), text('none'), text('attStmt'), map(), text('authData'), bytes(authData));
      return { id: id.toString('base64url'), rawId: arrayBuffer(id), type: 'public-key', authenticatorAttachment: 'platform', getClientExtensionResults: () => ({}), toJSON: () => ({}), response: { attestationObject: arrayBuffer(attestation) } };
    },
    get: async ({ publicKey }) => {
      const made = credentials.get(Buffer.from(publicKey.allowCredentials[0].id).toString('hex'));
      const challenge = Buffer.from(publicKey.challenge).toString('base64url');
      const client = Buffer.from(JSON.stringify({ type: 'webauthn.get', challenge, origin, crossOrigin: false }));
      const data = Buffer.concat([relying, Buffer.from([0x05, 0, 0, 0, 1])]);
      const signed = Buffer.concat([data, createHash('sha256').update(client).digest()]);
      return { authenticatorAttachment: 'platform', response: { authenticatorData: Uint8Array.from(data), clientDataJSON: arrayBuffer(client), signature: Uint8Array.from(sign(made.hash, signed, made.key)) } };
    },
  };
  Object.defineProperty(globalThis, 'navigator', { value: { credentials: api }, configurable: true });
}
