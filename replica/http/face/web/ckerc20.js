// ckERC20: tokens of Ethereum on the subnet. Each that the minter supports has a tab; a deposit is two transactions of the depositor's own wallet.

import { Agent } from './agent.js';
import { hex, principalBytes, principalText } from './bytes.js';
import { know, opt, record, tag } from './candid.js';
import { deposit, withdrawal, withdrawalsOf } from './cketh.js';
import { copyable, fill, h, say, show } from './dom.js';
import { account, approve, page, parseAmount, sentence, showAmount } from './token.js';

export const title = 'ckERC20';

know('supported_ckerc20_tokens', 'ckerc20_token_symbol', 'erc20_contract_address', 'ledger_canister_id', 'erc20_balances', 'balance', 'max_transaction_fee', 'ckerc20_block_index', 'cketh_block_index',
  'TokenNotSupported', 'CkEthLedgerError', 'CkErc20LedgerError', 'error', 'allowed_amount', 'minimum_burn_amount', 'AmountTooLow', 'InsufficientFunds', 'InsufficientAllowance', 'RecipientAddressBlocked');

const depositQuery = record({ transaction_hash: opt('text'), account: opt(account) });
const priceArg = record({ ckerc20_ledger_id: 'principal' });
const withdrawalArg = record({ amount: 'nat', ckerc20_ledger_id: 'principal', recipient: 'text' });

const ether = (n) => `${showAmount(n, 18)} ETH`;

// wordOf is 32 bytes of call data: a number or an address; principalWord the length of a principal, its bytes and zeros, as the helper contract takes it.
const wordOf = (n) => BigInt(n).toString(16).padStart(64, '0');
const principalWord = (p) => {
  const b = principalBytes(p);
  return (b.length.toString(16).padStart(2, '0') + hex(b)).padEnd(64, '0');
};

// calls are the data of the two transactions of a deposit: approve(address,uint256) of the token and depositErc20(address,uint256,bytes32,bytes32) of the helper.
export const calls = (token, helper, amount, owner) => [`0x095ea7b3${wordOf(helper)}${wordOf(amount)}`, `0xdb9751af${wordOf(token)}${wordOf(amount)}${principalWord(owner)}${wordOf(0)}`];

// instructions say how to deposit, with the data for an amount that is typed in.
function instructions(t, info, me, local) {
  const helper = info.deposit_with_subaccount_helper_contract_address;
  if (!helper) return [h('p', { class: 'muted' }, 'The minter was not told of a helper contract: deposits are not possible yet.')];
  const amount = h('input', { id: 'deposit-amount', name: 'deposit', autocomplete: 'off', inputmode: 'decimal', placeholder: '25', maxlength: 40, 'aria-describedby': 'deposit-bad' });
  const bad = h('p', { class: 'outcome bad', id: 'deposit-bad', role: 'status', hidden: true }), steps = h('div', { class: 'calls' });
  const make = () => {
    show(bad, false);
    fill(steps);
    if (!amount.value.trim()) return;
    try {
      const n = parseAmount(amount.value, t.decimals, t.asset), [first, second] = calls(t.contract, helper, n, me);
      fill(steps, h('p', { class: 'small' }, '1. Data of approve, to the token contract'), h('p', null, copyable(first, first, 'Copy the data of approve')),
        h('p', { class: 'small' }, '2. Data of depositErc20, to the helper contract'), h('p', null, copyable(second, second, 'Copy the data of depositErc20')),
        local ? [h('p', { class: 'small muted' }, 'On this local network: '), h('p', null, copyable(local(amount.value.trim()), local(amount.value.trim()), 'Copy the command'))] : null);
    } catch (err) {
      say(bad, sentence(err.message));
      show(bad, true);
    }
  };
  amount.addEventListener('input', make);
  return [h('div', { class: 'beside' },
    h('p', { class: 'muted small' }, 'From your own wallet, allow the helper contract to take the tokens (approve), then have it take them (depositErc20). It passes them on to the minter and says whose they are; they are minted when the block is final. Tokens that are sent to the minter without it are lost to you.'),
    h('dl', { class: 'facts' }, h('dt', null, 'Token contract'), h('dd', null, copyable(t.contract)), h('dt', null, 'Helper contract'), h('dd', null, copyable(helper))),
    h('div', { class: 'field' }, h('label', { for: 'deposit-amount' }, `Amount in ${t.asset}`), amount), bad, steps)];
}

// ledgerWords says a ledger's refusal in words.
function ledgerWords(e, text) {
  const kind = tag(e), v = e[kind];
  switch (kind) {
    case 'InsufficientFunds': return `the account holds ${text(v.balance)}`;
    case 'InsufficientAllowance': return 'another redemption used the allowance; try again';
    case 'AmountTooLow': return `the smallest amount is ${text(v.minimum_burn_amount)}`;
  }
  return v || kind;
}

