// The page of the canister that serves it. It reads the message twice: as a page, which the gateway verifies, and by a query of the API, which answers
// at the same origin. An application would use @icp-sdk/core for the second; this is what goes over the wire.

const show = (id, text) => { document.getElementById(id).textContent = text; };

// --- the API: CBOR envelopes (interface specification, "HTTPS interface") ---

const bytes = (...parts) => Uint8Array.from(parts.flatMap((p) => [...p]));
const utf8 = (s) => new TextEncoder().encode(s);

function head(major, n) {
  const big = BigInt(n);
  const size = big < 24n ? 0 : big < 256n ? 1 : big < 65536n ? 2 : big < 4294967296n ? 4 : 8;
  const out = [(major << 5) | (size === 0 ? Number(big) : 24 + Math.log2(size))];
  for (let i = size - 1; i >= 0; i--) out.push(Number((big >> BigInt(8 * i)) & 255n));
  return out;
}

function encode(v) {
  if (typeof v === 'bigint') return bytes(head(0, v));
  if (typeof v === 'string') return bytes(head(3, utf8(v).length), utf8(v));
  if (v instanceof Uint8Array) return bytes(head(2, v.length), v);
  return bytes(head(5, Object.keys(v).length), ...Object.entries(v).flatMap(([k, x]) => [encode(k), encode(x)]));
}

function decode(data) {
  let at = 0;
  const item = () => {
    const major = data[at] >> 5;
    let n = data[at++] & 31;
    if (n >= 24) {
      const size = 1 << (n - 24);
      n = 0;
      for (let i = 0; i < size; i++) n = n * 256 + data[at++];
    }
    switch (major) {
      case 0: return n;
      case 2: return data.slice(at, (at += n));
      case 3: return new TextDecoder().decode(data.slice(at, (at += n)));
      case 4: return Array.from({ length: n }, item);
      case 5: return Object.fromEntries(Array.from({ length: n }, () => [item(), item()]));
      case 6: return item();
      default: throw new Error(`CBOR of major type ${major}`);
    }
  };
  return item();
}

// The id of a canister is base32 of a checksum and its bytes, in groups.
function principal(text) {
  let bits = 0, value = 0;
  const out = [];
  for (const c of text.replaceAll('-', '')) {
    value = (value << 5) | 'abcdefghijklmnopqrstuvwxyz234567'.indexOf(c);
    bits += 5;
    if (bits >= 8) out.push((value >> (bits -= 8)) & 255);
    value &= (1 << bits) - 1;
  }
  return Uint8Array.from(out.slice(4));
}

async function query(canister, method, arg) {
  const content = {
    request_type: 'query', sender: Uint8Array.of(4), canister_id: principal(canister), method_name: method, arg,
    ingress_expiry: BigInt(Date.now() + 60_000) * 1_000_000n,
  };
  const res = await fetch(`/api/v3/canister/${canister}/query`, { method: 'POST', headers: { 'Content-Type': 'application/cbor' }, body: encode({ content }) });
  if (!res.ok) throw new Error(`the API answers ${res.status}: ${await res.text()}`);
  const answer = decode(new Uint8Array(await res.arrayBuffer()));
  if (answer.status !== 'replied') throw new Error(answer.reject_message);
  return answer.reply.arg;
}

// A Candid text: "DIDL", no types, one argument of type text, its length (here below 128 · 128) and its bytes.
function candidText(reply) {
  const long = reply[7] >= 128 ? 9 : 8;
  return new TextDecoder().decode(reply.slice(long));
}

// --- the page ---

const canister = new URLSearchParams(location.search).get('canisterId') ?? location.hostname.split('.')[0];

async function load() {
  const page = (await (await fetch('/message.json', { cache: 'no-store' })).json()).message;
  show('message', page);
  show('page', page);
  show('query', candidText(await query(canister, 'message', utf8('DIDL\0\0'))));
  const status = decode(new Uint8Array(await (await fetch('/api/v2/status')).arrayBuffer()));
  show('replica', `${status.impl_version}, ${status.replica_health_status}`);
}

document.getElementById('form').addEventListener('submit', async (event) => {
  event.preventDefault();
  const form = event.target;
  show('status', 'writing: the subnet agrees on it …');
  const res = await fetch('/message', { method: 'POST', body: form.text.value });
  show('status', res.ok ? 'written' : await res.text());
  form.reset();
  await load();
});

try {
  await load();
  show('status', 'ready');
} catch (err) {
  show('status', `failed: ${err.message}`);
}
