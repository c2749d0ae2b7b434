// A token of another chain: where to deposit it, what an account holds, sending and redeeming, and how each of these stands. What differs between chains is in a
// page's own module, as a chain: see ckbtc.js.

import { Agent } from './agent.js';
import { principalBytes, principalText } from './bytes.js';
import { blob, know, opt, record, tag } from './candid.js';
import { card, certified, copyable, each, fill, h, say, short, show, word } from './dom.js';
import { ownKey } from './key.js';

export const account = record({ owner: 'principal', subaccount: opt(blob) });
const transferArg = record({ to: account, amount: 'nat', fee: opt('nat'), memo: opt(blob), from_subaccount: opt(blob), created_at_time: opt('nat64') });
const approveArg = record({ spender: account, amount: 'nat', expected_allowance: opt('nat'), expires_at: opt('nat64'), fee: opt('nat'), memo: opt(blob),
  from_subaccount: opt(blob), created_at_time: opt('nat64') });

know('owner', 'subaccount', 'InsufficientFunds', 'balance', 'BadFee', 'expected_fee', 'BadBurn', 'min_burn_amount', 'Duplicate', 'duplicate_of', 'TooOld', 'CreatedInFuture', 'ledger_time',
  'TemporarilyUnavailable', 'GenericError', 'message', 'error_code', 'error_message', 'AllowanceChanged', 'Expired');

// parseAmount reads a decimal number into the smallest unit.
export function parseAmount(text, decimals, symbol) {
  const [, whole, part = ''] = /^(\d{1,30})(?:[.,](\d*))?$/.exec(text.trim()) ?? [];
  if (whole === undefined) throw new Error('the amount is a number such as 0.01');
  if (part.length > decimals) throw new Error(`${symbol} has ${decimals} decimals`);
  const n = BigInt(whole + part.padEnd(decimals, '0'));
  if (n === 0n) throw new Error('the amount is zero');
  return n;
}

export function showAmount(n, decimals) {
  const digits = BigInt(n).toString().padStart(decimals + 1, '0');
  const part = decimals ? digits.slice(-decimals).replace(/0+$/, '') : '';
  const whole = (decimals ? digits.slice(0, -decimals) : digits).replace(/\B(?=(\d{3})+$)/g, ' ');
  return part ? `${whole}.${part}` : whole;
}

// refusal says a ledger's error in words.
export function refusal(e, amount) {
  const kind = tag(e), v = e[kind];
  switch (kind) {
    case 'InsufficientFunds': return new Error(`there is not enough: the account holds ${amount(v.balance)}`);
    case 'BadFee': return new Error(`the ledger's fee is ${amount(v.expected_fee)}`);
    case 'BadBurn': return new Error(`sending to the minter burns; use Redeem, with ${amount(v.min_burn_amount)} or more`);
    case 'Duplicate': return new Error(`this is ledger block ${v.duplicate_of} already`);
    case 'TooOld': case 'CreatedInFuture': return new Error('the clock of this machine and that of the subnet differ too much');
    case 'TemporarilyUnavailable': return new Error('it is busy, try again in a moment');
    case 'GenericError': return new Error(v.message ?? v.error_message);
  }
  return new Error(`it was refused: ${kind}`);
}

const now = () => BigInt(Date.now()) * 1_000_000n;

// approve lets a minter take an amount.
export async function approve(agent, ledger, minter, amount, text) {
  const arg = { spender: { owner: minter, subaccount: null }, amount, created_at_time: now() };
  const [r] = await agent.update(ledger, 'icrc2_approve', [approveArg], [arg]);
  if (tag(r) !== 'Ok') throw refusal(r.Err, text);
}