// chainOf is a token as token.js takes it. A token has a symbol, asset, contract, ledger and decimals.
function chainOf(t) {
  const text = (n) => `${showAmount(n, t.decimals)} ${t.asset}`;
  return {
    symbol: t.symbol, asset: t.asset, unit: t.asset, decimals: t.decimals, route: `ckerc20/${encodeURIComponent(t.symbol)}`, ids: (has) => ({ minter: has.cketh_minter, ledger: t.ledger, fee: has.cketh_ledger }),
    lead: `${t.asset} of Ethereum under the subnet’s threshold key. One ${t.symbol} is redeemed for one ${t.asset}; the transaction’s fee is paid in ckETH.`,
    show: text, noDeposits: 'No deposit yet.',
    async info(agent, minter) {
      const [i] = await agent.query(minter, 'get_minter_info');
      const held = i.erc20_balances?.find((b) => b.erc20_contract_address.toLowerCase() === t.contract.toLowerCase());
      return { problem: i.troubles?.[0]?.reason ?? '', rows: [['Chain id', i.chain_id === null ? '1' : `${i.chain_id}`], ['Held by the minter', held ? text(held.balance) : 'not known yet'], ['Token contract', t.contract]] };
    },
    async instructions(agent, minter, me, s) {
      const [i] = await agent.query(minter, 'get_minter_info');
      return instructions(t, i, me, s.class === 'local' ? (amount) => `fusion ckerc20 deposit ${amount} ${t.symbol} --for ${me}` : null);
    },
    async deposits(agent, minter, owner) {
      const [all] = await agent.query(minter, 'deposit_status', [depositQuery], [{ transaction_hash: null, account: { owner, subaccount: null } }]);
      return all.filter((d) => d.erc20_contract_address?.toLowerCase() === t.contract.toLowerCase()).map((d) => ({ ...deposit(d), amount: text(d.amount) })).reverse();
    },
    async withdrawals(agent, minter, owner) {
      return (await withdrawalsOf(agent, minter, owner)).filter((w) => w.token_symbol === t.symbol).map((w) => ({ ...withdrawal(w), amount: text(w.withdrawal_amount) }))
        .sort((a, b) => Number(b.key) - Number(a.key));
    },
    redeem: {
      about: `Your ${t.symbol} is burned and the replicas sign a transaction; its fee comes out of your ckETH.`, label: 'Ethereum address', placeholder: '0x…',
      async run(agent, ids, recipient, amount) {
        if (!/^0x[0-9a-f]{40}$/i.test(recipient)) throw new Error('an Ethereum address is 0x and 40 hexadecimal digits');
        const [price] = await agent.query(ids.minter, 'eip_1559_transaction_price', [opt(priceArg)], [{ ckerc20_ledger_id: t.ledger }]);
        const fee = 2n * price.max_transaction_fee; // it may rise until the minter takes it
        const [has] = await agent.query(ids.fee, 'icrc1_balance_of', [account], [{ owner: principalText(agent.sender), subaccount: null }]); // before an allowance is paid for
        if (has < price.max_transaction_fee) throw new Error(`the fee is up to ${ether(price.max_transaction_fee)}, and your account holds ${ether(has)} as ckETH: deposit some on the page ckETH`);
        await approve(agent, ids.fee, ids.minter, fee, ether);
        await approve(agent, ids.ledger, ids.minter, amount, text);
        const [r] = await agent.update(ids.minter, 'withdraw_erc20', [withdrawalArg], [{ amount, ckerc20_ledger_id: t.ledger, recipient }]);
        if (tag(r) === 'Ok') return `Burned ${text(amount)} in ledger block ${r.Ok.ckerc20_block_index}. Its payment is under Redeemed.`;
        const kind = tag(r.Err), v = r.Err[kind];
        switch (kind) {
          case 'CkEthLedgerError': throw new Error(`the fee was not taken: ${ledgerWords(v.error, ether)}`);
          case 'CkErc20LedgerError': throw new Error(`nothing was burned, and the fee comes back: ${ledgerWords(v.error, text)}`);
          case 'RecipientAddressBlocked': throw new Error('the minter pays nothing to this address, and nothing was burned');
          case 'TemporarilyUnavailable': throw new Error(v);
        }
        throw new Error(`it was refused: ${kind}`);
      },
    },
  };
}

const anyone = new Agent();

// tokensOf are the tokens that a minter supports.
async function tokensOf(minter) {
  const [info] = await anyone.query(minter, 'get_minter_info');
  return Promise.all((info.supported_ckerc20_tokens ?? []).map(async (t) => {
    const [decimals] = await anyone.query(t.ledger_canister_id, 'icrc1_decimals');
    const symbol = t.ckerc20_token_symbol;
    return { symbol, asset: symbol.replace(/^ck/, ''), contract: t.erc20_contract_address, ledger: t.ledger_canister_id, decimals: Number(decimals) };
  }));
}

export function mount(root, [which, ...rest]) {
  const tabs = h('nav', { class: 'tabs', 'aria-label': 'Tokens' }), body = h('div', { class: 'stack' }, h('p', { class: 'empty' }, 'Asking the replica…'));
  let inner = null, asked = 0, gone = false, state = null;
  fill(root, tabs, body);
  const none = (text) => fill(body, h('h1', null, title), h('p', { class: 'empty' }, text));
  const find = async (minter) => {
    asked = Date.now();
    try {
      const list = await tokensOf(minter);
      if (gone || inner) return;
      const token = which === undefined ? list[0] : list.find((t) => t.symbol === which);
      fill(tabs, list.map((t) => h('a', { href: `#/ckerc20/${encodeURIComponent(t.symbol)}`, 'aria-current': t === token ? 'page' : null }, t.symbol.slice(0, 24))));
      if (!token) return none(which === undefined ? 'The minter supports no tokens yet.' : 'The minter does not support a token of this name.');
      inner = page(chainOf(token)).mount(body, rest);
      inner.update(state);
    } catch (err) {
      none(sentence(`The tokens could not be read: ${err.message}`));
    }
  };
  return {
    update(s) {
      state = s;
      const minter = s.certified?.canisters?.find((c) => c.name === 'cketh_minter' && c.module)?.id;
      if (inner) inner.update(s);
      else if (!minter) none('This network has no ckETH minter yet.');
      else if (Date.now() - asked > 5000) find(minter);
    },
    unmount() {
      gone = true;
      inner?.unmount();
    },
  };
}
