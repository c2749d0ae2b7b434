/*
Package watch tells an exchange of payments to its accounts: each exactly once if the receiver keeps the IDs of what it has booked, and none
is skipped, whatever crashes when.

	w, err := watch.New(watch.Config{
		Agent: agent, Dir: "/var/lib/exchange/watch", Ledgers: []principal.Principal{ckbtcLedger},
		Accounts: watch.Accounts{Owner: us},
		Webhook:  &watch.Webhook{URL: "https://…", Secrets: secrets},
	})
	err = w.Run(ctx)

A Watcher follows any number of ICRC-3 ledgers with exchange/reader, so what it tells is proven with the root key: a lying replica can
delay it, no more. A block of a ledger is final. Each block that concerns a watched account is one Event, whose ID is the ledger and the
index of the block: the same after every crash and on every machine.

# Exactly once

The cursor of a ledger and the events of the blocks before it are written to disk together, synced, before any event is offered. An event
leaves the disk once the receiver has taken it. A crash in between offers it again, with the same ID and the same bytes; so the receiver
books an event and its ID in one transaction and answers 2xx for one that it has booked before.

An event that is not taken is offered again, after a second, two, four and so on up to five minutes, for ever; Retry-After is heeded. Others
are not held up by it, so the order is not kept. While the receiver takes nothing, one event at a time is tried. When MaxQueue events wait,
reading pauses: the ledger keeps the rest.

The state is of one network and one owner; that of others is refused (ErrOther), as their blocks would not be read again.

# Bitcoin

With Config.Bitcoin the watcher also tells of bitcoin on its way (Pending), has it minted, and, if withdrawals are told, tells of each status of those
that pay bitcoin (Payout). Statuses are one replica's view, but the last one of a withdrawal is certified. Each has an ID of its own.

# Webhooks

An event is posted as JSON, signed as the Standard Webhooks specification says: HMAC-SHA256 of ID, time and body, joined by dots, with a
secret of 24 to 64 bytes (Sign, Verify). The time is of the attempt. Redirects are not followed, proxies not used, https is demanded unless the
receiver is on this machine, and link-local addresses, under which clouds hand out credentials, are refused after the name was resolved.
Secrets are never logged, and neither is the URL.

The package imports ic, btc, the types of the ledgers and exchange/reader. It is used by fusion exchange watch.
*/
package watch
