// The JavaScript agent, unmodified and with all its verification on, uses ckBTC on a fusion network. It prints one JSON object
// with what it saw; any failed check ends it with a non-zero exit.
//
// Environment: FUSION_URL, FUSION_ROOT_KEY (DER in hexadecimal), FUSION_LEDGER, FUSION_MINTER, FUSION_SEED (32 bytes in
// hexadecimal, the Ed25519 seed of a user that owns ckBTC), FUSION_TO (a principal to pay), FUSION_AMOUNT (satoshi).
import { Actor, HttpAgent } from '@icp-sdk/core/agent';
import { Ed25519KeyIdentity } from '@icp-sdk/core/identity';
import { Principal } from '@icp-sdk/core/principal';

const env = (name) => {
  const v = process.env[name];
  if (!v) throw new Error(`${name} is not set`);
  return v;
};
const fromHex = (s) => Uint8Array.from(Buffer.from(s, 'hex'));
const same = (a, b) => Buffer.from(a).equals(Buffer.from(b));

const ledgerIdl = ({ IDL }) => {
  const Account = IDL.Record({ owner: IDL.Principal, subaccount: IDL.Opt(IDL.Vec(IDL.Nat8)) });
  const TransferError = IDL.Variant({
    BadFee: IDL.Record({ expected_fee: IDL.Nat }),
    BadBurn: IDL.Record({ min_burn_amount: IDL.Nat }),
    InsufficientFunds: IDL.Record({ balance: IDL.Nat }),
    TooOld: IDL.Null,
    CreatedInFuture: IDL.Record({ ledger_time: IDL.Nat64 }),
    TemporarilyUnavailable: IDL.Null,
    Duplicate: IDL.Record({ duplicate_of: IDL.Nat }),
    GenericError: IDL.Record({ error_code: IDL.Nat, message: IDL.Text }),
  });
  const TransferArg = IDL.Record({
    from_subaccount: IDL.Opt(IDL.Vec(IDL.Nat8)), to: Account, amount: IDL.Nat, fee: IDL.Opt(IDL.Nat),
    memo: IDL.Opt(IDL.Vec(IDL.Nat8)), created_at_time: IDL.Opt(IDL.Nat64),
  });
  return IDL.Service({
    icrc1_balance_of: IDL.Func([Account], [IDL.Nat], ['query']),
    icrc1_fee: IDL.Func([], [IDL.Nat], ['query']),
    icrc1_symbol: IDL.Func([], [IDL.Text], ['query']),
    icrc1_transfer: IDL.Func([TransferArg], [IDL.Variant({ Ok: IDL.Nat, Err: TransferError })], []),
  });
};
const minterIdl = ({ IDL }) => IDL.Service({
  get_btc_address: IDL.Func([IDL.Record({ owner: IDL.Opt(IDL.Principal), subaccount: IDL.Opt(IDL.Vec(IDL.Nat8)) })], [IDL.Text], []),
});

const identity = Ed25519KeyIdentity.generate(fromHex(env('FUSION_SEED')));
const rootKey = fromHex(env('FUSION_ROOT_KEY'));
const agent = await HttpAgent.create({ host: env('FUSION_URL'), identity, shouldFetchRootKey: true, verifyQuerySignatures: true });
if (!same(agent.rootKey, rootKey)) throw new Error('the status endpoint shows another root key');

const ledger = Actor.createActor(ledgerIdl, { agent, canisterId: env('FUSION_LEDGER') });
const minter = Actor.createActor(minterIdl, { agent, canisterId: env('FUSION_MINTER') });
const me = { owner: identity.getPrincipal(), subaccount: [] };
const to = { owner: Principal.fromText(env('FUSION_TO')), subaccount: [] };
const amount = BigInt(env('FUSION_AMOUNT'));

const symbol = await ledger.icrc1_symbol();
const fee = await ledger.icrc1_fee();
const before = await ledger.icrc1_balance_of(me);
const toBefore = await ledger.icrc1_balance_of(to);
const sent = await ledger.icrc1_transfer({ from_subaccount: [], to, amount, fee: [fee], memo: [], created_at_time: [] });
if (!('Ok' in sent)) throw new Error(`transfer refused: ${JSON.stringify(sent, (_, v) => (typeof v === 'bigint' ? `${v}` : v))}`);
const after = await ledger.icrc1_balance_of(me);
const toAfter = await ledger.icrc1_balance_of(to);
if (before - after !== amount + fee || toAfter - toBefore !== amount) throw new Error('balances do not match the transfer');
const address = await minter.get_btc_address({ owner: [identity.getPrincipal()], subaccount: [] });

// A client that trusts another key must refuse everything this network says.
const wrong = Uint8Array.from(rootKey);
wrong[wrong.length - 20] ^= 1;
const mistrusting = await HttpAgent.create({ host: env('FUSION_URL'), identity, rootKey: wrong, verifyQuerySignatures: true, retryTimes: 0 });
let refused = false;
try {
  await Actor.createActor(ledgerIdl, { agent: mistrusting, canisterId: env('FUSION_LEDGER') }).icrc1_balance_of(me);
} catch {
  refused = true;
}
if (!refused) throw new Error('a client with another root key accepted an answer');

console.log(JSON.stringify({ symbol, fee: `${fee}`, before: `${before}`, after: `${after}`, block: `${sent.Ok}`, address }));
