// The ledgers, block by block (ICRC-3): what happened, to whom, and how each block is bound to the one before and to the tip that the subnet signed.

import { Agent, lookup, rootOf } from './agent.js';
import { compare, concat, equal, hex, leb, principalBytes, principalText, sha256, sleb, text, utf8 } from './bytes.js';
import { know, opt, record, tag, vec } from './candid.js';
import * as cbor from './cbor.js';
import { ago, card, certified, copyable, fill, h, number, plural, say, short, show, word } from './dom.js';
import { account, form, sentence, showAmount } from './token.js';

export const title = 'Ledgers';

know('log_length', 'blocks', 'archived_blocks', 'id', 'block', 'args', 'callback', 'start', 'length', 'Map', 'Array', 'Nat', 'Int', 'Blob', 'Text', 'Nat64', 'certificate', 'hash_tree',
  'transactions', 'transaction', 'oldest_tx_id', 'balance', 'kind', 'burn', 'mint', 'transfer', 'approve', 'timestamp', 'to', 'from', 'spender', 'amount', 'fee', 'memo', 'message',
  'supported_ckerc20_tokens', 'ckerc20_token_symbol', 'ledger_canister_id', 'erc20_contract_address', 'owner', 'subaccount');

const ranges = vec(record({ start: 'nat', length: 'nat' }));
const accountQuery = record({ account, start: opt('nat'), max_results: 'nat' });

const page = 20;
const agent = new Agent();

// valueHash is the representation-independent hash of a value (ICRC-3, section "Value").
function valueHash(v) {
  const kind = tag(v), x = v[kind];
  switch (kind) {
    case 'Blob': return sha256(x);
    case 'Text': return sha256(utf8(x));
    case 'Nat': case 'Nat64': return sha256(leb(x));
    case 'Int': return sha256(sleb(x));
    case 'Array': return sha256(concat(...x.map(valueHash)));
    case 'Map': return sha256(concat(...x.map((e) => concat(sha256(utf8(e[0])), valueHash(e[1]))).sort(compare)));
  }
  throw new Error('a block has a value of an unknown kind');
}

const field = (map, name) => map?.Map?.find((e) => e[0] === name)?.[1];
const nat = (v) => v?.Nat ?? v?.Nat64 ?? null;

// accountOf reads an account of a block: an array of an owner and perhaps a subaccount.
function accountOf(v) {
  const [owner, sub] = v?.Array ?? [];
  return owner?.Blob ? { owner: principalText(owner.Blob), sub: sub?.Blob && sub.Blob.some((b) => b) ? hex(sub.Blob) : '' } : null;
}

const kinds = { xfer: 'transfer', mint: 'mint', burn: 'burn', approve: 'approve', '1xfer': 'transfer', '1mint': 'mint', '1burn': 'burn', '2xfer': 'transfer', '2approve': 'approve' };

// explain reads a block (ICRC-3, section "ICRC-1 and ICRC-2 Block Schema").
function explain(id, block) {
  const tx = field(block, 'tx'), op = field(block, 'btype')?.Text ?? field(tx, 'op')?.Text ?? '?';
  return { id, block, kind: kinds[op] ?? op, from: accountOf(field(tx, 'from')), to: accountOf(field(tx, 'to')), spender: accountOf(field(tx, 'spender')), amount: nat(field(tx, 'amt')),
    fee: nat(field(tx, 'fee')) ?? nat(field(block, 'fee')), memo: field(tx, 'memo')?.Blob ?? null, time: nat(field(block, 'ts')), parent: field(block, 'phash')?.Blob ?? null };
}

// fetchBlocks gets blocks from a ledger, and those that it has handed over from its archives.
async function fetchBlocks(ledger, start, length) {
  const found = [];
  let size = null;
  const ask = async (canister, method, args, depth) => {
    const [r] = await agent.query(canister, method, [ranges], [args]);
    size ??= r.log_length;
    for (const b of r.blocks) found.push(explain(b.id, b.block));
    if (depth > 3) throw new Error('the archives refer to one another');
    for (const a of r.archived_blocks) await ask(a.callback.canister, a.callback.method, a.args, depth + 1);
  };
  await ask(ledger, 'icrc3_get_blocks', [{ start, length }], 0);
  return { size, blocks: found.sort((a, b) => Number(b.id - a.id)) };
}