// form makes a form whose press runs something and says how it went.
export function form(title, mark, about, fields, action, run) {
  const id = `f${Math.random().toString(36).slice(2)}`;
  const inputs = fields.map((f, i) => h('input', { id: `${id}-${i}`, name: f.name, autocomplete: 'off', autocapitalize: 'none', spellcheck: 'false', inputmode: f.inputmode, placeholder: f.placeholder, required: true,
    maxlength: 200, 'aria-describedby': f.hint ? `${id}-${i}-hint` : null, class: f.inputmode ? null : 'mono' }));
  const button = h('button', { type: 'submit', class: 'primary' }, action);
  const outcome = h('p', { class: 'outcome', role: 'status' });
  const node = h('form', { class: 'form', novalidate: true, onsubmit: async (e) => {
    e.preventDefault();
    if (button.disabled) return;
    outcome.className = 'outcome muted';
    say(outcome, 'The subnet is being asked…');
    button.disabled = true;
    node.setAttribute('aria-busy', 'true');
    try {
      const missing = fields.findIndex((_, i) => !inputs[i].value.trim());
      if (missing >= 0) {
        inputs[missing].focus();
        throw new Error(`${fields[missing].label} is missing`);
      }
      const text = await run(Object.fromEntries(inputs.map((x) => [x.name, x.value.trim()])));
      outcome.className = 'outcome good';
      say(outcome, text);
      for (const x of inputs) x.value = '';
    } catch (err) {
      outcome.className = 'outcome bad';
      say(outcome, sentence(err.message));
    } finally {
      button.disabled = false;
      node.removeAttribute('aria-busy');
    }
  } }, fields.map((f, i) => h('div', { class: 'field' }, h('label', { for: `${id}-${i}` }, f.label), inputs[i], f.hint ? h('p', { class: 'hint', id: `${id}-${i}-hint` }, f.hint) : null)), button, outcome);
  return card(title, mark, about ? h('p', { class: 'muted small' }, about) : null, node);
}

export const sentence = (text) => (text ? text[0].toUpperCase() + text.slice(1) + (/[.!?…]$/.test(text) ? '' : '.') : '');

// stages shows how far something has come. An item has a key, title, amount, note, and stages: names, how many are done, and whether it failed.
function stages(list) {
  return (items) => each(list, items, (x) => x.key, () => {
    const title = h('span', { class: 'name' }), amount = h('span', { class: 'figure' }), bar = h('ol', { class: 'stages' }), note = h('p', { class: 'note wide' });
    return { node: h('li', { class: 'staged' }, title, amount, bar, note), update(x) {
      say(title, x.title);
      say(amount, x.amount);
      say(note, x.note);
      each(bar, x.stages.map((name, i) => ({ name, state: x.failed && i === x.done ? 'failed' : i < x.done ? 'done' : i === x.done ? 'current' : 'todo' })), (s) => s.name, () => {
        const li = h('li');
        return { node: li, update(s) {
          li.className = s.state;
          li.setAttribute('aria-current', s.state === 'current' ? 'step' : 'false');
          say(li, s.name);
        } };
      });
    } };
  });
}

const pace = 2000; // ms between looks at the account

// page makes the module of a chain's page.
export function page(chain) {
  return { title: chain.symbol, mount(root, args) {
    let gone = false, built = '', timer = 0;
    const body = h('div', { class: 'stack' }, h('p', { class: 'empty' }, 'Asking the replica…'));
    fill(root, h('div', null, h('h1', null, chain.symbol), h('p', { class: 'lead' }, chain.lead)), body);

    const build = async (s, ids) => {
      let agent = null;
      if (s.wallet) {
        try {
          agent = new Agent(await ownKey());
        } catch (err) {
          fill(body, h('p', { class: 'trouble' }, `There is no key for a wallet: ${err.message}.`));
        }
      }
      if (gone) return;
      const parts = agent ? wallet(chain, agent, principalText(agent.sender), ids, s) : reader(chain, args[0] ?? '', ids, s);
      fill(body, parts.nodes);
      const look = async () => {
        if (!document.hidden) await parts.look();
        if (!gone) timer = setTimeout(look, pace);
      };
      look();
    };
    return {
      update(s) {
        const has = Object.fromEntries((s.certified?.canisters ?? []).filter((c) => c.module).map((c) => [c.name, c.id]));
        const ids = chain.ids?.(has) ?? { minter: has[chain.minter], ledger: has[chain.ledger], index: has[chain.index] };
        const found = JSON.stringify([ids, s.wallet]);
        if (found === built) return;
        built = found;
        clearTimeout(timer);
        if (!ids.minter || !ids.ledger) fill(body, h('p', { class: 'empty' }, `This network has no ${chain.symbol} minter and ledger yet.`));
        else build(s, ids);
      },
      unmount() {
        gone = true;
        clearTimeout(timer);
      },
    };
  } };
}

// overview shows the minter and the token; it is part of both kinds of page.
function overview(chain, ids) {
  const facts = h('dl', { class: 'facts' }), problem = h('p', { class: 'trouble', hidden: true });
  const anyone = new Agent();
  let last = 0;
  return { node: card('Minter', word(), problem, facts), async look() {
    if (Date.now() - last < 10_000) return;
    last = Date.now();
    const [info, [supply], [fee]] = await Promise.all([chain.info(anyone, ids.minter), anyone.query(ids.ledger, 'icrc1_total_supply'), anyone.query(ids.ledger, 'icrc1_fee')]);
    const rows = [['In circulation', chain.show(supply)], ['Fee of a transfer', chain.show(fee)], ...info.rows, ['Minter', ids.minter], ['Ledger', ids.ledger]];
    if (facts.children.length !== 2 * rows.length) fill(facts, rows.map(([name, value]) => [h('dt', null, name), h('dd', null, name === 'Minter' || name === 'Ledger' ? copyable(value) : value)]));
    rows.forEach(([, value], i) => { if (!facts.children[2 * i + 1].querySelector('button')) say(facts.children[2 * i + 1], value); });
    say(problem, info.problem ? sentence(`The minter has stopped: ${info.problem}`) : '');
    show(problem, Boolean(info.problem));
  } };
}

