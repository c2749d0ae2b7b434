// ckBTC: bitcoin on the subnet.

import { hex } from './bytes.js';
import { blob, know, opt, record, tag } from './candid.js';
import { short } from './dom.js';
import { account, approve, page, refusal, showAmount } from './token.js';

know('min_confirmations', 'retrieve_btc_min_amount', 'kyt_fee', 'deposit_btc_min_amount', 'health', 'stopped', 'deficit', 'unsettled', 'outpoint', 'txid', 'vout', 'value', 'status', 'height', 'utxo',
  'Mempool', 'Confirming', 'confirmations', 'required', 'Confirmed', 'Suspended', 'reason', 'earliest_retry', 'Quarantined', 'ValueTooSmall', 'Checked', 'MintUnknown', 'Minted', 'Tainted',
  'block_index', 'minted_amount', 'status_v2', 'Unknown', 'Pending', 'Signing', 'Sending', 'Submitted', 'AmountTooLow', 'WillReimburse', 'Reimbursed', 'amount', 'mint_block_index',
  'NoNewUtxos', 'required_confirmations', 'AlreadyProcessing', 'MalformedAddress', 'InsufficientAllowance', 'allowance');

const addressArgs = record({ owner: opt('principal'), subaccount: opt(blob) });
const retrieveArgs = record({ address: 'text', amount: 'nat64', from_subaccount: opt(blob) });

const btc = (n) => `${showAmount(n, 8)} BTC`;
const txid = (bytes) => hex(Uint8Array.from(bytes).reverse()); // as explorers show it

const depositStages = ['Seen', 'Confirmed', 'Minted'];

function deposit(d) {
  const kind = tag(d.status), v = d.status[kind];
  const [done, note, failed] = {
    Mempool: () => [0, 'Announced to the Bitcoin network, in no block yet.'],
    Confirming: () => [1, `In a block: ${v.confirmations} of ${v.required} confirmations.`],
    Confirmed: () => [2, 'Deep enough. Press Mint.'],
    Checked: () => [2, 'Checked; the ledger is being asked to mint.'],
    MintUnknown: () => [2, 'The ledger did not say whether it minted; its blocks will tell.'],
    Suspended: () => [2, tag(v.reason) === 'Quarantined' ? 'Refused by the checker. It is asked again later.' : 'Below the smallest deposit; nothing is minted for it today.', true],
    Minted: () => [3, `Minted ${btc(v.minted_amount)} in ledger block ${v.block_index}.`],
  }[kind]?.() ?? [1, `It is ${kind}.`];
  const id = txid(d.outpoint.txid);
  return { key: `${id}:${d.outpoint.vout}`, title: `Transaction ${short(id, 8)}`, amount: btc(d.value), stages: depositStages, done, note, failed, ready: kind === 'Confirmed' };
}

const withdrawalStages = ['Burned', 'Signed', 'Sent', 'Confirmed'];

function withdrawal(w) {
  const s = w.status_v2 ?? { Unknown: null }, kind = tag(s), v = s[kind];
  const [done, note, failed] = {
    Pending: () => [1, 'Waits to be paid, with others, by one transaction.'],
    Signing: () => [1, 'The replicas are signing the payment.'],
    Sending: () => [2, `Transaction ${short(txid(v.txid), 8)} is signed and on its way.`],
    Submitted: () => [3, `Transaction ${short(txid(v.txid), 8)} waits for confirmations.`],
    Confirmed: () => [4, `Paid by transaction ${txid(v.txid)}.`],
    AmountTooLow: () => [1, 'The amount does not cover the fees.', true],
    WillReimburse: () => [1, `Not paid: ${btc(v.amount)} come back.`, true],
    Reimbursed: () => [1, `Not paid: ${btc(v.amount)} came back in ledger block ${v.mint_block_index}.`, true],
  }[kind]?.() ?? [1, 'The minter does not know it.'];
  return { key: String(w.block_index), title: `Ledger block ${w.block_index}`, amount: '', stages: withdrawalStages, done, note, failed };
}

