// Calls and queries by the Internet Computer's HTTP interface, to the replica that served this page and to no other.

import { compare, concat, leb, principalBytes, sha224, sha256, text, utf8 } from './bytes.js';
import * as candid from './candid.js';
import * as cbor from './cbor.js';

const anonymous = Uint8Array.from([4]);

// selfAuthenticating is the principal of a public key in DER.
export const selfAuthenticating = (der) => concat(sha224(der), Uint8Array.from([2]));

// hashOf is the representation-independent hash (interface specification, section of that name).
export function hashOf(v) {
  if (v instanceof Uint8Array) return sha256(v);
  if (typeof v === 'string') return sha256(utf8(v));
  if (typeof v === 'number' || typeof v === 'bigint') return sha256(leb(v));
  if (Array.isArray(v)) return sha256(concat(...v.map(hashOf)));
  return sha256(concat(...Object.entries(v).map(([k, x]) => concat(hashOf(k), hashOf(x))).sort(compare)));
}

// lookup finds a leaf of a certificate's tree.
export function lookup(tree, path) {
  if (path.length === 0) return tree[0] === 3 ? tree[1] : null;
  const label = typeof path[0] === 'string' ? utf8(path[0]) : path[0];
  const find = (t) => {
    if (t[0] === 1) return find(t[1]) ?? find(t[2]);
    return t[0] === 2 && compare(t[1], label) === 0 ? t[2] : null;
  };
  const sub = find(tree);
  return sub ? lookup(sub, path.slice(1)) : null;
}

const named = (name) => { const b = utf8(name); return concat(Uint8Array.from([b.length]), b); };

// rootOf is the hash of a tree (interface specification, section "Certificate").
export function rootOf(tree) {
  switch (tree[0]) {
    case 0: return sha256(named('ic-hashtree-empty'));
    case 1: return sha256(concat(named('ic-hashtree-fork'), rootOf(tree[1]), rootOf(tree[2])));
    case 2: return sha256(concat(named('ic-hashtree-labeled'), tree[1], rootOf(tree[2])));
    case 3: return sha256(concat(named('ic-hashtree-leaf'), tree[1]));
    case 4: return tree[1];
  }
  throw new Error('a tree has an unknown node');
}

async function post(path, envelope) {
  let res;
  try {
    res = await fetch(path, { method: 'POST', headers: { 'Content-Type': 'application/cbor' }, body: cbor.encode(envelope), signal: AbortSignal.timeout(60_000) });
  } catch {
    throw new Error('the replica does not answer');
  }
  if (res.status === 202) return null;
  if (!res.ok) throw new Error(res.status === 429 ? 'the replica is busy, try again in a moment' : `the replica refuses: ${(await res.text()).slice(0, 300).trim()}`);
  return cbor.decode(new Uint8Array(await res.arrayBuffer()));
}

const rejected = (code, message) => new Error(`the canister did not do it: ${message} (reject code ${code})`);

// Agent speaks for a key, or for nobody in particular.
export class Agent {
  constructor(key = null) {
    this.key = key;
    this.sender = key ? selfAuthenticating(key.der) : anonymous;
  }

  async #envelope(content) {
    content = { ...content, sender: this.sender, ingress_expiry: BigInt(Date.now() + 240_000) * 1_000_000n };
    const id = hashOf(content);
    if (!this.key) return { id, envelope: { content } };
    const signature = await this.key.sign(concat(utf8('\x0aic-request'), id));
    return { id, envelope: { content, sender_pubkey: this.key.der, sender_sig: signature } };
  }

  // query asks the replica; the answer is its word.
  async query(canister, method, types = [], values = []) {
    const { envelope } = await this.#envelope({ request_type: 'query', canister_id: principalBytes(canister), method_name: method, arg: candid.encode(types, values) });
    const res = await post(`/api/v3/canister/${canister}/query`, envelope);
    if (res?.status !== 'replied') throw rejected(res?.reject_code, res?.reject_message);
    return candid.decode(res.reply.arg);
  }

  // update has the subnet execute a call. The answer is read from its certificate.
  async update(canister, method, types = [], values = []) {
    const nonce = crypto.getRandomValues(new Uint8Array(16));
    const { id, envelope } = await this.#envelope({ request_type: 'call', canister_id: principalBytes(canister), method_name: method, arg: candid.encode(types, values), nonce });
    let res = await post(`/api/v4/canister/${canister}/call`, envelope);
    for (let waited = 0; ; waited++) {
      if (res?.status === 'non_replicated_rejection') throw rejected(res.reject_code, res.reject_message);
      if (res) {
        const { tree } = cbor.decode(res.certificate);
        const at = (name) => lookup(tree, ['request_status', id, name]);
        switch (at('status') && text(at('status'))) {
          case 'replied': return candid.decode(at('reply'));
          case 'rejected': throw rejected(at('reject_code')?.[0], text(at('reject_message')));
          case 'done': throw new Error('the answer was there and is gone; look at the account before you try again');
        }
      }
      if (waited >= 120) throw new Error('no answer for two minutes; it may still be carried out, so look at the account before you try again');
      await new Promise((later) => setTimeout(later, 1000));
      const read = await this.#envelope({ request_type: 'read_state', paths: [[utf8('request_status'), id]] });
      res = await post(`/api/v3/canister/${canister}/read_state`, read.envelope);
    }
  }
}
