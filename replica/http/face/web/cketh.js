// ckETH: ether on the subnet.

import { blob, know, opt, record, tag, variant } from './candid.js';
import { short } from './dom.js';
import { account, approve, page, refusal, sentence, showAmount } from './token.js';

know('minimum_withdrawal_amount', 'minimum_personal_deposit', 'eth_balance', 'troubles', 'reason', 'contract_address', 'chain_id', 'last_observed_block_number', 'deposit_with_subaccount_helper_contract_address',
  'transaction_hash', 'log_index', 'erc20_contract_address', 'amount', 'status', 'message', 'Checking', 'Accepted', 'Minted', 'Invalid', 'Quarantined', 'block_index', 'address', 'sweep', 'last_seen_balance',
  'token_symbol', 'withdrawal_amount', 'withdrawal_id', 'recipient_address', 'Pending', 'TxCreated', 'TxSent', 'TxFinalized', 'Success', 'PendingReimbursement', 'Reimbursed', 'reimbursed_in_block',
  'AmountTooLow', 'min_withdrawal_amount', 'InsufficientAllowance', 'RecipientAddressBlocked');

const depositQuery = record({ transaction_hash: opt('text'), account: opt(account) });
const search = variant({ ByRecipient: 'text', BySenderAccount: account, ByWithdrawalId: 'nat64' });
const withdrawalArg = record({ recipient: 'text', amount: 'nat', from_subaccount: opt(blob) });

const eth = (n) => `${showAmount(n, 18)} ETH`;

const depositStages = ['Arrived', 'Final', 'Minted'];

export function deposit(d) {
  const kind = tag(d.status), v = d.status[kind];
  const [done, failed] = { Checking: [1], Accepted: [2], Quarantined: [2], Minted: [3], Invalid: [1, true] }[kind] ?? [0];
  return { key: `${d.transaction_hash}:${d.log_index}`, title: `Transaction ${short(d.transaction_hash, 8)}`, amount: d.erc20_contract_address ? 'a token' : eth(d.amount), stages: depositStages, done, failed,
    note: kind === 'Minted' ? `Minted in ledger block ${v.block_index}.` : sentence(d.message) };
}

const withdrawalStages = ['Burned', 'Signed', 'Sent', 'Final'];

export function withdrawal(w) {
  const kind = tag(w.status), v = w.status[kind];
  let [done, note, failed] = {
    Pending: () => [1, 'Waits for its turn.'],
    TxCreated: () => [1, 'The replicas are signing the transaction.'],
    TxSent: () => [3, `Transaction ${short(v.transaction_hash, 8)} waits to become final.`],
    TxFinalized: () => (tag(v) === 'Success' ? [4, `Paid by transaction ${v.Success.transaction_hash}.`]
      : tag(v) === 'Reimbursed' ? [3, `It failed, and what was burned came back in ledger block ${v.Reimbursed.reimbursed_in_block}.`, true] : [3, 'It failed: what was burned comes back.', true]),
  }[kind]?.() ?? [1, `It is ${kind}.`];
  if (w.message && kind !== 'TxFinalized') note += ` ${sentence(w.message)}`;
  return { key: String(w.withdrawal_id), title: `To ${short(w.recipient_address, 6)}`, amount: w.token_symbol === 'ckETH' ? eth(w.withdrawal_amount) : w.token_symbol, stages: withdrawalStages, done, note, failed };
}

// withdrawalsOf are an account's withdrawals, of ether and of tokens, as the minter tells them.
export const withdrawalsOf = async (agent, minter, owner) => (await agent.query(minter, 'withdrawal_status', [search], [{ BySenderAccount: { owner, subaccount: null } }]))[0];

