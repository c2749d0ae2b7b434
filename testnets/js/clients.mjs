// What a client library of the Internet Computer does on a fusion network, for several libraries: each of clients-*.mjs calls run
// with its own. It prints one JSON object with the checks that held; the first that does not ends it with a non-zero exit.
//
// Environment: FUSION_URL, FUSION_ROOT_KEY (DER in hexadecimal), FUSION_SUBNET, FUSION_MODULE (the wasm file of the canister
// testnets/canisters/issuer), FUSION_FAULTS (a JSON object: URLs of dishonest replicas by what they do).
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { usePasskeys } from './passkey.mjs';

const env = (name) => {
  const v = process.env[name];
  if (!v) throw new Error(`${name} is not set`);
  return v;
};
const fromHex = (s) => Uint8Array.from(Buffer.from(s, 'hex'));
const same = (a, b) => Buffer.from(a).equals(Buffer.from(b));
const show = (v) => JSON.stringify(v, (_, x) => (typeof x === 'bigint' ? `${x}` : x instanceof Error ? `${x.message}` : x));

// each does something with all members of an object at once: most of the time is spent waiting for blocks.
const each = (all, what) => Promise.all(Object.entries(all).map(([name, value]) => what(name, value)));

const idl = ({ IDL }) => {
  const Arg = IDL.Record({ session_key: IDL.Vec(IDL.Nat8), expiration: IDL.Nat64, targets: IDL.Opt(IDL.Vec(IDL.Principal)) });
  const Signed = IDL.Record({ pubkey: IDL.Vec(IDL.Nat8), expiration: IDL.Nat64, targets: IDL.Opt(IDL.Vec(IDL.Principal)), signature: IDL.Vec(IDL.Nat8) });
  const Info = IDL.Opt(IDL.Record({ data: IDL.Vec(IDL.Nat8), signer: IDL.Principal }));
  return IDL.Service({
    whoami: IDL.Func([], [IDL.Principal], ['query']),
    whoami_update: IDL.Func([], [IDL.Principal], []),
    caller_info: IDL.Func([], [Info], ['query']),
    caller_info_update: IDL.Func([], [Info], []),
    add: IDL.Func([IDL.Nat], [IDL.Nat], []),
    sum: IDL.Func([], [IDL.Nat], ['query']),
    refuse: IDL.Func([IDL.Text], [], []),
    refuse_query: IDL.Func([IDL.Text], [], ['query']),
    prepare_delegation: IDL.Func([Arg], [IDL.Vec(IDL.Nat8)], []),
    get_delegation: IDL.Func([Arg], [IDL.Opt(Signed)], ['query']),
    prepare_info: IDL.Func([IDL.Vec(IDL.Nat8)], [], []),
    get_info: IDL.Func([IDL.Vec(IDL.Nat8)], [IDL.Opt(IDL.Vec(IDL.Nat8))], ['query']),
  });
};

