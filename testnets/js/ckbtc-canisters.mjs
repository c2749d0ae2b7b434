// The classes of @icp-sdk/canisters for ckBTC and ICRC, unmodified and with all verification on, use ckBTC on a fusion network. The deposits and the
// blocks of Bitcoin are the test's: it is asked by lines on standard output and answers on standard input. The last line is one JSON object with the
// checks that held; the first that does not ends the program with a non-zero exit.
//
// Environment: FUSION_URL, FUSION_ROOT_KEY (DER in hexadecimal), FUSION_LEDGER, FUSION_MINTER, FUSION_INDEX, FUSION_TO (a Bitcoin address).
import { randomBytes } from 'node:crypto';
import { createInterface } from 'node:readline';
import { HttpAgent } from '@icp-sdk/core/agent';
import { Ed25519KeyIdentity } from '@icp-sdk/core/identity';
import { Principal } from '@icp-sdk/core/principal';
import {
  CkBtcMinterCanister, MinterAmountTooLowError, MinterInsufficientAllowanceError, MinterMalformedAddressError, MinterNoNewUtxosError,
} from '@icp-sdk/canisters/ckbtc';
import { IcrcIndexCanister, IcrcLedgerCanister, IcrcTransferError, mapTokenMetadata } from '@icp-sdk/canisters/ledger/icrc';

const env = (name) => {
  const v = process.env[name];
  if (!v) throw new Error(`${name} is not set`);
  return v;
};
const fromHex = (s) => Uint8Array.from(Buffer.from(s, 'hex'));
const show = (v) => JSON.stringify(v, (_, x) => (typeof x === 'bigint' ? `${x}` : x instanceof Principal ? x.toText() : x instanceof Uint8Array ? Buffer.from(x).toString('hex') : x));
const checks = [];
const check = (name, holds, detail) => {
  if (!holds) throw new Error(`${name}: ${typeof detail === 'string' ? detail : show(detail)}`);
  checks.push(name);
  console.error(`${new Date().toISOString()} ${name}`); // shown when a later check fails
};
const refused = async (name, attempt, error) => {
  let result, failure;
  try {
    result = await attempt();
  } catch (e) {
    failure = e;
  }
  check(name, failure && failure instanceof error, failure ? `${failure.stack}` : `accepted: ${show(result)}`);
  return failure;
};
const until = async (what, ask, holds) => {
  const end = Date.now() + 240_000;
  for (;;) {
    const got = await ask();
    if (holds(got)) return got;
    if (Date.now() > end) throw new Error(`${what}: still ${show(got)} after four minutes`);
    await new Promise((done) => setTimeout(done, 300));
  }
};
const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const bitcoin = async (order) => {
  console.log(order);
  const { value } = await lines.next();
  if (value === undefined) throw new Error(`no answer to ${order}`);
  return value;
};

const identity = Ed25519KeyIdentity.generate(Uint8Array.from(randomBytes(32)));
const owner = identity.getPrincipal();
const rootKey = fromHex(env('FUSION_ROOT_KEY'));
const connect = (key, who = identity) => HttpAgent.create({ host: env('FUSION_URL'), identity: who, rootKey: key, verifyQuerySignatures: true });
const agent = await connect(rootKey);
const id = (name) => Principal.fromText(env(name));
const minter = CkBtcMinterCanister.create({ agent, canisterId: id('FUSION_MINTER') });
const ledger = IcrcLedgerCanister.create({ agent, canisterId: id('FUSION_LEDGER') });
const index = IcrcIndexCanister.create({ agent, canisterId: id('FUSION_INDEX') });