// signedTip reads the newest block's index and hash from what the subnet has signed.
async function signedTip(ledger) {
  const [tip] = await agent.query(ledger, 'icrc3_get_tip_certificate');
  if (!tip) return null;
  const { tree } = cbor.decode(tip.certificate), hashes = cbor.decode(tip.hash_tree);
  const data = lookup(tree, ['canister', principalBytes(ledger), 'certified_data']);
  if (!data || !equal(rootOf(hashes), data)) throw new Error('the tip is not what the ledger certifies');
  const index = lookup(hashes, ['last_block_index']), hash = lookup(hashes, ['last_block_hash']);
  if (!index || !hash) return null; // no block yet
  let n = 0n;
  index.forEach((b, i) => { n |= BigInt(b & 0x7f) << BigInt(7 * i); });
  return { index: n, hash };
}

// most is how many blocks are fetched to bind a block to the tip.
const most = 2000n;

// chained reports whether blocks, newest first, name each other by hash, and up to the tip.
function chained(blocks, tip) {
  const newest = blocks[0];
  if (!newest || !tip || newest.id !== tip.index || !equal(valueHash(newest.block), tip.hash)) return false;
  return blocks.every((b, i) => i === 0 || (blocks[i - 1].id === b.id + 1n && blocks[i - 1].parent && equal(valueHash(b.block), blocks[i - 1].parent)));
}

const printable = /^[\x20-\x7e\u00a0-\uffff]+$/;

function memoText(bytes) {
  try {
    const t = text(bytes);
    if (bytes.length && printable.test(t)) return `“${t}”`;
  } catch { // no text
  }
  return `0x${hex(bytes)}`;
}

// knownLedgers are those of the well-known canisters and of the tokens that the ckETH minter supports.
async function knownLedgers(s) {
  const has = Object.fromEntries((s.certified?.canisters ?? []).filter((c) => c.module).map((c) => [c.name, c.id]));
  const list = [['ckbtc', 'ckBTC'], ['cketh', 'ckETH']].filter(([n]) => has[`${n}_ledger`]).map(([n, symbol]) => ({ symbol, id: has[`${n}_ledger`], index: has[`${n}_index`] }));
  if (has.cketh_minter) {
    const [info] = await agent.query(has.cketh_minter, 'get_minter_info').catch(() => [null]);
    for (const t of info?.supported_ckerc20_tokens ?? []) list.push({ symbol: t.ckerc20_token_symbol, id: t.ledger_canister_id });
  }
  return list;
}

const to = (...parts) => `#/ledgers/${parts.map(encodeURIComponent).join('/')}`;

export function mount(root, [ledger, what, which]) {
  let gone = false, started = false, timer = 0;
  const line = h('p', { class: 'trouble', hidden: true, role: 'status' }), body = h('div', { class: 'stack' }, h('p', { class: 'empty' }, 'Asking the replica…'));
  const tabs = h('nav', { class: 'tabs', 'aria-label': 'Ledgers' });
  fill(root, h('div', null, h('h1', null, 'Ledgers'), h('p', { class: 'lead' }, 'Every mint, transfer, approval and burn is a block, and each block names the one before it by its hash.')), tabs, line, body);
  const fail = (err) => {
    if (gone) return;
    say(line, sentence(`This could not be read: ${err.message}`));
    show(line, true);
  };

  const start = async (s) => {
    const known = await knownLedgers(s);
    if (gone) return;
    const id = ledger ?? known[0]?.id;
    fill(tabs, known.map((k) => h('a', { href: to(k.id), 'aria-current': k.id === id ? 'page' : null }, k.symbol.slice(0, 24))));
    const other = form('Another ledger', null, 'Any canister that keeps ICRC-3 blocks.', [{ name: 'id', label: 'Canister id', placeholder: 'aaaaa-aa' }], 'Open', async ({ id }) => {
      principalBytes(id);
      location.hash = to(id);
      return 'Opening.';
    });
    if (!id) {
      fill(body, h('p', { class: 'empty' }, 'This network has none of the well-known ledgers.'), other);
      return;
    }
    principalBytes(id);
    const names = ['icrc1_name', 'icrc1_symbol', 'icrc1_decimals', 'icrc1_total_supply'];
    const [name, symbol, decimals, supply] = (await Promise.all(names.map((m) => agent.query(id, m)))).map(([v]) => v);
    const amount = (n) => (n === null ? '' : `${showAmount(n, Math.min(decimals, 60))} ${symbol.slice(0, 24)}`);
    const token = { id, name, symbol, amount, index: known.find((k) => k.id === id)?.index };
    const holders = h('dl', { class: 'facts' }, [['Name', name], ['Supply', amount(supply)], ['Ledger', copyable(id)]].map(([k, v]) => [h('dt', null, k), h('dd', null, v)]));
    const find = form('Find', null, null, [{ name: 'text', label: 'Block number or principal', placeholder: '0' }], 'Find', async ({ text }) => {
      if (/^\d{1,18}$/.test(text)) location.hash = to(id, 'block', text);
      else {
        principalBytes(text);
        location.hash = to(id, 'account', text);
      }
      return 'Opening.';
    });
    if (gone) return;
    if (what === 'block') return oneBlock(body, token, which, () => gone);
    if (what === 'account') return oneAccount(body, token, which, () => gone);
    const list = newest(token, what === 'before' && /^\d{1,18}$/.test(which) ? BigInt(which) : null);
    fill(body, list.node, h('div', { class: 'columns' }, h('div', { class: 'stack' }, card('Token', word(), holders), find), other));
    const look = async () => {
      try {
        if (!document.hidden) await list.look();
        show(line, false);
      } catch (err) {
        fail(err);
      }
      if (!gone && list.live) timer = setTimeout(look, 3000);
    };
    await look();
  };
  return {
    update(s) {
      if (started || !s.certified) return;
      started = true;
      start(s).catch((err) => {
        fill(body);
        fail(err);
      });
    },
    unmount() {
      gone = true;
      clearTimeout(timer);
    },
  };
}

