package ckbtc

import (
	"fusion/btc"
	"fusion/cdk"
	"fusion/ic/principal"
)

// MaxCustodyPage is the most outputs of one answer of get_custody.
const MaxCustodyPage = 2000

// CustodyArgs ask for the outputs behind one; at most limit of them.
type CustodyArgs struct {
	After *Outpoint `candid:"after"`
	Limit *uint32   `candid:"limit"`
}

// Holding is an output in custody: whose address it was paid to, and whether an open withdrawal spends it.
type Holding struct {
	Outpoint    Outpoint    `candid:"outpoint"`
	Value       uint64      `candid:"value"`
	Height      uint32      `candid:"height"`
	Account     Account     `candid:"account"`
	AddressType AddressType `candid:"address_type"`
	InPayment   bool        `candid:"in_payment"`
}

// MasterKey is a key that the addresses of all accounts are derived from.
type MasterKey struct {
	PublicKey []byte `candid:"public_key"`
	ChainCode []byte `candid:"chain_code"`
}

// Custody is the answer of get_custody. Answers with the same events belong to the same moment.
type Custody struct {
	Network  Network             `candid:"network"`
	Ledger   principal.Principal `candid:"ledger"`
	Events   uint64              `candid:"events"`
	Total    uint64              `candid:"total"`   // satoshi in custody, over all pages
	Owed     uint64              `candid:"owed"`    // satoshi burned for withdrawals that are not paid yet
	Deficit  uint64              `candid:"deficit"` // satoshi of minted deposits that the chain took back; not in the total
	ECDSA    *MasterKey          `candid:"ecdsa"`   // absent until the minter has asked for its key
	Schnorr  *MasterKey          `candid:"schnorr"`
	Holdings []Holding           `candid:"holdings"`
	More     bool                `candid:"more"`
}

// getCustody lists what the minter holds. Made as an update call, its answer is certified: the part of a proof of reserves that says where the bitcoin are.
func (m *minter) getCustody(_ *cdk.Msg, a CustodyArgs) Custody {
	limit := MaxCustodyPage
	if a.Limit != nil {
		limit = int(min(*a.Limit, MaxCustodyPage))
	}
	var after *btc.Outpoint
	if a.After != nil {
		if len(a.After.Txid) != 32 {
			m.c.Trap("a txid of %d bytes", len(a.After.Txid))
		}
		after = &btc.Outpoint{Txid: btc.Hash(a.After.Txid), Vout: a.After.Vout}
	}
	list, more := m.state.Holdings(after, limit)
	out := Custody{Network: networkOf(m.state.Config.Network), Ledger: principal.MustFromBytes(m.state.Config.Ledger), Events: m.state.Events(),
		Total: m.state.Custody(), Owed: m.state.Owed(), Deficit: m.state.Deficit(), Holdings: make([]Holding, 0, len(list)), More: more}
	for _, h := range list {
		out.Holdings = append(out.Holdings, Holding{Outpoint: Outpoint{h.Txid[:], h.Vout}, Value: h.Value, Height: h.Height, Account: accountOf(h.Account),
			AddressType: addressTypeOf(m.state.Taproot(h.Outpoint())), InPayment: h.Payment != 0})
	}
	if k := m.key; k != nil {
		out.ECDSA = &MasterKey{k.Key[:], k.ChainCode[:]}
		if k.Schnorr != nil {
			out.Schnorr = &MasterKey{k.Schnorr.Key[:], k.Schnorr.ChainCode[:]}
		}
	}
	return out
}
