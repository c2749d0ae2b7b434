// The classes of @icp-sdk/canisters for ckETH and ICRC, unmodified and with all verification on, use ckETH and a ckERC20 token on a fusion
// network, and Foundry's cast makes the deposits as a user of Ethereum would. It prints one JSON object with the checks that held; the
// first that does not ends it with a non-zero exit.
//
// Environment: FUSION_URL, FUSION_ROOT_KEY (DER in hexadecimal), FUSION_MINTER, FUSION_LEDGER, FUSION_INDEX, FUSION_ORCHESTRATOR, CAST_BIN,
// FUSION_ETHEREUM (URL of a node), FUSION_ETHEREUM_KEY (hexadecimal, of an account that owns ether and FUSION_TOKENS units of each token).
import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { HttpAgent } from '@icp-sdk/core/agent';
import { Ed25519KeyIdentity } from '@icp-sdk/core/identity';
import { Principal } from '@icp-sdk/core/principal';
import {
  CkEthMinterCanister, CkEthOrchestratorCanister, encodePrincipalToEthAddress, LedgerAmountTooLowError, LedgerInsufficientAllowanceError, MinterAmountTooLowError, MinterInsufficientAllowanceError,
} from '@icp-sdk/canisters/cketh';
import { IcrcIndexCanister, IcrcLedgerCanister, mapTokenMetadata } from '@icp-sdk/canisters/ledger/icrc';

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
const refused = async (name, attempt, error, pattern = /./s) => {
  let result, failure;
  try {
    result = await attempt();
  } catch (e) {
    failure = e;
  }
  check(name, failure && failure instanceof error && pattern.test(`${failure.message} ${show(failure.details)}`), failure ? `${failure.stack}\n${show(failure.details)}` : `accepted: ${show(result)}`);
};
// until asks again and again: deposits and withdrawals wait for blocks of both chains.
const until = async (what, ask, holds) => {
  const end = Date.now() + 300_000;
  for (;;) {
    const got = await ask();
    if (holds(got)) return got;
    if (Date.now() > end) throw new Error(`${what}: still ${show(got)} after five minutes`);
    await new Promise((done) => setTimeout(done, 300));
  }
};

const cast = (...args) => execFileSync(env('CAST_BIN'), [...args, '--rpc-url', env('FUSION_ETHEREUM')], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] }).trim();
const castSend = (...args) => {
  const receipt = JSON.parse(cast('send', '--json', '--private-key', env('FUSION_ETHEREUM_KEY'), ...args));
  if (BigInt(receipt.status) !== 1n) throw new Error(`cast send ${args}: ${show(receipt)}`);
  return receipt;
};
const units = (text) => BigInt(text.split(' ')[0]); // cast adds a rounded form in brackets

const identity = Ed25519KeyIdentity.generate(Uint8Array.from(randomBytes(32)));
const owner = identity.getPrincipal();
const rootKey = fromHex(env('FUSION_ROOT_KEY'));
const connect = (key) => HttpAgent.create({ host: env('FUSION_URL'), identity, rootKey: key, verifyQuerySignatures: true });
const agent = await connect(rootKey);
const id = (name) => Principal.fromText(env(name));
const minter = CkEthMinterCanister.create({ agent, canisterId: id('FUSION_MINTER') });
const orchestrator = CkEthOrchestratorCanister.create({ agent, canisterId: id('FUSION_ORCHESTRATOR') });
const ledger = IcrcLedgerCanister.create({ agent, canisterId: id('FUSION_LEDGER') });
const index = IcrcIndexCanister.create({ agent, canisterId: id('FUSION_INDEX') });

// What the canisters say of themselves, by query and certified.
const info = await minter.getMinterInfo({ certified: true });
const queried = await minter.getMinterInfo({ certified: false });
const helper = info.deposit_with_subaccount_helper_contract_address[0];
check('minter info', /^0x[0-9a-fA-F]{40}$/.test(helper ?? '') && info.minter_address[0] === queried.minter_address[0] && info.cketh_ledger_id[0].toText() === env('FUSION_LEDGER'), info);
const suite = await until('the first token of the orchestrator', () => orchestrator.getOrchestratorInfo({ certified: true }),
  (o) => o.managed_canisters.length > 0 && o.managed_canisters.every((m) => m.ledger[0]?.Installed && m.index[0]?.Installed));