// What the canisters say of themselves, by query and certified.
const info = await minter.getMinterInfo({ certified: true });
const queried = await minter.getMinterInfo({ certified: false });
check('minter info', info.min_confirmations > 0 && info.retrieve_btc_min_amount > 0n && show(info) === show(queried), { info, queried });
const token = mapTokenMetadata(await ledger.metadata({ certified: true }));
const fee = await ledger.transactionFee({ certified: true });
check('ledger metadata', token.symbol === 'ckBTC' && token.decimals === 8 && token.fee === fee, token);
const supported = (await ledger.icrc1SupportedStandards({ certified: true })).map((s) => s.name);
check('standards', ['ICRC-1', 'ICRC-2', 'ICRC-3'].every((n) => supported.includes(n)) && (await ledger.icrc10SupportedStandards({ certified: false })).length > 0, supported);
check('minting account', (await ledger.getMintingAccount({ certified: true }))[0].owner.toText() === env('FUSION_MINTER'));
check('index and ledger', (await index.ledgerId({ certified: true })).toText() === env('FUSION_LEDGER') && (await ledger.getIndexPrincipal({ certified: true })).toText() === env('FUSION_INDEX'));

// A deposit, to the default subaccount and to another one.
const sub = Uint8Array.from({ length: 32 }, (_, i) => i);
const address = await minter.getBtcAddress({ owner });
const other = await minter.getBtcAddress({ owner, subaccount: sub });
check('deposit addresses', /^bcrt1q[0-9a-z]{38}$/.test(address) && address !== other && address === (await minter.getBtcAddress({})), { address, other });
const nothing = await refused('update of an account without a deposit', () => minter.updateBalance({ owner }), MinterNoNewUtxosError);
check('confirmations', nothing.requiredConfirmations === info.min_confirmations, nothing);
const sats = 40_000_000n;
const [txid] = [await bitcoin(`send ${address} ${sats}`), await bitcoin(`send ${other} ${sats}`)];
await bitcoin('mine 1');
const pending = await until('the deposit on its way', async () => {
  try {
    return show(await minter.updateBalance({ owner }));
  } catch (e) {
    if (!(e instanceof MinterNoNewUtxosError)) throw e;
    return e.pendingUtxos;
  }
}, (p) => p.length > 0);
check('a deposit on its way', pending[0].value === sats && Buffer.from(pending[0].outpoint.txid).reverse().toString('hex') === txid && pending[0].confirmations < info.min_confirmations, pending);
await bitcoin(`mine ${info.min_confirmations}`);
const mint = async (params) => {
  const ok = await until('a mint', async () => {
    try {
      return await minter.updateBalance(params);
    } catch (e) {
      if (!(e instanceof MinterNoNewUtxosError)) throw e;
      return [];
    }
  }, (list) => list.length > 0);
  return ok[0].Minted;
};
const minted = await mint({ owner });
const toOther = await mint({ owner, subaccount: sub });
check('mints', minted.minted_amount === sats && toOther.minted_amount === sats && Buffer.from(minted.utxo.outpoint.txid).reverse().toString('hex') === txid, { minted, toOther });
check('balances', (await ledger.balance({ owner, certified: true })) === sats && (await ledger.balance({ owner, subaccount: sub, certified: false })) === sats &&
  (await ledger.totalTokensSupply({ certified: true })) >= 2n * sats);
const known = await minter.getKnownUtxos({ owner, certified: true });
check('known utxos', known.length === 1 && known[0].value === sats && show(known) === show(await minter.getKnownUtxos({ owner, certified: false })), known);

// Transfers, allowances, and somebody who uses one.
const friend = Ed25519KeyIdentity.generate(Uint8Array.from(randomBytes(32)));
const to = { owner: friend.getPrincipal(), subaccount: [] };
const at = BigInt(Date.now()) * 1_000_000n;
const sent = await ledger.transfer({ to, amount: 1_000n, created_at_time: at });
await refused('the same transfer again', () => ledger.transfer({ to, amount: 1_000n, created_at_time: at }), IcrcTransferError);
const account = { owner, subaccount: [] };
await ledger.approve({ spender: to, amount: 5_000n });
check('allowance', (await ledger.allowance({ account, spender: to, certified: true })).allowance === 5_000n);
const friends = IcrcLedgerCanister.create({ agent: await connect(rootKey, friend), canisterId: id('FUSION_LEDGER') });
const drawn = await friends.transferFrom({ from: account, to, amount: 2_000n });
check('transfer from', (await ledger.allowance({ account, spender: to, certified: false })).allowance === 3_000n - fee && (await ledger.balance({ owner: to.owner, certified: true })) === 3_000n && drawn > sent);
const blocks = await ledger.getBlocks({ args: [{ start: sent, length: 2n }], certified: true });
check('blocks', blocks.blocks.length === 2 && blocks.blocks[0].id === sent && blocks.log_length > drawn, blocks);