// party is a link to an account's page.
function party(token, a) {
  if (!a) return null;
  return h('a', { class: 'mono', href: to(token.id, 'account', a.owner), title: a.owner }, short(a.owner, 5) + (a.sub ? ' (subaccount)' : ''));
}

function who(token, b) {
  const parts = [b.from ? [party(token, b.from)] : ['the minter'], ' → ', b.kind === 'approve' ? [party(token, b.spender)] : b.to ? [party(token, b.to)] : ['the minter']];
  return h('span', { class: 'note' }, parts, b.memo?.length ? [' · memo ', h('span', { class: 'mono' }, short(memoText(b.memo), 18))] : null);
}

function rows(token, blocks) {
  return h('ul', { class: 'rows' }, blocks.map((b) => h('li', { class: 'tx' },
    h('a', { class: 'index', href: to(token.id, 'block', b.id) }, `#${number(b.id)}`),
    h('span', { class: 'name' }, h('span', { class: `kind ${b.kind}` }, b.kind), ' ', h('span', { class: 'muted small' }, b.time === null ? '' : ago(Number(b.time / 1_000_000n)))),
    h('span', { class: 'figure wrap' }, token.amount(b.amount)), who(token, b))));
}

// newest lists blocks: the newest, kept up to date, or those before one.
function newest(token, before) {
  const mark = h('span'), list = h('div'), pager = h('p', { class: 'pager' }), note = h('p', { class: 'muted small' });
  const heading = h('h2', null, 'Blocks');
  const node = h('section', { class: 'card', 'aria-label': 'Blocks' }, h('header', null, heading, mark), list, note, pager);
  let seen = null;
  return { node, live: before === null, async look() {
    const [tip, { size }] = await Promise.all([signedTip(token.id), fetchBlocks(token.id, 0n, 0n)]);
    if (size === seen) return;
    const end = before === null || before > size ? size : before;
    const begin = end > BigInt(page) ? end - BigInt(page) : 0n;
    // To bind older blocks to the tip, the blocks between are read, too.
    const reach = tip && size - begin <= most ? size : end;
    let blocks = [];
    for (let at = begin; at < reach;) { // a ledger answers as many as it likes
      const part = (await fetchBlocks(token.id, at, reach - at)).blocks;
      if (!part.length) break;
      blocks = [...part, ...blocks];
      at = part[0].id + 1n;
    }
    const upTo = tip ? blocks.filter((b) => b.id <= tip.index) : [];
    const bound = chained(upTo, tip);
    seen = size;
    say(heading, plural(size, 'block'));
    const shown = blocks.filter((b) => b.id < end);
    fill(mark, bound ? certified() : word());
    fill(list, shown.length ? rows(token, shown) : h('p', { class: 'empty' }, 'This ledger has no blocks yet.'));
    say(note, shown.length === 0 ? '' : bound ? 'This page has computed the hashes of these blocks: they lead to the tip that the subnet signed.'
      : reach === size ? 'The hashes of these blocks do not lead to the signed tip at the moment.' : 'These blocks are too old for this page to follow their hashes to the tip.');
    fill(pager, begin > 0n ? h('a', { href: to(token.id, 'before', begin) }, 'Older') : null, before !== null ? h('a', { href: to(token.id) }, 'Newest') : null);
  } };
}