const managed = suite.managed_canisters[0];
const tokenLedgerId = managed.ledger[0].Installed.canister_id;
const supported = await until('the token at the minter', () => minter.getMinterInfo({ certified: false }),
  (i) => (i.supported_ckerc20_tokens[0] ?? []).some((t) => t.ledger_canister_id.toText() === tokenLedgerId.toText()));
check('orchestrator info', suite.minter_id[0].toText() === env('FUSION_MINTER') && suite.ledger_suite_version[0].ledger_compressed_wasm_hash === managed.ledger[0].Installed.installed_wasm_hash &&
  supported.supported_ckerc20_tokens[0][0].erc20_contract_address === managed.erc20_contract.address, suite);
const token = managed.erc20_contract.address;
const tokenLedger = IcrcLedgerCanister.create({ agent, canisterId: tokenLedgerId });
const tokenIndex = IcrcIndexCanister.create({ agent, canisterId: managed.index[0].Installed.canister_id });
const [ether, unit] = await Promise.all([ledger, tokenLedger].map(async (l) => mapTokenMetadata(await l.metadata({ certified: true }))));
check('token metadata', ether.symbol === 'ckETH' && ether.decimals === 18 && unit.symbol === managed.ckerc20_token_symbol, { ether, unit });
check('index of the ledgers', (await index.ledgerId({ certified: true })).toText() === env('FUSION_LEDGER') && (await tokenIndex.ledgerId({ certified: false })).toText() === tokenLedgerId.toText() &&
  (await tokenLedger.getIndexPrincipal({ certified: true })).toText() === managed.index[0].Installed.canister_id.toText());

// Deposits by cast, to the default subaccount and to another one.
const spoken = encodePrincipalToEthAddress(owner);
const sub = Uint8Array.from({ length: 32 }, (_, i) => i);
const zero = `0x${'00'.repeat(32)}`;
const wei = 2n * 10n ** 18n;
const tokens = BigInt(env('FUSION_TOKENS')) / 2n;
const deposited = castSend(helper, 'depositEth(bytes32,bytes32)', spoken, zero, '--value', `${wei}`);
castSend(helper, 'depositEth(bytes32,bytes32)', spoken, `0x${Buffer.from(sub).toString('hex')}`, '--value', '1gwei');
castSend(token, 'approve(address,uint256)', helper, `${tokens}`);
castSend(helper, 'depositErc20(address,uint256,bytes32,bytes32)', token, `${tokens}`, spoken, zero);
await until('ckETH of the deposit', () => ledger.balance({ owner, certified: true }), (b) => b === wei);
await until('ckETH of the deposit to a subaccount', () => ledger.balance({ owner, subaccount: sub, certified: false }), (b) => b === 10n ** 9n);
await until('ckERC20 of the deposit', () => tokenLedger.balance({ owner, certified: true }), (b) => b === tokens);
check('deposits by cast', true);

// The index knows them, each with the transaction that brought it.
const history = await until('the deposit in the index', () => index.getTransactions({ account: { owner }, max_results: 10n, certified: true }), (h) => h.transactions.length === 1);
const minted = history.transactions[0].transaction.mint[0];
check('index of a mint', history.balance === wei && history.oldest_tx_id[0] === history.transactions[0].id && minted.amount === wei && minted.memo[0] &&
  Buffer.from(minted.memo[0]).includes(Buffer.from(deposited.transactionHash.slice(2), 'hex')), history);
const subs = await until('both subaccounts in the index', () => index.listSubaccounts({ owner, certified: false }), (l) => l.length === 2);
check('index of subaccounts', Buffer.from(subs[0]).equals(Buffer.alloc(32)) && Buffer.from(subs[1]).equals(Buffer.from(sub)), subs);

