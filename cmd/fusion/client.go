package main

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"net/url"

	"fusion/ic/agent"
	"fusion/ic/identity"
	"fusion/ic/principal"
	"fusion/testnets"
	"fusion/testnets/canisters"
)

// client is a user of a network: the local one, or one named by --network and --root-key.
type client struct {
	*agent.Agent
	ledger, minter principal.Principal
	dir            string
	local          bool
}

func parseRootKey(text string) ([]byte, error) {
	key, err := hex.DecodeString(text)
	if err != nil || len(key) == 0 {
		return nil, errors.New("the root key is not a DER-encoded key in hexadecimal")
	}
	return key, nil
}

var errRootKeyAlone = errors.New("--root-key is for --network; the local network's key is known")

// connect makes a client for the user that --identity names.
func (o *options) connect(ctx context.Context) (*client, error) {
	if o.network != "" {
		return o.remoteClient(o.user)
	}
	if o.rootKey != "" {
		return nil, errRootKeyAlone
	}
	s, err := networkStatus(ctx, o.dir)
	if err != nil {
		return nil, err
	}
	id, err := o.user()
	if err != nil {
		return nil, err
	}
	a, err := statusAgent(s, agent.Options{Identity: id})
	if err != nil {
		return nil, err
	}
	return &client{a, s.Manifest.Ledger, s.Manifest.Minter, o.dir, true}, nil
}

// remoteClient makes a client of the network that --network names.
func (o *options) remoteClient(user func() (identity.Identity, error)) (*client, error) {
	if u, err := url.Parse(o.network); err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") {
		return nil, fmt.Errorf("--network is %q, want a URL such as http://10.0.0.5:4943", o.network)
	}
	if o.rootKey == "" {
		return nil, hint(errors.New("--network needs --root-key: answers are believed only if that key signed for them"),
			"the operator of the network has it in fusion status")
	}
	key, err := parseRootKey(o.rootKey)
	if err != nil {
		return nil, fmt.Errorf("--root-key: %w", err)
	}
	id, err := user()
	if err != nil {
		return nil, err
	}
	a, err := agent.New(o.network, agent.Options{Identity: id, RootKey: key})
	if err != nil {
		return nil, err
	}
	return &client{a, canisters.CkbtcLedger, canisters.CkbtcMinter, o.dir, false}, nil
}

// user loads the identity that signs.
func (o *options) user() (identity.Identity, error) {
	id, err := testnets.LoadIdentity(o.dir, o.identity)
	if errors.Is(err, testnets.ErrNoIdentity) {
		return nil, hint(err, "make it with: fusion identity new %s%s", o.identity, o.flags())
	}
	return id, err
}

// update makes an update call and, when the connection or the replica fails, asks until it is known what became of it.
func (c *client) update(ctx context.Context, canister principal.Principal, method string, arg []byte) ([]byte, error) {
	reply, err := c.Call(ctx, canister, method, arg)
	var unknown *agent.OutcomeError
	if errors.As(err, &unknown) && ctx.Err() == nil {
		return c.Wait(ctx, unknown)
	}
	return reply, err
}

// parseCanister reads a canister id, or one of the names of well-known canisters.
func (c *client) parseCanister(text string) (principal.Principal, error) {
	switch text {
	case "ledger":
		return c.ledger, nil
	case "minter":
		return c.minter, nil
	case "bitcoin":
		return canisters.BitcoinTestnet, nil
	case "management":
		return principal.Management, nil
	}
	return parsePrincipal(text, "canister id")
}

func parsePrincipal(text, what string) (principal.Principal, error) {
	p, err := principal.Parse(text)
	if err != nil {
		return p, fmt.Errorf("%q is no %s: %w", text, what, err)
	}
	return p, nil
}