function facts(pairs) {
  return h('dl', { class: 'facts' }, pairs.filter(([, v]) => v !== null && v !== '').map(([k, v]) => [h('dt', null, k), h('dd', null, v)]));
}

const back = (token) => h('p', null, h('a', { href: to(token.id) }, `All blocks of ${token.symbol.slice(0, 24)}`));

async function oneBlock(body, token, which, gone) {
  const empty = (words) => fill(body, back(token), h('p', { class: 'empty' }, words));
  if (!/^\d{1,18}$/.test(which ?? '')) return empty('A block has a number.');
  const id = BigInt(which), [tip, { size, blocks }] = await Promise.all([signedTip(token.id), fetchBlocks(token.id, id, 2n)]);
  if (gone()) return;
  const b = blocks.find((x) => x.id === id);
  if (!b) return empty(`There is no block ${number(id)}; the ledger has ${plural(size, 'block')}.`);
  const hash = valueHash(b.block), next = blocks.find((x) => x.id === id + 1n);
  const signed = tip && tip.index === id && equal(tip.hash, hash), named = next?.parent && equal(next.parent, hash);
  const whole = (a) => (a ? [h('a', { class: 'mono', href: to(token.id, 'account', a.owner) }, a.owner), a.sub ? [' subaccount ', h('span', { class: 'mono' }, a.sub)] : null] : null);
  fill(body, back(token), card(`Block ${number(id)}`, signed ? certified() : word(), facts([
    ['Kind', h('span', { class: `kind ${b.kind}` }, b.kind)], ['Amount', token.amount(b.amount)], ['From', whole(b.from)], ['To', whole(b.to)], ['Spender', whole(b.spender)],
    ['Fee', token.amount(b.fee)], ['Memo', b.memo?.length ? h('span', { class: 'mono' }, memoText(b.memo)) : null],
    ['Time', b.time === null ? null : `${new Date(Number(b.time / 1_000_000n)).toISOString().replace('T', ' ').slice(0, 19)} UTC`],
    ['Hash', copyable(hex(hash))], ['Parent', b.parent ? copyable(hex(b.parent)) : 'none, it is the first']]),
  h('p', { class: 'muted small' }, signed ? 'Its hash is the tip that the subnet signed.' : named ? `Its hash, computed by this page, is the one that block ${number(id + 1n)} names.`
    : next ? 'The next block names another hash: do not believe this one.' : 'It is newer than the newest certificate.')),
  h('p', { class: 'pager' }, id > 0n ? h('a', { href: to(token.id, 'block', id - 1n) }, 'Block before') : null, next ? h('a', { href: to(token.id, 'block', id + 1n) }, 'Block after') : null));
}

async function oneAccount(body, token, which, gone) {
  principalBytes(which ?? '');
  const owner = { owner: which, subaccount: null };
  const [balance] = await agent.query(token.id, 'icrc1_balance_of', [account], [owner]);
  const parts = [back(token), h('section', { class: 'card', 'aria-label': 'Account' }, h('p', { class: 'caption' }, 'Balance ', word()), h('p', { class: 'number' }, token.amount(balance)), copyable(which, which, 'Copy the principal'))];
  if (!token.index) {
    fill(body, parts, h('p', { class: 'empty' }, 'No index of this ledger is known here, so there is no list of this account’s blocks.'));
    return;
  }
  const [r] = await agent.query(token.index, 'get_account_transactions', [accountQuery], [{ account: owner, start: null, max_results: 50n }]);
  if (gone()) return;
  if (tag(r) !== 'Ok') throw new Error(r.Err.message);
  const party = (a) => (a ? { owner: a.owner, sub: a.subaccount && a.subaccount.some((x) => x) ? hex(a.subaccount) : '' } : null);
  const blocks = r.Ok.transactions.map(({ id, transaction: t }) => {
    const x = t[t.kind] ?? {};
    return { id, kind: kinds[t.kind] ?? t.kind, time: t.timestamp, from: party(x.from), to: party(x.to), spender: party(x.spender), amount: x.amount ?? null, memo: x.memo ?? null };
  });
  fill(body, parts, card('Newest blocks of this account', word(), blocks.length ? rows(token, blocks) : h('p', { class: 'empty' }, 'None yet.')));
}