// watcher reads what happens to an account's deposits and withdrawals.
function watcher(chain, ids, mark) {
  const deposits = h('ul', { class: 'rows' }), withdrawals = h('ul', { class: 'rows' });
  const noDeposits = h('p', { class: 'empty' }, chain.noDeposits), noWithdrawals = h('p', { class: 'empty' }, 'Nothing was redeemed yet.');
  const showDeposits = stages(deposits), showWithdrawals = stages(withdrawals);
  const anyone = new Agent();
  return { deposits: [deposits, noDeposits], withdrawals: [withdrawals, noWithdrawals], async look(owner) {
    const [ins, outs] = await Promise.all([chain.deposits(anyone, ids.minter, owner), chain.withdrawals(anyone, ids.minter, owner)]);
    showDeposits(ins);
    showWithdrawals(outs);
    for (const [list, none, items] of [[deposits, noDeposits, ins], [withdrawals, noWithdrawals, outs]]) {
      show(list, items.length > 0);
      show(none, items.length === 0);
    }
    return ins;
  } };
}

// guarded runs what reads and says what went wrong.
function guarded(line, look) {
  return async () => {
    try {
      await look();
      show(line, false);
    } catch (err) {
      say(line, sentence(`This could not be read: ${err.message}`));
      show(line, true);
    }
  };
}

const balanceOf = async (agent, how, ledger, owner) => (await agent[how](ledger, 'icrc1_balance_of', [account], [{ owner, subaccount: null }]))[0];

// total shows what an account holds.
function total(node, chain, n) {
  const text = showAmount(n, chain.decimals);
  node.classList.toggle('long', text.length > 10);
  if (node.firstChild?.textContent !== text) fill(node, h('span', null, text), ' ', h('span', { class: 'unit' }, chain.symbol));
}

// qr is a picture of an address.
function qr(address, what) {
  return h('img', { class: 'qr', src: `/dashboard/qr.svg?text=${encodeURIComponent(address)}`, width: 168, height: 168, alt: `QR code of ${what}` });
}