const { title, mount } = page({
  symbol: 'ckETH', asset: 'ether', unit: 'ETH', decimals: 18, route: 'cketh', minter: 'cketh_minter', ledger: 'cketh_ledger', index: 'cketh_index',
  lead: 'Ether under the subnet’s threshold key, as a token that moves in a second. One ckETH is redeemed for one ether, less fees.',
  show: eth,
  depositHint: 'Send plain ether here, from any wallet or exchange, then press Look. The minter moves it to itself, takes that transaction’s fee out of it, and mints the rest when it is final.',
  noDeposits: 'No deposit yet. After a payment, press Look: the minter then watches this address for an hour.',
  commands: (address) => [`fusion eth send 0.5eth ${address}`],

  async info(agent, minter) {
    const [i] = await agent.query(minter, 'get_minter_info');
    return { problem: i.troubles?.[0]?.reason ?? '', rows: [['Chain id', i.chain_id === null ? '1' : `${i.chain_id}`],
      ['Smallest deposit', i.minimum_personal_deposit === null ? 'not known before the first block' : eth(i.minimum_personal_deposit)],
      ['Smallest redemption', i.minimum_withdrawal_amount === null ? 'any' : eth(i.minimum_withdrawal_amount)],
      ['Helper contract', i.deposit_with_subaccount_helper_contract_address ?? 'none']] };
  },
  address: async (agent, minter, owner) => (await agent.update(minter, 'get_deposit_address', [account], [{ owner, subaccount: null }]))[0],
  async deposits(agent, minter, owner) {
    const me = { owner, subaccount: null };
    const [[all], [own]] = await Promise.all([agent.query(minter, 'deposit_status', [depositQuery], [{ transaction_hash: null, account: me }]), agent.query(minter, 'personal_deposit_status', [account], [me])]);
    const list = all.map(deposit).reverse();
    if (own.sweep) list.unshift({ key: own.sweep, title: `Transaction ${short(own.sweep, 8)}`, amount: own.last_seen_balance === null ? '' : eth(own.last_seen_balance), stages: depositStages, done: 1, note: sentence(own.message) });
    return list.filter((d, i) => list.findIndex((x) => x.key === d.key) === i);
  },
  async withdrawals(agent, minter, owner) {
    return (await withdrawalsOf(agent, minter, owner)).map(withdrawal).sort((a, b) => Number(b.key) - Number(a.key));
  },
  check: {
    label: 'Look',
    wanted: () => true,
    async run(agent, minter, owner) {
      const [r] = await agent.update(minter, 'notify_deposit', [account], [{ owner, subaccount: null }]);
      if (tag(r) !== 'Ok') throw new Error(r.Err);
      return sentence(r.Ok);
    },
  },
  redeem: {
    about: 'Your ckETH is burned and the replicas sign a transaction; its fee comes out of the amount.', label: 'Ethereum address', placeholder: '0x…',
    async run(agent, ids, recipient, amount) {
      if (!/^0x[0-9a-f]{40}$/i.test(recipient)) throw new Error('an Ethereum address is 0x and 40 hexadecimal digits');
      const [i] = await agent.query(ids.minter, 'get_minter_info'); // what would be refused is found before an allowance is paid for
      if (i.minimum_withdrawal_amount !== null && amount < i.minimum_withdrawal_amount) throw new Error(`the smallest redemption is ${eth(i.minimum_withdrawal_amount)}`);
      await approve(agent, ids.ledger, ids.minter, amount, eth);
      const [r] = await agent.update(ids.minter, 'withdraw_eth', [withdrawalArg], [{ recipient, amount, from_subaccount: null }]);
      if (tag(r) === 'Ok') return `Burned ${eth(amount)} in ledger block ${r.Ok.block_index}. Its payment is under Redeemed.`;
      const kind = tag(r.Err), v = r.Err[kind];
      switch (kind) {
        case 'AmountTooLow': throw new Error(`the smallest redemption is ${eth(v.min_withdrawal_amount)}`);
        case 'InsufficientAllowance': throw new Error('another redemption used the allowance; try again');
        case 'RecipientAddressBlocked': throw new Error('the minter pays nothing to this address, and nothing was burned');
      }
      throw refusal(r.Err, eth);
    },
  },
});

export { mount, title };
