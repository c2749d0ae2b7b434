// Asks two canisters for pages, as a web gateway does, and has verifiers made by others judge the answers: what a canister certified must pass, in both
// versions of response certification, and everything else must not. Prints what passed and why the rest did not, as JSON.
import assert from 'node:assert/strict';
import { Actor, HttpAgent, lookup_path } from '@dfinity/agent';
import { verifyCertification } from '@dfinity/certificate-verification';
import { Principal } from '@dfinity/principal';
import { ResponseVerificationErrorCode as Code, verifyRequestResponsePair } from '@dfinity/response-verification';

const env = (name) => process.env[name] ?? assert.fail(`${name} is not set`);
const host = env('FUSION_URL');
const rootKey = new Uint8Array(Buffer.from(env('FUSION_ROOT_KEY'), 'hex'));
const site = env('FUSION_SITE'), forger = env('FUSION_FORGER');

const agent = new HttpAgent({ host });
agent.rootKey = rootKey.buffer;
const actor = (id) => Actor.createActor(({ IDL }) => {
  const Header = IDL.Tuple(IDL.Text, IDL.Text);
  const Request = IDL.Record({ method: IDL.Text, url: IDL.Text, headers: IDL.Vec(Header), body: IDL.Vec(IDL.Nat8), certificate_version: IDL.Opt(IDL.Nat16) });
  const Response = IDL.Record({ status_code: IDL.Nat16, headers: IDL.Vec(Header), body: IDL.Vec(IDL.Nat8) });
  return IDL.Service({ http_request: IDL.Func([Request], [Response], ['query']) });
}, { agent, canisterId: id });

const nsPerMinute = 60_000_000_000n;

// ask gets a page of a canister.
async function ask(canister, url, { version = 2, headers = [] } = {}) {
  const request = { method: 'GET', url, headers, body: new Uint8Array(), certificate_version: [version] };
  const response = await actor(canister).http_request(request);
  return { canister, request, response: { ...response, body: Uint8Array.from(response.body) } };
}

function judge({ canister, request, response }, { key = rootKey, later = 0n, min = 1 } = {}) {
  const now = BigInt(Date.now()) * 1_000_000n + later;
  return verifyRequestResponsePair(request, response, Principal.fromText(canister).toUint8Array(), now, 5n * nsPerMinute, key, min);
}

const passed = [], refused = {};

async function passes(name, pair, version) {
  const got = judge(await pair);
  assert.equal(got.verificationVersion, version, name);
  assert.deepEqual(Buffer.from(got.response.body), Buffer.from((await pair).response.body), name);
  passed.push(name);
}

// fails checks that a pair is refused, and for its own reason where there is one.
async function fails(name, pair, how, ...codes) {
  pair = await pair;
  try {
    judge(pair, how);
  } catch (err) {
    assert.ok(codes.includes(err.code), `${name}: ${Code[err.code]}: ${err.message ?? err}`);
    refused[name] = Code[err.code];
    return;
  }
  assert.fail(`${name} passes`);
}

// certified takes the certificate and the tree out of a response.
function certified(pair) {
  const [, value] = pair.response.headers.find(([name]) => name.toLowerCase() === 'ic-certificate');
  const field = (name) => new Uint8Array(Buffer.from(value.match(new RegExp(`${name}=:([^:]*):`))[1], 'base64'));
  return { certificate: field('certificate'), tree: field('tree') };
}

const changed = (pair, change) => {
  const copy = structuredClone(pair);
  change(copy);
  return copy;
};
const flipped = (bytes, at) => Uint8Array.from(bytes, (b, i) => (i === at ? b ^ 1 : b));

for (const url of ['/', '/app.js', '/message.json', '/icon.svg', '/?query=1', '/no/such/page']) await passes(`${url} by version 2`, ask(site, url), 2);
for (const url of ['/', '/app.js', '/message.json']) await passes(`${url} by version 1`, ask(site, url, { version: 1 }), 1);
await passes('forger /', ask(forger, '/'), 2);
await passes('forger /old', ask(forger, '/old'), 1);
const second = { headers: [['range', `bytes=${1 << 20}-`]] };
await passes('forger /large', ask(forger, '/large'), 2);
await passes('forger /large, second range', ask(forger, '/large', second), 2);

const body = [Code.InvalidResponseBody, Code.InvalidRequestAndResponseHashes];
for (const path of ['/body', '/header', '/cut']) await fails(`forger ${path}`, ask(forger, path), {}, ...body);
await fails('forger /torn, second range', ask(forger, '/torn', second), {}, ...body);
await fails('forger /swapped', ask(forger, '/swapped'), {}, Code.ExactExpressionPathMismatch);
await fails('forger /plain', ask(forger, '/plain'), {}, Code.HeaderMissingCertification, Code.HeaderMissingCertificate);

const home = await ask(site, '/'), old = await ask(site, '/', { version: 1 });
await fails('another body', changed(home, (p) => { p.response.body[0] ^= 1; }), {}, ...body);
await fails('another body by version 1', changed(old, (p) => { p.response.body[0] ^= 1; }), {}, ...body);
await fails('another status', changed(home, (p) => { p.response.status_code = 201; }), {}, ...body);
await fails('another header', changed(home, (p) => { p.response.headers.find(([name]) => name === 'Content-Type')[1] = 'text/plain'; }), {}, ...body);
await fails('a header more', changed(home, (p) => { p.response.headers.push(['Set-Cookie', 'a=1']); }), {}, ...body);
await fails('a header less', changed(home, (p) => { p.response.headers = p.response.headers.filter(([name]) => name !== 'Content-Security-Policy'); }), {}, ...body);
await fails('another path', changed(home, (p) => { p.request.url = '/app.js'; }), {}, Code.ExactExpressionPathMismatch);
await fails('another canister', changed(home, (p) => { p.canister = forger; }), {}, Code.CertificateMissingCertifiedData, Code.InvalidTreeRootHash, Code.CertificateVerificationFailed);
await fails('another subnet', home, { key: flipped(rootKey, rootKey.length - 1) }, Code.CertificateVerificationFailed);
await fails('ten minutes later', home, { later: 10n * nsPerMinute }, Code.CertificateVerificationFailed);
await fails('ten minutes earlier', home, { later: -10n * nsPerMinute }, Code.CertificateVerificationFailed);
await fails('version 1 where 2 is wanted', old, { min: 2 }, Code.RequestedVerificationVersionMismatch);

// The certificate and the tree, by the second package.
const { certificate, tree } = certified(old);
const check = (change) => verifyCertification({ canisterId: Principal.fromText(site), encodedCertificate: certificate.buffer, encodedTree: tree.buffer,
  rootKey: rootKey.buffer, maxCertificateTimeOffsetMs: 300_000, ...change });
const hash = new Uint8Array(lookup_path(['http_assets', '/'], await check({})));
assert.deepEqual(hash, new Uint8Array(await crypto.subtle.digest('SHA-256', old.response.body)));
passed.push('certificate and tree');
for (const [name, change] of Object.entries({
  'a certificate of another canister': { canisterId: Principal.fromText(forger) },
  'a certificate of another subnet': { rootKey: flipped(rootKey, rootKey.length - 1).buffer },
  'another tree': { encodedTree: certified(await ask(forger, '/')).tree.buffer },
  'an old certificate': { maxCertificateTimeOffsetMs: 0 },
})) {
  await assert.rejects(check(change), (err) => { refused[name] = `${err.name}: ${err.message}`; return true; }, name);
}

console.log(JSON.stringify({ passed, refused }, null, 1));