function wallet(chain, agent, me, ids, s) {
  const amount = h('p', { class: 'number' }, '–'), mark = h('span');
  const line = h('p', { class: 'trouble', hidden: true });
  const seen = watcher(chain, ids), about = overview(chain, ids);
  const where = h('div', { class: 'deposit' }, h('p', { class: 'muted' }, chain.instructions ? 'Asking the minter…' : 'The minter derives your address from the subnet’s key…'));
  const mint = h('button', { type: 'button', class: 'primary', hidden: true }, chain.check?.label);
  const minted = h('p', { class: 'outcome', role: 'status' });
  let signed = null, address = '';

  mint.addEventListener('click', async () => {
    mint.disabled = true;
    minted.className = 'outcome muted';
    say(minted, 'The minter is looking…');
    try {
      const text = await chain.check.run(agent, ids.minter, me);
      minted.className = 'outcome good';
      say(minted, text);
    } catch (err) {
      minted.className = 'outcome bad';
      say(minted, sentence(err.message));
    }
    mint.disabled = false;
    look();
  });

  const locate = async () => {
    if (address) return;
    if (chain.instructions) { // a token's deposits are transactions of the depositor
      const steps = await chain.instructions(agent, ids.minter, me, s);
      address = me;
      fill(where, steps);
      return;
    }
    address = await chain.address(agent, ids.minter, me);
    const steps = s.class === 'local' ? chain.commands(address) : [];
    fill(where, qr(address, 'the deposit address'), h('div', { class: 'beside' },
      h('p', { class: 'caption' }, 'Your address ', certified()), copyable(address, address, 'Copy the deposit address'),
      h('p', { class: 'muted small' }, chain.depositHint),
      steps.length ? h('p', { class: 'small muted' }, 'On this local network: ') : null, steps.map((c) => h('p', null, copyable(c, c, 'Copy the command')))));
  };
  const read = async () => {
    const held = await balanceOf(new Agent(), 'query', ids.ledger, me);
    if (held !== signed) {
      total(amount, chain, held);
      fill(mark, word());
      signed = await balanceOf(agent, 'update', ids.ledger, me);
    }
    total(amount, chain, signed);
    if (!mark.querySelector('.certified')) fill(mark, certified());
  };
  const look = guarded(line, async () => {
    const ready = (async () => {
      const found = await seen.look(me);
      show(mint, chain.check?.wanted(found) ?? false);
    })();
    const all = await Promise.allSettled([ready, locate(), read(), about.look()]);
    const bad = all.find((r) => r.status === 'rejected');
    if (bad) throw bad.reason;
  });

  const nodes = [line,
    h('section', { class: 'card hero', 'aria-label': 'Your account' },
      h('div', null, h('p', { class: 'caption' }, 'You hold ', mark), amount),
      h('div', null, h('dl', { class: 'facts' }, h('dt', null, 'Your account'), h('dd', null, copyable(me, me, 'Copy your principal')), h('dt', null, 'Its blocks'), h('dd', null, h('a', { href: `#/ledgers/${ids.ledger}/account/${me}` }, 'in the ledger'))),
        h('p', { class: 'muted small pad' }, 'Its key was made in this browser and cannot leave it. Clearing this site’s data deletes it, and what it holds.'))),
    h('div', { class: 'columns' },
      h('div', { class: 'stack' }, card(`Deposit ${chain.asset}`, word(), where, seen.deposits, chain.check ? [mint, minted] : null), card('Redeemed', word(), seen.withdrawals)),
      h('div', { class: 'stack' },
        form(`Send ${chain.symbol}`, certified(), null, [
          { name: 'to', label: 'To', placeholder: 'principal' },
          { name: 'amount', label: `Amount in ${chain.unit}`, placeholder: '0.01', inputmode: 'decimal' }], 'Send', async ({ to, amount }) => {
          principalBytes(to);
          const n = parseAmount(amount, chain.decimals, chain.symbol);
          const [r] = await agent.update(ids.ledger, 'icrc1_transfer', [transferArg], [{ to: { owner: to, subaccount: null }, amount: n, created_at_time: now() }]);
          if (tag(r) !== 'Ok') throw refusal(r.Err, chain.show);
          look();
          return `Sent ${chain.show(n)} to ${short(to, 11)}, in ledger block ${r.Ok}.`;
        }),
        form(`Redeem for ${chain.asset}`, certified(), chain.redeem.about, [
          { name: 'to', label: chain.redeem.label, placeholder: chain.redeem.placeholder },
          { name: 'amount', label: `Amount in ${chain.unit}`, placeholder: '0.01', inputmode: 'decimal' }], 'Redeem', async ({ to, amount }) => {
          const text = await chain.redeem.run(agent, ids, to, parseAmount(amount, chain.decimals, chain.symbol));
          look();
          return text;
        }), about.node))];
  return { nodes, look };
}

// reader looks at any account.
function reader(chain, start, ids, s) {
  const line = h('p', { class: 'trouble', hidden: true }), about = overview(chain, ids), seen = watcher(chain, ids);
  const amount = h('p', { class: 'number' }), found = h('div', { class: 'stack', hidden: true }), who = h('p', { class: 'mono small muted' });
  fill(found, h('section', { class: 'card', 'aria-label': 'Account' }, h('p', { class: 'caption' }, 'It holds ', word()), amount, who),
    h('div', { class: 'columns' }, card('Deposits', word(), seen.deposits), card('Redeemed', word(), seen.withdrawals)));
  let owner = '';
  const look = guarded(line, async () => {
    await about.look();
    if (!owner) return;
    const held = await balanceOf(new Agent(), 'query', ids.ledger, owner);
    await seen.look(owner);
    total(amount, chain, held);
    say(who, owner);
    show(found, true);
  });
  const elsewhere = s.wallet_url ? h('p', { class: 'empty' }, 'The wallet has an address of its own, which it shares with no canister: ', h('a', { href: `${s.wallet_url}#/${chain.route}` }, s.wallet_url)) : null;
  const nodes = [line, elsewhere, h('div', { class: 'columns' },
    form('Look at an account', null, 'Its balance, deposits and redemptions are public.', [{ name: 'owner', label: 'Principal', placeholder: 'principal' }], 'Look', async ({ owner: text }) => {
      principalBytes(text);
      owner = text;
      await look();
      return `This is ${short(owner, 11)}.`;
    }), about.node), found];
  if (start) {
    try {
      principalBytes(start);
      owner = start;
    } catch { // not an account; the form is there
    }
  }
  return { nodes, look };
}