// The index knows all that.
const history = await until('the history of the account', () => index.getTransactions({ account: { owner }, max_results: 10n, certified: true }), (h) => h.transactions[0]?.id === drawn);
const kinds = history.transactions.map((t) => t.transaction.kind);
check('index of the account', show(kinds) === show(['transfer', 'approve', 'transfer', 'mint']) && history.balance === (await ledger.balance({ owner, certified: true })) &&
  history.oldest_tx_id[0] === minted.block_index, history);
check('index status', (await index.status({ certified: true })).num_blocks_synced > drawn && (await index.balance({ owner: to.owner, certified: false })) === 3_000n);
check('index of subaccounts', (await index.listSubaccounts({ owner, certified: false })).length === 2);

// A withdrawal. What the minter refuses comes as the library's own errors.
const amount = 10_000_000n;
const price = await minter.estimateWithdrawalFee({ amount, certified: true });
check('fee estimate', price.bitcoin_fee > 0n && price.minter_fee > 0n && price.bitcoin_fee + price.minter_fee < amount, price);
const spender = { owner: id('FUSION_MINTER'), subaccount: [] };
const destination = env('FUSION_TO');
await refused('withdrawal without an approval', () => minter.retrieveBtcWithApproval({ address: destination, amount }), MinterInsufficientAllowanceError);
await ledger.approve({ spender, amount: 2n * amount });
await refused('withdrawal below the minimum', () => minter.retrieveBtcWithApproval({ address: destination, amount: info.retrieve_btc_min_amount - 1n }), MinterAmountTooLowError);
await refused('withdrawal to nowhere', () => minter.retrieveBtcWithApproval({ address: 'nowhere', amount }), MinterMalformedAddressError);
const block = (await minter.retrieveBtcWithApproval({ address: destination, amount })).block_index;
// The way before approvals: ckBTC are moved to an account of the minter's first.
const moved = await minter.getWithdrawalAccount();
await ledger.transfer({ to: moved, amount });
const second = (await minter.retrieveBtc({ address: destination, amount })).block_index;
const done = await until('both withdrawals', async () => {
  await bitcoin('mine 1');
  return minter.retrieveBtcStatusV2ByAccount({ account: { owner }, certified: true });
}, (list) => list.length === 2 && list.every((s) => s.status && 'Confirmed' in s.status));
check('withdrawals', done.map((s) => s.id).sort().join() === [block, second].sort().join() && done.every((s) => s.status.Confirmed.txid.length === 32), done);
const received = BigInt(await bitcoin(`balance ${destination}`));
check('what arrives', received < 2n * amount && received > 2n * (amount - 100_000n), received);
const burned = await until('the burns in the index', () => index.getTransactions({ account: { owner }, max_results: 10n, certified: false }), (h) => h.transactions.some((t) => t.id === block));
check('index of a burn', burned.transactions.find((t) => t.id === block).transaction.burn[0].amount === amount, burned);

// A client that trusts another key refuses everything that the network says.
const wrong = Uint8Array.from(rootKey);
wrong[wrong.length - 20] ^= 1;
const mistrusting = CkBtcMinterCanister.create({ agent: await connect(wrong), canisterId: id('FUSION_MINTER') });
let trusted = false;
try {
  await mistrusting.getMinterInfo({ certified: true });
  trusted = true;
} catch { /* as it should be */ }
check('another root key', !trusted);

console.log(JSON.stringify({ checks, owner: owner.toText(), received: `${received}` }));
process.exit(0);