const { title, mount } = page({
  symbol: 'ckBTC', asset: 'bitcoin', unit: 'BTC', decimals: 8, route: 'ckbtc', minter: 'ckbtc_minter', ledger: 'ckbtc_ledger', index: 'ckbtc_index',
  lead: 'Bitcoin under the subnet’s threshold key, as a token that moves in a second. One ckBTC is redeemed for one bitcoin, less fees.',
  show: btc,
  depositHint: 'Send bitcoin here. What arrives is seen while it waits for a block, and minted when it is deep enough.',
  noDeposits: 'No deposit yet. It appears here as soon as the Bitcoin network has heard of it.',
  commands: (address) => [`fusion btc send 0.01btc ${address}`, 'fusion btc mine 6'],

  async info(agent, minter) {
    const [i] = await agent.query(minter, 'get_minter_info');
    return { problem: i.health?.stopped ?? '', rows: [['Confirmations', `${i.min_confirmations}`], ['Smallest deposit', i.deposit_btc_min_amount === null ? 'any' : btc(i.deposit_btc_min_amount ?? 0n)],
      ['Smallest redemption', btc(i.retrieve_btc_min_amount)]] };
  },
  address: async (agent, minter, owner) => (await agent.update(minter, 'get_btc_address', [addressArgs], [{ owner, subaccount: null }]))[0],
  async deposits(agent, minter, owner) {
    const [all] = await agent.query(minter, 'get_deposit_status', [addressArgs], [{ owner, subaccount: null }]);
    return all.map(deposit).reverse();
  },
  async withdrawals(agent, minter, owner) {
    const [all] = await agent.query(minter, 'retrieve_btc_status_v2_by_account', [opt(account)], [{ owner, subaccount: null }]);
    return all.map(withdrawal).sort((a, b) => Number(b.key) - Number(a.key));
  },
  check: {
    label: 'Mint',
    wanted: (deposits) => deposits.some((d) => d.ready),
    async run(agent, minter, owner) {
      const [r] = await agent.update(minter, 'update_balance', [addressArgs], [{ owner, subaccount: null }]);
      if (tag(r) !== 'Ok') {
        if (tag(r.Err) === 'NoNewUtxos') throw new Error('no further deposit is deep enough yet');
        if (tag(r.Err) === 'AlreadyProcessing') throw new Error('the minter is at it already');
        throw refusal(r.Err, btc);
      }
      const sum = r.Ok.reduce((n, u) => n + (u.Minted?.minted_amount ?? 0n), 0n);
      return sum > 0n ? `Minted ${btc(sum)}.` : 'Nothing was minted; the deposit says why.';
    },
  },
  redeem: {
    about: 'Your ckBTC is burned and the replicas sign a payment of bitcoin, less the fees.', label: 'Bitcoin address', placeholder: 'bcrt1q…',
    async run(agent, ids, address, amount) {
      const [i] = await agent.query(ids.minter, 'get_minter_info'); // what would be refused is found before an allowance is paid for
      if (amount < i.retrieve_btc_min_amount) throw new Error(`the smallest redemption is ${btc(i.retrieve_btc_min_amount)}`);
      await approve(agent, ids.ledger, ids.minter, amount, btc);
      const [r] = await agent.update(ids.minter, 'retrieve_btc_with_approval', [retrieveArgs], [{ address, amount, from_subaccount: null }]);
      if (tag(r) === 'Ok') return `Burned ${btc(amount)} in ledger block ${r.Ok.block_index}. Its payment is under Redeemed.`;
      const kind = tag(r.Err), v = r.Err[kind];
      switch (kind) {
        case 'MalformedAddress': throw new Error(`this is no Bitcoin address of this network, and nothing was burned: ${v}`);
        case 'AmountTooLow': throw new Error(`the smallest redemption is ${btc(v)}`);
        case 'InsufficientAllowance': throw new Error('another redemption used the allowance; try again');
        case 'AlreadyProcessing': throw new Error('another redemption of this account is being accepted; try again');
      }
      throw refusal(r.Err, btc);
    },
  },
});

export { mount, title };