// Transfers.
const bob = Ed25519KeyIdentity.generate().getPrincipal();
const block = await ledger.transfer({ to: { owner: bob, subaccount: [] }, amount: 5n });
const page = await until('the transfer in the index', () => index.getTransactions({ account: { owner }, max_results: 1n, certified: false }), (h) => h.transactions[0]?.id === block);
check('index of a transfer', page.transactions[0].transaction.transfer[0].amount === 5n && page.transactions[0].transaction.transfer[0].fee[0] === (await ledger.transactionFee({ certified: true })) &&
  (await index.getTransactions({ account: { owner }, max_results: 5n, start: block, certified: false })).transactions[0].id === history.transactions[0].id, page);
check('index balance', (await index.balance({ owner: bob, certified: true })) === 5n && (await index.status({ certified: true })).num_blocks_synced > block);

// Withdrawals. What the minter refuses comes as the library's own errors.
const spender = { owner: id('FUSION_MINTER'), subaccount: [] };
const to = `0x${randomBytes(20).toString('hex')}`;
const least = info.minimum_withdrawal_amount[0];
await refused('withdrawal below the minimum', () => minter.withdrawEth({ address: to, amount: least - 1n }), MinterAmountTooLowError, new RegExp(`${least}`));
await refused('withdrawal without an approval', () => minter.withdrawEth({ address: to, amount: least }), MinterInsufficientAllowanceError);
const price = await minter.eip1559TransactionPrice({ certified: false });
const tokenPrice = await minter.eip1559TransactionPrice({ ckErc20LedgerId: tokenLedgerId, certified: true });
check('transaction prices', price.gas_limit >= 21_000n && tokenPrice.gas_limit > price.gas_limit && tokenPrice.max_transaction_fee > 0n, { price, tokenPrice });
await ledger.approve({ spender, amount: 10n ** 18n });
const withdrawal = await minter.withdrawEth({ address: to, amount: 10n ** 17n });
const done = (s) => s.TxFinalized?.Success;
const paid = await until('the withdrawal of ckETH', () => minter.retrieveEthStatus(withdrawal.block_index), done);
const received = BigInt(cast('balance', to));
check('withdrawal of ckETH', received > 0n && received < 10n ** 17n && /^0x[0-9a-f]{64}$/.test(paid.TxFinalized.Success.transaction_hash), { received, paid });
const withdrawTokens = (amount) => minter.withdrawErc20({ address: to, amount, ledgerCanisterId: tokenLedgerId });
await refused('withdrawal of less ckERC20 than can be burned', () => withdrawTokens(1n), LedgerAmountTooLowError);
await refused('withdrawal of ckERC20 without an approval', () => withdrawTokens(tokens / 4n), LedgerInsufficientAllowanceError);
await tokenLedger.approve({ spender, amount: tokens / 2n });
const sent = await withdrawTokens(tokens / 4n);
await until('the withdrawal of ckERC20', () => minter.retrieveEthStatus(sent.cketh_block_index), done);
check('withdrawal of ckERC20', units(cast('call', token, 'balanceOf(address)(uint256)', to)) === tokens / 4n);
const burned = await until('the burn in the index', () => tokenIndex.getTransactions({ account: { owner }, max_results: 3n, certified: false }), (h) => h.transactions[0]?.transaction.kind === 'burn');
check('index of a burn', burned.transactions[0].id === sent.ckerc20_block_index && burned.transactions[0].transaction.burn[0].amount === tokens / 4n && burned.transactions[1].transaction.kind === 'approve', burned);

// A client that trusts another key refuses everything that the network says.
const wrong = Uint8Array.from(rootKey);
wrong[wrong.length - 20] ^= 1;
const mistrusting = CkEthMinterCanister.create({ agent: await connect(wrong), canisterId: id('FUSION_MINTER') });
let trusted = false;
try {
  await mistrusting.getMinterInfo({ certified: true });
  trusted = true;
} catch { /* as it should be */ }
check('another root key', !trusted);

console.log(JSON.stringify({ checks, to, withdrawal: paid.TxFinalized.Success.transaction_hash }));