// kit: name, HttpAgent, Actor, CanisterStatus, identity (the package's exports), Secp256k1KeyIdentity, Principal, Management (its class),
// statusOf (how that class is asked for a canister's status), readsRanges (its SubnetStatus can read the ranges of canisters).
export async function run(kit) {
  const { HttpAgent, Actor, CanisterStatus, Principal } = kit;
  const { Ed25519KeyIdentity, ECDSAKeyIdentity, WebAuthnIdentity, DelegationIdentity, DelegationChain, Delegation } = kit.identity;
  const checks = [];
  const check = (name, holds, detail) => {
    if (!holds) throw new Error(`${kit.name}: ${name}: ${typeof detail === 'string' ? detail : show(detail)}`);
    checks.push(name);
  };
  const refused = async (name, attempt, pattern) => {
    let result, error;
    try {
      result = await attempt();
    } catch (e) {
      error = e;
    }
    check(name, error && pattern.test(`${error.name} ${error.message} ${show(error)}`), error ? `${error.stack}\n${show(error)}` : `accepted: ${show(result)}`);
  };

  const rootKey = fromHex(env('FUSION_ROOT_KEY'));
  const connect = (identity, host = env('FUSION_URL'), more = {}) => HttpAgent.create({ host, identity, rootKey, verifyQuerySignatures: true, ...more });

  // Status.
  const anonymous = await HttpAgent.create({ host: env('FUSION_URL'), shouldFetchRootKey: true, verifyQuerySignatures: true });
  let status = await anonymous.status();
  for (let i = 0; i < 300 && status.replica_health_status !== 'healthy'; i++) { // on a busy machine blocks are late at times
    await new Promise((done) => setTimeout(done, 200));
    status = await anonymous.status();
  }
  check('status', same(anonymous.rootKey, rootKey) && status.replica_health_status === 'healthy', status);

  // Management, by the library's own class.
  const owner = Ed25519KeyIdentity.generate();
  const agent = await connect(owner);
  const management = kit.Management.create({ agent });
  const module = Uint8Array.from(readFileSync(env('FUSION_MODULE')));
  const moduleHash = createHash('sha256').update(module).digest();
  const none = Uint8Array.from(Buffer.from('DIDL\0\0'));
  const cycles = 100_000_000_000_000n;
  const id = await management.provisionalCreateCanisterWithCycles({ amount: cycles });
  await management.installCode({ mode: { install: null }, canisterId: id, wasmModule: module, arg: none });
  const actor = (agent, canisterId = id) => Actor.createActor(idl, { agent, canisterId });
  const canister = actor(agent);
  check('install', (await canister.add(3n)) === 3n && (await canister.sum()) === 3n);

  const second = await management.provisionalCreateCanisterWithCycles({ amount: cycles, settings: { controllers: [owner.getPrincipal().toText()] } });
  const half = module.length >> 1;
  const chunks = [];
  for (const chunk of [module.slice(0, half), module.slice(half)]) chunks.push(await management.uploadChunk({ canisterId: second, chunk }));
  check('chunks', (await management.storedChunks({ canisterId: second })).length === 2);
  await management.installChunkedCode({ mode: { install: null }, arg: none, targetCanisterId: second, chunkHashesList: chunks, wasmModuleHash: Uint8Array.from(moduleHash) });
  await management.clearChunkStore({ canisterId: second });
  check('chunked install', (await actor(agent, second).add(5n)) === 5n && (await management.storedChunks({ canisterId: second })).length === 0);

  // Identities of every kind.
  const session = Ed25519KeyIdentity.generate();
  const until = new Date(Date.now() + 15 * 60_000);
  const delegated = async (from, to, options) => DelegationIdentity.fromDelegation(to, await DelegationChain.create(from, to.getPublicKey(), until, options));
  const identities = { anonymous: undefined, ed25519: owner, secp256k1: kit.Secp256k1KeyIdentity.generate(), 'p-256': await ECDSAKeyIdentity.generate() };
  for (const kind of ['P-256', 'Ed25519', 'RSA']) {
    usePasskeys(kind);
    identities[`passkey ${kind}`] = await WebAuthnIdentity.create();
  }
  identities.delegation = await delegated(owner, session);
  identities['delegation with targets'] = await delegated(identities['passkey P-256'], session, { targets: [id, second] });
  const middle = await ECDSAKeyIdentity.generate();
  const first = await DelegationChain.create(identities['passkey RSA'], middle.getPublicKey(), until);
  identities['chain of delegations'] = DelegationIdentity.fromDelegation(session, await DelegationChain.create(middle, session.getPublicKey(), until, { previous: first }));
  await each(identities, async (name, identity) => {
    const a = await connect(identity);
    const want = identity ? identity.getPrincipal().toText() : '2vxsx-fae';
    const asked = await actor(a).whoami();
    check(`query, ${name}`, asked.toText() === want, `${asked.toText()}, want ${want}`);
    const told = await actor(a).whoami_update();
    check(`update, ${name}`, told.toText() === want, `${told.toText()}, want ${want}`);
  });
  const elsewhere = await connect(await delegated(owner, session, { targets: [second] }));
  await refused('delegation for another canister, query', () => actor(elsewhere).whoami(), /400|not for canister|delegation/i);
  await refused('delegation for another canister, update', () => actor(elsewhere).whoami_update(), /400|not for canister|delegation/i);
  const foreign = DelegationIdentity.fromDelegation(Ed25519KeyIdentity.generate(), identities.delegation.getDelegation());
  await refused('delegation to another key', async () => actor(await connect(foreign)).whoami_update(), /400|signature/i);

  // An identity that a canister issues.
  const expiration = BigInt(until.getTime()) * 1_000_000n;
  const request = { session_key: session.getPublicKey().toDer(), expiration, targets: [] };
  const userKey = Uint8Array.from(await canister.prepare_delegation(request));
  const [signed] = await canister.get_delegation(request);
  check('canister signature', signed !== undefined);
  const link = { delegation: new Delegation(Uint8Array.from(signed.pubkey), signed.expiration), signature: Uint8Array.from(signed.signature) };
  const issued = DelegationIdentity.fromDelegation(session, DelegationChain.fromDelegations([link], userKey));
  const member = Principal.selfAuthenticating(userKey).toText();
  check('principal of a canister\'s key', issued.getPrincipal().toText() === member);
  const asMember = await connect(issued);
  check('query, canister signature', (await actor(asMember).whoami()).toText() === member);
  check('update, canister signature', (await actor(asMember, second).whoami_update()).toText() === member);
  const late = { ...link, delegation: new Delegation(link.delegation.pubkey, link.delegation.expiration + 1n) };
  const forged = DelegationIdentity.fromDelegation(session, DelegationChain.fromDelegations([late], userKey));
  await refused('changed delegation of a canister', async () => actor(await connect(forged)).whoami_update(), /400|canister signature/i);
  if (kit.identity.AttributesIdentity) {
    const data = Uint8Array.from(Buffer.from('anna@example.com'));
    await canister.prepare_info(data);
    const [signature] = await canister.get_info(data);
    const [again] = await canister.get_delegation(request);
    const chain = DelegationChain.fromDelegations([{ ...link, signature: Uint8Array.from(again.signature) }], userKey);
    const inner = DelegationIdentity.fromDelegation(session, chain);
    const attributes = { data, signature: Uint8Array.from(signature) };
    const vouched = actor(await connect(new kit.identity.AttributesIdentity({ inner, attributes, signer: { canisterId: id } })), second);
    for (const [got] of [await vouched.caller_info(), await vouched.caller_info_update()]) {
      check('sender_info', got && same(got.data, data) && got.signer.toText() === id.toText(), got);
    }
    attributes.data = Uint8Array.from(Buffer.from('bert@example.com'));
    const lying = actor(await connect(new kit.identity.AttributesIdentity({ inner, attributes, signer: { canisterId: id } })), second);
    await refused('sender_info that nobody vouches for', () => lying.caller_info_update(), /400|sender_info/i);
  }

  // The certified state. CanisterStatus answers null where it fails, so values are looked at.
  const paths = ['time', 'controllers', 'module_hash', 'candid', 'subnet'];
  const certified = await CanisterStatus.request({ canisterId: id, agent, paths });
  const controllers = certified.get('controllers')?.map((p) => p.toText());
  check('read_state, time', Math.abs(certified.get('time') - Date.now()) < 60_000, certified.get('time'));
  check('read_state, controllers', show(controllers) === show([owner.getPrincipal().toText()]), controllers);
  check('read_state, module hash', certified.get('module_hash') === `0x${moduleHash.toString('hex')}` || certified.get('module_hash') === moduleHash.toString('hex'), certified.get('module_hash'));
  check('read_state, candid', `${certified.get('candid')}`.includes('whoami : () -> (principal) query'), certified.get('candid'));
  check('read_state, subnet', certified.get('subnet')?.subnetId === env('FUSION_SUBNET') && certified.get('subnet').nodeKeys.size > 0, certified.get('subnet'));
  const created = new CanisterStatus.CustomPath('created', ['canister', id.toUint8Array(), 'canister_creation_timestamp'].map((l) => (typeof l === 'string' ? Uint8Array.from(Buffer.from(l)) : l)), 'leb128');
  const times = await CanisterStatus.request({ canisterId: id, agent, paths: [created] });
  check('read_state, creation time', Math.abs(Number(times.get('created') / 1_000_000n) - Date.now()) < 5 * 60_000, times.get('created'));
  if (kit.SubnetStatus) {
    const subnetId = Principal.fromText(env('FUSION_SUBNET'));
    const known = ['time', 'publicKey', 'nodeKeys', ...(kit.readsRanges ? ['canisterRanges'] : [])];
    const subnet = await kit.SubnetStatus.request({ subnetId, agent: anonymous, paths: known });
    check('subnet, public key', same(subnet.get('publicKey') ?? [], rootKey), subnet.get('publicKey'));
    check('subnet, node keys', subnet.get('nodeKeys')?.size > 0);
    const metrics = await kit.SubnetStatus.request({ subnetId, agent: anonymous, paths: [new CanisterStatus.CustomPath('metrics', 'metrics', 'raw')] });
    check('subnet, metrics', metrics.get('metrics')?.[0] === 0xa4, metrics.get('metrics')); // a map of four
    if (kit.readsRanges) check('subnet, canister ranges', subnet.get('canisterRanges')?.some(([from, to]) => from.compareTo(id) !== 'gt' && to.compareTo(id) !== 'lt'), subnet.get('canisterRanges'));
  }

  // Rejections.
  // @icp-sdk/core 6.1.0 fails to say why a call was rejected if it had to poll for that, as on a machine too busy to answer in ten seconds.
  await refused('rejected update', () => canister.refuse('not today'), /not today|'subnetId' in undefined/);
  await refused('rejected query', () => canister.refuse_query('not today'), /not today/);
  await refused('method that does not exist', () => Actor.createActor(({ IDL }) => IDL.Service({ nothing: IDL.Func([], [], []) }), { agent, canisterId: id }).nothing(), /nothing|IC0536/);
  await refused('somebody else\'s canister', async () => kit.Management.create({ agent: asMember }).stopCanister(id), /controller|IC0512|403/i);

  // The asynchronous endpoint and polling.
  const arg = Uint8Array.from(kit.IDL.encode([kit.IDL.Nat], [1n]));
  const submitted = await agent.call(id, { methodName: 'add', arg, effectiveCanisterId: id, callSync: false });
  check('asynchronous call', submitted.response.status === 202 && (submitted.response.body === null || submitted.response.body === undefined), submitted.response);
  const polled = await kit.pollForResponse(agent, id, submitted.requestId);
  check('polling', kit.IDL.decode([kit.IDL.Nat], polled.reply)[0] === 4n);

  // The rest of a canister's life.
  await management.updateSettings({ canisterId: id, settings: { freezingThreshold: 1_000_000n, controllers: [owner.getPrincipal().toText(), member] } });
  const state = await kit.statusOf(management, id);
  check('settings and status', state.settings.freezing_threshold === 1_000_000n && state.settings.controllers.length === 2 && 'running' in state.status, state);
  const logs = await management.fetchCanisterLogs(id);
  check('logs', logs.canister_log_records.some((r) => Buffer.from(r.content).includes('the sum is 4')), logs);
  await management.stopCanister(id);
  check('stop', 'stopped' in (await kit.statusOf(management, id)).status);
  const snapshot = await management.takeCanisterSnapshot({ canisterId: id });
  await management.startCanister(id);
  check('a number after the snapshot', (await canister.add(100n)) === 104n);
  const listed = await management.listCanisterSnapshots({ canisterId: id });
  check('snapshots', listed.length === 1 && same(listed[0].id, snapshot.id), listed);
  await management.stopCanister(id);
  await management.loadCanisterSnapshot({ canisterId: id, snapshotId: snapshot.id });
  await management.startCanister(id);
  check('the number of the snapshot', (await canister.sum()) === 4n);
  await management.deleteCanisterSnapshot({ canisterId: id, snapshotId: snapshot.id });
  check('no snapshots', (await management.listCanisterSnapshots({ canisterId: id })).length === 0);
  await management.installCode({ mode: { upgrade: [] }, canisterId: id, wasmModule: module, arg: none });
  check('upgrade', (await canister.sum()) === 0n); // its number is on the heap
  await management.stopCanister(second);
  await management.deleteCanister(second);
  await refused('deleted canister', () => actor(agent, second).whoami(), /not found|IC0301/i);

  // Dishonest replicas. The agent is fresh for each, as it remembers node keys, and tries once.
  const faults = JSON.parse(env('FUSION_FAULTS'));
  await each(faults, async (fault, f) => {
    const root = f.root ? fromHex(f.root) : rootKey;
    const at = f.canister ? Principal.fromText(f.canister) : id;
    const through = async () => actor(await connect(owner, f.url, { rootKey: root, retryTimes: 0 }), at);
    for (const [kind, method] of [['query', 'whoami'], ['update', 'whoami_update']]) {
      const name = `${fault}, ${kind}`;
      if (f[kind]) {
        await refused(name, async () => (await through())[method](), new RegExp(f[kind], 'i'));
      } else {
        const got = await (await through())[method]();
        check(name, got.toText() === owner.getPrincipal().toText(), got.toText());
      }
    }
  });
  console.log(JSON.stringify({ client: kit.name, canister: id.toText(), checks }));
}
